"""Encoding, loading and packing on a corpus of real clips and stage clips: python -m benchmarks.data

    python -m benchmarks.data --films FOLDER [--before CHECKOUT] [--only loading,packing] [--out benchmarks/data.json]

`--films` is a folder of camera clips, which are curated. `--before` is a checkout of an earlier version, whose encoding
and loading are measured in the same run. All sides take turns; one thread a process.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import packing
from benchmarks.harness import hardware, say
from chronotope import checkpoint
from chronotope.caption.subwords import Tokenizer
from chronotope.config import override
from chronotope.data.latents import LatentClip, LatentDataset
from chronotope.generate.pipeline import find_model
from chronotope.manifest import manifest_hash, seal
from chronotope.models.dit import DiT
from chronotope.models.packing import Sample, pack
from chronotope.models.precision import autocast
from chronotope.parallel import Ranks
from chronotope.storage import read_json, write_json
from chronotope.train.batches import make_batch, stream_batches, window_sizes
from chronotope.train.config import DiTRun, read_run
from chronotope.train.loss import flow_loss
from chronotope.train.order import plan_batches
from chronotope.train.state import TrainState

HERE = Path(__file__).resolve()
STAGE, ENCODED, STEPS, ROUNDS, MILLION = 400, 120, 6, 3, 1_000_000
BUDGET = 3800  # visual tokens of a step
LIMITS = ("--max-side", "96", "--fps", "8", "--max-seconds", "4")


def shipped(*settings: str) -> tuple[DiTRun, Tokenizer]:
    """Return the settings of the training of the shipped model, at a budget for a CPU, and its tokenizer."""
    about = checkpoint.read_description(find_model("small") / "dit")
    config = override(
        read_run(about["training"]["run"]), [f"train.batch_tokens={BUDGET}", "train.workers=0", *settings]
    )
    return config, Tokenizer(about["vocabulary"])


def run_command(*words: object, code: Path = HERE.parents[1]) -> float:
    """Run a command of this program, or of another checkout, with one thread; return its seconds."""
    environment = {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "chronotope", *map(str, words)]
    began = time.perf_counter()
    subprocess.run(command, check=True, cwd=code, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def make_corpus(films: Path, folder: Path) -> list[Path]:
    """Make latents of stage clips, of the films within the limits of `teach`, and of the films at 256 pixels."""
    run_command("world", "stage", "--count", STAGE, "--scope", "small", "--out", folder / "stage")
    run_command("curate", films, "--allow-unknown", "--out", folder / "real")
    jobs = {"stage": (), "real": LIMITS, "large": ("--max-side", "256", *LIMITS[2:])}
    for name, limits in jobs.items():
        run_command("encode", folder / name.replace("large", "real"), "--out", folder / f"latents-{name}", *limits)
    return [folder / f"latents-{name}" for name in jobs]


# Loading

LOAD = """
import json, sys, time, torch
from itertools import islice
from pathlib import Path
from chronotope import checkpoint
from chronotope.config import override
from chronotope.data.latents import LatentDataset
from chronotope.generate.pipeline import find_model
from chronotope.caption.subwords import Tokenizer
from chronotope.train import batches as found
from chronotope.train.config import read_run
torch.set_num_threads(1)
plan_batches = getattr(found, "plan_batches", None)
if plan_batches is None:
    from chronotope.train.order import plan_batches
about = checkpoint.read_description(find_model("small") / "dit")
config = override(read_run(about["training"]["run"]), ["train.batch_tokens=3800"])
words, data = Tokenizer(about["vocabulary"]), LatentDataset([Path(sys.argv[1])])
plans = list(islice(plan_batches(found.window_sizes(config, data), 3800, 0), 12))
found.make_batch(config, data, words, plans[0])
fastest = [9.0] * len(plans)
for _ in range(6):
    for number, plan in enumerate(plans):
        began = time.process_time()
        found.make_batch(config, data, words, plan)
        fastest[number] = min(fastest[number], time.process_time() - began)
