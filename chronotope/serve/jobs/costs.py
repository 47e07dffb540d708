"""What a video will cost, before it is started: a table that a worker counts for its model, and a rate of past jobs."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chronotope.geometry import Geometry
from chronotope.request import Defaults

if TYPE_CHECKING:
    from chronotope.generate.pipeline import Generator

__all__ = ["Cost", "Estimate", "Size", "estimate", "measure_costs", "size_of"]

SIDES = (1, 2, 4, 8, 16, 32, 64, 128)  # tokens along each side of a square frame
TEXT_TOKENS = 32  # of a typical caption
FIRST_FLOPS, FIRST_PIXELS = 2e10, 1e6  # a second on one processor core, as long as no job has been measured


@dataclass(frozen=True)
class Cost:
    """What one window costs: `cells` tokens a slice, `slices` slices; bytes, and FLOPs of one velocity."""

    cells: int
    slices: int
    bytes: int
    flops: int
    plain_flops: int  # without guidance


@dataclass(frozen=True)
class Size:
    """The size of a video that is asked for; `steps` are evaluations of the model in each window."""

    width: int
    height: int
    num_frames: int
    steps: int
    guided: bool


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes that a video will take; `measured` tells whether jobs of this server set the rate."""

    seconds: float
    bytes: int
    measured: bool


def measure_costs(generator: Generator) -> tuple[Cost, ...]:
    """Count the costs of windows of several sizes; no network runs."""
    from chronotope.models.costs import SampleSize, sampling_bytes, velocity_flops

    geometry, transformer, decoder = generator.geometry, generator.dit.config, generator.autoencoder.config
    most = max(1, len(geometry.slices(generator.defaults.num_frames)))
    counts = sorted({1, 2, most} | {2**power for power in range(2, most.bit_length())})
    found = []
    for side in SIDES:
        height, width = side * geometry.cell[0], side * geometry.cell[1]
        for slices in counts:
            size = SampleSize(side * side * slices, TEXT_TOKENS, slices)
            found.append(
                Cost(
                    side * side,
                    slices,
                    sampling_bytes(transformer, decoder, geometry, height, width, slices, guided=True),
                    velocity_flops(transformer, size, TEXT_TOKENS),
                    velocity_flops(transformer, size),
                )
            )
    return tuple(found)


def estimate(
    size: Size,
    costs: Sequence[Cost],
    past: Sequence[tuple[Size, Mapping[str, float]]],
    model: tuple[Defaults, Geometry],
) -> Estimate:
    """Estimate the time and memory of a video; `past` are sizes, with the seconds of their sampling and decoding."""
    flops = _flops(size, costs, model)
    pixels = size.width * size.height * size.num_frames
    rates = [(took["sampling"] / _flops(one, costs, model), took["decoding"] / _pixels(one)) for one, took in past]
    a_flop, a_pixel = 1 / FIRST_FLOPS, 1 / FIRST_PIXELS
    if rates:
        a_flop, a_pixel = (statistics.median(column) for column in zip(*rates, strict=True))
    cells, slices, _ = _window(size, model)
    needed = _interpolated(costs, cells, slices, lambda cost: cost.bytes)
    return Estimate(flops * a_flop + pixels * a_pixel, round(needed), bool(rates))


def _pixels(size: Size) -> int:
    return size.width * size.height * size.num_frames


def _window(size: Size, model: tuple[Defaults, Geometry]) -> tuple[int, int, int]:
    """Return tokens a slice, slices a window and windows; each window after the first adds half of its frames.

    In the order "causal" each window adds one slice.
    """
    defaults, geometry = model
    rows, columns = geometry.token_grid(size.height, size.width)
    frames = min(size.num_frames, defaults.num_frames)
    if defaults.order == "causal":
        return rows * columns, len(geometry.slices(frames)), len(geometry.slices(size.num_frames))
    beyond = size.num_frames - frames
    return rows * columns, len(geometry.slices(frames)), 1 + math.ceil(beyond / max(1, defaults.num_frames // 2))


def _flops(size: Size, costs: Sequence[Cost], model: tuple[Defaults, Geometry]) -> float:
    cells, slices, windows = _window(size, model)
    one = _interpolated(costs, cells, slices, lambda cost: cost.flops if size.guided else cost.plain_flops)
    return one * size.steps * windows


def _interpolated(costs: Sequence[Cost], cells: int, slices: int, value: Callable[[Cost], int]) -> float:
    """Interpolate a value of the table, linear in the logarithms; beyond the table the last slope goes on."""
    table = {(cost.cells, cost.slices): float(value(cost)) for cost in costs}
    known_cells, known_slices = sorted({cost.cells for cost in costs}), sorted({cost.slices for cost in costs})

    def along(count: int) -> float:
        return _between(known_cells, [table[other, count] for other in known_cells], cells)

    return _between(known_slices, [along(count) for count in known_slices], slices)


def _between(places: Sequence[int], values: Sequence[float], place: int) -> float:
    if len(places) == 1:
        return values[0]
    right = min(max(bisect_right(places, place), 1), len(places) - 1)
    low, high = places[right - 1], places[right]
    part = math.log(place / low) / math.log(high / low)
    return values[right - 1] * (values[right] / values[right - 1]) ** part


def size_of(result: Mapping[str, Any], steps: int, guided: bool) -> Size:
    """Return the size of a finished job from its result."""
    return Size(result["width"], result["height"], result["num_frames"], steps, guided)
