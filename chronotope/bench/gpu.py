"""A training step on a GPU: the share of its peak that the model's own FLOPs take (MFU)."""

from __future__ import annotations

import statistics
from functools import partial

import torch

from chronotope.bench.lines import OURS, Line, Section
from chronotope.bench.measure import in_turns
from chronotope.config import override
from chronotope.models.costs import GPUS, SampleSize, dit_flops
from chronotope.models.dit import DiT
from chronotope.models.precision import autocast
from chronotope.train.config import DiTRun
from chronotope.train.samples import example_pack

__all__ = ["measure_gpu"]

SIZES = (("30 M", 384, 12, ">= 12 %"), ("130 M", 768, 14, ">= 25 %"), ("330 M", 1024, 24, ">= 35 %"))
SAMPLES, SLICES = 8, 4  # of 256x256 each
ABOUT = "share of the peak in training steps of 8 samples of 1,024 tokens, bf16, compiled"


def measure_gpu(rounds: int) -> Section:
    """Measure the three sizes of the aims, where there is a GPU whose peak is known."""
    if not torch.cuda.is_available():
        return Section("gpu", ABOUT, tuple(_missing(aim, label, "no GPU") for label, *_, aim in SIZES))
    device, name = torch.device("cuda"), torch.cuda.get_device_name()
    gpu = next((known for key, known in GPUS.items() if key in name), None)
    if gpu is None:
        note = f"the peak of {name} is not known; known are {', '.join(GPUS)}"
        return Section("gpu", ABOUT, tuple(_missing(aim, label, note) for label, *_, aim in SIZES))
    lines = []
    for label, width, depth, aim in SIZES:
        seconds, flops = step_of(width, depth, rounds, device)
        lines.append(Line(f"MFU, {label}", OURS, 100 * flops / seconds / gpu.flops, "%", None, aim, name))
    return Section("gpu", ABOUT, tuple(lines))


def _missing(aim: str, label: str, why: str) -> Line:
    return Line(f"MFU, {label}", OURS, None, "%", None, aim, f"not measured here: {why}")


def step_of(width: int, depth: int, rounds: int, device: torch.device, side: int = 256) -> tuple[float, int]:
    """Return the seconds of a forward and a backward pass, and the FLOPs that the model needs for them."""
    settings = [f"model.width={width}", f"model.depth={depth}", f"defaults.height={side}", f"defaults.width={side}"]
    run = override(DiTRun(), settings)
    model, size = DiT(run.model).to(device), SampleSize(SLICES * (side // 16) ** 2, 32, SLICES)
    if device.type == "cuda":
        for block in (*model.text.blocks, *model.blocks):
            block.compile(dynamic=True)
    batch = example_pack(run, size, SAMPLES).to(device)
    seconds = in_turns({OURS: partial(_passes, model, batch, device)}, rounds, device)
    return statistics.median(seconds[OURS]), 3 * SAMPLES * dit_flops(run.model, size)


def _passes(model: DiT, batch: object, device: torch.device) -> None:
    with autocast(device, "auto"):
        loss = model(batch).float().square().mean()
    loss.backward()
    model.zero_grad(set_to_none=True)
