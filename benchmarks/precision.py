"""bfloat16 beside single precision: time, pixels, reconstruction, memory, success: python -m benchmarks.precision

    python tests/real_clips.py          # camera clips, once
    for p in fp32 bf16; do chronotope evaluate small --suite standard --first 120 --precision $p --out out/$p; done
    python -m benchmarks.precision --reports out/fp32 out/bf16 [--out benchmarks/precision.json]

Times are CPU seconds of one thread, medians of rounds in which all variants take turns; "fp32 again" is single
precision a second time, so its ratio shows the noise of the machine. Memory is measured in processes of their own.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.autoencoder import CLIPS
from benchmarks.harness import hardware, in_own_process, peak_megabytes, say
from chronotope.data.latents import encode_frames
from chronotope.evaluate.reconstruction import measure_reconstruction
from chronotope.evaluate.report import compare, read_report
from chronotope.generate.memory import return_large_blocks
from chronotope.generate.pipeline import Generator
from chronotope.generate.sampler import sample
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.metrics.similarity import decibels
from chronotope.prompt import read_prompts
from chronotope.request import Request
from chronotope.storage import write_json
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES

PROMPT = "a fox walks to the right in green hills"
SIZES = ((96, 64), (64, 64))  # of 17 frames
VARIANTS = ("fp32", "bf16", "fp32 again")
MEMORY_SIZES = ((96, 64, 17), (512, 288, 17), (512, 288, 1), (1280, 720, 5))
SCORES = ("psnr", "moving_psnr", "temporal_psnr")


def plan_of(generator: Generator, width: int, height: int, frames: int = 17, steps: int | None = None) -> Any:
    return generator.plan(Request(read_prompts(PROMPT), width=width, height=height, num_frames=frames, num_steps=steps))


def speed(model: str, rounds: int) -> list[dict[str, Any]]:
    """Sample, decode and encode clips of 17 frames in turns; the first round, which prepares kernels, is left out."""
    generators = {name: Generator.load(model, precision=name[:4]) for name in VARIANTS}  # type: ignore[arg-type]
    found = []
    for width, height in SIZES:
        plan = plan_of(generators["fp32"], width, height)
        slices, seconds, made = list(plan.canvas.slices), dict[str, dict[str, list[float]]](), dict[str, Any]()
        for number in range(rounds + 1):
            for name, generator in generators.items():
                calls = _calls(generator, plan, made)
                for what, call in calls.items():
                    began = time.process_time()
                    made[f"{what} {name}"] = call()
                    seconds.setdefault(what, {}).setdefault(name, []).append(time.process_time() - began)
            say(f"  {width}x{height}, round {number} of {rounds}")
        for what, times in seconds.items():
            median = {name: statistics.median(taken[1:]) for name, taken in times.items()}
            row = {"what": what, "size": f"{width}x{height}", "slices": len(slices), "seconds": median}
            row["ratio"] = {name: round(median["fp32"] / taken, 2) for name, taken in median.items()}
            row["decibels"] = _agreement(made[f"{what} fp32"], made[f"{what} bf16"])
            row["fp32 repeats to the bit"] = _agreement(made[f"{what} fp32"], made[f"{what} fp32 again"]) is None
            found.append(row)
    return found


def _calls(generator: Generator, plan: Any, made: dict[str, Any]) -> dict[str, Callable[[], Tensor]]:
    """Return what is timed; each precision decodes and encodes the same latents and frames, those of fp32."""
    autoencoder, dit = generator.networks
    slices, noise = list(plan.canvas.slices), [generator.defaults.decoder_noise] * len(plan.canvas.slices)
    settings = generator.tokenizer, generator.flow, generator.geometry, plan.canvas, plan.sampling
    return {
        "sampling": lambda: sample(dit, *settings, seed=0),
        "decoding": lambda: autoencoder.decode(made["sampling fp32"], slices, noise),
        "encoding": lambda: encode_frames(
            autoencoder, generator.geometry, made["decoding fp32"].numpy(), plan.canvas.slices
        ),
    }


def _agreement(one: Tensor, other: Tensor) -> float | None:
    """Return in dB how large the difference is: of pixels below 255, of latents below their own root mean square.

    None where there is none.
    """
    difference = float((one.double() - other.double()).square().mean())
    if difference == 0:
        return None
    if one.dtype == torch.uint8:
        return round(decibels(difference), 1)
    return round(10 * float(torch.log10(one.double().square().mean() / difference)), 1)


def reconstruction(model: str, clips: int) -> list[dict[str, Any]]:
    """Encode and decode rendered and camera clips in both precisions: mean scores against the original, in dB."""
    specs = [sample_spec(seed, SCOPES["small"], "heldout") for seed in range(clips)]
    sources: dict[str, list[np.ndarray]] = {"stage": [render(spec).frames for spec in specs]}
    films = [path for path in sorted(CLIPS.glob("*.*")) if path.suffix in (".mp4", ".mpg", ".avi", ".webm", ".mkv")]
    sources["camera"] = [np.stack(list(video.stream(path, seconds=0.7, max_side=320))) for path in films]
    generators = {name: Generator.load(model, precision=name) for name in ("fp32", "bf16")}  # type: ignore[arg-type]
    geometry = Geometry(stride=generators["fp32"].autoencoder.config.stride)
    found = []
    for kind, originals in sources.items():
        scores: dict[str, dict[str, list[float]]] = {name: {} for name in generators}
        for frames in originals:
            for name, generator in generators.items():
                measured = measure_reconstruction(generator.networks[0], geometry, frames, len(frames))
                for score in SCORES:
                    if (value := getattr(measured, score)) is not None:
                        scores[name].setdefault(score, []).append(value)
        means = {
            name: {score: round(statistics.mean(values), 3) for score, values in of.items()}
            for name, of in scores.items()
        }
        lost = {
            score: round(max(a - b for a, b in zip(scores["fp32"][score], scores["bf16"][score], strict=True)), 3)
            for score in SCORES
            if score in scores["fp32"]
        }
        found.append({"clips": kind, "count": len(originals), "means": means, "most lost by a clip": lost})
        say(f"  {kind}: {means}")
    return found


def memory(model: str) -> list[dict[str, Any]]:
    """Generate with one step, each size and precision in a process of its own: the peak, and what was estimated."""
    found = []
    for width, height, frames in MEMORY_SIZES:
        for precision in ("fp32", "bf16"):
            words = ("--peak", precision, width, height, frames, "--model", model)
            found.append(in_own_process("benchmarks.precision", *words))
            say(f"  {found[-1]}")
    return found


def peak(model: str, precision: Any, width: int, height: int, frames: int) -> dict[str, Any]:
    """Return the peak of this process above the loaded model, and the estimate, in MB."""
    torch.set_num_threads(1)
    return_large_blocks()
    generator = Generator.load(model, precision=precision)
    plan = plan_of(generator, width, height, frames, steps=1)
    estimate = generator.memory(plan)
    gc.collect()
    before = _resident_megabytes()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    for _ in generator.stream(plan).pieces:
        pass
    taken = (peak_megabytes() - before) * 2**20 / 1e6
    about = {"precision": precision, "size": f"{width}x{height}", "frames": frames}
    return {**about, "peak": round(taken, 1), "estimate": round(estimate / 1e6, 1)}


def _resident_megabytes() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def success(folders: Sequence[Path]) -> dict[str, Any]:
    """Compare the reports of both precisions, case by case."""
    reports = [read_report(folder) for folder in folders]
    for precision, report in zip(("fp32", "bf16"), reports, strict=True):
        if report["about"].get("precision") != precision:
            raise SystemExit(f"the reports must be of fp32 and of bf16, in this order, got {report['about']}")
    every = compare(*reports)[0]
    pixels = [_agreement(*(torch.from_numpy(video.read(path).frames) for path in pair)) for pair in _videos(*folders)]
    apart = [100.0 if value is None else value for value in pixels]  # equal videos: above all others
    return {
        "suite": reports[0]["about"]["suite"],
        "fp32": str(every.first),
        "bf16": str(every.second),
        "only fp32": every.only_first,
        "only bf16": every.only_second,
        "p": round(every.p_value, 3),
        "decibels": {"median": statistics.median(apart), "lowest": min(apart)},
    }


def _videos(*folders: Path) -> list[tuple[Path, ...]]:
    """Return the videos of equal names of two evaluations."""
    root = folders[0] / "videos"
    names = sorted(path.relative_to(root) for path in root.rglob("*") if path.suffix in (".mp4", ".png"))
    return [tuple(folder / "videos" / name for folder in folders) for name in names]


def page(found: dict[str, Any]) -> str:
    """Return a table of each part that was measured."""
    lines = []
    if "speed" in found:
        lines += ["| 17 frames | size | fp32, s | bf16, s | ratio | fp32 again | bf16 to fp32, dB |", "|---" * 7 + "|"]
    for row in found.get("speed", ()):
        taken, ratio = row["seconds"], row["ratio"]
        lines.append(
            f"| {row['what']} | {row['size']} | {taken['fp32']:.3f} | {taken['bf16']:.3f} | {ratio['bf16']:.2f} | "
            f"{ratio['fp32 again']:.2f} | {row['decibels']} |"
        )
    if "reconstruction" in found:
        lines += ["", "| reconstruction | fp32, dB | bf16, dB | most lost by a clip |", "|---|---|---|---|"]
    for row in found.get("reconstruction", ()):
        for score, lost in row["most lost by a clip"].items():
            both = " | ".join(f"{row['means'][name][score]:.3f}" for name in ("fp32", "bf16"))
            lines.append(f"| {row['count']} {row['clips']} clips, {score} | {both} | {lost:.3f} |")
    if "memory" in found:
        lines += ["", "| memory, MB | frames | precision | peak | estimate |", "|---|---|---|---|---|"]
    for row in found.get("memory", ()):
        lines.append(f"| {row['size']} | {row['frames']} | {row['precision']} | {row['peak']} | {row['estimate']} |")
    if of := found.get("success"):
        pairs = f"only fp32 {of['only fp32']}, only bf16 {of['only bf16']}, p {of['p']}"
        apart = f"{of['decibels']['median']:.1f} dB apart (median), {of['decibels']['lowest']:.1f} dB where most"
        lines += ["", f"{of['suite']}: fp32 {of['fp32']}, bf16 {of['bf16']}; {pairs}; pixels {apart}"]
    return "\n".join(lines)


def main() -> None:
    """Measure what was asked for, keep the rest of the file, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clips", type=int, default=40, help="rendered clips for the reconstruction")
    parser.add_argument("--only", default="speed,reconstruction,memory,success", help="parts, by commas")
    parser.add_argument("--reports", type=Path, nargs=2, metavar=("FP32", "BF16"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peak:
        print(json.dumps(peak(chosen.model, chosen.peak[0], *map(int, chosen.peak[1:]))))
        return
    torch.set_num_threads(1)
    parts: dict[str, Callable[[], Any]] = {
        "speed": lambda: speed(chosen.model, chosen.rounds),
        "reconstruction": lambda: reconstruction(chosen.model, chosen.clips),
        "memory": lambda: memory(chosen.model),
        **({"success": lambda: success(chosen.reports)} if chosen.reports else {}),
    }
    found = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    for name, measure in parts.items():
        if name in chosen.only.split(","):
            found |= {name: measure(), "hardware": hardware()}
            write_json(chosen.out, found)
    print(page(found))


if __name__ == "__main__":
    main()
