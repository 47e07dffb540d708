"""When an actor is out of sight, behind another or outside the frame, and which events happen meanwhile."""

from __future__ import annotations

import dataclasses

from chronotope.worlds.stage.spec import RETURN_OF, Event, Spec

__all__ = ["Absence", "absences", "is_return", "out_of_sight"]

_TOLERANCE = 1e-6  # seconds


@dataclasses.dataclass(frozen=True)
class Absence:
    """The time between `gone.end` and `back.start`, in which an actor is out of sight."""

    gone: Event
    back: Event

    @property
    def actor(self) -> str:
        """Return the id of the absent actor."""
        return self.gone.actor

    def covers(self, event: Event) -> bool:
        """Tell whether the actor does this event entirely out of sight."""
        after = self.gone.end - _TOLERANCE <= event.start
        return event.actor == self.actor and after and event.end <= self.back.start + _TOLERANCE


def absences(spec: Spec, actor: str | None = None) -> list[Absence]:
    """Return the absences of one actor, or of all, in the order of events."""
    found = []
    for gone in spec.events:
        if actor not in (None, gone.actor):
            continue
        returns = [e for e in spec.events if e.actor == gone.actor and e.kind == RETURN_OF.get(gone.kind)]
        later = [e for e in returns if e.start >= gone.end - _TOLERANCE]
        if later:
            found.append(Absence(gone, min(later, key=lambda e: e.start)))
    return found


def out_of_sight(spec: Spec, event: Event) -> bool:
    """Tell whether the event happens while its actor is out of sight."""
    return any(absence.covers(event) for absence in absences(spec, event.actor))


def is_return(spec: Spec, event: Event) -> bool:
    """Tell whether an actor comes back into sight by this event."""
    return any(absence.back is event for absence in absences(spec, event.actor))
