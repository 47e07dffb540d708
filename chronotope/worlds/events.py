"""What the specs of all worlds share: rules that they must satisfy, and the record of an event.

A spec has `width`, `height`, `num_frames`, `actors` (with `id`, `noun`, `colour`) and `events` (with `kind`, `actor`,
`direction`, `target`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from chronotope.errors import UsageError, suggest

__all__ = ["EventRecord", "check_event", "check_frame", "check_ids", "ints_to_floats"]


def ints_to_floats(part: Any) -> None:
    """Convert the integers in the float fields of a frozen dataclass: 0 and 0.0 must not give two keys of a spec."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if "float" in str(field.type) and isinstance(value, int):
            object.__setattr__(part, field.name, float(value))


def check_frame(spec: Any, min_side: int, max_side: int) -> None:
    """Raise UsageError unless the sides, in pixels, and the number of frames are within their limits."""
    if not (min_side <= spec.width <= max_side and min_side <= spec.height <= max_side):
        raise UsageError(
            f"a frame of {spec.width}x{spec.height} pixels: both sides must be from {min_side} to {max_side}"
        )
    if not 1 <= spec.num_frames <= 100_000:
        raise UsageError(f"num_frames = {spec.num_frames}: expected 1 to 100000")


def check_ids(ids: Sequence[str], max_actors: int) -> None:
    """Raise UsageError if two actors share an id or there are too many actors."""
    if len(set(ids)) != len(ids):
        raise UsageError(f"two actors share an id: {', '.join(ids)}")
    if len(ids) > max_actors:
        raise UsageError(f"{len(ids)} actors: expected at most {max_actors}")


def check_event(event: Any, ids: Sequence[str], kinds: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise UsageError unless kind, actor, direction and target of an event are allowed.

    The values of `kinds` start with the allowed directions and whether a target is needed.
    """
    if event.kind not in kinds:
        raise UsageError(f"unknown event '{event.kind}'. {suggest(event.kind, kinds)}")
    if event.actor not in ids:
        raise UsageError(f"{event.kind}: there is no actor '{event.actor}'. {suggest(event.actor, ids)}")
    what, (directions, needs_target) = f"{event.kind} of {event.actor}", kinds[event.kind][:2]
    if event.direction not in directions:
        expected = " or ".join(direction or "none" for direction in directions)
        raise UsageError(f"{what}: direction {event.direction!r}, expected {expected}")
    if needs_target and (event.target not in ids or event.target == event.actor):
        raise UsageError(f"{what}: target {event.target!r} is not another actor. {suggest(str(event.target), ids)}")
    if not needs_target and event.target is not None:
        raise UsageError(f"{what}: it takes no target, got '{event.target}'")


@dataclasses.dataclass(frozen=True)
class EventRecord:
    """An event as it really happened; `start` and `end` are in seconds."""

    kind: str
    actor: str
    start: float
    end: float
    target: str | None = None
