"""The typed description of a stage clip: who is there, where, what happens when, and how the camera looks."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Literal

from chronotope.config import from_dict, to_dict
from chronotope.errors import UsageError, suggest
from chronotope.worlds.cast_table import CAST, COLOURS, SHAPES

__all__ = ["BACKDROPS", "CAMERAS", "EVENTS", "Actor", "Camera", "Event", "Spec", "from_json", "spec_key", "to_json"]

Direction = Literal["left", "right", "up", "down"]

# What each event needs: whether a direction, and whether a target actor.
EVENTS: dict[str, tuple[bool, bool]] = {
    "enter": (True, False),
    "leave": (True, False),
    "walk": (True, False),
    "fly": (True, False),
    "move": (True, False),
    "roll": (True, False),
    "bounce": (False, False),
    "grow": (False, False),
    "shrink": (False, False),
    "spin": (False, False),
}
BACKDROPS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "grey",
             "sky", "hills", "sea", "street", "room", "night", "desert", "snow")  # fmt: skip
CAMERAS = ("still", "pan", "zoom", "follow")


@dataclasses.dataclass(frozen=True)
class Actor:
    """One thing on the stage: `x, y` are its centre in frame widths and heights, `size` its longer side in short frame sides."""

    id: str
    noun: str
    kind: Literal["shape", "emoji"]
    x: float
    y: float
    size: float
    colour: str | None = None
    depth: float = 0.5  # 0 at the front, 1 at the back: decides who hides whom
    facing: Literal["left", "right"] = "right"


@dataclasses.dataclass(frozen=True)
class Event:
    """One thing that happens from `start` to `end` seconds; `amount` is a distance in frames, a factor, or a number of turns."""

    kind: str
    actor: str
    start: float
    end: float
    direction: Direction | None = None
    target: str | None = None
    amount: float | None = None


@dataclasses.dataclass(frozen=True)
class Camera:
    """How the frame moves over the stage; `amount` is frame widths for a pan and the final factor for a zoom."""

    kind: str = "still"
    direction: Literal["left", "right", "up", "down", "in", "out"] | None = None
    actor: str | None = None
    amount: float | None = None


@dataclasses.dataclass(frozen=True)
class Spec:
    """A whole clip; the same spec always gives the same bytes."""

    width: int
    height: int
    fps: float
    num_frames: int
    seed: int
    backdrop: str
    camera: Camera
    actors: tuple[Actor, ...]
    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        _check_frame(self)
        _check_actors(self)
        _check_events(self)
        _check_camera(self)

    @property
    def seconds(self) -> float:
        """Length of the clip in seconds."""
        return self.num_frames / self.fps

    def actor(self, name: str) -> Actor:
        """The actor with this id."""
        return next(actor for actor in self.actors if actor.id == name)


def to_json(spec: Spec) -> str:
    """Canonical JSON: sorted keys, no spaces."""
    return json.dumps(to_dict(spec), sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> Spec:
    """Read a spec back."""
    return from_dict(Spec, json.loads(text))


def spec_key(spec: Spec) -> str:
    """The spec's name: SHA-256 of its canonical JSON."""
    return hashlib.sha256(to_json(spec).encode()).hexdigest()


def _check_frame(spec: Spec) -> None:
    if not (1 <= spec.width <= 8192 and 1 <= spec.height <= 8192):
        raise UsageError(f"a frame of {spec.width}x{spec.height} pixels: both sides must be from 1 to 8192")
    if not 1 <= spec.num_frames <= 100_000:
        raise UsageError(f"num_frames = {spec.num_frames}: expected 1 to 100000")
    if not 0 < spec.fps <= 1000:
        raise UsageError(f"fps = {spec.fps}: expected more than 0 and at most 1000")
    if spec.backdrop not in BACKDROPS:
        raise UsageError(f"unknown backdrop '{spec.backdrop}'. {suggest(spec.backdrop, BACKDROPS)}")


