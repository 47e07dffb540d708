"""Events of any world: the rules that a spec must keep, and the record of what really happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chronotope.errors import UsageError, suggest

__all__ = ["EventRecord", "check_aim", "check_known"]


def check_known(kind: str, actor: str, ids: Sequence[str], kinds: Iterable[str]) -> None:
    """Raise UsageError unless the kind of the event exists and its actor is in the clip."""
    if kind not in kinds:
        raise UsageError(f"unknown event '{kind}'. {suggest(kind, kinds)}")
    if actor not in ids:
        raise UsageError(f"{kind}: nobody is called '{actor}'. {suggest(actor, ids)}")


def check_aim(
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


@dataclass(frozen=True)
class EventRecord:
    """An event as it really happened; `start` and `end` are in seconds."""

    kind: str
    actor: str
    start: float
    end: float
    target: str | None = None
