"""The spec of a table clip: solids, the events that set them in motion, and the camera."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Literal

from chronotope.errors import UsageError, suggest
from chronotope.worlds.events import check_event, check_frame, check_ids, ints_to_floats
from chronotope.worlds.palette import COLOURS

__all__ = [
    "CAMERAS",
    "DIRECTIONS",
    "EVENTS",
    "SOLIDS",
    "STICK",
    "TABLES",
    "Actor",
    "Camera",
    "Event",
    "TableSpec",
    "extent",
]

# Width, depth and height of each solid as fractions of its size.
SOLIDS: dict[str, tuple[float, float, float]] = {
    "ball": (1.0, 1.0, 1.0),
    "cube": (1.0, 1.0, 1.0),
    "cylinder": (0.65, 0.65, 1.0),
    "cone": (0.95, 0.95, 1.0),
    "pyramid": (1.0, 1.0, 0.9),
    "brick": (1.0, 0.5, 0.4),
}
STICK = "stick"  # an upright tool of steel, which stands beside the solids and is none of those that are sampled
EXTENTS = {**SOLIDS, STICK: (0.35, 0.35, 1.0)}
TABLES = ("wooden", "grey", "white", "dark")
CAMERAS = ("still", "orbit", "round")
# Unit steps in x and y; in the first frame x points to the right and y away from the camera.
DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "away": (0.0, 1.0),
    "closer": (0.0, -1.0),
}

_ALL = tuple(DIRECTIONS)
# Of each event: the directions it accepts (None: no direction), whether it needs a target, the default speed in m/s.
EVENTS: dict[str, tuple[tuple[str | None, ...], bool, float]] = {
    "roll": (_ALL, False, 0.8),
    "slide": (_ALL, False, 2.0),
    "drop": ((None,), False, 0.0),
    "bounce": ((None, *_ALL), False, 0.4),
    "hit": ((None,), True, 1.6),
    "push": ((None,), True, 0.5),
    "topple": ((None,), True, 3.0),
}


@dataclasses.dataclass(frozen=True)
class Actor:
    """One solid, in metres: `size` is its longest side, `x, y` its centre, `lift` the height of its foot."""

    id: str
    noun: str
    colour: str
    x: float
    y: float
    size: float = 0.5
    lift: float = 0.0
    turn: float = 0.0  # degrees anticlockwise, seen from above
    restitution: float = 0.4  # speed after / speed before a bounce; of two that touch, the lower value counts

    def __post_init__(self) -> None:
        ints_to_floats(self)


@dataclasses.dataclass(frozen=True)
class Event:
    """An impulse on an actor at `start` seconds; physics decides the rest. Only a push has an `end`."""

    kind: str
    actor: str
    start: float = 0.0
    direction: Literal["left", "right", "away", "closer"] | None = None
    target: str | None = None
    speed: float | None = None  # metres per second
    end: float | None = None

    def __post_init__(self) -> None:
        ints_to_floats(self)


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera that looks at the middle of the table from `distance` metres; `amount` is the degrees of an orbit."""

    kind: str = "still"
    direction: Literal["left", "right"] | None = None  # in which the camera itself moves
    amount: float | None = None
    elevation: float = 28.0  # degrees above the table
    distance: float = 3.4

    def __post_init__(self) -> None:
        ints_to_floats(self)


@dataclasses.dataclass(frozen=True)
class TableSpec:
    """A whole clip; the same spec gives the same pixels on one machine."""

    width: int
    height: int
    fps: float
    num_frames: int
    seed: int  # of the appearance only: the direction of the light and the table's texture
    table: str
    camera: Camera
    actors: tuple[Actor, ...]
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        ints_to_floats(self)
        _check_scene(self)
        _check_actors(self)
        _check_overlaps(self)
        _check_events(self)
        _check_supports(self)
        _check_camera(self.camera)

    @property
    def seconds(self) -> float:
        """Return the length of the clip in seconds."""
        return self.num_frames / self.fps

    def actor(self, name: str) -> Actor:
        """Return the actor with this id."""
        return next(actor for actor in self.actors if actor.id == name)

    def stacked_on(self, actor: Actor) -> Actor | None:
        """Return the actor on which this one stands at first, if any."""
        if actor.lift <= 0:
            return None
        for other in self.actors:
            below = abs(other.lift + extent(other)[2] - actor.lift) < 1e-6
            if other is not actor and below and math.hypot(other.x - actor.x, other.y - actor.y) < other.size / 2:
                return other
        return None

    def stack_on(self, actor: Actor) -> list[Actor]:
        """Return the actors that stand on this one, from low to high."""
        stack = [actor]
        while above := [other for other in self.actors if self.stacked_on(other) == stack[-1]]:
            stack.append(above[0])
        return stack[1:]


def extent(actor: Actor) -> tuple[float, float, float]:
    """Return width, depth and height in metres, before rotation."""
    wide, deep, tall = EXTENTS[actor.noun]
    return wide * actor.size, deep * actor.size, tall * actor.size


def _check_scene(spec: TableSpec) -> None:
    check_frame(spec, 8, 4096)
    if not 1 <= spec.fps <= 1000:
        raise UsageError(f"fps = {spec.fps}: expected 1 to 1000")
    if spec.table not in TABLES:
        raise UsageError(f"unknown table '{spec.table}'. {suggest(spec.table, TABLES)}")


