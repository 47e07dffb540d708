"""What the specs of all worlds share: their structure, the rules that they must satisfy, and the record of an event."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from chronotope.errors import UsageError, suggest

__all__ = [
    "AnySpec",
    "EventRecord",
    "check_direction_and_target",
    "check_frame",
    "check_ids",
    "check_kind_and_actor",
    "ints_to_floats",
]


@runtime_checkable
class AnySpec(Protocol):
    """A spec of any world; actors have `id`, `noun` and `colour`, events have `actor` and `direction`."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def num_frames(self) -> int: ...
    @property
    def actors(self) -> Sequence[Any]: ...
    @property
    def events(self) -> Sequence[Any]: ...


def ints_to_floats(part: Any) -> None:
    """Convert the integers in the float fields of a frozen dataclass: 0 and 0.0 must not give two keys of a spec."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if "float" in str(field.type) and isinstance(value, int):
            object.__setattr__(part, field.name, float(value))


def check_frame(spec: AnySpec, min_side: int, max_side: int) -> None:
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


def check_kind_and_actor(kind: str, actor: str, ids: Sequence[str], kinds: Iterable[str]) -> None:
    """Raise UsageError unless the kind of the event exists and its actor is in the clip."""
    if kind not in kinds:
        raise UsageError(f"unknown event '{kind}'. {suggest(kind, kinds)}")
    if actor not in ids:
        raise UsageError(f"{kind}: there is no actor '{actor}'. {suggest(actor, ids)}")


def check_direction_and_target(
    what: str,
    direction: str | None,
    target: str | None,
    actor: str,
    ids: Sequence[str],
    directions: Sequence[str | None],
    needs_target: bool,
) -> None:
    """Raise UsageError unless the direction is allowed and a target is named exactly where one is needed."""
    if direction not in directions:
        raise UsageError(f"{what}: direction {direction!r}, expected {' or '.join(d or 'none' for d in directions)}")
    if needs_target and (target not in ids or target == actor):
        raise UsageError(f"{what}: target {target!r} is not another actor. {suggest(str(target), ids)}")
    if not needs_target and target is not None:
        raise UsageError(f"{what}: it takes no target, got '{target}'")


@dataclasses.dataclass(frozen=True)
class EventRecord:
    """An event as it really happened; `start` and `end` are in seconds."""

    kind: str
    actor: str
    start: float
    end: float
    target: str | None = None
