"""Positions of all actors at every frame, in pixels of the frame before the camera moves."""

from __future__ import annotations

import dataclasses

import numpy as np

from chronotope.worlds.events import EventRecord
from chronotope.worlds.stage.cast import CAST, Noun
from chronotope.worlds.stage.spec import Actor, Event, Spec
from chronotope.worlds.stage.sprites import aspect

__all__ = ["Scene", "Stroke", "Track", "floor_y", "noun_of", "resting_track", "unit_step"]

_UNIT_STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclasses.dataclass
class Track:
    """One actor over all frames; positions and sizes are in pixels."""

    x: np.ndarray  # of the centre
    y: np.ndarray
    size: np.ndarray  # of the longer side
    turn: np.ndarray  # degrees clockwise
    mirrored: np.ndarray
    present: np.ndarray
    lift: np.ndarray  # height of the feet above the ground, for the shadow
    extent: tuple[float, float]  # width and height as fractions of the longer side

    def half_size(self, t: int) -> tuple[float, float]:
        """Return half the width and half the height at frame `t`."""
        return float(self.size[t] * self.extent[0] / 2), float(self.size[t] * self.extent[1] / 2)


@dataclasses.dataclass(frozen=True)
class Stroke:
    """A painted line, which grows by one of its points a frame, from frame `first` on."""

    colour: tuple[int, int, int]
    width: float
    points: np.ndarray
    first: int


@dataclasses.dataclass
class Scene:
    """The state of a simulation: tracks, strokes, light (1 bright, 0 dark) and the event log."""

    spec: Spec
    times: np.ndarray
    tracks: dict[str, Track]
    light: np.ndarray
    strokes: list[Stroke]
    log: list[EventRecord]

    def progress(self, event: Event) -> tuple[np.ndarray, np.ndarray]:
        """Return the mask of the frames from the event's start on, and its progress in them from 0 to 1."""
        started = self.times >= event.start - 1e-9
        length = max(event.end - event.start, 1e-9)
        return started, np.clip((self.times[started] - event.start) / length, 0.0, 1.0)

    def record(
        self, kind: str, event: Event, start: float | None = None, end: float | None = None, target: str | None = None
    ) -> None:
        """Append to the log; times and target are the event's own unless given."""
        start = event.start if start is None else start
        end = event.end if end is None else end
        self.log.append(EventRecord(kind, event.actor, start, end, target or event.target))


def floor_y(height: float | int, depth: float) -> float:
    """Return where the feet of an actor at this depth are: low in the frame at the front, higher at the back."""
    return height * (0.94 - 0.2 * depth)


def noun_of(actor: Actor) -> Noun | None:
    """Return the actor's row of the cast, or None for a shape."""
    return CAST[actor.noun] if actor.kind == "emoji" else None


def unit_step(direction: str | None) -> tuple[int, int]:
    """Return the direction (default: right) as a step in x and y; y grows downward."""
    return _UNIT_STEPS.get(direction or "right", (1, 0))


def resting_track(spec: Spec, actor: Actor) -> Track:
    """Return a track that stays where the spec puts the actor."""
    noun = noun_of(actor)

    def constant(value: float) -> np.ndarray:
        return np.full(spec.num_frames, float(value))

    return Track(
        x=constant(actor.x * spec.width),
        y=constant(actor.y * spec.height),
        size=constant(actor.size * min(spec.width, spec.height)),
        turn=constant(-45.0 if noun is not None and noun.facing == "up-right" else 0.0),
        mirrored=np.full(spec.num_frames, actor.facing == "left"),
        present=np.full(spec.num_frames, True),
        lift=constant(0.0),
        extent=aspect(actor.noun, actor.colour),
    )
