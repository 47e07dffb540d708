"""Where everybody is at every frame, in pixels of the resting frame, while the events of a spec are being played."""

from __future__ import annotations

import dataclasses

import numpy as np

from chronotope.worlds.events import EventRecord
from chronotope.worlds.stage.cast import CAST, Noun
from chronotope.worlds.stage.spec import Actor, Event, Spec
from chronotope.worlds.stage.sprites import aspect

__all__ = ["Scene", "Stroke", "Track", "at_rest", "floor_y", "noun_of", "step_of"]


@dataclasses.dataclass
class Track:
    """One actor over all frames: centre, longer side, turn (degrees clockwise), mirrored, and whether it exists."""

    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    turn: np.ndarray
    mirrored: np.ndarray
    present: np.ndarray
    lift: np.ndarray  # how far the feet are above the place they stand on, for the shadow
    extent: tuple[float, float]  # width and height as fractions of the longer side

    def half(self, t: int) -> tuple[float, float]:
        """Half the width and half the height at frame t."""
        return float(self.size[t] * self.extent[0] / 2), float(self.size[t] * self.extent[1] / 2)


@dataclasses.dataclass(frozen=True)
class Stroke:
    """A painted line: its points at the frames from `first` on, and the frame after which it grows no more."""

    colour: tuple[int, int, int]
    width: float
    points: np.ndarray
    first: int


@dataclasses.dataclass
class Scene:
    """All the tracks, the strokes, the light (1 bright .. 0 dark) and the log while they are being written."""

    spec: Spec
    times: np.ndarray
    tracks: dict[str, Track]
    light: np.ndarray
    strokes: list[Stroke]
    log: list[EventRecord]

    def span(self, event: Event) -> tuple[np.ndarray, np.ndarray]:
        """Which frames the event touches (from its start to the end of the clip), and its progress in them from 0 to 1."""
        touched = self.times >= event.start - 1e-9
        length = max(event.end - event.start, 1e-9)
        return touched, np.clip((self.times[touched] - event.start) / length, 0.0, 1.0)

    def note(
        self, kind: str, event: Event, start: float | None = None, end: float | None = None, target: str | None = None
    ) -> None:
        """Write into the log."""
        start = event.start if start is None else start
        self.log.append(
            EventRecord(kind, event.actor, start, event.end if end is None else end, target or event.target)
        )


def floor_y(height: float | int, depth: float) -> float:
    """Where an actor at this depth stands: the front of the stage is low in the frame, the back is high."""
    return height * (0.94 - 0.2 * depth)


def noun_of(actor: Actor) -> Noun | None:
    """The actor's row of the cast, if it is no shape."""
    return CAST[actor.noun] if actor.kind == "emoji" else None


def step_of(direction: str | None) -> tuple[int, int]:
    """The direction as a step in x and y; y grows downward."""
    return {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}.get(direction or "right", (1, 0))


def at_rest(spec: Spec, actor: Actor) -> Track:
    """A track that stays where the spec put the actor."""
    noun = noun_of(actor)

    def fill(value: float) -> np.ndarray:
        return np.full(spec.num_frames, float(value))

    return Track(
        x=fill(actor.x * spec.width),
        y=fill(actor.y * spec.height),
        size=fill(actor.size * min(spec.width, spec.height)),
        turn=fill(-45.0 if noun is not None and noun.facing == "up-right" else 0.0),
        mirrored=np.full(spec.num_frames, actor.facing == "left"),
        present=np.full(spec.num_frames, True),
        lift=fill(0.0),
        extent=aspect(actor.noun, actor.colour),
    )
