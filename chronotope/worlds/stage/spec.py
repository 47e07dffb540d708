"""The typed description of a stage clip: who is there, where, what happens when, and how the camera looks."""

from __future__ import annotations

import dataclasses
import json
from typing import Literal

from chronotope.config import from_dict
from chronotope.errors import UsageError, suggest
from chronotope.worlds.events import check_aim, check_known
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.cast import CAST, SHAPES

__all__ = ["BACKDROPS", "CAMERAS", "EVENTS", "RETURNS", "Actor", "Camera", "Event", "Spec", "from_json"]

Direction = Literal["left", "right", "up", "down", "on", "off"]

# What each event needs: the directions it may have (the first None means: none needed), and whether a target.
_SIDES, _WAYS = ("left", "right"), ("left", "right", "up", "down")
EVENTS: dict[str, tuple[tuple[str | None, ...], bool]] = {
    "enter": (_WAYS, False),
    "leave": (_WAYS, False),
    "walk": (_SIDES, False),
    "fly": (_WAYS, False),
    "move": (_WAYS, False),
    "roll": (_SIDES, False),
    "bounce": ((None, *_SIDES), False),
    "grow": ((None,), False),
    "shrink": ((None,), False),
    "spin": ((None,), False),
    "stop": ((None,), False),
    "pass": ((None, *_SIDES), True),
    "meet": ((None, *_SIDES), True),
    "push": ((None, *_SIDES), True),
    "hit": ((None, *_SIDES), True),
    "eat": ((None, *_SIDES), True),
    "paint": (_WAYS, False),
    "switch": (("on", "off"), False),
    "hide": (_SIDES, True),
    "emerge": (_SIDES, True),
    "beside": (_SIDES, True),
    "stay": ((None,), False),
    "creep": (_WAYS, False),
    "dash": (_WAYS, False),
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

    def __post_init__(self) -> None:
        _as_floats(self, "x", "y", "size", "depth")


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
    colour: str | None = None  # of the paint

    def __post_init__(self) -> None:
        _as_floats(self, "start", "end", "amount")


@dataclasses.dataclass(frozen=True)
class Camera:
    """How the frame moves over the stage; `amount` is frame widths for a pan and the final factor for a zoom."""

    kind: str = "still"
    direction: Literal["left", "right", "up", "down", "in", "out"] | None = None
    actor: str | None = None
    amount: float | None = None

    def __post_init__(self) -> None:
        _as_floats(self, "amount")


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
        _as_floats(self, "fps")
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


def _as_floats(part: Actor | Event | Camera | Spec, *names: str) -> None:
    """0 and 0.0 are the same moment: they must not give two keys."""
    for name in names:
        if isinstance(getattr(part, name), int):
            object.__setattr__(part, name, float(getattr(part, name)))


def from_json(text: str) -> Spec:
    """Read a spec back."""
    return from_dict(Spec, json.loads(text))


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
            raise UsageError(
                f"{actor.id}: a shape needs a colour, got {actor.colour!r}. {suggest(str(actor.colour), COLOURS)}"
            )
        if actor.kind == "emoji" and actor.colour is not None:
            raise UsageError(f"{actor.id}: a {actor.noun} has its own colours; leave colour out")
        if not 0 < actor.size <= 10:
            raise UsageError(f"{actor.id}: size = {actor.size}, expected more than 0 and at most 10 short frame sides")
        if not 0 <= actor.depth <= 1:
            raise UsageError(f"{actor.id}: depth = {actor.depth}, expected 0 (front) to 1 (back)")


def _check_events(spec: Spec) -> None:
    ids = [actor.id for actor in spec.actors]
    for event in spec.events:
        check_known(event.kind, event.actor, ids, EVENTS)
        what = f"{event.kind} of {event.actor}"
        if not (0 <= event.start <= event.end and event.start < spec.seconds and event.end <= spec.seconds + 1e-3):
            raise UsageError(
                f"{what}: from {event.start:g} to {event.end:g} s is no span of a clip of {spec.seconds:g} s"
            )
        check_aim(what, event.direction, event.target, event.actor, ids, *EVENTS[event.kind])
        if event.amount is not None and not 0 < event.amount <= 100:
            raise UsageError(f"{what}: amount = {event.amount:g}, expected more than 0 and at most 100")
        if event.colour is not None and event.colour not in COLOURS:
            raise UsageError(f"{what}: unknown colour '{event.colour}'. {suggest(event.colour, COLOURS)}")
        if event.kind == "paint" and event.colour is None and spec.actor(event.actor).colour is None:
            raise UsageError(f"{what}: say the colour of the paint. {suggest('', COLOURS)}")
        _check_side(spec, event)
        _check_cover(spec, event)
    for actor in spec.actors:
        _check_day(spec, actor.id)


def _check_side(spec: Spec, event: Event) -> None:
    """A target lies where the direction says; only a clip whose events have not moved anybody before can be judged here."""
    moved = any(e.end <= event.start and e is not event and e.kind != "beside" for e in spec.events)
    if event.target is None or event.direction is None or event.kind == "emerge" or moved:
        return
    gap = spec.actor(event.target).x - spec.actor(event.actor).x
    if event.kind == "beside":  # its direction is the side of the target on which the actor stands
        gap = -gap
    if (gap > 0) != (event.direction == "right"):
        raise UsageError(
            f"{event.kind} of {event.actor}: {event.target} is on the other side, not to the {event.direction}"
        )


def _check_cover(spec: Spec, event: Event) -> None:
    """One hides behind what is nearer; who stands beside whom is said of the beginning."""
    if event.kind == "hide" and spec.actor(event.actor).depth <= spec.actor(event.target or "").depth:
        raise UsageError(
            f"hide of {event.actor}: {event.target} is not in front of it; give {event.actor} a greater depth"
        )
    if event.kind == "beside" and event.end > 0:
        raise UsageError(
            f"beside of {event.actor}: from {event.start:g} to {event.end:g} s; it tells how a clip begins, so both must be 0"
        )


# These go on while an actor moves; everything else moves it, and it can do one such thing at a time.
_MEANWHILE = {"grow", "shrink", "spin", "switch"}
# Of the target these ask nothing.
_LEAVES_TARGET_ALONE = {"pass", "hide", "emerge", "beside"}
# Who is out of sight by the first comes back by the second, and does nothing else before.
RETURNS = {"leave": "enter", "hide": "emerge"}


def _check_day(spec: Spec, name: str) -> None:
    """One actor's events in order: no two movements at once, nothing after leaving or being eaten, nothing before entering."""
    suffers = [e for e in spec.events if e.target == name and e.kind not in _LEAVES_TARGET_ALONE]
    own = [e for e in spec.events if e.kind not in _MEANWHILE and (e.actor == name or e in suffers)]
    before: Event | None = None
    until = 0.0
    for event in sorted(own, key=lambda e: (e.start, e.end)):
        passive = event.actor != name
        if event.kind == "enter" and before is not None and before.kind != "leave":
            raise UsageError(f"{name} is on stage already and cannot enter at {event.start:g} s")
        if event.kind == "stop":
            if (
                before is None
                or event.start >= until
                or before.kind in ("stop", "leave", "enter")
                or before.actor != name
            ):
                raise UsageError(f"{name} cannot stop at {event.start:g} s: it is not on its way then")
            until = event.start
        elif before is not None and event.start < until - 1e-6:
            verb = f"be part of {event.actor}'s {event.kind}" if passive else event.kind
            doing = before.kind if before.actor == name else f"be part of {before.actor}'s {before.kind}"
            raise UsageError(f"{name} cannot {doing} until {until:g} s and {verb} from {event.start:g} s")
        if (
            before is not None
            and before.kind in (*RETURNS, "stay")
            and event.kind not in (RETURNS.get(before.kind), "stay")
        ):
            gone = {"leave": "left", "hide": "hidden", "stay": "stayed away"}[before.kind]
            raise UsageError(f"{name} has {gone} at {before.end:g} s and cannot {event.kind} at {event.start:g} s")
        if event.kind == "stay" and (before is None or before.kind not in RETURNS):
            raise UsageError(
                f"{name} is in sight at {event.start:g} s and cannot stay away; let it leave or hide first"
            )
        if event.kind == "emerge" and (before is None or before.kind != "hide" or before.target != event.target):
            raise UsageError(
                f"{name} is not behind {event.target} at {event.start:g} s and cannot emerge; let it hide there first"
            )
        if before is not None and before.kind == "eat" and before.target == name:
            raise UsageError(f"{name} has been eaten at {before.end:g} s and cannot {event.kind} at {event.start:g} s")
        before, until = (
            event,
            max(until if event.kind == "stop" else 0.0, event.start if event.kind == "stop" else event.end),
        )


def _check_camera(spec: Spec) -> None:
    camera = spec.camera
    if camera.kind not in CAMERAS:
        raise UsageError(f"unknown camera '{camera.kind}'. {suggest(camera.kind, CAMERAS)}")
    wanted = {"still": (), "follow": (), "pan": ("left", "right", "up", "down"), "zoom": ("in", "out")}[camera.kind]
    if (camera.direction or "") not in (wanted or ("",)):
        raise UsageError(
            f"camera {camera.kind}: direction {camera.direction!r}, expected {' or '.join(wanted) or 'none'}"
        )
    ids = [actor.id for actor in spec.actors]
    if camera.kind in ("still", "pan") and camera.actor is not None:
        raise UsageError(f"camera {camera.kind}: it looks at nobody, got actor '{camera.actor}'; use follow or zoom")
    if (camera.kind == "follow" or camera.actor is not None) and camera.actor not in ids:
        raise UsageError(f"camera {camera.kind}: nobody is called {camera.actor!r}. {suggest(str(camera.actor), ids)}")
    if camera.amount is not None and not 0 < camera.amount <= 20:
        raise UsageError(f"camera {camera.kind}: amount = {camera.amount:g}, expected more than 0 and at most 20")
    if camera.kind != "still" and any(event.kind in ("enter", "leave") for event in spec.events):
        # They happen at the edge of the frame, which such a camera carries along.
        raise UsageError(
            f"camera {camera.kind}: nobody can enter or leave while the frame itself moves; use a still camera"
        )
