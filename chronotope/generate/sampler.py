"""The one sampler: fills a canvas by carrying every token from its noise level to 0 along the model's velocity.

A token that goes from level l to level r is at t = r + (l - r) tau while the shared clock tau runs from 1 to 0, so what is known
(l = r) never moves. On a cycle the slices' times are turned at every step, so that no two neighbours are always the ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance, interpolate, to_velocity
from chronotope.flow.solvers import SOLVERS, SolverName
from chronotope.flow.timesteps import schedule
from chronotope.generate.canvas import Canvas
from chronotope.generate.noise import starting_noise
from chronotope.geometry import Geometry
from chronotope.models.dit import DiT, PackedTokens
from chronotope.models.packing import Sample, pack, row_signals, rows_of
from chronotope.models.patches import patchify, unpatchify
from chronotope.models.refinement import Grid
from chronotope.models.text import Tokenizer

__all__ = ["Sampling", "sample"]


@dataclass(frozen=True)
class Sampling:
    """How a canvas is filled."""

    num_steps: int = 30
    solver: SolverName = "euler"
    guidance: Guidance = field(default_factory=Guidance)
    negative_prompt: str = ""
    enlargement: int = 1  # of the noise, see `generate.noise`

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
    if bool(canvas.given.all()):
        return canvas.known.clone()
    device = model.patch_in.weight.device
    known = patchify(canvas.known, geometry.patch_size)
    noise = starting_noise(tuple(canvas.known.shape), seed, sampling.enlargement, geometry.patch_size)  # type: ignore[arg-type]
    noise = patchify(noise, geometry.patch_size)
    level = canvas.level.reshape(-1, 1)
    rest = torch.zeros_like(level) if canvas.rest is None else canvas.rest.reshape(-1, 1)
    start = interpolate(flow.path, known, noise, level).to(device)
    level, rest = level.to(device), rest.to(device)
    times = schedule(sampling.num_steps, flow.shift).to(device)

    rows, row = rows_of(level.view(canvas.level.shape), rest.view(canvas.level.shape))
    signals = row_signals(geometry, canvas.slices, canvas.height, canvas.width, canvas.fps).to(device)[
        rows[:, 0].long()
    ]
    wanted = tuple((prompt.seconds, tuple(tokenizer.encode(prompt.text))) for prompt in canvas.prompts)
    _, num_rows, num_columns = canvas.level.shape
    grid = Grid(len(canvas.slices), num_rows, num_columns, canvas.cycle)
    unwanted = ((0.0, tuple(tokenizer.encode(sampling.negative_prompt))),)

    @cache
    def packed(guided: bool, turn: int) -> tuple[PackedTokens, Tensor, tuple[int, ...], Tensor]:
        """The canvas, with guidance twice; and the level at which each row comes to rest, the order in the pack, the text."""
        slices = [canvas.slices[(i + turn) % len(canvas.slices)] for i in range(len(canvas.slices))]
        positions = torch.from_numpy(geometry.positions(slices, canvas.height, canvas.width, canvas.fps)).to(device)
        conditional = Sample(start, positions, row, rows[:, 1], signals, wanted, grid)
        samples = [conditional, replace(conditional, texts=unwanted)] if guided else [conditional]
        batch, arranged = pack(samples)
        at_rest, _ = pack([replace(one, level=rows[:, 2]) for one in samples])
        return batch, at_rest.level, arranged, model.encode_text(batch.text_ids, batch.text_lengths)

    def velocity(noisy: Tensor, clock: Tensor) -> Tensor:
        guided = sampling.guidance.active(float(clock))
        batch, at_rest, arranged, text = packed(guided, _turn(canvas, int((times > clock).sum())))
        t = rest + (level - rest) * clock
        scales = balance(flow, t)
        read, row_level = (scales.scale_in * noisy).repeat(len(arranged), 1), at_rest + (batch.level - at_rest) * clock
        output = model(replace(batch, noisy=read, level=row_level), text).float()
        predictions = [scales.skip * noisy + scales.scale_out * part for part in output.chunk(len(arranged))]
        slopes = [to_velocity(flow.path, flow.prediction, prediction, noisy, t) for prediction in predictions]
        slope = slopes[0]
        if guided:
            first, second = (slopes[arranged.index(i)] for i in (0, 1))
            slope = sampling.guidance.combine(first, second)
        return slope * (level - rest)  # d noisy / d clock: what has further to go moves faster

    final = SOLVERS[sampling.solver](velocity, start, times, report).cpu()
    final = torch.where(canvas.given.reshape(-1, 1), known, final)
    return unpatchify(final, geometry.patch_size, *canvas.level.shape[1:])


def _turn(canvas: Canvas, step: int) -> int:
    """By how many slices a cycle is turned at this step: golden-section steps, so that every turn comes up about as often."""
    return round(step * len(canvas.slices) * 0.618034) % len(canvas.slices) if canvas.cycle else 0
