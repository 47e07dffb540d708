"""What `chronotope generate`, `chronotope reconstruct` and `chronotope merge` do with a trained model."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chronotope import PROGRAM, checkpoint
from chronotope.caption.prompts import expand_prompts
from chronotope.cli.costs import sampling_costs, say_slow_precision
from chronotope.cli.inputs import Options
from chronotope.cli.interrupt import Stop, StoppedError, stoppable
from chronotope.cli.left_out import scan_and_compare
from chronotope.cli.terminal import progress, refuse_overwriting, refuse_replacing, say
from chronotope.config import to_dict
from chronotope.data.latents import fingerprint, read_header, read_index
from chronotope.data.record import merged_data
from chronotope.errors import FileProblem, UsageError, visible
from chronotope.evaluate.reconstruction import measure_reconstruction
from chronotope.generate.memory import process_bytes, return_large_blocks
from chronotope.generate.pipeline import Generator, Stream, load_autoencoder
from chronotope.generate.plan import Plan
from chronotope.generate.stored.adapters import find_adapter
from chronotope.generate.stored.folders import transformers_of
from chronotope.generate.stored.knowledge import record_of_model, vocabulary_of_model
from chronotope.generate.training_clips import (
    Comparison,
    TrainingClips,
    frames_to_decode,
    latents_of_models,
    read_training_clips,
)
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.media.picture import PICTURE_FORMATS, check_writable, sidecar
from chronotope.media.video import VIDEO_FORMATS
from chronotope.models.costs import SampleSize
from chronotope.models.precision import Precision, rounded, used_precision
from chronotope.progress import Progress
from chronotope.prompt import Prompt
from chronotope.request import InputFile
from chronotope.safety.deliver import Delivery
from chronotope.safety.policy.decide import default_policy
from chronotope.safety.uploads import check_files
from chronotope.sealed import unsealed
from chronotope.storage import PARTS, locked_output, remove_partials, write_folder

__all__ = [
    "describe_plan",
    "device",
    "generate",
    "merge",
    "plan_video",
    "reconstruct",
    "say_unsealed",
    "scores_in_words",
    "told",
]

CORE_FLOPS = 2e11  # a second, more than a processor core has
MOST_DECODED = 3000  # frames of training clips that are decoded without being asked for: about a minute
MAX_DAYS = 60.0  # of a generation; what takes longer is a slip of the keyboard


def device(asked: str = "auto") -> torch.device:
    """Return the device that was asked for; auto is the GPU if there is one, else the CPU.

    Raises UsageError for a GPU that is not there.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if asked == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "--device cuda: torch finds no GPU on this machine; give --device cpu, or install a torch with CUDA and "
            "the driver of the GPU"
        )
    return torch.device(asked)


def say_unsealed(*folders: Path) -> None:
    """Say in a note for each model.json of a model, or of its parts, that it has no seal."""
    for folder in folders:
        paths = (folder / part / "model.json" for part in ("", *PARTS))
        for sentence in unsealed(*(path for path in paths if path.is_file())):
            say(f"note: {sentence}")


# Generate


def told(
    prompts: tuple[Prompt, ...], options: Options, generator: Generator, expand: bool
) -> tuple[tuple[Prompt, ...], Options]:
    """Return the prompts that the model is told, and the options with what its user typed and what became of it."""
    vocabulary = vocabulary_of_model(generator.folder, generator.adapters) if expand else None
    if vocabulary is None:
        return prompts, options
    guidance = generator.defaults.guidance_scale if options.guidance is None else options.guidance
    found = expand_prompts(prompts, options.negative, guidance != 1, vocabulary)
    changes = {"negative": found.negative, "typed": found.typed, "word_notes": found.notes}
    return found.prompts, replace(options, **changes)  # type: ignore[arg-type]


def plan_video(prompts: tuple[Prompt, ...], options: Options, generator: Generator, encode: bool = True) -> Plan:
    """Read the files and plan the video."""
    return generator.plan(options.request(prompts, generator.defaults, generator.geometry), encode)


