"""Short functions to build table specs, and a skip where tables cannot be rendered."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from chronotope.worlds.table.opengl import rendering_problem
from chronotope.worlds.table.spec import Actor, Camera, Event, TableSpec


@functools.cache
def why_not() -> str:
    """Return why tables cannot be rendered here, or an empty string."""
    return rendering_problem()


def needs_pictures() -> None:
    """Skip a test where OpenGL does not work."""
    if why_not():
        pytest.skip(why_not())


def solid(
    name: str,
    noun: str = "ball",
    colour: str = "red",
    x: float | int = 0,
    y: float | int = 0,
    size: float = 0.5,
    **more: Any,
) -> Actor:
    return Actor(
        name, noun, colour, float(x), float(y), float(size), **{key: float(value) for key, value in more.items()}
    )


def table(
    *actors: Actor,
    events: tuple[Event, ...] = (),
    camera: Camera | None = None,
    top: str = "grey",
    size: tuple[int, int] = (96, 64),
    frames: int = 25,
    fps: float | int = 12,
    seed: int = 1,
) -> TableSpec:
    return TableSpec(size[0], size[1], float(fps), frames, seed, top, camera or Camera(), actors, events)


def scene(**more: Any) -> TableSpec:
    """Return a spec with a ball, a cube and a cone that do not occlude each other at first."""
    actors = (
        solid("ball", x=-0.6, size=0.6),
        solid("cube", "cube", "blue", 0.5, 0.3, turn=30),
        solid("cone", "cone", "green", 0.3, -0.5),
    )
    return table(*actors, **({"size": (192, 128), "frames": 4} | more))
