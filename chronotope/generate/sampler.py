"""The one sampler: moves every token of a canvas along the guided velocity of the model to its rest level.

A token that goes from level l to level r is at t = r + (l - r) tau while a shared clock tau runs from 1 to 0, so known
content (l = r) does not move. On a cycle the order of the slices is rotated at every step, so that no seam is fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance, interpolate, to_clean, to_velocity
from chronotope.flow.solvers import SOLVERS, SolverName
from chronotope.flow.timesteps import schedule
from chronotope.generate.canvas import Canvas
from chronotope.generate.noise import starting_noise
from chronotope.geometry import Geometry
from chronotope.models.causal import Past
from chronotope.models.dit import DiT, PackedTokens
from chronotope.models.packing import Sample, pack, row_signals, rows_of
from chronotope.models.patches import patchify, unpatchify
from chronotope.models.refinement import Grid
from chronotope.models.text import TextTokenizer

__all__ = ["Sampling", "keep", "sample"]

GOLDEN_SECTION = 0.618034


@dataclass(frozen=True)
class Sampling:
    """The numbers of the sampler; `enlargement` is that of the starting noise, see `generate/noise.py`."""

    num_steps: int = 30
    solver: SolverName = "euler"
    guidance: Guidance = field(default_factory=Guidance)
    negative_prompt: str = ""
    enlargement: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.num_steps <= 1000:
            raise UsageError(f"num_steps must be between 1 and 1000, got {self.num_steps}")


@torch.no_grad()
def sample(
    model: DiT,
    tokenizer: TextTokenizer,
    flow: FlowConfig,
    geometry: Geometry,
    canvas: Canvas,
    sampling: Sampling,
    seed: int,
    report: Callable[[int], None] = lambda step: None,
    watch: Callable[[Tensor], None] | None = None,
    past: Past | None = None,
) -> Float[Tensor, "s c h w"]:
    """Return the latents of a filled canvas: a function of the canvas, the sampling numbers and the seed alone.

    `report(step)` is called after each step, and `watch` with the clean latents that the step implies. `past` is what
    the network keeps of the first slices of a causal canvas, which are known: they are not computed again. With actions
    guidance leads away from what would happen without the action, otherwise away from the negative prompt.
    """
    if bool(canvas.fixed.all()):
        return canvas.known.clone()
    device = model.patch_in.weight.device
    noise = starting_noise(tuple(canvas.known.shape), seed, sampling.enlargement, geometry.patch_size[1:])  # type: ignore[arg-type]
    kept = len(past.slices) if past else 0
    before, canvas = canvas.known[:kept], _after(canvas, kept)
    known, noise = (patchify(latents, geometry.patch_size) for latents in (canvas.known, noise[kept:]))
    level = canvas.level.reshape(-1, 1)
    rest = torch.zeros_like(level) if canvas.rest is None else canvas.rest.reshape(-1, 1)
    start = interpolate(flow.path, known, noise, level).to(device)
    level, rest, deviation = (each.to(device) for each in (level, rest, torch.tensor(flow.deviation)))
    times = schedule(sampling.num_steps, flow.shift)  # on the host, where the clock is read

    rows, row = rows_of(level.view(canvas.level.shape), rest.view(canvas.level.shape))
    negative = ((0.0, tokenizer.encode(sampling.negative_prompt)),)

    @cache
    def packed(guided: bool, rotation: int) -> tuple[PackedTokens, Tensor, tuple[int, ...], Tensor]:
        """Return the canvas (with guidance twice), the rest level of its rows, its order in the pack, its text."""
        conditional = canvas_sample(tokenizer, geometry, canvas, start, rows, row, rotation, bool(past))
        actions = conditional.actions
        # the actions of known slices are known, too
        known_rows = rows[:, 1:2] == rows[:, 2:3]
        left_out = {"texts": negative} if actions is None else {"actions": actions * known_rows}
        samples = [conditional, replace(conditional, **left_out)] if guided else [conditional]
        batch, arranged = pack(samples)
        at_rest, _ = pack([replace(one, level=rows[:, 2]) for one in samples])
        return batch, at_rest.level, arranged, model.encode_text(batch.text_tokens, batch.texts)

    implied: list[Tensor] = []

    def pasts(count: int) -> tuple[tuple[Past, ...], ...]:
        return ((past,) * count,) if past else ()

    def velocity(noisy: Tensor, clock: Tensor) -> Tensor:
        guided = sampling.guidance.active(float(clock))
        batch, at_rest, arranged, text = packed(guided, _rotation(canvas, int((times > clock).sum())))
        t = rest + (level - rest) * clock
        scales = balance(flow, t, deviation)
        scaled = (scales.scale_in * noisy).repeat(len(arranged), 1)
        row_level = at_rest + (batch.level - at_rest) * clock
        output = model(replace(batch, noisy=scaled, level=row_level), text, *pasts(len(arranged))).float()
        predictions = [scales.skip * noisy + scales.scale_out * part for part in output.chunk(len(arranged))]
        velocities = [to_velocity(flow.path, flow.prediction, prediction, noisy, t) for prediction in predictions]
        if guided:
            conditional, unconditional = (velocities[arranged.index(i)] for i in (0, 1))
            result = sampling.guidance.combine(conditional, unconditional)
        else:
            result = velocities[0]
        if watch is not None:
            implied[:] = [to_clean(flow.path, "velocity", result, noisy, t)]
        return result * (level - rest)  # by the chain rule: d noisy / d clock = d noisy / dt * dt / d clock

    def report_step(step: int) -> None:
        report(step)
        if watch is not None:
            watch(unpatchify(implied[0].cpu(), geometry.patch_size, *canvas.level.shape[1:]))

    final = SOLVERS[sampling.solver](velocity, start, times, report_step).cpu()
    final = torch.where(canvas.fixed.reshape(-1, 1), known, final)
    filled = unpatchify(final, geometry.patch_size, *canvas.level.shape[1:])
    return torch.cat([before, filled]) if kept else filled


def canvas_sample(
    tokenizer: TextTokenizer,
    geometry: Geometry,
    canvas: Canvas,
    noisy: Float[Tensor, "v p"],
    rows: Float[Tensor, "r k"],
    row: Int[Tensor, " v"],
    rotation: int = 0,
    continued: bool = False,
) -> Sample:
    """Return a canvas as the network reads it; `rows` and `row` are those of `rows_of`, levels first.

    Where it is `continued` its texts are left out, because what is kept of the past includes them.
    """
    device, count = noisy.device, len(canvas.slices)
    slices = [canvas.slices[(i + rotation) % count] for i in range(count)]
    positions = torch.from_numpy(geometry.positions(slices, canvas.height, canvas.width, canvas.fps)).to(device)
    signals = row_signals(geometry, canvas.slices, canvas.height, canvas.width, canvas.fps).to(device)
    of_slice = rows[:, 0].long()
    # the text of a causal canvas has no time of its own
    timed = [(0.0 if canvas.order == "causal" else prompt.seconds, prompt.text) for prompt in canvas.prompts]
    texts = () if continued else tuple((seconds, tokenizer.encode(text)) for seconds, text in timed)
    _, num_rows, num_columns = canvas.level.shape
    grid = Grid(count, num_rows, num_columns, canvas.cycle, canvas.order)
    actions = None if canvas.actions is None else canvas.actions.to(device)[of_slice]
    return Sample(noisy, positions, row, rows[:, 1], signals[of_slice], texts, grid, actions)


@torch.no_grad()
def keep(
    model: DiT, tokenizer: TextTokenizer, flow: FlowConfig, geometry: Geometry, canvas: Canvas, past: Past | None
) -> Past:
    """Return what the network keeps of the only slice of a causal canvas, which is known, and of the past before it."""
    device = model.patch_in.weight.device
    known, level = patchify(canvas.known, geometry.patch_size).to(device), canvas.level.to(device)
    scaled = balance(flow, level.reshape(-1, 1)).scale_in * known
    one = canvas_sample(tokenizer, geometry, canvas, scaled, *rows_of(level), continued=past is not None)
    return model.remember(pack([one])[0], past)


def _after(canvas: Canvas, kept: int) -> Canvas:
    """Return the slices after the first `kept`, which must be known."""
    if not kept:
        return canvas
    if not all(canvas.fixed_slices[:kept]) or canvas.order != "causal":
        raise UsageError(f"the first {kept} slices of a canvas with a past must be known, and its order causal")
    return replace(
        canvas,
        slices=canvas.slices[kept:],
        known=canvas.known[kept:],
        level=canvas.level[kept:],
        rest=None if canvas.rest is None else canvas.rest[kept:],
        actions=None if canvas.actions is None else canvas.actions[kept:],
    )


def _rotation(canvas: Canvas, step: int) -> int:
    """Return by how many slices a cycle is rotated at a step: golden-section steps use all rotations equally often."""
    if not canvas.cycle:
        return 0
    return round(step * len(canvas.slices) * GOLDEN_SECTION) % len(canvas.slices)
