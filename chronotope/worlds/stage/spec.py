"""The spec of a stage clip: actors, events, camera and backdrop."""

from __future__ import annotations

import dataclasses
from typing import Literal

from chronotope.errors import UsageError, suggest
from chronotope.worlds.events import check_event, check_frame, check_ids, ints_to_floats
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.cast import CAST, SHAPES

__all__ = ["BACKDROPS", "CAMERAS", "EVENTS", "RETURN_OF", "Actor", "Camera", "Event", "Spec"]

Direction = Literal["left", "right", "up", "down", "on", "off"]

# Of each event: the directions it accepts (None: no direction), and whether it needs a target.
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
# The event by which an actor comes back into sight.
RETURN_OF = {"leave": "enter", "hide": "emerge"}
# Events that may overlap with a movement of the same actor.
_CONCURRENT = {"grow", "shrink", "spin", "switch"}
# Events that do not restrict what their target does meanwhile.
_TARGET_IS_FREE = {"pass", "hide", "emerge", "beside"}


@dataclasses.dataclass(frozen=True)
class Actor:
    """One actor; `x, y` are its centre in frame widths and heights, `size` is its longer side in short frame sides."""

    id: str
    noun: str
    kind: Literal["shape", "emoji"]
    x: float
    y: float
    size: float
    colour: str | None = None
    depth: float = 0.5  # 0 at the front, 1 at the back; a nearer actor hides a farther one
    facing: Literal["left", "right"] = "right"

    def __post_init__(self) -> None:
        ints_to_floats(self)


@dataclasses.dataclass(frozen=True)
class Event:
    """One event from `start` to `end` seconds.

    `amount` is a distance in frame widths or heights, a scale factor or a number of turns.
    """

    kind: str
    actor: str
    start: float
    end: float
    direction: Direction | None = None
    target: str | None = None
    amount: float | None = None
    colour: str | None = None  # of the line of `paint`

    def __post_init__(self) -> None:
        ints_to_floats(self)


@dataclasses.dataclass(frozen=True)
class Camera:
    """The camera; `amount` is a distance in frame widths or heights for `pan` and the final factor for `zoom`."""

    kind: str = "still"
    direction: Literal["left", "right", "up", "down", "in", "out"] | None = None
    actor: str | None = None
    amount: float | None = None

    def __post_init__(self) -> None:
        ints_to_floats(self)


@dataclasses.dataclass(frozen=True)
class Spec:
    """A whole clip; the same spec gives the same pixels."""

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
        ints_to_floats(self)
        _check_scene(self)
        _check_actors(self)
        _check_events(self)
        _check_camera(self)

    @property
    def seconds(self) -> float:
        """Return the length of the clip in seconds."""
        return self.num_frames / self.fps

    def actor(self, name: str) -> Actor:
        """Return the actor with this id."""
        return next(actor for actor in self.actors if actor.id == name)


def _check_scene(spec: Spec) -> None:
    check_frame(spec, 1, 8192)
    if not 0 < spec.fps <= 1000:
        raise UsageError(f"fps = {spec.fps}: expected more than 0 and at most 1000")
    if spec.backdrop not in BACKDROPS:
        raise UsageError(f"unknown backdrop '{spec.backdrop}'. {suggest(spec.backdrop, BACKDROPS)}")


def _check_actors(spec: Spec) -> None:
    check_ids([actor.id for actor in spec.actors], 254)  # masks are uint8, and 0 is the backdrop
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
        check_event(event, ids, EVENTS)
        what = f"{event.kind} of {event.actor}"
        if not (0 <= event.start <= event.end and event.start < spec.seconds and event.end <= spec.seconds + 1e-3):
            raise UsageError(
                f"{what}: {event.start:g} to {event.end:g} s is not a valid span in a clip of {spec.seconds:g} s"
            )
        if event.amount is not None and not 0 < event.amount <= 100:
            raise UsageError(f"{what}: amount = {event.amount:g}, expected more than 0 and at most 100")
        if event.colour is not None and event.colour not in COLOURS:
            raise UsageError(f"{what}: unknown colour '{event.colour}'. {suggest(event.colour, COLOURS)}")
        if event.kind == "paint" and event.colour is None and spec.actor(event.actor).colour is None:
            raise UsageError(f"{what}: it needs the colour of the paint. {suggest('', COLOURS)}")
        _check_target_side(spec, event)
        _check_hide_and_beside(spec, event)
    for actor in spec.actors:
        _check_order(spec, actor.id)


def _check_target_side(spec: Spec, event: Event) -> None:
    """Check that the target lies in the event's direction, if no earlier event may have moved an actor."""
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