print(json.dumps(sum(len(plan.clips) for plan in plans) / sum(fastest)))
"""


def loading(corpus: Sequence[Path], before: Path | None) -> dict[str, Any]:
    """Measure clips a CPU second of making batches of stage clips: in this version and, in turns, in one before."""
    versions = {"now": HERE.parents[1], **({"before": before} if before else {})}
    rates: dict[str, list[float]] = {name: [] for name in versions}
    for _ in range(ROUNDS):
        for name, code in versions.items():
            command = [sys.executable, "-c", LOAD, str(corpus[0])]
            environment = {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, check=True, cwd=code, env=environment, stdout=subprocess.PIPE, text=True)
            rates[name].append(json.loads(done.stdout))
        say(f"  loading: {rates}")
    return {"clips a CPU second": {name: _spread(found) for name, found in rates.items()}} | _ratio(rates)


def hidden(corpus: Sequence[Path]) -> dict[str, Any]:
    """Measure how long training steps wait for their batches, as a share of the time that making them takes alone."""
    config, tokenizer = shipped()
    dataset = LatentDataset(corpus[:2])
    model = DiT(config.model)
    plans = itertools.islice(plan_batches(window_sizes(config, dataset), BUDGET, config.seed), STEPS)
    alone = _seconds(lambda: [make_batch(config, dataset, tokenizer, plan) for plan in plans])
    waited = worked = 0.0
    with stream_batches(config, dataset, tokenizer, TrainState(model, []), Ranks()) as batches:
        for number in range(STEPS + 1):
            began = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - began if number else 0.0  # nothing hides the first one
            began = time.perf_counter()
            with autocast(torch.device("cpu"), "auto"):
                output = model(batch.packs[0].tokens)
            flow_loss(output, batch.packs[0], torch.tensor(batch.num_noised)).backward()
            model.zero_grad(set_to_none=True)
            worked += time.perf_counter() - began
    return {
        "seconds of loading alone": round(alone, 3),
        "seconds of waiting": round(waited, 4),
        "seconds of the steps": round(worked, 2),
        "hidden share of loading": round(1 - waited / alone, 4),
    }


# Encoding


def encoding(corpus: Sequence[Path], before: Path | None, folder: Path) -> dict[str, Any]:
    """Measure frames a second of encoding clips, without the start of the program, by wall time.

    One worker of the version before, one and two of this one, in turns. Each process has one thread.
    """
    stage = corpus[0].parent / "stage"
    videos = sorted(path for path in stage.rglob("*.mp4"))[:ENCODED]
    rows = {row["key"]: row for row in map(json.loads, (corpus[0] / "index.jsonl").read_text().splitlines())}
    frames = sum(sum(rows[f"stage/{path.relative_to(stage).with_suffix('')}"]["slices"]) for path in videos)
    for name, count in (("many", len(videos)), ("one", 1)):
        for path in videos[:count]:
            target = folder / name / path.name
            target.parent.mkdir(exist_ok=True)
            target.hardlink_to(path)
    here = HERE.parents[1]
    sides: dict[str, tuple[Path, tuple[str, ...]]] = {
        "one": (here, ("--workers", "1")),
        "two": (here, ("--workers", "2")),
    }
    if before:
        sides["before"] = (before, ())
    rates: dict[str, list[float]] = {name: [] for name in sides}
    hashes: dict[str, set[str]] = {name: set() for name in sides}
    for number in range(ROUNDS):
        for name, (code, words) in sides.items():
            out = folder / f"{name}-{number}"
            # the program's start, which a folder of one clip takes as well; that of the workers counts
            start = run_command(
                "encode", folder / "one", "--out", f"{out}-one", *words[:1], *words[1:] and ("1",), code=code
            )
            seconds = run_command("encode", folder / "many", "--out", out, *words, code=code) - start
            rates[name].append(frames / seconds)
            hashes[name] |= {json.dumps(sorted(row["sha256"] for row in _rows(out) if "sha256" in row))}
        say(f"  encoding: { {name: round(found[-1]) for name, found in rates.items()} }")
    same = hashes["one"] == hashes["two"] and len(hashes["one"]) == 1
    speeds = {name: _spread(found) for name, found in rates.items()}
    base = "before" if before else "one"
    ratios = {
        f"{name} over {base}": round(statistics.median(np.divide(rates[name], rates[base])), 2)
        for name in rates
        if name != base
    }
    return {"frames": frames, "frames a second": speeds, **ratios, "same latents": same}


# Packing


def packed_share(corpus: Sequence[Path]) -> dict[str, Any]:
    """Return the share of the budget that batches fill, for several mixtures and lengths of looking ahead."""
    found: dict[str, Any] = {}
    for name, folders in {"stage and films at 96": corpus[:2], "films at 256": corpus[2:]}.items():
        config, _ = shipped("train.max_sample_tokens=3800")
        sizes = window_sizes(config, LatentDataset(folders))
        shares = {}
        for ahead in (0, 16, 64):
            plans = list(itertools.islice(plan_batches(sizes, BUDGET, 0, look_ahead=ahead), 400))
            shares[f"looking {ahead} ahead"] = round(sum(map(sum, (plan.sizes for plan in plans))) / 400 / BUDGET, 4)
        found[name] = {"tokens of a clip": f"{sizes.min()} to {sizes.max()}, median {int(np.median(sizes))}", **shares}
    return found


def padding(corpus: Sequence[Path]) -> dict[str, Any]:
    """Measure useful tokens a second of a training step: packed, padded to the longest, and in buckets of one size.

    Every batch has at most the same number of tokens, padding counted. Buckets are of equal sizes and lengths; their
    last batches are filled only as far as there are clips of that shape among those that packing shows.
    """
    config, _ = shipped()
    dataset = LatentDataset(corpus)
    model = packing.make_model()
    sizes = window_sizes(config, dataset)
    plans = list(itertools.islice(plan_batches(sizes, BUDGET, 0, look_ahead=64), 6))
    samples = [_sample(config, index, dataset.clips[index]) for plan in plans for index in plan.clips]
    numbers = iter(range(len(samples)))
    batches = {
        "packed": [[samples[number] for number in itertools.islice(numbers, len(plan.clips))] for plan in plans],
        "padded": list(_padded_batches(samples)),
        "buckets": list(_buckets(samples)),
    }
    useful = sum(sample.num_tokens for sample in samples)
    rates: dict[str, list[float]] = {name: [] for name in batches}
    packing.step(model, packing.run_packed, batches["packed"][0])  # warm up
    for _ in range(ROUNDS):
        for name, found in batches.items():
            run = packing.run_padded if name == "padded" else packing.run_packed
            seconds = _seconds(lambda: [packing.step(model, run, batch) for batch in found])  # noqa: B023
            rates[name].append(useful / seconds)
        say(f"  padding: { {name: round(values[-1]) for name, values in rates.items()} }")
    processed = {name: sum(sum(pack(batch)[0].lengths) for batch in found) for name, found in batches.items()}
    processed["padded"] = sum(len(batch) * max(one.num_tokens for one in batch) for batch in batches["padded"])
    return {
        "clips": len(samples),
        "useful tokens a second": {name: _spread(found) for name, found in rates.items()},
        "useful share of the tokens": {name: round(useful / count, 4) for name, count in processed.items()},
        "batches": {name: len(found) for name, found in batches.items()},
        **{
            f"packed over {name}": round(statistics.median(np.divide(rates["packed"], rates[name])), 2)
            for name in ("padded", "buckets")
        },
    }


def _sample(config: DiTRun, index: int, clip: LatentClip) -> Sample:
    most = max(1, config.train.max_sample_tokens // int(np.prod(config.geometry.token_grid(clip.height, clip.width))))
    return packing.make_sample(index, sum(clip.slices[:most]), clip.height, clip.width)


def _padded_batches(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Fill batches in order, so that their number times the longest stays within the budget."""
    batch: list[Sample] = []
    for sample in samples:
        if batch and (len(batch) + 1) * max(one.num_tokens for one in [*batch, sample]) > BUDGET:
            yield batch
            batch = []
        batch.append(sample)
    yield batch


