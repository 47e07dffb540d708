"""One random scene within a scope: who, where, doing what, so that things fit the frame, the place and each other."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from chronotope.worlds.backdrops import PLAIN
from chronotope.worlds.cast import aspect
from chronotope.worlds.cast_table import CAST
from chronotope.worlds.spec import Actor, Camera, Event, Spec

if TYPE_CHECKING:
    from chronotope.worlds.sample import Scope

__all__ = ["compose"]

# Where each way of getting about belongs; plain colours suit everybody.
_PLACES: dict[str, tuple[str, ...]] = {
    "land": ("hills", "street", "room", "night", "desert", "snow"),
    "air": ("sky", "hills", "sea", "night", "desert", "snow", "street"),
    "sea": ("sea",),
    "anywhere": ("sky", "hills", "sea", "street", "room", "night", "desert", "snow"),
}
_HABITAT = {"walk": "land", "hop": "land", "crawl": "land", "slither": "land", "drive": "land", "roll": "land", "stand": "land",
            "fly": "air", "float": "air", "swim": "sea", "sail": "sea"}  # fmt: skip
_GOING = {"walk": "walk", "hop": "walk", "crawl": "move", "slither": "move", "drive": "move", "roll": "roll", "fly": "fly", "float": "fly",
          "swim": "move", "sail": "move"}  # fmt: skip
_LIFT = ("fly", "float")


@dataclasses.dataclass(frozen=True)
class _Who:
    """A chosen noun before it has a place."""

    noun: str
    kind: Any
    colour: str | None
    gait: str

    @property
    def habitat(self) -> str:
        return "anywhere" if self.kind == "shape" else _HABITAT[self.gait]


def compose(rng: np.random.Generator, scope: Scope) -> Spec:
    """Draw one spec."""
    width, height = scope.sizes[int(rng.integers(len(scope.sizes)))]
    picture = rng.random() < scope.picture_share
    frames = 1 if picture else _length(rng, scope)
    first = _who(rng, scope)
    count = 1 + int(rng.random() < 0.4) * int(rng.integers(1, scope.max_actors)) if scope.max_actors > 1 else 1
    backdrop = _backdrop(rng, scope, first)
    others = [_companion(rng, scope, backdrop, [first]) for _ in range(count - 1)]
    actors, events = _arrange(rng, scope, backdrop, [first, *others], (width, height), 0.0 if picture else frames / scope.fps)
    camera = Camera() if picture else _camera(rng, scope, actors, events)
    return Spec(width, height, scope.fps, frames, int(rng.integers(2**31)), backdrop, camera, tuple(actors), tuple(events))


def _pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _length(rng: np.random.Generator, scope: Scope) -> int:
    """Half the clips have the full length; most lengths are 4 n or 4 n + 1, which cut into the fewest slices."""
    if rng.random() < 0.5:
        return scope.max_frames - int(rng.integers(2))
    frames = int(rng.integers(scope.min_frames, scope.max_frames + 1))
    return min(scope.max_frames, frames // 4 * 4 + int(rng.integers(2))) if frames >= 4 and rng.random() < 0.8 else frames


def _who(rng: np.random.Generator, scope: Scope) -> _Who:
    if not scope.nouns or (scope.shapes and rng.random() < scope.shape_share):
        return _Who(_pick(rng, scope.shapes), "shape", _pick(rng, scope.colours), "slide")
    noun = _pick(rng, scope.nouns)
    return _Who(noun, "emoji", None, CAST[noun].gait)


def _backdrop(rng: np.random.Generator, scope: Scope, who: _Who) -> str:
    plain = [name for name in scope.backdrops if name in PLAIN and name != who.colour]
    places = [name for name in scope.backdrops if name in _PLACES[who.habitat]]
    return _pick(rng, plain) if plain and (not places or rng.random() < 0.4) else _pick(rng, places or plain)


def _companion(rng: np.random.Generator, scope: Scope, backdrop: str, taken: list[_Who]) -> _Who:
    """Another actor that suits the place and is not the same thing in the same colour."""
    for _ in range(50):
        who = _who(rng, scope)
        fits = backdrop in PLAIN or backdrop in _PLACES[who.habitat]
        if fits and who.colour != backdrop and all(who.noun != t.noun for t in taken):
            return who
    return _who(rng, scope) if backdrop in PLAIN or not scope.shapes else _Who(_pick(rng, scope.shapes), "shape", _pick(rng, scope.colours), "slide")


def _arrange(
    rng: np.random.Generator, scope: Scope, backdrop: str, cast: list[_Who], frame: tuple[int, int], seconds: float
) -> tuple[list[Actor], list[Event]]:
    """Give everybody a place; the first actor acts, the others stand in their own part of the frame."""
    largest = scope.largest if len(cast) == 1 else min(scope.largest, scope.smallest + 0.1)
    actors: list[Actor] = []
    events: list[Event] = []
    columns = [0.5] if len(cast) == 1 else list(rng.permutation(np.linspace(0.27, 0.73, len(cast))))
    for index, who in enumerate(cast):
        size = float(round(rng.uniform(scope.smallest, largest), 3))
        depth = 0.3 if len(cast) == 1 else (0.15 if index == 0 else 0.5 + 0.2 * index)
        if len(cast) > 1 and index == 0 and rng.random() < 0.25:
            depth = 0.95  # the one that acts passes behind
        half_w, half_h = _halves(who, size, frame)
        y = _height(rng, who, backdrop, half_h, depth)
        acts = seconds > 0 and (index == 0 or rng.random() < 0.3)
        event = _event(rng, scope, who, backdrop, f"{who.noun}{index}", seconds, alone=len(cast) == 1 or index == 0) if acts else None
        x, y, event = _route(rng, event, float(columns[index]), y, half_w, half_h, seconds, single=len(cast) == 1)
        facing = event.direction if event and event.direction in ("left", "right") else _pick(rng, ("left", "right"))
        actors.append(Actor(f"{who.noun}{index}", who.noun, who.kind, round(x, 4), round(y, 4), size, who.colour, depth, facing))
        events += [event] if event else []
    return actors, events


def _halves(who: _Who, size: float, frame: tuple[int, int]) -> tuple[float, float]:
    """Half the actor's width and height as fractions of the frame's."""
    wide, tall = aspect(who.noun, who.colour)
    short = min(frame)
    return size * wide * short / frame[0] / 2, size * tall * short / frame[1] / 2


def _height(rng: np.random.Generator, who: _Who, backdrop: str, half: float, depth: float) -> float:
    if backdrop in PLAIN or backdrop == "sky":
        return float(rng.uniform(max(half, 0.35), min(1 - half, 0.65))) if half < 0.5 else 0.5
    if who.gait in _LIFT or (who.kind == "shape" and backdrop == "sea"):
        return float(rng.uniform(half + 0.03, max(half + 0.04, 0.5)))
    if backdrop == "sea":
        return float(rng.uniform(0.62, max(0.63, 0.97 - half))) if who.gait == "swim" else 0.72 - half * 0.5
    return 0.94 - 0.2 * depth - half


def _event(
    rng: np.random.Generator, scope: Scope, who: _Who, backdrop: str, name: str, seconds: float, alone: bool
) -> Event | None:
    """What this actor does, if anything, and when."""
    free = backdrop in PLAIN or backdrop == "sky" or who.gait in _LIFT
    going = "move" if who.kind == "shape" else _GOING.get(who.gait, "")
    menu: list[tuple[str, str | None]] = []
    sideways, upright = ("left", "right"), ("up", "down")
    if going and alone:
        menu += [(going, d) for d in sideways] * 4
        menu += [(kind, d) for kind in ("enter", "leave") for d in sideways]
    if free and (going in ("fly", "move") or who.kind == "shape"):
        menu += [(going, d) for d in upright] * (3 if who.noun in ("rocket", "balloon") or who.kind == "shape" else 1)
    if who.kind == "shape" or who.gait in ("roll", "stand", "float"):
        menu += [("grow", None), ("shrink", None)] * 2
        menu += [("spin", None)] if who.noun != "circle" else []
    if (who.kind == "shape" or who.gait == "roll") and (backdrop != "sea"):
        menu += [("bounce", None)] * 2
    menu = [(kind, d) for kind, d in menu if kind in scope.events]
    if not menu or rng.random() < 0.08:
        return None
    kind, direction = _pick(rng, menu)
    start, end = 0.0, seconds
    if seconds >= 1.5 and rng.random() < 0.3:
        start, end = _pick(rng, ((0.0, seconds * 0.7), (seconds * 0.3, seconds)))
    return Event(kind, name, round(start, 3), round(end, 3), direction)


def _route(
    rng: np.random.Generator, event: Event | None, x: float, y: float, half_w: float, half_h: float, seconds: float, single: bool
) -> tuple[float, float, Event | None]:
    """Choose the start and the distance so that the whole path is inside the frame."""
    if event is None:
        return (float(rng.uniform(0.4, 0.6)) if single else x), y, event
    if event.kind in ("walk", "fly", "move", "roll"):
        level = event.direction in ("left", "right")
        half = half_w if level else half_h
        low, high = min(0.45, half), max(0.55, 1 - half)
        reach = high - low
        distance = float(np.clip(rng.uniform(0.25, 0.6) * (event.end - event.start), 0.12, reach))
        start = low + float(rng.uniform(0, reach - distance))
        start = start if event.direction in ("right", "down") else 1 - start
        event = dataclasses.replace(event, amount=round(distance, 4))
        return (start, y, event) if level else (x if not single else float(rng.uniform(0.35, 0.65)), start, event)
    if event.kind == "bounce":
        return x, half_h + float(rng.uniform(0.0, 0.12)), event
    if event.kind in ("grow", "shrink"):
        factor = float(rng.uniform(1.5, 1.9))
        return x, y, dataclasses.replace(event, amount=round(factor if event.kind == "grow" else 1 / factor, 3))
    return x, y, event


def _camera(rng: np.random.Generator, scope: Scope, actors: list[Actor], events: list[Event]) -> Camera:
    kinds = [kind for kind in scope.cameras if kind != "still"]
    # A thing that enters or leaves does so at the edge of the frame, which must then stay where it is.
    if not kinds or rng.random() >= scope.moving_camera_share or any(e.kind in ("enter", "leave") for e in events):
        return Camera()
    kind = _pick(rng, kinds)
    if kind == "follow":
        movers = [e.actor for e in events if e.direction in ("left", "right")]
        return Camera("follow", actor=movers[0]) if movers else Camera()
    if kind == "pan":
        if any(e.direction in ("left", "right") for e in events):
            return Camera()  # a thing that moves with the camera would seem to stand still
        return Camera("pan", _pick(rng, ("left", "right")), amount=round(float(rng.uniform(0.2, 0.35)), 3))
    return Camera("zoom", _pick(rng, ("in", "out")), amount=round(float(rng.uniform(1.3, 1.7)), 3))
