"""The typed description of a table clip: which solids stand, hang or are stacked where, what sets them going, and how the camera goes."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Literal

from chronotope.config import from_dict
from chronotope.errors import UsageError, suggest
from chronotope.worlds.events import check_aim, check_known
from chronotope.worlds.palette import COLOURS

__all__ = [
    "CAMERAS",
    "DIRECTIONS",
    "EVENTS",
    "SOLIDS",
    "TABLES",
    "Actor",
    "Camera",
    "Event",
    "TableSpec",
    "extent",
    "from_json",
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
TABLES = ("wooden", "grey", "white", "dark")
CAMERAS = ("still", "orbit", "round")
# A step in x and y as the camera sees them in the first frame: x to the right, y away from it.
DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (-1.0, 0.0),
    "right": (1.0, 0.0),
    "away": (0.0, 1.0),
    "closer": (0.0, -1.0),
}

_ALL = tuple(DIRECTIONS)
# What each event needs: the directions it may have, whether a target, and the speed in m/s if none is given.
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
    """One solid: `size` its longest side in metres, `x, y` its centre on the table, `lift` how high its foot is above the table."""

    id: str
    noun: str
    colour: str
    x: float
    y: float
    size: float = 0.5
    lift: float = 0.0
    turn: float = 0.0  # degrees anticlockwise, seen from above
    restitution: float = 0.4  # speed after over speed before a bounce; of two that touch, the lower counts

    def __post_init__(self) -> None:
        _as_floats(self)


@dataclasses.dataclass(frozen=True)
class Event:
    """What sets an actor going at `start` seconds; physics decides the rest. Only a push has an `end`."""

    kind: str
    actor: str
    start: float = 0.0
    direction: Literal["left", "right", "away", "closer"] | None = None
    target: str | None = None
    speed: float | None = None  # metres a second
    end: float | None = None

    def __post_init__(self) -> None:
        _as_floats(self)


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera that looks at the middle of the table from `distance` metres; `amount` is the degrees of an orbit."""

    kind: str = "still"
    direction: Literal["left", "right"] | None = None  # where the camera itself goes
    amount: float | None = None
    elevation: float = 28.0  # degrees above the table
    distance: float = 3.4

    def __post_init__(self) -> None:
        _as_floats(self)


@dataclasses.dataclass(frozen=True)
class TableSpec:
    """A whole clip; the same spec always gives the same bytes on one machine."""

    width: int
    height: int
    fps: float
    num_frames: int
    seed: int  # of the looks alone: where the light comes from, the grain of the table
    table: str
    camera: Camera
    actors: tuple[Actor, ...]
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        _as_floats(self)
        _check_frame(self)
        _check_actors(self)
        _check_room(self)
        _check_events(self)
        _check_air(self)
        _check_camera(self.camera)

    @property
    def seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.num_frames / self.fps

    def actor(self, name: str) -> Actor:
        """The actor with this id."""
        return next(actor for actor in self.actors if actor.id == name)

    def stacked_on(self, actor: Actor) -> Actor | None:
        """The actor on which this one rests at first, if any."""
        if actor.lift <= 0:
            return None
        for other in self.actors:
            below = abs(other.lift + extent(other)[2] - actor.lift) < 1e-6
            if other is not actor and below and math.hypot(other.x - actor.x, other.y - actor.y) < other.size / 2:
                return other
        return None


def extent(actor: Actor) -> tuple[float, float, float]:
    """Width, depth and height in metres, before it is turned."""
    wide, deep, tall = SOLIDS[actor.noun]
    return wide * actor.size, deep * actor.size, tall * actor.size


def from_json(text: str) -> TableSpec:
    """Read a spec back."""
    return from_dict(TableSpec, json.loads(text))


def _as_floats(part: Any) -> None:
    """0 and 0.0 are the same place: they must not give two keys."""
    for field in dataclasses.fields(part):
        if "float" in str(field.type) and isinstance(getattr(part, field.name), int):
            object.__setattr__(part, field.name, float(getattr(part, field.name)))


def _check_frame(spec: TableSpec) -> None:
    if not (8 <= spec.width <= 4096 and 8 <= spec.height <= 4096):
        raise UsageError(f"a frame of {spec.width}x{spec.height} pixels: both sides must be from 8 to 4096")
    if not 1 <= spec.num_frames <= 100_000:
        raise UsageError(f"num_frames = {spec.num_frames}: expected 1 to 100000")
    if not 1 <= spec.fps <= 1000:
        raise UsageError(f"fps = {spec.fps}: expected 1 to 1000")
    if spec.table not in TABLES:
        raise UsageError(f"unknown table '{spec.table}'. {suggest(spec.table, TABLES)}")


