"""What was measured: one row a measure and a model, with an interval; and the table of all rows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chronotope.metrics.statistics import bootstrap, clustered


@dataclass(frozen=True)
class Row:
    """A value of a model with its 95 % interval, from `of` trials; NaN where nothing could be measured."""

    measure: str
    model: str
    value: float
    low: float
    high: float
    of: int
    unit: str  # "%" for shares, which are numbers from 0 to 1

    def plain(self) -> dict[str, Any]:
        """Return values as JSON has them: null where nothing could be measured."""
        return {name: None if value != value else value for name, value in asdict(self).items()}

    @staticmethod
    def read(plain: Mapping[str, Any]) -> Row:
        """Return a row from what `plain` returned."""
        return Row(**{name: math.nan if value is None else value for name, value in plain.items()})

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        scale, digits = (100, 0) if self.unit == "%" else (1, 2 if self.unit == "a minute" else 1)
        value, low, high = (f"{scale * x:.{digits}f}" for x in (self.value, self.low, self.high))
        between = "" if math.isnan(self.low) else f" [{low}, {high}]"
        return f"{value}{between} of {self.of}"


def share(measure: str, model: str, outcomes: Sequence[bool], clips: Sequence[Hashable]) -> Row:
    """Return the share of outcomes that are true; those of one clip are not independent."""
    if not outcomes:
        return Row(measure, model, math.nan, math.nan, math.nan, 0, "%")
    low, high = clustered([bool(outcome) for outcome in outcomes], clips)
    return Row(measure, model, float(np.mean(outcomes)), low, high, len(outcomes), "%")


def mean(measure: str, model: str, values: Sequence[float], clips: Sequence[Hashable], unit: str) -> Row:
    """Return the mean of values; the interval, by the bootstrap, resamples whole clips."""
    if not values:
        return Row(measure, model, math.nan, math.nan, math.nan, 0, unit)
    several = len(set(clips)) > 1
    low, high = bootstrap(values, clips, resamples=2000) if several else (math.nan, math.nan)
    return Row(measure, model, float(np.mean(values)), low, high, len(values), unit)


def table(rows: Iterable[Row]) -> str:
    """Return a table in Markdown: a line a measure, a column a model, in the order in which they come."""
    rows = list(rows)
    models = list(dict.fromkeys(row.model for row in rows))
    found = {(row.measure, row.model): row for row in rows}
    units = {row.measure: row.unit for row in rows}
    lines = ["| measure | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for measure, unit in units.items():
        told = [str(found[measure, model]) if (measure, model) in found else "" for model in models]
        lines.append(f"| {measure}, {unit} | " + " | ".join(told) + " |")
    return "\n".join(lines)
