"""What was measured, as lines of tables: a number, whose it is, and how many times ours."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from chronotope.bench.measure import ratios_to

__all__ = ["AGAIN", "OURS", "Line", "Section", "lines_of"]

OURS = "chronotope"  # in every case the name of what the others are compared with
AGAIN = "chronotope again"  # the same call a second time in each round: how far from 1 its ratio is, is noise


@dataclass(frozen=True)
class Line:
    """One number: what was measured of whom, in `unit`, and how many times that of Chronotope it is.

    `counted` is the same ratio, of the FLOPs (of the bytes, where memory is measured) that arithmetic counts: where it
    equals the measured one, arithmetic is the limit. `value` is None where nothing was measured, and `note` says why.
    """

    case: str
    who: str
    value: float | None
    unit: str
    ratio: float | None = None
    aim: str = ""
    note: str = ""
    counted: float | None = None


@dataclass(frozen=True)
class Section:
    """A table: its name, as `--rows` takes it, a sentence on what it shows, and its lines."""

    name: str
    about: str
    lines: tuple[Line, ...]


def lines_of(
    case: str,
    seconds: Mapping[str, Sequence[float]],
    notes: Mapping[str, str] | None = None,
    aim: str = "",
    apart: Collection[str] = (),
    counts: Mapping[str, float] | None = None,
) -> list[Line]:
    """Return a line for each name of `in_turns`; the aim stands beside the one that is hardest to beat.

    It does not stand beside those that are `apart`. `counts` are FLOPs of the calls, where they were counted.
    """
    ratios = ratios_to(seconds, OURS)
    counted = {name: count / counts[OURS] for name, count in counts.items()} if counts else {}
    others = {name: ratio for name, ratio in ratios.items() if not name.startswith(OURS) and name not in apart}
    hardest = min(others, key=others.__getitem__) if others else ""
    return [
        Line(
            case,
            name,
            statistics.median(times),
            "s",
            ratios[name],
            aim if name == hardest else "",
            (notes or {}).get(name, ""),
            counted.get(name),
        )
        for name, times in seconds.items()
    ]
