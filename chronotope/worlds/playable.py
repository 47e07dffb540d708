"""A world that is being played: one action in, one frame out; and what frames show on its grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from chronotope.actions import ActionSchema
from chronotope.geometry import Picture

__all__ = ["Moment", "Playable", "Sight"]


@dataclass(frozen=True)
class Moment:
    """What an action led to: a frame, the reward that came with it, and whether the game is over."""

    frame: Picture
    reward: float = 0.0
    over: bool = False


@dataclass(frozen=True)
class Sight:
    """What frames show of a world on a grid, read without knowing how they were made.

    `cells` numbers the ground of each cell in view, and `positions` is the column and row of the player from the first
    frame. `residual` is the mean difference of each cell from the nearest picture that the world can draw, in levels of
    255. `counters` are the numbers that the player is told, by name; `gains[t]` counts those that rise in frame t by
    gathering or making, and `explained[t]` those of them that what was in view explains. `player[t]` tells whether the
    player is seen.
    """

    cells: UInt8[np.ndarray, "t rows columns"]
    positions: Int[np.ndarray, "t 2"]
    residual: Float[np.ndarray, "t rows columns"]
    counters: UInt8[np.ndarray, "t n"]
    names: tuple[str, ...]
    gains: Int[np.ndarray, " t"]
    explained: Int[np.ndarray, " t"]
    player: Bool[np.ndarray, " t"]


class Playable(ABC):
    """A game in progress, from the first frame of a spec on."""

    schema: ClassVar[ActionSchema]

    @abstractmethod
    def look(self) -> Moment:
        """Return the present frame, without acting."""

    @abstractmethod
    def step(self, action: Shaped[np.ndarray, " d"]) -> Moment:
        """Do one action and return what it led to; raise UsageError for one that is not of the schema."""
