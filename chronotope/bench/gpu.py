"""On a GPU: the share of its peak in training, the largest preset that trains, pixels a second, and a long video.

The share of the peak (MFU) is that of the model's own FLOPs. None of this has run on a GPU since it was written.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from chronotope.bench.autoencoder import calls_of
from chronotope.bench.lines import OURS, Line, Section
from chronotope.bench.measure import clock, in_turns
from chronotope.bench.peers import CHANNELS, PEERS, TEXT, parameters_of
from chronotope.bench.training import compile_blocks
from chronotope.config import override
from chronotope.generate.pipeline import Generator
from chronotope.models.costs import GPUS, SampleSize, dit_flops
from chronotope.models.dit import DiT
from chronotope.models.precision import autocast
from chronotope.presets import PRESETS
from chronotope.train.config import DiTRun
from chronotope.train.optimizers import make_optimizers
from chronotope.train.samples import example_pack

__all__ = ["measure_gpu"]

SIZES = (("30 M", 384, 12, ">= 12 %"), ("130 M", 768, 14, ">= 25 %"), ("330 M", 1024, 24, ">= 35 %"))
SAMPLES, SLICES = 8, 4  # of 256x256 each
ABOUT = "training steps of 8 samples of 1,024 tokens in bf16, compiled, as shares of the peak; and whole work"
AUTOENCODER, MINUTE, LARGEST = "autoencoder, 17 frames of 1280x720", "one minute at 1920x1080", "largest preset"


def measure_gpu(against: str, rounds: int) -> Section:
    """Measure all of it where there is a GPU, and shares of its peak where that is known."""
    if not torch.cuda.is_available():
        return Section("gpu", ABOUT, tuple(_missing("no GPU")))
    device, name = torch.device("cuda"), torch.cuda.get_device_name()
    gpu = next((known for key, known in GPUS.items() if key in name), None)
    lines = []
    for label, width, depth, aim in SIZES:
        seconds, flops = step_of(width, depth, rounds, device)
        if gpu is None:
            note = f"{seconds:.3f} s; the peak of {name} is not known, those of {', '.join(GPUS)} are"
            lines.append(Line(f"MFU, {label}", OURS, None, "%", None, aim, note))
        else:
            lines.append(Line(f"MFU, {label}", OURS, 100 * flops / seconds / gpu.flops, "%", None, aim, name))
        if against:
            theirs = wan_step_of(width, depth, rounds, device)
            lines.append(Line(f"a step, {label}", "Wan", theirs, "s", theirs / seconds))
    lines += speeds_of(Generator.load("small", precision="fp32").to(device), 17, (1280, 720), rounds, device)
    lines.append(video_of(Generator.load("small").to(device), 480, (1920, 1080), 30, device))
    lines.append(largest_of(("xlarge", "large", "medium", "base", "small"), device))
    return Section("gpu", ABOUT, tuple(lines))


def _missing(why: str) -> Iterator[Line]:
    note = f"not measured here: {why}"
    for label, *_, aim in SIZES:
        yield Line(f"MFU, {label}", OURS, None, "%", None, aim, note)
    for what in ("encode", "decode"):
        yield Line(f"{what}: {AUTOENCODER}", OURS, None, "Mpixel/s", None, ">= 1,500", note)
    yield Line(MINUTE, OURS, None, "s", None, "runs", note)
    yield Line(LARGEST, OURS, None, "", None, "stated", note)


def step_of(width: int, depth: int, rounds: int, device: torch.device, side: int = 256) -> tuple[float, int]:
    """Return the seconds of a forward and a backward pass, and the FLOPs that the model needs for them."""
    run = _run_of(width, depth, side)
    model, size = DiT(run.model).to(device), SampleSize(SLICES * (side // 16) ** 2, TEXT, SLICES)
    batch = example_pack(run, size, SAMPLES).to(device)
    return _seconds(model, lambda: model(batch), rounds, device), 3 * SAMPLES * dit_flops(run.model, size)


def wan_step_of(width: int, depth: int, rounds: int, device: torch.device, side: int = 256) -> float:
    """Return the seconds of the same passes of Wan's transformer with the width and the parameters of ours."""
    with torch.device("meta"):
        parameters = parameters_of(DiT(_run_of(width, depth, side).model))
    model = PEERS[0].of_size(width, parameters).to(device).train()
    latents = torch.randn(SAMPLES, CHANNELS, SLICES, side // 8, side // 8, device=device)
    states = torch.randn(SAMPLES, TEXT, width, device=device)
    return _seconds(model, partial(PEERS[0].run, model, latents, states), rounds, device)


def _run_of(width: int, depth: int, side: int) -> DiTRun:
    sizes = [f"model.width={width}", f"model.depth={depth}", f"defaults.height={side}", f"defaults.width={side}"]
    return override(DiTRun(), sizes)


def _seconds(model: nn.Module, forward: Callable[[], Tensor], rounds: int, device: torch.device) -> float:
    if device.type == "cuda":
        compile_blocks(model)

    def passes() -> None:
        with autocast(device, "auto"):
            loss = forward().float().square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)

    return statistics.median(in_turns({OURS: passes}, rounds, device)[OURS])


