"""The one sampler: moves every token of a canvas along the guided velocity of the model to its rest level.

A token that goes from level l to level r is at t = r + (l - r) tau while a shared clock tau runs from 1 to 0, so known
content (l = r) does not move. On a cycle the order of the slices is rotated at every step, so that no seam is fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chronotope.errors import ChronotopeError, UsageError
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
from chronotope.models.text import TextTokenizer, TextTokens

__all__ = ["Network", "RoundingError", "Sampling", "keep", "sample", "sample_together"]

GOLDEN_SECTION = 0.618034


class RoundingError(ChronotopeError):
    """Several canvases in one pass of the network have other values than each of them alone."""


@dataclass(frozen=True)
class Network:
    """What computes the velocity of a canvas."""

    model: DiT
    tokenizer: TextTokenizer
    flow: FlowConfig
    geometry: Geometry


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

    def watch_first(latents: Sequence[Tensor]) -> None:
        if watch is not None:
            watch(latents[0])

    network = Network(model, tokenizer, flow, geometry)
    (filled,) = sample_together(network, (canvas,), sampling, (seed,), report, watch_first if watch else None, past)
    return filled


@torch.no_grad()
def sample_together(
    network: Network,
    canvases: Sequence[Canvas],
    sampling: Sampling,
    seeds: Sequence[int],
    report: Callable[[int], None] = lambda step: None,
    watch: Callable[[Sequence[Tensor]], None] | None = None,
    past: Past | None = None,
) -> list[Float[Tensor, "s c h w"]]:
    """Do as `sample` for canvases of equal slices and size, in one pass of the network a step.

    The latents are those that each canvas has alone: velocities of the first step, and of every other arrangement of
    tokens, are compared with those of single passes. Raises `RoundingError` where a value differs. `past` is that of a
    single canvas.
    """
    starts = [_start(network, canvas, sampling, seed, past) for canvas, seed in zip(canvases, seeds, strict=True)]
    sizes = [len(one.noisy) for one in starts]
    times = schedule(sampling.num_steps, network.flow.shift)  # on the host, where the clock is read
    implied: list[Tensor] = []  # the clean latents of the last evaluation
    together = _velocity(network, starts, sampling, times, past, implied if watch else None)
    alone = [_velocity(network, [one], sampling, times, past, None) for one in starts] if len(starts) > 1 else []
    compared: set[tuple[bool, int]] = set()

    def velocity(noisy: Tensor, clock: Tensor) -> Tensor:
        result = together(noisy, clock)
        kind = sampling.guidance.active(float(clock)), _rotation(starts[0].canvas, int((times > clock).sum()))
        if alone and kind not in compared:
            compared.add(kind)
            for single, part, expected in zip(alone, noisy.split(sizes), result.split(sizes), strict=True):
                if not torch.equal(single(part, clock), expected):
                    raise RoundingError(f"{len(starts)} videos of this size in one pass round differently from one")
        return result

    def latents_of(tokens: Tensor) -> list[Tensor]:
        parts = zip(starts, tokens.split(sizes), strict=True)
        return [unpatchify(part, network.geometry.patch_size, *one.canvas.level.shape[1:]) for one, part in parts]

    def report_step(step: int) -> None:
        report(step)
        if watch is not None:
            watch(latents_of(implied[0].cpu()))

    noisy = torch.cat([one.noisy for one in starts])
    final = SOLVERS[sampling.solver](velocity, noisy, times, report_step).cpu()
    fixed = torch.cat([one.canvas.fixed.reshape(-1, 1) for one in starts])
    final = torch.where(fixed, torch.cat([one.known for one in starts]), final)
    filled = zip(starts, latents_of(final), strict=True)
    return [torch.cat([one.before, latents]) if len(one.before) else latents for one, latents in filled]


@dataclass(frozen=True)
class _Start:
    """A canvas at the beginning of sampling, without the slices of its past, which are `before`."""

    canvas: Canvas
    before: Float[Tensor, "s c h w"]
    known: Float[Tensor, "v p"]
    noisy: Float[Tensor, "v p"]
    level: Float[Tensor, "v 1"]
    rest: Float[Tensor, "v 1"]


def _start(network: Network, canvas: Canvas, sampling: Sampling, seed: int, past: Past | None) -> _Start:
    """Mix the known content of a canvas with the noise of a seed."""
    patch_size, device = network.geometry.patch_size, network.model.patch_in.weight.device
    noise = starting_noise(tuple(canvas.known.shape), seed, sampling.enlargement, patch_size[1:])  # type: ignore[arg-type]
    kept = len(past.slices) if past else 0
    before, canvas = canvas.known[:kept], _after(canvas, kept)
    known, noise = (patchify(latents, patch_size) for latents in (canvas.known, noise[kept:]))
    level = canvas.level.reshape(-1, 1)
    rest = torch.zeros_like(level) if canvas.rest is None else canvas.rest.reshape(-1, 1)
    noisy = interpolate(network.flow.path, known, noise, level).to(device)
    return _Start(canvas, before, known, noisy, level.to(device), rest.to(device))


def _velocity(
    network: Network,
    starts: Sequence[_Start],
    sampling: Sampling,
    times: Tensor,
    past: Past | None,
    implied: list[Tensor] | None,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the guided velocity of all tokens of canvases; it leaves in `implied` the clean latents that it implies.

    The pack holds every canvas, and with guidance every canvas once more with what guidance leads away from.
    """
    model, tokenizer, flow, geometry = network.model, network.tokenizer, network.flow, network.geometry
    level, rest = torch.cat([one.level for one in starts]), torch.cat([one.rest for one in starts])
    negative = ((0.0, tokenizer.encode(sampling.negative_prompt)),)
    grids = [one.canvas.level.shape for one in starts]
    rows = [rows_of(one.level.view(grid), one.rest.view(grid)) for one, grid in zip(starts, grids, strict=True)]
    count, sizes = len(starts), [len(one.noisy) for one in starts]
    deviation = torch.tensor(flow.deviation).to(level.device)

    @cache
    def packed(guided: bool, rotation: int) -> tuple[PackedTokens, Tensor, tuple[int, ...], Tensor]:
        """Return the canvases (with guidance twice), the rest level of their rows, their order, their text."""
        samples = [
            canvas_sample(tokenizer, geometry, one.canvas, one.noisy, *found, rotation, bool(past))
            for one, found in zip(starts, rows, strict=True)
        ]
        levels = [found for found, _ in rows]
        if guided:
            samples += [_left_out(one, found, negative) for one, found in zip(samples, levels, strict=True)]
        batch, arranged = pack(samples)
        at_rest, _ = pack([replace(one, level=levels[i % count][:, 2]) for i, one in enumerate(samples)])
        return batch, at_rest.level, arranged, model.encode_text(batch.text_tokens, batch.texts)

    def velocity(noisy: Tensor, clock: Tensor) -> Tensor:
        guided = sampling.guidance.active(float(clock))
        batch, at_rest, arranged, text = packed(guided, _rotation(starts[0].canvas, int((times > clock).sum())))
        t = rest + (level - rest) * clock
        scales = balance(flow, t, deviation)
        pieces = (scales.scale_in * noisy).split(sizes)
        scaled = torch.cat([pieces[i % count] for i in arranged])
        row_level = at_rest + (batch.level - at_rest) * clock
        pasts = ((past,) * len(arranged),) if past else ()
        output = model(replace(batch, noisy=scaled, level=row_level), text, *pasts).float()
        outputs = output.split([sizes[i % count] for i in arranged])
        place = [arranged.index(i) for i in range(len(arranged))]
        parts = [torch.cat([outputs[j] for j in place[k : k + count]]) for k in range(0, len(place), count)]
        predictions = [scales.skip * noisy + scales.scale_out * part for part in parts]
        velocities = [to_velocity(flow.path, flow.prediction, prediction, noisy, t) for prediction in predictions]
        result = sampling.guidance.combine(*velocities) if guided else velocities[0]
        if implied is not None:
            implied[:] = [to_clean(flow.path, "velocity", result, noisy, t)]
        return result * (level - rest)  # by the chain rule: d noisy / d clock = d noisy / dt * dt / d clock

    return velocity


def _left_out(one: Sample, rows: Float[Tensor, "r k"], negative: tuple[tuple[float, TextTokens], ...]) -> Sample:
    """Return what guidance leads away from: the sample without its actions, or with the negative prompt."""
    if one.actions is None:
        return replace(one, texts=negative)
    known_rows = rows[:, 1:2] == rows[:, 2:3]  # the actions of known slices are known, too
    return replace(one, actions=one.actions * known_rows)


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