def _check_actors(spec: TableSpec) -> None:
    if not spec.actors:
        raise UsageError("the table is empty: add at least one actor")
    ids = [actor.id for actor in spec.actors]
    check_ids(ids, 32)
    if "table" in ids:
        raise UsageError("no actor may have the id 'table', which contacts use for the table itself")
    for actor in spec.actors:
        if actor.noun not in EXTENTS:
            raise UsageError(f"unknown solid '{actor.noun}'. {suggest(actor.noun, EXTENTS)}")
        if actor.colour not in COLOURS:
            raise UsageError(f"{actor.id}: unknown colour '{actor.colour}'. {suggest(actor.colour, COLOURS)}")
        limits = {"size": (0.1, 1.5), "lift": (0.0, 3.0), "restitution": (0.15, 0.95)}
        for name, (low, high) in limits.items():
            if not low <= getattr(actor, name) <= high:
                raise UsageError(f"{actor.id}: {name} = {getattr(actor, name):g}, expected {low:g} to {high:g}")
        if not (abs(actor.x) <= 2 and abs(actor.y) <= 2):
            raise UsageError(
                f"{actor.id} is at ({actor.x:g}, {actor.y:g}): expected -2 to 2 metres from the middle of the table"
            )


def _check_overlaps(spec: TableSpec) -> None:
    """Check that no two solids overlap: the physics engine would throw them apart."""
    for one, two in itertools.combinations(spec.actors, 2):
        (width, depth, height), (width2, depth2, height2) = extent(one), extent(two)
        same_height = one.lift < two.lift + height2 - 1e-6 and two.lift < one.lift + height - 1e-6
        # The largest circles inside the two footprints: if they overlap, the solids do.
        touching = (min(width, depth) + min(width2, depth2)) / 2
        if same_height and math.hypot(one.x - two.x, one.y - two.y) < touching - 1e-6:
            raise UsageError(
                f"{one.id} and {two.id} are in the same place: move one, or lift it to {one.lift + height:g}"
            )


def _check_events(spec: TableSpec) -> None:
    ids = [actor.id for actor in spec.actors]
    for event in spec.events:
        check_event(event, ids, EVENTS)
        what = f"{event.kind} of {event.actor}"
        if not 0 <= event.start < spec.seconds:
            raise UsageError(
                f"{what}: it starts at {event.start:g} s, which is not within a clip of {spec.seconds:g} s"
            )
        if event.speed is not None and not 0 < event.speed <= 10:
            raise UsageError(f"{what}: speed = {event.speed:g}, expected more than 0 and at most 10 m/s")
        if event.end is not None and (event.kind != "push" or not event.start < event.end):
            raise UsageError(
                f"{what}: end = {event.end:g}; only a push has an end, after its start at {event.start:g} s"
            )
        _check_possible(spec, event, what)
    movers = [event.actor for event in spec.events]
    if twice := sorted({name for name in movers if movers.count(name) > 1}):
        raise UsageError(f"{twice[0]} has two events: an actor may have one, and physics continues its motion")


def _check_possible(spec: TableSpec, event: Event, what: str) -> None:
    """Check that the actor can do this: balls roll and bounce, lifted solids drop, stacks topple."""
    actor = spec.actor(event.actor)
    if event.kind == "roll" and actor.noun != "ball":
        raise UsageError(f"{what}: a {actor.noun} cannot roll; take a ball, or slide")
    if event.kind == "bounce" and actor.noun != "ball":
        raise UsageError(f"{what}: a {actor.noun} cannot bounce; take a ball, or drop")
    if event.kind == "slide" and actor.noun == "ball":
        raise UsageError(f"{what}: a ball cannot slide; let it roll")
    if event.kind in ("drop", "bounce"):
        if actor.lift <= 0 or spec.stacked_on(actor):
            raise UsageError(f"{what}: it must start in the air; give it a lift, in metres")
    elif actor.lift > 0:
        raise UsageError(f"{what}: it must stand on the table, got lift = {actor.lift:g}")
    if event.kind == "topple":
        target = spec.actor(event.target or "")
        if not any(spec.stacked_on(other) == target for other in spec.actors):
            raise UsageError(f"{what}: nothing stands on {event.target}; lift another actor onto it")


def _check_supports(spec: TableSpec) -> None:
    """Check that every lifted solid drops or stands on another."""
    dropped = {e.actor for e in spec.events if e.kind in ("drop", "bounce")}
    for other in spec.actors:
        if other.lift > 0 and other.id not in dropped and spec.stacked_on(other) is None:
            raise UsageError(f"{other.id} is in the air at {other.lift:g} m: let it drop, or put something under it")


def _check_camera(camera: Camera) -> None:
    if camera.kind not in CAMERAS:
        raise UsageError(f"unknown camera '{camera.kind}'. {suggest(camera.kind, CAMERAS)}")
    if (camera.direction is None) != (camera.kind == "still"):
        expected = "none" if camera.kind == "still" else "left or right"
        raise UsageError(f"camera {camera.kind}: direction {camera.direction!r}, expected {expected}")
    if camera.amount is not None and not (camera.kind == "orbit" and 0 < camera.amount <= 360):
        raise UsageError(
            f"camera {camera.kind}: amount = {camera.amount:g}; only an orbit has one, "
            "more than 0 and at most 360 degrees"
        )
    if not 5 <= camera.elevation <= 85:
        raise UsageError(f"camera: elevation = {camera.elevation:g}, expected 5 to 85 degrees")
    if not 2 <= camera.distance <= 20:
        raise UsageError(f"camera: distance = {camera.distance:g}, expected 2 to 20 metres")
