"""A spec while it is being composed: it chooses actors, and places, sizes and times that fit the frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from chronotope.worlds.language import Choices
from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.cast import CAST
from chronotope.worlds.stage.scope import Scope
from chronotope.worlds.stage.spec import Actor, Event
from chronotope.worlds.stage.sprites import aspect
from chronotope.worlds.stage.tracks import floor_y

__all__ = ["Candidate", "Draft"]

_BACKDROPS_OF: dict[str, tuple[str, ...]] = {
    "land": ("hills", "street", "room", "night", "desert", "snow"),
    "air": ("sky", "hills", "sea", "night", "desert", "snow", "street"),
    "sea": ("sea",),
    "anywhere": ("sky", "hills", "sea", "street", "room", "night", "desert", "snow"),
}
# By gait; plain backdrops fit every gait.
_HABITAT = {
    "walk": "land", "hop": "land", "crawl": "land", "slither": "land", "drive": "land", "roll": "land", "stand": "land",
    "fly": "air", "float": "air", "swim": "sea", "sail": "sea", "slide": "anywhere",
}  # fmt: skip
_TRAVEL_EVENT = {
    "walk": "walk", "hop": "walk", "crawl": "move", "slither": "move", "drive": "move", "roll": "roll", "fly": "fly",
    "float": "fly", "swim": "move", "sail": "move", "slide": "move",
}  # fmt: skip
_AIRBORNE = ("fly", "float")
_INVISIBLE = {("black", "night"), ("white", "snow")}  # a colour that cannot be seen in front of a backdrop
_PLAIN_PROBABILITY = 0.4
_MAX_TRIES = 40


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An actor that is chosen but has no place yet."""

    noun: str
    colour: str | None
    gait: str

    @property
    def travel_event(self) -> str:
        """Return the kind of event by which it moves, or an empty string."""
        return _TRAVEL_EVENT.get(self.gait, "")