def _check_actors(spec: TableSpec) -> None:
    ids = [actor.id for actor in spec.actors]
    if not ids:
        raise UsageError("nothing is on the table: name at least one actor")
    if len(set(ids)) != len(ids) or "table" in ids:
        raise UsageError(f"ids of actors must differ, and none is 'table': {', '.join(ids)}")
    if len(ids) > 32:
        raise UsageError(f"{len(ids)} actors: at most 32 fit")
    for actor in spec.actors:
        if actor.noun not in SOLIDS:
            raise UsageError(f"unknown solid '{actor.noun}'. {suggest(actor.noun, SOLIDS)}")
        if actor.colour not in COLOURS:
            raise UsageError(f"{actor.id}: unknown colour '{actor.colour}'. {suggest(actor.colour, COLOURS)}")
        limits = {"size": (0.1, 1.5), "lift": (0.0, 3.0), "restitution": (0.15, 0.95)}
        for name, (low, high) in limits.items():
            if not low <= getattr(actor, name) <= high:
                raise UsageError(f"{actor.id}: {name} = {getattr(actor, name):g}, expected {low:g} to {high:g}")
        if not (abs(actor.x) <= 2 and abs(actor.y) <= 2):
            raise UsageError(
                f"{actor.id} is at ({actor.x:g}, {actor.y:g}): expected -2 to 2 metres, the middle of the table is (0, 0)"
            )


def _check_room(spec: TableSpec) -> None:
    """No two solids in one place: physics would throw them apart."""
    for i, one in enumerate(spec.actors):
        for two in spec.actors[i + 1 :]:
            (wide, deep, tall), (wide2, deep2, tall2) = extent(one), extent(two)
            level = one.lift < two.lift + tall2 - 1e-6 and two.lift < one.lift + tall - 1e-6
            # The largest circles that fit inside the two, seen from above: if these meet, so do the solids.
            near = math.hypot(one.x - two.x, one.y - two.y) < (min(wide, deep) + min(wide2, deep2)) / 2 - 1e-6
            if level and near:
                raise UsageError(
                    f"{one.id} and {two.id} are in the same place: move one, or lift it to {one.lift + tall:g}"
                )


def _check_events(spec: TableSpec) -> None:
    ids = [actor.id for actor in spec.actors]
    for event in spec.events:
        check_known(event.kind, event.actor, ids, EVENTS)
        what = f"{event.kind} of {event.actor}"
        if not 0 <= event.start < spec.seconds:
            raise UsageError(
                f"{what}: it starts at {event.start:g} s, which is not within a clip of {spec.seconds:g} s"
            )
        check_aim(what, event.direction, event.target, event.actor, ids, *EVENTS[event.kind][:2])
        if event.speed is not None and not 0 < event.speed <= 10:
            raise UsageError(f"{what}: speed = {event.speed:g}, expected more than 0 and at most 10 m/s")
        if event.end is not None and (event.kind != "push" or not event.start < event.end):
            raise UsageError(f"{what}: end = {event.end:g}; only a push ends, and after it starts at {event.start:g} s")
        _check_sense(spec, event, what)
    movers = [event.actor for event in spec.events]
    if twice := sorted({name for name in movers if movers.count(name) > 1}):
        raise UsageError(f"{twice[0]} has two events: one push sets a thing going, physics does the rest")


def _check_sense(spec: TableSpec, event: Event, what: str) -> None:
    """Only balls roll and bounce, only what is in the air drops, only a stack is toppled."""
    actor = spec.actor(event.actor)
    if event.kind in ("roll", "bounce") and actor.noun != "ball":
        raise UsageError(
            f"{what}: a {actor.noun} cannot {event.kind}; take a ball, or {'slide' if event.kind == 'roll' else 'drop'}"
        )
    if event.kind == "slide" and actor.noun == "ball":
        raise UsageError(f"{what}: a ball cannot slide; let it roll")
    if event.kind in ("drop", "bounce") and (actor.lift <= 0 or spec.stacked_on(actor)):
        raise UsageError(f"{what}: it has to be in the air first; give it a lift, in metres")
    if event.kind in ("roll", "slide", "hit", "push", "topple") and actor.lift > 0:
        raise UsageError(f"{what}: it has to stand on the table, got lift = {actor.lift:g}")
    if event.kind == "topple" and not any(
        spec.stacked_on(other) == spec.actor(event.target or "") for other in spec.actors
    ):
        raise UsageError(f"{what}: nothing stands on {event.target}; lift another actor onto it")


def _check_air(spec: TableSpec) -> None:
    """What is in the air is held until it drops, or stands on something."""
    held = {e.actor for e in spec.events if e.kind in ("drop", "bounce")}
    for other in spec.actors:
        if other.lift > 0 and other.id not in held and spec.stacked_on(other) is None:
            raise UsageError(f"{other.id} is in the air at {other.lift:g} m: let it drop, or put something under it")


def _check_camera(camera: Camera) -> None:
    if camera.kind not in CAMERAS:
        raise UsageError(f"unknown camera '{camera.kind}'. {suggest(camera.kind, CAMERAS)}")
    if (camera.direction is None) != (camera.kind == "still"):
        raise UsageError(
            f"camera {camera.kind}: direction {camera.direction!r}, expected {'none' if camera.kind == 'still' else 'left or right'}"
        )
    if camera.amount is not None and not (camera.kind == "orbit" and 0 < camera.amount <= 360):
        raise UsageError(
            f"camera {camera.kind}: amount = {camera.amount:g}; only an orbit has one, more than 0 and at most 360 degrees"
        )
    if not 5 <= camera.elevation <= 85:
        raise UsageError(f"camera: elevation = {camera.elevation:g}, expected 5 to 85 degrees")
    if not 2 <= camera.distance <= 20:
        raise UsageError(f"camera: distance = {camera.distance:g}, expected 2 to 20 metres")