def describe_plan(options: Options, generator: Generator, plan: Plan) -> dict[str, Any]:
    """Return what --dry-run prints: the settings, and what one window and the whole video cost."""
    geometry, canvas = generator.geometry, plan.canvas
    rows, columns = geometry.token_grid(canvas.height, canvas.width)
    covered = geometry.covered_size(canvas.height, canvas.width)
    size, costs = _costs(generator, plan)
    if problem := _endless(costs, options.count, generator.device):
        say(f"note: this would be refused here: {problem}")
    stills = sum(piece.still for piece in canvas.slices)
    return {
        **({"typed_prompt": options.typed} if options.typed else {}),
        **plan.settings(),
        "precision": generator.precision,
        "task": plan.layout.task,
        "num_frames": plan.num_frames,
        "given": [str(path) for path in options.files],
        "notes": list(plan.notes),
        "seeds": [options.seed + number for number in range(options.count)],
        "files": [str(path) for path in options.outputs],
        "generated_size": f"{covered[1]}x{covered[0]}",
        "parameters": costs["parameters"],
        "largest_window": {
            "tokens": size.visual,
            "grid": f"{plan.window_slices} slices x {rows} rows x {columns} columns",
            "text_tokens": size.text,
            "flops_per_velocity": costs["flops_per_velocity"],
        },
        "whole_video": {
            "slices": f"{stills} still + {len(canvas.slices) - stills} moving",
            "windows": len(plan.windows),
            "tokens": len(canvas.slices) * rows * columns,
            "flops_sampling": costs["flops_sampling"],
            "flops_decoding": costs["flops_decoding"],
            "memory": process_bytes() + generator.memory(plan),
        },
    }


def _costs(generator: Generator, plan: Plan) -> tuple[SampleSize, dict[str, Any]]:
    """Count the tokens of the largest window of a plan, and what its video costs."""
    geometry, sampling, canvas = generator.geometry, plan.sampling, plan.canvas
    rows, columns = geometry.token_grid(canvas.height, canvas.width)
    height, width = geometry.covered_size(canvas.height, canvas.width)
    text = sum(generator.tokenizer.num_tokens(prompt.text) for prompt in canvas.prompts)
    negative = generator.tokenizer.num_tokens(sampling.negative_prompt)
    size = SampleSize(plan.window_slices * rows * columns, text, plan.window_slices)
    pixels = geometry.stride[0] * len(canvas.slices) * height * width
    configs = generator.dit.config, generator.autoencoder.config
    guided = [scale != 1 for scale in plan.scales]
    costs = sampling_costs(configs, size, pixels, sampling.num_steps, sampling.solver == "heun", negative, guided)
    return size, costs


def _endless(costs: Mapping[str, Any], count: int, on: str) -> str:
    """Say how long videos take at least where that is no time that anybody waits; empty otherwise."""
    if on != "cpu":
        return ""
    flops, cores = count * (costs["flops_sampling"] + costs["flops_decoding"]), os.cpu_count() or 1
    days = flops / (CORE_FLOPS * cores) / 86_400
    if days <= MAX_DAYS:
        return ""
    return (
        f"it takes {flops:.1e} floating-point operations, which are at least {days:,.0f} days of {cores} processor "
        "cores; ask for fewer --seconds, a smaller --size or fewer --steps"
    )


