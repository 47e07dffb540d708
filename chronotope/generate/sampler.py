"""The one sampler: fills a canvas by carrying every token from its noise level to 0 along the model's velocity.

A token of level l is at t = l * tau while the shared clock tau runs from 1 to 0, so known tokens (l = 0) never move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.data.packing import Sample, pack, row_signals
from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance, interpolate, to_velocity
from chronotope.flow.solvers import SOLVERS, SolverName
from chronotope.flow.timesteps import schedule
from chronotope.generate.canvas import Canvas
from chronotope.geometry import Geometry
from chronotope.models.dit import DiT
from chronotope.models.patches import patchify, unpatchify
from chronotope.models.text import Tokenizer

__all__ = ["Sampling", "sample"]


@dataclass(frozen=True)
class Sampling:
    """How a canvas is filled."""

    num_steps: int = 30
    solver: SolverName = "euler"
    guidance: Guidance = field(default_factory=Guidance)
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.num_steps <= 1000:
            raise UsageError(f"num_steps must be between 1 and 1000, got {self.num_steps}")


@torch.no_grad()
def sample(
    model: DiT,
    tokenizer: Tokenizer,
    flow: FlowConfig,
    geometry: Geometry,
    canvas: Canvas,
    sampling: Sampling,
    seed: int,
    report: Callable[[int], None] = lambda step: None,
) -> Float[Tensor, "s c h w"]:
    """The canvas's latents, filled; a function of the canvas, the settings and the seed alone."""
    device = model.patch_in.weight.device
    known = patchify(canvas.known, geometry.patch_size)
    noise = torch.randn(known.shape, generator=torch.Generator().manual_seed(seed))
    level = canvas.level.reshape(-1)
    start = interpolate(flow.path, known, noise, level[:, None]).to(device)
    level = level.to(device)

    # tokens of one slice and one level share a row; with guidance the same canvas stands twice in the pack
    slice_of = torch.arange(len(canvas.slices), device=device).repeat_interleave(level.numel() // len(canvas.slices))
    rows, row = torch.unique(torch.stack([slice_of.float(), level], dim=1), dim=0, return_inverse=True)
    signals = row_signals(geometry, canvas.slices, canvas.height, canvas.width, canvas.fps).to(device)[rows[:, 0].long()]
    positions = torch.from_numpy(geometry.positions(canvas.slices, canvas.height, canvas.width, canvas.fps)).to(device)
    wanted = tuple((prompt.seconds, tuple(tokenizer.encode(prompt.text))) for prompt in canvas.prompts)
    unwanted = ((0.0, tuple(tokenizer.encode(sampling.negative_prompt))),)
    conditional = Sample(start, positions, row, rows[:, 1], signals, wanted)
    packs = {}
    for guided in (False, True):
        samples = [conditional, replace(conditional, texts=unwanted)] if guided else [conditional]
        batch, arranged = pack(samples)
        packs[guided] = (batch, arranged, model.encode_text(batch.text_ids, batch.text_lengths))

    def velocity(noisy: Tensor, clock: Tensor) -> Tensor:
        guided = sampling.guidance.active(float(clock))
        batch, arranged, text = packs[guided]
        copies = len(arranged)
        t = (level * clock)[:, None]
        scales = balance(flow, t)
        output = model(replace(batch, noisy=(scales.scale_in * noisy).repeat(copies, 1), level=batch.level * clock), text).float()
        predictions = [scales.skip * noisy + scales.scale_out * part for part in output.chunk(copies)]
        slopes = [to_velocity(flow.path, flow.prediction, prediction, noisy, t) for prediction in predictions]
        slope = slopes[0]
        if guided:
            first, second = (slopes[arranged.index(i)] for i in (0, 1))
            slope = sampling.guidance.combine(first, second)
        return slope * level[:, None]  # d noisy / d clock: a token of level l moves l times as fast

    times = schedule(sampling.num_steps, flow.shift).to(device)
    final = SOLVERS[sampling.solver](velocity, start, times, report).cpu()
    final = torch.where(canvas.level.reshape(-1, 1) == 0, known, final)
    latents = unpatchify(final, geometry.patch_size, *canvas.level.shape[1:])
    return latents