def speeds_of(
    generator: Generator, frames: int, size: tuple[int, int], rounds: int, device: torch.device
) -> list[Line]:
    """Measure how many megapixels a second are encoded and decoded."""
    width, height = size
    clip = torch.randint(0, 256, (frames, height, width, 3), dtype=torch.uint8)
    lines = []
    for what, calls in calls_of(generator.autoencoder, {}, clip).items():
        with torch.no_grad():
            seconds = statistics.median(in_turns({OURS: calls[OURS]}, rounds, device)[OURS])
        speed = clip[..., 0].numel() / 1e6 / seconds
        lines.append(Line(f"{what}: {AUTOENCODER}", OURS, speed, "Mpixel/s", None, ">= 1,500", "fp32"))
    return lines


def video_of(generator: Generator, frames: int, size: tuple[int, int], steps: int, device: torch.device) -> Line:
    """Measure the seconds, and on a GPU the peak memory, of a video of so many frames from a prompt to pixels."""
    began = clock(device)
    made = generator.generate(
        "a fox walks to the right in green hills",
        num_frames=frames,
        width=size[0],
        height=size[1],
        num_inference_steps=steps,
        seed=0,
    )
    taken = clock(device) - began
    memory = f", {torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB" if device.type == "cuda" else ""
    return Line(MINUTE, OURS, taken, "s", None, "runs", f"{len(made.frames)} frames of {size[0]}x{size[1]}{memory}")


def largest_of(names: tuple[str, ...], device: torch.device) -> Line:
    """Find the first preset of which a training step of one of its own samples fits on the device."""
    for name in names:
        try:
            parameters = train_once(PRESETS[name].dit, device)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            continue
        peak = f"{torch.cuda.max_memory_allocated(device) / 1e9:.1f} GB" if device.type == "cuda" else "on a CPU"
        return Line(LARGEST, OURS, parameters / 1e9, "B parameters", None, "stated", f"{name}, {peak}")
    return Line(LARGEST, OURS, None, "", None, "stated", f"none of {', '.join(names)} fits")


def train_once(run: DiTRun, device: torch.device) -> int:
    """Take one training step of one sample of the default size; return the number of parameters."""
    with device:
        model = DiT(run.model)
    model.recompute = run.train.recompute
    height, width, geometry = run.defaults.height, run.defaults.width, run.geometry
    tokens = geometry.num_tokens(run.defaults.num_frames, height, width)
    batch = example_pack(run, SampleSize(tokens, TEXT, len(geometry.slices(run.defaults.num_frames))), 1).to(device)
    optimizers = make_optimizers(model, run.train)
    with autocast(device, "auto"):
        loss = model(batch).float().square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    for optimizer in optimizers:
        optimizer.step()
    return parameters_of(model)