def generate(prompts: tuple[Prompt, ...], options: Options, generator: Generator) -> tuple[list[dict[str, Any]], bool]:
    """Generate and write one video a seed; return their paths and settings, and whether all of them are complete."""
    return_large_blocks()
    plan = plan_video(prompts, options, generator)
    if plan.num_frames == 1 and not options.to_picture and not options.files:
        say(f"note: a single frame is a picture; {options.output} is a video of one frame")
    for note in plan.notes:
        say(f"note: {note}")
    if problem := _endless(_costs(generator, plan)[1], options.count, generator.device):
        raise UsageError(problem)
    inputs: dict[str, Any] = {"typed_prompt": options.typed} if options.typed else {}
    if options.files:
        inputs["given"] = [str(path) for path in options.files]
    generator.comparison = _comparison(generator, options)
    refusing = generator.policy.near_copies.action == "refuse"
    total = len(plan.windows) * plan.sampling.num_steps
    # A video of several windows is written as it grows, unless its beginning is generated last.
    watchable = len(plan.windows) > 1 and not plan.windows[0].backward and not refusing
    written: list[dict[str, Any]] = []
    with stoppable() as stop:
        for number, path in enumerate(options.outputs):
            with _writing(path), progress(path.name, "steps") as report:

                def report_step(step: int, report: Progress = report) -> None:
                    report(step + 1, total)
                    stop.check()

                stream = generator.stream(plan, options.seed + number, report_step)
                stream = replace(stream, origin={**stream.origin, **inputs})
                allow = functools.partial(refuse_replacing, path, options.overwrite)
                with Delivery(
                    path,
                    stream.fps,
                    stream.origin,
                    options.layers,
                    composite=bool(options.files),
                    watchable=watchable,
                    allow=allow,
                    policy=generator.policy,
                ) as delivery:
                    origin = write_stream(delivery, stream, stop)
            if origin is None:
                say(f"note: stopped before the first frame of {path}; it was not written")
                break
            say(f"{path}: {_summary(origin)} in {sum(origin['seconds'].values()):.1f} s")
            written.append({"path": str(path), **origin})
            if origin.get("nearest", {}).get("decision", {}).get("action") == "note":
                say(f"note: {path} is nearly a copy of {_nearest_in_words(origin['nearest'])}")
            if "stopped" in origin:
                say(f"note: stopped {origin['stopped']}")
            if stop.requested:
                break
    return written, not stop.requested


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Let no other process write this file, and delete what a killed one left half-written of it."""
    with locked_output(path):
        for target in (path, sidecar(path)):
            remove_partials(path.parent, target=target)
        yield


# Is it a copy?


def _comparison(generator: Generator, options: Options) -> Comparison | None:
    """Return the clips to compare with: those that trained the model, where they are at hand, and those of --compare.

    Only where they are named: clips that take long to decode, and rendered ones that were mixed with a user's.
    """
    if options.no_compare:
        return None
    models = transformers_of(generator.folder) if generator.folder else []
    models += [find_adapter(adapter.folder) for adapter in generator.adapters]
    known, lacking = latents_of_models(models, options.compare)
    if lacking:
        say(
            f"note: not compared with {lacking} of the clips that trained the model, because their latents are not at "
            "hand: --compare names their folder, --no-compare compares with none"
        )
    own = [folder for folder in known if not read_header(folder).get("worlds")] or known
    lacking += sum(read_header(folder).get("clips") or 1 for folder in {*known} - {*own, *options.compare})
    folders = []
    for folder in dict.fromkeys((*options.compare, *own)):
        named = folder in options.compare
        try:
            clips = _training_clips(folder, generator, named)
        except FileProblem as problem:
            if named:
                raise
            say(f"note: not compared with the training clips in {folder}: {problem}")
            clips = None
        if clips is None:
            lacking += read_header(folder).get("clips") or 1
        else:
            folders.append(clips)
    return Comparison(tuple(folders), lacking) if folders else None


def _training_clips(folder: Path, generator: Generator, named: bool) -> TrainingClips | None:
    """Return the clips of one folder; None where nobody named it and decoding it would take long."""
    if not named and (frames := frames_to_decode(folder)) > MOST_DECODED:
        say(
            f"note: not compared with the {len(read_index(folder))} training clips in {folder}, of which {frames} "
            f"frames would have to be decoded, once; --compare {folder} does so"
        )
        return None
    if not (folder / "latents.json").is_file():
        scan_and_compare(folder)
    elif frames_to_decode(folder):
        say(f"the clips in {folder} are decoded, once, to compare with them")
    with progress(f"reading {folder.name}", "clips") as report:
        clips = read_training_clips(folder, generator.autoencoder, report, lambda text: say(f"note: {text}"))
    for item in clips.left_out:
        say(f"note: not compared with {item.key}: {item.reason}")
    return clips


def _nearest_in_words(nearest: Mapping[str, Any]) -> str:
    return (
        f"the clip {nearest['clip']} ({nearest['source']}, from {nearest['source_seconds']:g} s): "
        f"{nearest['distance']:.1f} levels of 255 from it; a copy is nearer than {nearest['threshold']:.1f}; "
        f"{nearest['compared']} clips were compared"
    )


def write_stream(delivery: Delivery, stream: Stream, stop: Stop) -> dict[str, Any] | None:
    """Deliver frames as they are generated; a stopped file holds those that were finished.

    Returns the settings of the file, or None if it was stopped before its first frame.
    """
    origin, path = stream.origin, delivery.path
    try:
        for piece in stream.pieces:
            for frame in piece:
                delivery.add(frame)
                if delivery.watchable and delivery.num_frames == 1 and path.suffix.lower() != ".gif":
                    say(f"note: {delivery.growing} can be watched while it grows")
                if delivery.num_frames < origin["num_frames"]:
                    stop.check()
    except StoppedError:
        if not delivery.num_frames:
            delivery.abort()
            return None
        stopped = f"after {delivery.num_frames} of {origin['num_frames']} frames"
        origin = {**origin, "num_frames": delivery.num_frames, "stopped": stopped}
    return delivery.finish({**origin, **stream.found(), "seconds": _rounded(stream.seconds)})


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}


def _summary(origin: dict[str, Any]) -> str:
    size = f"{origin['width']}x{origin['height']}"
    if origin["num_frames"] == 1:
        return f"a picture of {size}"
    return f"{origin['num_frames']} frames of {size} at {origin['fps']:g} fps"


# Merge


def merge(model: str, adapters: Mapping[str | Path, float], out: Path) -> dict[str, Any]:
    """Write the model with adapters added to its weights into the new folder `out`; return where it came from."""
    if os.path.lexists(out):
        raise UsageError(f"{out} exists; give another --out for the merged model")
    generator = Generator.load(model, adapters)
    assert generator.folder is not None
    source = generator.folder
    say_unsealed(source, *(find_adapter(adapter.folder) for adapter in generator.adapters))
    description = checkpoint.read_description(source / "dit")
    description.pop("heldout", None)  # from the base: an adapter may have been trained on it
    record = record_of_model(source, generator.adapters)
    origin = [adapter.origin for adapter in generator.adapters]
    models: list[tuple[Mapping[str, Any], str]] = [(description, generator.adapters[0].base)]
    models += [(adapter.description, adapter.hash) for adapter in generator.adapters]
    merged = {"merged": [*description.get("merged", []), *origin]}
    changes = {"trained_on": to_dict(record), **merged_data(models), **merged}
    vocabulary = vocabulary_of_model(source, generator.adapters)
    if vocabulary is not None and vocabulary.similar is not None:
        changes["similar_words"] = dict(vocabulary.similar)

    def fill(folder: Path) -> None:
        checkpoint.copy_model(source / "autoencoder", folder / "autoencoder")
        checkpoint.save_model(folder / "dit", generator.dit, {**description, **changes}, torch.float16)

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise FileProblem(f"{out} cannot be created: {problem.strerror}") from problem
    with locked_output(out):
        remove_partials(out.parent, target=out)
        write_folder(out, fill)
    return {"path": str(out), "model": Generator.load(out).names, "adapters": origin}


# Reconstruct


def reconstruct(
    source: Path,
    output: Path,
    seconds: float | None,
    model: Path,
    overwrite: bool = False,
    precision: Precision = "auto",
) -> dict[str, Any]:
    """Write the original and its reconstruction side by side; return the scores.

    Only with `overwrite` a file is replaced that this program did not make.
    """
    check_writable(output, {**VIDEO_FORMATS, **PICTURE_FORMATS})
    refuse_overwriting(source, output)
    allow = functools.partial(refuse_replacing, output, overwrite)
    allow()
    info = video.probe(source)
    num_frames = info.num_frames if seconds is None else sum(1 for _ in video.stream(source, seconds=seconds))
    to_picture = output.suffix.lower() in PICTURE_FORMATS
    if to_picture and num_frames > 1:
        raise UsageError(f"{output} holds one frame and {source} has {num_frames}; write a video (.mp4)")
    for remark in info.remarks:
        say(f"note: {source}: {remark}")
    if seconds is not None and num_frames < round(seconds * info.fps):
        say(f"note: {source} is shorter than --seconds {seconds:g}: all of its {num_frames} frames are taken")
    if info.square_size != (info.width, info.height):
        say(f"note: the pixels of {source} are not square; those of {output} are, so it looks wider or narrower")
    if info.variable_frame_rate:
        say(f"note: the frame rate of {source} varies; the pair plays at its average, {info.fps:g} frames a second")
    policy = default_policy()
    check_files(policy, [InputFile("clip", source)], None)
    say_slow_precision(precision, device())
    autoencoder, used = load_autoencoder(model).to(device()), used_precision(precision, device())
    say_unsealed(model)
    geometry = Geometry(stride=autoencoder.config.stride)
    covered = geometry.covered_size(info.height, info.width)
    if covered != (info.height, info.width):
        say(f"note: encoded at {covered[1]}x{covered[0]}, edges repeated, and cut back to {info.width}x{info.height}")
    origin = {
        "program": PROGRAM,
        "task": "reconstruct",
        "source": str(source),
        "seconds": seconds,
        "left": "original",
        "right": "reconstruction",
        "model": {"autoencoder": fingerprint(autoencoder)},
        "precision": used,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(_writing(output))
        report = stack.enter_context(progress(output.name, "frames"))
        delivery = stack.enter_context(Delivery(output, info.fps, origin, composite=True, allow=allow, policy=policy))
        done = 0

        def watch(original: np.ndarray, decoded: np.ndarray) -> None:
            nonlocal done
            for pair in np.concatenate([original, decoded], axis=2):
                delivery.add(pair)
            done += len(original)
            report(done, num_frames)

        frames = video.stream(source, seconds=seconds)
        found = measure_reconstruction(rounded(autoencoder, used), geometry, frames, num_frames, watch)
        for _ in frames:  # damage is known only at the end
            pass
    if frames.damage:
        say(f"note: {source}: {frames.damage}")
    # JSON has no infinity: an exact reconstruction has no PSNR.
    finite = {name: None if value in (math.inf, -math.inf) else value for name, value in asdict(found).items()}
    return {"path": str(output), "size": f"{info.width}x{info.height}", "fps": info.fps, **finite}


def scores_in_words(source: Path, scores: dict[str, Any]) -> str:
    """Return the scores as two lines of text."""
    psnr = "every pixel is exact" if scores["psnr"] is None else f"PSNR {scores['psnr']:.2f} dB"
    motion = "" if scores["temporal_psnr"] is None else f"   PSNR of the motion {scores['temporal_psnr']:.2f} dB"
    motion += "" if scores["moving_psnr"] is None else f", of moving pixels {scores['moving_psnr']:.2f} dB"
    return (
        f"{psnr}   SSIM {scores['ssim']:.4f}{motion}\n"
        f"{visible(source.name)}: {scores['num_frames']} frames of {scores['size']}; {scores['channels']} channels, "
        f"{scores['values_ratio']:.1f} times fewer values ({scores['bits_ratio']:.1f} times fewer bits); "
        f"{scores['num_frames'] / max(scores['seconds'], 1e-9):.1f} frames/s"
    )
