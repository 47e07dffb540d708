"""Short functions to build stage specs."""

from __future__ import annotations

from typing import Any

from chronotope.worlds.case import Case
from chronotope.worlds.stage.spec import Actor, Camera, Event, Spec


def shape(
    name: str, noun: str = "circle", colour: str = "red", x: float = 0.5, y: float = 0.5, size: float = 0.3, **more: Any
) -> Actor:
    return Actor(name, noun, "shape", x, y, size, colour, **more)


def emoji(noun: str, x: float = 0.5, y: float = 0.5, size: float = 0.4, **more: Any) -> Actor:
    return Actor(noun, noun, "emoji", x, y, size, **more)


def clip(
    *actors: Actor,
    events: tuple[Event, ...] = (),
    camera: Camera | None = None,
    backdrop: str = "grey",
    size: tuple[int, int] = (96, 64),
    frames: int = 25,
    fps: float = 8.0,
    seed: int = 1,
) -> Spec:
    return Spec(size[0], size[1], fps, frames, seed, backdrop, camera or Camera(), actors, events)


def does(kind: str, actor: str, start: float | int, end: float | int, direction: Any = None, **more: Any) -> Event:
    return Event(kind, actor, float(start), float(end), direction, **more)


def plain_case(spec: Spec, index: int = 0) -> Case:
    """A case that asks for words alone."""
    return Case("stage", spec, "as its spec says", "sentence", "heldout", 0, index, index)
