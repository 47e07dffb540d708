"""A scene while it is being composed: it chooses who appears, and finds places, sizes and times that fit the frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from chronotope.worlds.stage.backdrops import PLAIN
from chronotope.worlds.stage.cast import CAST
from chronotope.worlds.stage.scope import Scope
from chronotope.worlds.stage.spec import Actor, Event
from chronotope.worlds.stage.sprites import aspect
from chronotope.worlds.stage.tracks import floor_y

__all__ = ["Draft", "Who"]


# Where each way of getting about belongs; plain colours suit everybody.
_PLACES: dict[str, tuple[str, ...]] = {
    "land": ("hills", "street", "room", "night", "desert", "snow"),
    "air": ("sky", "hills", "sea", "night", "desert", "snow", "street"),
    "sea": ("sea",),
    "anywhere": ("sky", "hills", "sea", "street", "room", "night", "desert", "snow"),
}


# fmt: off
_HABITAT = {"walk": "land", "hop": "land", "crawl": "land", "slither": "land", "drive": "land", "roll": "land", "stand": "land",
            "fly": "air", "float": "air", "swim": "sea", "sail": "sea", "slide": "anywhere"}


_GOING = {"walk": "walk", "hop": "walk", "crawl": "move", "slither": "move", "drive": "move", "roll": "roll", "fly": "fly",
          "float": "fly", "swim": "move", "sail": "move", "slide": "move"}


# fmt: on
_AIRBORNE = ("fly", "float")


_CLASHES = {("black", "night"), ("white", "snow")}  # a colour that one could not see there


@dataclasses.dataclass(frozen=True)
class Who:
    """A chosen noun before it has a place."""

    noun: str
    colour: str | None
    gait: str

    @property
    def going(self) -> str:
        """The kind of event by which it gets about, or nothing."""
        return _GOING.get(self.gait, "")


@dataclasses.dataclass
class Draft:
    """A scene being composed."""

    rng: np.random.Generator
    scope: Scope
    width: int
    height: int
    seconds: float  # 0 for a picture
    backdrop: str = ""
    actors: list[Actor] = dataclasses.field(default_factory=list)
    events: list[Event] = dataclasses.field(default_factory=list)

    def pick(self, choices: Any) -> Any:
        """One of them, all equally likely."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        """True this often."""
        return bool(self.rng.random() < share)

    def within(self, low: float, high: float) -> float:
        """A number between the two."""
        return float(self.rng.uniform(low, max(low, high)))

    def who(self, shapes: bool | None = None) -> Who:
        """Anybody of the scope; or only a shape, or only a noun."""
        wants_shape = self.chance(self.scope.shape_share) if shapes is None else shapes
        if not self.scope.nouns or (self.scope.shapes and wants_shape):
            return Who(self.pick(self.scope.shapes), self.pick(self.scope.colours), "slide")
        noun = self.pick(self.scope.nouns)
        return Who(noun, None, CAST[noun].gait)

    def choose_backdrop(self, who: Who) -> None:
        """A place that suits the first actor: two fifths plain colours, where there are any."""
        plain = [name for name in self.scope.backdrops if name in PLAIN and name != who.colour]
        places = [
            name
            for name in self.scope.backdrops
            if name in _PLACES[_HABITAT[who.gait]] and (who.colour, name) not in _CLASHES
        ]
        self.backdrop = self.pick(plain) if plain and (not places or self.chance(0.4)) else self.pick(places or plain)

    def suits(self, who: Who) -> bool:
        """Whether somebody can be at the chosen place, and be told from it and from those who are there."""
        there = self.backdrop in PLAIN or self.backdrop in _PLACES[_HABITAT[who.gait]]
        seen = who.colour != self.backdrop and (who.colour, self.backdrop) not in _CLASHES
        return there and seen and all(who.noun != a.noun for a in self.actors)

    def companion(self, nouns: tuple[str, ...] | None = None) -> Who | None:
        """Somebody else who suits the place, of these nouns if given; or nobody."""
        for _ in range(40):
            who = self.who() if nouns is None else Who(noun := self.pick(nouns), None, CAST[noun].gait)
            if self.suits(who):
                return who
        return None

    def halves(self, who: Who, size: float) -> tuple[float, float]:
        """Half the actor's width and height as fractions of the frame's."""
        wide, tall = aspect(who.noun, who.colour)
        short = min(self.width, self.height)
        return size * wide * short / self.width / 2, size * tall * short / self.height / 2

    def size(self, crowd: int = 1) -> float:
        """A size of the scope; smaller when several must find room."""
        largest = self.scope.largest if crowd == 1 else self.scope.smallest + 0.1
        return round(self.within(self.scope.smallest, min(largest, self.scope.largest)), 3)

    def floating(self, who: Who) -> bool:
        """Whether this actor is free of the ground here."""
        return self.backdrop in PLAIN or self.backdrop == "sky" or who.gait in _AIRBORNE

    def level(self, who: Who, half: float, depth: float) -> float:
        """The height in the frame at which this actor belongs."""
        if self.backdrop in PLAIN or self.backdrop == "sky":
            return self.within(max(half, 0.35), min(1 - half, 0.65)) if half < 0.5 else 0.5
        if who.gait in _AIRBORNE or (who.gait == "slide" and self.backdrop == "sea"):
            return self.within(half + 0.03, 0.5)
        if self.backdrop == "sea":
            return self.within(0.62, 0.97 - half) if who.gait == "swim" else 0.72 - half * 0.5
        return floor_y(1.0, depth) - half

    def place(self, who: Who, x: float, y: float, size: float, depth: float, facing: str | None = None) -> Actor:
        """Put somebody on the stage."""
        kind: Any = "emoji" if who.colour is None else "shape"
        side: Any = facing or self.pick(("left", "right"))
        actor = Actor(
            f"{who.noun}{len(self.actors)}",
            who.noun,
            kind,
            round(x, 4),
            round(y, 4),
            size,
            who.colour,
            round(depth, 3),
            side,
        )
        self.actors.append(actor)
        return actor

    def when(self) -> tuple[float, float]:
        """Mostly the whole clip; sometimes only its beginning or its end."""
        if self.seconds >= 1.5 and self.chance(0.3):
            return self.pick(((0.0, round(self.seconds * 0.7, 3)), (round(self.seconds * 0.3, 3), self.seconds)))
        return 0.0, self.seconds

    def add(self, kind: str, actor: Actor, direction: str | None = None, **more: Any) -> None:
        """Let something happen, over the whole clip unless told otherwise."""
        start, end = more.pop("span", None) or (0.0, self.seconds)
        way: Any = direction
        self.events.append(Event(kind, actor.id, round(start, 3), round(end, 3), way, **more))
