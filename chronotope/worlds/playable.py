"""A world that is being played: one action in, one frame out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Shaped

from chronotope.actions import ActionSchema
from chronotope.geometry import Picture

__all__ = ["Moment", "Playable"]


@dataclass(frozen=True)
class Moment:
    """What an action led to: a frame, the reward that came with it, and whether the game is over."""

    frame: Picture
    reward: float = 0.0
    over: bool = False


class Playable(ABC):
    """A game in progress, from the first frame of a spec on."""

    schema: ClassVar[ActionSchema]

    @abstractmethod
    def look(self) -> Moment:
        """Return the present frame, without acting."""

    @abstractmethod
    def step(self, action: Shaped[np.ndarray, " d"]) -> Moment:
        """Do one action and return what it led to; raise UsageError for one that is not of the schema."""