def _check_hide_and_beside(spec: Spec, event: Event) -> None:
    """Check that an actor hides behind a nearer one, and that `beside` describes the first frame."""
    if event.kind == "hide" and spec.actor(event.actor).depth <= spec.actor(event.target or "").depth:
        raise UsageError(
            f"hide of {event.actor}: {event.target} is not in front of it; give {event.actor} a greater depth"
        )
    if event.kind == "beside" and event.end > 0:
        raise UsageError(
            f"beside of {event.actor}: {event.start:g} to {event.end:g} s; it describes the first frame: "
            "start and end must be 0"
        )


def _check_order(spec: Spec, name: str) -> None:
    """Check one actor's events in order of time.

    It makes no two movements at once, does nothing after it left or was eaten, and enters only if it is not there.
    """
    own = []
    for event in spec.events:
        moves_target = event.target == name and event.kind not in _TARGET_IS_FREE
        if event.kind not in _CONCURRENT and (event.actor == name or moves_target):
            own.append(event)
    before: Event | None = None
    until = 0.0
    for event in sorted(own, key=lambda e: (e.start, e.end)):
        if event.kind == "enter" and before is not None and before.kind != "leave":
            raise UsageError(f"{name} is on stage already and cannot enter at {event.start:g} s")
        if event.kind == "stop":
            still = before is None or event.start >= until or before.kind in ("stop", "leave", "enter")
            if still or (before is not None and before.actor != name):
                raise UsageError(f"{name} cannot stop at {event.start:g} s: it does not move then")
        elif before is not None and event.start < until - 1e-6:
            raise UsageError(
                f"{name} cannot {_role(before, name)} until {until:g} s and {_role(event, name)} from {event.start:g} s"
            )
        _check_follows(name, before, event)
        before, until = event, event.start if event.kind == "stop" else event.end


def _role(event: Event, name: str) -> str:
    return event.kind if event.actor == name else f"be part of {event.actor}'s {event.kind}"


def _check_follows(name: str, before: Event | None, event: Event) -> None:
    """Check that an actor may take part in `event` after `before`: it must be in sight, or out of sight to return."""
    if before is not None and before.kind in (*RETURN_OF, "stay"):
        if event.kind not in (RETURN_OF.get(before.kind), "stay"):
            gone = {"leave": "left", "hide": "hidden", "stay": "stayed away"}[before.kind]
            raise UsageError(f"{name} has {gone} at {before.end:g} s and cannot {event.kind} at {event.start:g} s")
    if event.kind == "stay" and (before is None or before.kind not in RETURN_OF):
        raise UsageError(f"{name} is in sight at {event.start:g} s and cannot stay away; let it leave or hide first")
    if event.kind == "emerge" and (before is None or before.kind != "hide" or before.target != event.target):
        raise UsageError(
            f"{name} is not behind {event.target} at {event.start:g} s and cannot emerge; let it hide there first"
        )
    if before is not None and before.kind == "eat" and before.target == name:
        raise UsageError(f"{name} has been eaten at {before.end:g} s and cannot {event.kind} at {event.start:g} s")


def _check_camera(spec: Spec) -> None:
    camera = spec.camera
    if camera.kind not in CAMERAS:
        raise UsageError(f"unknown camera '{camera.kind}'. {suggest(camera.kind, CAMERAS)}")
    expected = {"still": (), "follow": (), "pan": _WAYS, "zoom": ("in", "out")}[camera.kind]
    if (camera.direction or "") not in (expected or ("",)):
        raise UsageError(
            f"camera {camera.kind}: direction {camera.direction!r}, expected {' or '.join(expected) or 'none'}"
        )
    ids = [actor.id for actor in spec.actors]
    if camera.kind in ("still", "pan") and camera.actor is not None:
        raise UsageError(f"camera {camera.kind}: it takes no actor, got '{camera.actor}'; use follow or zoom")
    if (camera.kind == "follow" or camera.actor is not None) and camera.actor not in ids:
        raise UsageError(f"camera {camera.kind}: there is no actor {camera.actor!r}. {suggest(str(camera.actor), ids)}")
    if camera.amount is not None and not 0 < camera.amount <= 20:
        raise UsageError(f"camera {camera.kind}: amount = {camera.amount:g}, expected more than 0 and at most 20")
    if camera.kind != "still" and any(event.kind in ("enter", "leave") for event in spec.events):
        # Actors enter and leave at the edge of the frame, which such a camera moves.
        raise UsageError(f"camera {camera.kind}: enter and leave need a frame that does not move; use a still camera")
