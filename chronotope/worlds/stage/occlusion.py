"""When somebody is out of sight: out of the frame, or behind somebody else; and what changes meanwhile."""

from __future__ import annotations

import dataclasses

from chronotope.worlds.stage.spec import RETURNS, Event, Spec

__all__ = ["Absence", "absences", "out_of_sight", "returns"]


@dataclasses.dataclass(frozen=True)
class Absence:
    """From the end of the first event to the start of the second an actor cannot be seen."""

    gone: Event
    back: Event

    @property
    def actor(self) -> str:
        """Who is away."""
        return self.gone.actor

    def covers(self, event: Event) -> bool:
        """Whether all of something that its actor does falls into it."""
        return event.actor == self.actor and self.gone.end - 1e-6 <= event.start and event.end <= self.back.start + 1e-6


def absences(spec: Spec, actor: str | None = None) -> list[Absence]:
    """Of one actor, or of all, in their order: each time it goes out of sight and comes back."""
    found = []
    for gone in spec.events:
        later = [
            e
            for e in spec.events
            if e.actor == gone.actor and e.kind == RETURNS.get(gone.kind) and e.start >= gone.end - 1e-6
        ]
        if later and actor in (None, gone.actor):
            found.append(Absence(gone, min(later, key=lambda e: e.start)))
    return found


def out_of_sight(spec: Spec, event: Event) -> bool:
    """Whether nobody can see this happen."""
    return any(absence.covers(event) for absence in absences(spec, event.actor))


def returns(spec: Spec, event: Event) -> bool:
    """Whether somebody comes back by this, who was there before."""
    return any(absence.back is event for absence in absences(spec, event.actor))
