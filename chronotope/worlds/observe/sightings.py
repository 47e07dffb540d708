"""What a video shows where no spec says what to expect: which thing does what, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

from chronotope.geometry import AnyFrames

__all__ = ["ACTS", "Act", "Observer", "Sighting", "Step"]

Act = Literal["is there", "appears", "disappears", "moves"]
ACTS: tuple[Act, ...] = get_args(Act)


@dataclass(frozen=True)
class Sighting:
    """A thing that does something from `start` to `end` seconds; the colour is empty for things with their own."""

    thing: str
    act: Act
    start: float
    end: float
    direction: str = ""
    colour: str = ""

    def __str__(self) -> str:
        what = " ".join(filter(None, (self.colour, self.thing, self.act, self.direction)))
        return f"{what} at {self.start:.2f} s"


@dataclass(frozen=True)
class Step:
    """A thing that does something, as a rule names it; an empty direction or colour stands for any."""

    thing: str
    act: Act
    direction: str = ""
    colour: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.colour, self.thing, self.act, self.direction)))

    def includes(self, seen: Sighting | Step) -> bool:
        """Return whether a sighting, or what another step names, is a case of this step."""
        return (
            (self.thing, self.act) == (seen.thing, seen.act)
            and self.direction in ("", seen.direction)
            and self.colour in ("", seen.colour)
        )


@runtime_checkable
class Observer(Protocol):
    """Looks at a video piece by piece; its memory does not grow with the size of the frames."""

    def add(self, frames: AnyFrames) -> None:
        """Look at the next frames."""

    def sightings(self) -> tuple[Sighting, ...]:
        """Return what was seen so far."""
