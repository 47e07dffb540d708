"""Players: whoever chooses the actions that are recorded."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from chronotope.actions import ActionSchema
from chronotope.geometry import Picture

__all__ = ["POLICIES", "Player", "RandomPlayer", "player_of"]

POLICIES = ("random",)
REPEAT = 0.6  # probability that an action is repeated: motion of single frames cancels itself out


@runtime_checkable
class Player(Protocol):
    """Chooses an action for each frame, such as a person before a screen; None ends the recording."""

    def choose(self, frame: Picture) -> Shaped[np.ndarray, " d"] | None:
        """Return the action to be done in a frame."""
        ...


class RandomPlayer:
    """Uniformly random actions, each repeated for a geometric number of steps."""

    def __init__(self, schema: ActionSchema, seed: int) -> None:
        self._schema = schema
        self._rng = np.random.default_rng(seed)
        self._action: np.ndarray | None = None

    def choose(self, frame: Picture) -> Shaped[np.ndarray, " d"]:
        """Return the next action; the frame plays no part."""
        if self._action is None or self._rng.random() >= REPEAT:
            if self._schema.kind == "continuous":
                self._action = self._rng.uniform(self._schema.low, self._schema.high).astype(np.float32)
            else:
                self._action = np.array([self._rng.integers(len(names)) for names in self._schema.choices])
        return self._action


def player_of(policy: str, schema: ActionSchema, seed: int) -> Player:
    """Return a player by the name of its policy, one of `POLICIES`."""
    assert policy in POLICIES
    return RandomPlayer(schema, seed)