@dataclasses.dataclass
class Draft(Choices):
    """A spec while it is being composed."""

    rng: np.random.Generator
    scope: Scope
    width: int
    height: int
    seconds: float  # 0 for a picture
    backdrop: str = ""
    actors: list[Actor] = dataclasses.field(default_factory=list)
    events: list[Event] = dataclasses.field(default_factory=list)

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between the two."""
        return float(self.rng.uniform(low, max(low, high)))

    def choose_actor(self, shapes: bool | None = None) -> Candidate:
        """Return a random actor of the scope: only shapes if True, only nouns if False."""
        wants_shape = self.chance(self.scope.shape_share) if shapes is None else shapes
        if not self.scope.nouns or (self.scope.shapes and wants_shape):
            return Candidate(self.pick(self.scope.shapes), self.pick(self.scope.colours), "slide")
        return self.choose_noun(self.scope.nouns)

    def choose_noun(self, nouns: tuple[str, ...]) -> Candidate:
        """Return an actor with one of these nouns."""
        noun = self.pick(nouns)
        return Candidate(noun, None, CAST[noun].gait)

    def choose_backdrop(self, candidate: Candidate) -> None:
        """Set a backdrop that fits the first actor; with a probability of 0.4 a plain colour, if the scope has one."""
        plain = [name for name in self.scope.backdrops if name in PLAIN_COLOURS and name != candidate.colour]
        habitat = _BACKDROPS_OF[_HABITAT[candidate.gait]]
        suitable = [
            name for name in self.scope.backdrops if name in habitat and (candidate.colour, name) not in _INVISIBLE
        ]
        if plain and (not suitable or self.chance(_PLAIN_PROBABILITY)):
            self.backdrop = self.pick(plain)
        else:
            self.backdrop = self.pick(suitable or plain)

    def fits(self, candidate: Candidate) -> bool:
        """Tell whether an actor fits the backdrop and can be distinguished from it and from the other actors."""
        habitat = _BACKDROPS_OF[_HABITAT[candidate.gait]]
        if self.backdrop not in PLAIN_COLOURS and self.backdrop not in habitat:
            return False
        if candidate.colour == self.backdrop or (candidate.colour, self.backdrop) in _INVISIBLE:
            return False
        return all(candidate.noun != actor.noun for actor in self.actors)

    def choose_companion(self, nouns: tuple[str, ...] | None = None) -> Candidate | None:
        """Return another actor that fits, with one of `nouns` if given; None if none is found."""
        for _ in range(_MAX_TRIES):
            candidate = self.choose_actor() if nouns is None else self.choose_noun(nouns)
            if self.fits(candidate):
                return candidate
        return None

    def choose_unlike(self, candidate: Candidate, nouns: tuple[str, ...] | None = None) -> Candidate | None:
        """Return a companion for the first actor, before it is placed."""
        # The placeholder keeps the noun from being chosen twice.
        self.actors.append(Actor("", candidate.noun, "shape", 0.5, 0.5, 0.1, "red"))
        companion = self.choose_companion(nouns)
        self.actors.clear()
        return companion

    def half_size(self, candidate: Candidate, size: float) -> tuple[float, float]:
        """Return half the actor's width and height in frame widths and heights."""
        wide, tall = aspect(candidate.noun, candidate.colour)
        short = min(self.width, self.height)
        return size * wide * short / self.width / 2, size * tall * short / self.height / 2

    def choose_size(self, crowded: bool = False) -> float:
        """Return a random size within the scope; a small one if there are several actors."""
        largest = self.scope.largest
        if crowded:
            largest = min(self.scope.smallest + 0.1, largest)
        return round(self.uniform(self.scope.smallest, largest), 3)

    @property
    def without_ground(self) -> bool:
        """Tell whether the backdrop has no ground on which actors stand."""
        return self.backdrop in PLAIN_COLOURS or self.backdrop == "sky"

    def can_float(self, candidate: Candidate) -> bool:
        """Tell whether this actor may be anywhere in the frame, not only on the ground."""
        return self.without_ground or candidate.gait in _AIRBORNE

    def choose_y(self, candidate: Candidate, half_height: float, depth: float) -> float:
        """Return the y of the actor's centre, in frame heights: on the ground, in the air or in the water."""
        if self.without_ground:
            if half_height >= 0.5:
                return 0.5
            return self.uniform(max(half_height, 0.35), min(1 - half_height, 0.65))
        if candidate.gait in _AIRBORNE or (candidate.gait == "slide" and self.backdrop == "sea"):
            return self.uniform(half_height + 0.03, 0.5)
        if self.backdrop == "sea":
            return self.uniform(0.62, 0.97 - half_height) if candidate.gait == "swim" else 0.72 - half_height * 0.5
        return floor_y(1.0, depth) - half_height

    def place(
        self, candidate: Candidate, x: float, y: float, size: float, depth: float, facing: str | None = None
    ) -> Actor:
        """Add an actor to the scene; it faces a random side if none is given."""
        side: Any = facing or self.pick(("left", "right"))
        actor = Actor(
            id=f"{candidate.noun}{len(self.actors)}",
            noun=candidate.noun,
            kind="emoji" if candidate.colour is None else "shape",
            x=round(x, 4),
            y=round(y, 4),
            size=size,
            colour=candidate.colour,
            depth=round(depth, 3),
            facing=side,
        )
        self.actors.append(actor)
        return actor

    def choose_span(self) -> tuple[float, float]:
        """Return start and end of an event in seconds: mostly the whole clip, sometimes its first or last 70 %."""
        if self.seconds >= 1.5 and self.chance(0.3):
            beginning, end = (0.0, round(self.seconds * 0.7, 3)), (round(self.seconds * 0.3, 3), self.seconds)
            return beginning if self.pick((True, False)) else end
        return 0.0, self.seconds

    def add_event(
        self,
        kind: str,
        actor: Actor,
        direction: str | None = None,
        span: tuple[float, float] | None = None,
        **details: Any,
    ) -> None:
        """Add an event, over the whole clip unless `span` is given."""
        start, end = span or (0.0, self.seconds)
        way: Any = direction
        self.events.append(Event(kind, actor.id, round(start, 3), round(end, 3), way, **details))
