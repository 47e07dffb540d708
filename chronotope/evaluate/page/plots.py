"""Compute where the lines, ticks and dots of a report's plots are, in SVG units; plots.jinja draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["CurvePlot", "DriftRow", "distribution_plot", "drift_rows", "survival_plot"]

Number = int | float  # JSON may write 1.0 as 1

LEFT, TOP, WIDTH, HEIGHT = 52.0, 10.0, 600.0, 240.0  # of the plot area of a CurvePlot
STRIP_LEFT, STRIP_WIDTH, STRIP_STEP = 120.0, 500.0, 46.0


@dataclass(frozen=True)
class CurvePlot:
    """Curves over an axis from 0 to `longest` whose values are shares from 0 to 1."""

    longest: float
    tick_label: str  # a %-format
    curves: Mapping[str, str]  # the points of each polyline, by its CSS class
    band: str = ""  # the points of a polygon
    marker: float | None = None  # the x of a dashed line

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        return [(LEFT + WIDTH * part / 4, self.tick_label % (self.longest * part / 4)) for part in range(5)]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [(TOP + HEIGHT * (1 - part / 4), f"{25 * part} %") for part in range(5)]


def _points(pairs: Sequence[tuple[Number, Number]], longest: float) -> str:
    places = [(LEFT + WIDTH * min(x / (longest or 1.0), 1.0), TOP + HEIGHT * (1 - min(y, 1.0))) for x, y in pairs]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def survival_plot(data: Mapping[str, Any]) -> CurvePlot:
    """A Kaplan-Meier curve, which steps down where videos fail, with its 95 % band."""
    longest = float(data["longest"])

    def steps(values: Sequence[Number]) -> list[tuple[Number, Number]]:
        pairs: list[tuple[Number, Number]] = [(0.0, 1.0)]
        before: Number = 1.0
        for time, value in zip(data["times"], values, strict=True):
            pairs += [(time, before), (time, value)]
            before = value
        return [*pairs, (longest, before)]

    band = _points(steps(data["low"]) + steps(data["high"])[::-1], longest)
    return CurvePlot(longest, "%.1f s", {"dark": _points(steps(data["alive"]), longest)}, band)


def distribution_plot(baseline: Sequence[Number], values: Sequence[Number], marker: Number) -> CurvePlot:
    """Two cumulative distributions, each given by its quantiles at equal steps from 0 to 100 %."""
    longest = float(max(baseline[-1], values[-1]))
    curves = {}
    for name, quantiles in (("grey", baseline), ("dark", values)):
        pairs = [(value, place / (len(quantiles) - 1)) for place, value in enumerate(quantiles)]
        curves[name] = _points(pairs, longest)
    return CurvePlot(longest, "%.0f levels", curves, marker=LEFT + WIDTH * min(marker / (longest or 1.0), 1.0))


@dataclass(frozen=True)
class DriftRow:
    """One measure of drift: a line from -`reach` to +`reach`, the band of true clips, and a dot a video."""

    name: str
    y: float
    reach: float
    band_left: float
    band_width: float
    dots: Sequence[tuple[float, str, bool]]  # x, file, whether it is outside of the band


def drift_rows(measures: Mapping[str, Any], changes: Mapping[str, Sequence[tuple[Number, str]]]) -> list[DriftRow]:
    """Place the changes of every measure; `measures` gives the spread of true clips in each."""
    rows = []
    centre = STRIP_LEFT + STRIP_WIDTH / 2
    for place, (name, measure) in enumerate(measures.items()):
        spread = measure["spread"]
        reach = max([1.5 * spread, *(abs(change) for change, _ in changes[name])])
        scale = STRIP_WIDTH / 2 / reach
        dots = [(centre + scale * change, file, abs(change) > spread) for change, file in changes[name]]
        y = 26.0 + place * STRIP_STEP
        rows.append(DriftRow(name, y, reach, centre - scale * spread, 2 * scale * spread, dots))
    return rows
