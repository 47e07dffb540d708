"""Sightings -> whether steps that a rule names follow each other in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from chronotope.worlds.observe.sightings import Sighting, Step

__all__ = ["in_order"]


def in_order(
    steps: Sequence[Step], seen: Sequence[Sighting], within: float | None = None
) -> tuple[Sighting, ...] | None:
    """Return sightings of all steps, each of which begins after the one before began; None where there are none.

    With `within` each begins at most that many seconds after the one before ended.
    """

    @cache
    def follow(number: int, before: Sighting | None) -> tuple[Sighting, ...] | None:
        if number == len(steps):
            return ()
        for one in seen:
            late = before is not None and within is not None and one.start - before.end > within
            if not steps[number].includes(one) or late or (before is not None and one.start <= before.start):
                continue
            rest = follow(number + 1, one)
            if rest is not None:
                return (one, *rest)
        return None

    return follow(0, None)
