"""A run -> what one of its steps takes on 1, 8, 64 and 512 GPUs: memory, tokens a second, days, share of the peak.

Estimates by `models.costs` from the makers' numbers of a GPU. Nothing of it was measured on more than one GPU.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from chronotope.cli.costs import BACKWARD, dit_costs, matrices_of, sample_of
from chronotope.models.costs import GPUS, Device, dit_pass, orthogonal_flops, seconds_of_step, shapes_only
from chronotope.models.dit import DiT
from chronotope.train.config import DiTRun
from chronotope.train.optimizers import make_optimizers

__all__ = ["DEVICES", "Estimate", "device_facts", "estimate", "gpu_here"]

DEVICES = (1, 8, 64, 512)
ASSUMED = "H100"  # where there is no GPU, or one whose numbers are not known


@dataclass(frozen=True)
class Estimate:
    """What a run takes on so many devices; `mfu` is the share of a device's peak that the model's FLOPs take.

    `batch_tokens` are those of a step, in `steps` steps: more in fewer where a step had less than a sample a device.
    """

    devices: int
    batch_tokens: int
    steps: int
    gigabytes: float
    fits: bool
    tokens_per_second: float
    days: float
    mfu: float

    def __str__(self) -> str:
        if not self.fits:
            return f"{self.gigabytes:,.1f} GB each: does not fit"
        return (
            f"{self.gigabytes:,.1f} GB each, {self.tokens_per_second:,.0f} tokens/s, {self.days:,.3g} days, "
            f"MFU {self.mfu:.0%}, {self.steps:,} steps of {self.batch_tokens:,} tokens"
        )


def gpu_here() -> Device:
    """Return the numbers of this machine's GPU; of another one where there is none, or its numbers are not known."""
    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    return next((device for key, device in GPUS.items() if key in name), GPUS[ASSUMED])


def estimate(run: DiTRun, device: Device, devices: int) -> Estimate:
    """Estimate a run on so many devices, with a sample or more on each of them in every step."""
    size, train = sample_of(run), run.train
    if (least := devices * size.visual) > train.batch_tokens:
        steps = -(-train.steps * train.batch_tokens // least)
        run = replace(run, train=replace(train, batch_tokens=least, steps=steps, warmup=min(train.warmup, steps)))
    costs = dit_costs(run, devices)
    samples = costs["samples_per_step"]
    at_once, share = costs["samples_at_once"], -(-samples // devices)
    with shapes_only():
        muon, _ = make_optimizers(DiT(run.model), run.train)
    orthogonal = sum(orthogonal_flops(count, *shape) for shape, count in matrices_of(muon))
    forward, times = dit_pass(run.model, size, at_once), BACKWARD + run.train.recompute
    passes = -(-share // at_once)
    seconds = seconds_of_step(forward, passes, times, costs["parameters"], orthogonal, device, devices)
    peak = costs["memory"]["at the peak"]
    useful = BACKWARD * samples * forward.flops / at_once
    return Estimate(
        devices,
        run.train.batch_tokens,
        run.train.steps,
        gigabytes=peak / 1e9,
        fits=peak <= device.memory,
        tokens_per_second=costs["tokens_per_step"] / seconds,
        days=run.train.steps * seconds / 86_400,
        mfu=useful / (devices * device.flops * seconds),
    )


def device_facts(run: DiTRun, as_json: bool) -> dict[str, Any]:
    """Return what `--dry-run` says of GPUs: a line for each number of them, and what would fit where one does not."""
    device = gpu_here()
    found = [estimate(run, device, devices) for devices in DEVICES]
    if as_json:
        return {"device": device.name, "estimates": [asdict(each) for each in found]}
    lines = {f"{each.devices} x {device.name}": str(each) for each in found}
    if not any(each.fits for each in found):
        lines["what would fit"] = _smaller(run, device)
    return lines


def _smaller(run: DiTRun, device: Device) -> str:
    """Say which changes make a step fit a device of the largest number."""
    most = DEVICES[-1]
    half = run
    while half.train.max_sample_tokens > 1:
        tokens = half.train.max_sample_tokens // 2
        train = replace(
            half.train, max_sample_tokens=tokens, pass_tokens=min(half.train.pass_tokens, tokens), recompute=True
        )
        half = replace(half, train=train)
        if estimate(half, device, most).fits:
            return f"{most} devices with train.max_sample_tokens={tokens} and train.recompute=true"
    return "a smaller model.width or model.depth"