def _check_actors(spec: Spec) -> None:
    ids = [actor.id for actor in spec.actors]
    if len(set(ids)) != len(ids):
        raise UsageError(f"two actors share an id: {', '.join(ids)}")
    if len(ids) > 254:
        raise UsageError(f"{len(ids)} actors: masks hold at most 254")
    for actor in spec.actors:
        nouns: tuple[str, ...] = SHAPES if actor.kind == "shape" else tuple(CAST)
        if actor.noun not in nouns:
            raise UsageError(f"unknown {actor.kind} '{actor.noun}'. {suggest(actor.noun, nouns)}")
        if actor.kind == "shape" and actor.colour not in COLOURS:
            raise UsageError(f"{actor.id}: a shape needs a colour, got {actor.colour!r}. {suggest(str(actor.colour), COLOURS)}")
        if actor.kind == "emoji" and actor.colour is not None:
            raise UsageError(f"{actor.id}: a {actor.noun} has its own colours; leave colour out")
        if not 0 < actor.size <= 10:
            raise UsageError(f"{actor.id}: size = {actor.size}, expected more than 0 and at most 10 short frame sides")
        if not 0 <= actor.depth <= 1:
            raise UsageError(f"{actor.id}: depth = {actor.depth}, expected 0 (front) to 1 (back)")


def _check_events(spec: Spec) -> None:
    ids = [actor.id for actor in spec.actors]
    for event in spec.events:
        if event.kind not in EVENTS:
            raise UsageError(f"unknown event '{event.kind}'. {suggest(event.kind, EVENTS)}")
        if event.actor not in ids:
            raise UsageError(f"{event.kind}: nobody is called '{event.actor}'. {suggest(event.actor, ids)}")
        if not 0 <= event.start <= event.end:
            raise UsageError(f"{event.kind} of {event.actor}: from {event.start} to {event.end} s is no span of time")
        needs_direction, needs_target = EVENTS[event.kind]
        if needs_direction and event.direction is None:
            raise UsageError(f"{event.kind} of {event.actor}: say a direction (left, right, up or down)")
        if needs_target and event.target is None:
            raise UsageError(f"{event.kind} of {event.actor}: say a target (another actor's id)")
        if event.target is not None and (event.target not in ids or event.target == event.actor):
            raise UsageError(f"{event.kind} of {event.actor}: target '{event.target}' is not another actor. {suggest(event.target, ids)}")
    _check_contradictions(spec)


# Events that move an actor exclude each other in time; growing or spinning may go on meanwhile.
_TURNING = {"grow", "shrink", "spin"}


def _check_contradictions(spec: Spec) -> None:
    for actor in spec.actors:
        own = sorted((e for e in spec.events if e.actor == actor.id), key=lambda e: (e.start, e.end))
        moving = [e for e in own if e.kind not in _TURNING]
        for before, after in zip(moving, moving[1:], strict=False):
            if after.start < before.end - 1e-9:
                raise UsageError(f"{actor.id} cannot {before.kind} until {before.end:g} s and {after.kind} from {after.start:g} s")
            if before.kind == "leave":
                if after.kind != "enter":
                    raise UsageError(f"{actor.id} has left at {before.end:g} s and cannot {after.kind} at {after.start:g} s")
        for event in moving[1:]:
            if event.kind == "enter" and moving[moving.index(event) - 1].kind != "leave":
                raise UsageError(f"{actor.id} is on stage already and cannot enter at {event.start:g} s")


def _check_camera(spec: Spec) -> None:
    camera = spec.camera
    if camera.kind not in CAMERAS:
        raise UsageError(f"unknown camera '{camera.kind}'. {suggest(camera.kind, CAMERAS)}")
    wanted = {"still": (), "follow": (), "pan": ("left", "right", "up", "down"), "zoom": ("in", "out")}[camera.kind]
    if (camera.direction or "") not in (wanted or ("",)):
        raise UsageError(f"camera {camera.kind}: direction {camera.direction!r}, expected {' or '.join(wanted) or 'none'}")
    if camera.kind == "follow" and camera.actor not in [actor.id for actor in spec.actors]:
        raise UsageError(f"camera follow: nobody is called {camera.actor!r}. {suggest(str(camera.actor), [a.id for a in spec.actors])}")
