"""Facts: what a caption claims and what a clip shows, in a form in which the two can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CLASSES", "Fact", "of_class"]

# The classes in which captions are scored.
CLASSES = ("object", "colour", "size", "position", "motion", "interaction", "order", "place", "camera")


@dataclass(frozen=True, order=True)
class Fact:
    """One statement of a class, about the thing `name`: what is said of it, and of what else.

    object       (fox)                       a fox is there
    colour       (ball, red)                 the ball is red
    size         (fox, small)
    position     (fox, left)                 where it is at first
    motion       (fox, walk, left)           what it does; the direction is empty where there is none
    interaction  (fox, eat, apple)           what it does with another thing
    order        (fox, walk left, stop)      what it does first, and what later
    place        (, sky)
    camera       (, pan, left)
    """

    kind: str
    name: str
    what: str = ""
    other: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.name, self.what, self.other)))


def of_class(facts: Iterable[Fact], kind: str) -> frozenset[Fact]:
    """Return the facts of one class."""
    return frozenset(fact for fact in facts if fact.kind == kind)