def _buckets(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Fill batches of one size and length each."""
    shapes: dict[Any, list[Sample]] = {}
    for sample in samples:
        shapes.setdefault(sample.grid, []).append(sample)
    for found in shapes.values():
        count = max(1, BUDGET // found[0].num_tokens)
        yield from (found[first : first + count] for first in range(0, len(found), count))


# The index of a million clips

OPEN = """
import sys, time
from pathlib import Path
from benchmarks.harness import peak_megabytes
from chronotope.data.latents import ClipIndex
import json, random
before, began = peak_megabytes(), time.perf_counter()
clips = ClipIndex([Path(sys.argv[1])])
opened = time.perf_counter() - began
order = random.Random(0).sample(range(len(clips)), 20_000)
began = time.perf_counter()
for index in order:
    clips[index]
print(json.dumps({"clips": len(clips), "peak MB": peak_megabytes(), "of it before opening": before,
    "seconds to open and verify": round(opened, 1),
    "microseconds to read an entry": round((time.perf_counter() - began) / len(order) * 1e6, 1)}))
"""


def index(corpus: Sequence[Path], folder: Path) -> dict[str, Any]:
    """Measure memory and time of opening an index of a million rows, made of the corpus's own rows."""
    rows = _rows(corpus[0])
    seals = []
    with (folder / "index.jsonl").open("w") as file:
        for number in range(MILLION):
            row = seal({**rows[number % len(rows)], "key": f"stage/{number:07d}"})
            seals.append({"seal": row["seal"]})
            file.write(json.dumps(row) + "\n")
    about = {name: value for name, value in read_json(corpus[0] / "latents.json").items() if name != "seal"}
    write_json(folder / "latents.json", {**about, "clips": MILLION, "manifest": manifest_hash(seals)})
    command = [sys.executable, "-c", OPEN, str(folder)]
    done = subprocess.run(command, check=True, cwd=HERE.parents[1], stdout=subprocess.PIPE, text=True)
    size = (folder / "index.jsonl").stat().st_size
    return {**json.loads(done.stdout), "bytes of the index": size}


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _spread(found: Sequence[float]) -> dict[str, float]:
    return {"median": round(statistics.median(found)), "least": round(min(found)), "greatest": round(max(found))}


def _ratio(rates: dict[str, list[float]]) -> dict[str, float]:
    if "before" not in rates:
        return {}
    return {"now over before": round(statistics.median(np.divide(rates["now"], rates["before"])), 2)}


def main(films: Path, before: Path | None, only: str, corpus: Path | None, out: Path | None) -> None:
    """Measure the sections, print and write each."""
    torch.set_num_threads(1)
    path = out or HERE.with_suffix(".json")
    results: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    with contextlib.ExitStack() as stack:
        new = functools.partial(tempfile.TemporaryDirectory, dir=corpus)
        folder = corpus or Path(stack.enter_context(new()))
        known = [folder / f"latents-{name}" for name in ("stage", "real", "large")]
        found = known if all(map(Path.is_dir, known)) else make_corpus(films, folder)
        sections: dict[str, Callable[[], dict[str, Any]]] = {
            "loading": lambda: loading(found, before),
            "hidden": lambda: hidden(found),
            "packing": lambda: packed_share(found),
            "padding": lambda: padding(found),
            "encoding": lambda: encoding(found, before, Path(stack.enter_context(new()))),
            "index": lambda: index(found, Path(stack.enter_context(new()))),
        }
        for name in only.split(",") if only else sections:
            say(f"{name} ...")
            results[name] = sections[name]()
            write_json(path, {**results, "hardware": hardware()})
            print(name, json.dumps(results[name]), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--only", default="", help="sections, by commas")
    parser.add_argument("--corpus", type=Path, help="a folder that keeps the clips and latents for another run")
    parser.add_argument("--out", type=Path)
    main(**vars(parser.parse_args()))
