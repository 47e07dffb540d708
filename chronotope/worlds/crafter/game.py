"""The simulator: Crafter without its renderer, so that events depend on seed and actions alone and not on the frame.

Crafter draws the grain of its nights from the random numbers of its events, and iterates over sets of objects, whose
order differs from run to run. Here frames are drawn from scenes, and objects keep the order in which they came.
"""

from __future__ import annotations

from collections import defaultdict
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import UInt8

from chronotope.errors import FileProblem
from chronotope.worlds.crafter.scene import ACHIEVEMENTS, ACTIONS, ITEMS, MATERIALS, THINGS

__all__ = ["Cell", "Game", "install_line"]

Cell = tuple[int, int]  # column and row on the map
FACING = {(-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}


def install_line() -> str:
    """Say how to install Crafter; empty where it is installed."""
    if find_spec("crafter") is None:
        return "the world 'crafter' needs the package crafter: pip install 'chronotope[crafter]'"
    return ""


class _InOrder(dict[Any, None]):
    """A set that iterates in the order of insertion."""

    def add(self, item: Any) -> None:
        self[item] = None

    def remove(self, item: Any) -> None:
        del self[item]


class Game:
    """One game of Crafter on a map of `area` x `area` cells."""

    def __init__(self, seed: int, area: int) -> None:
        if why := install_line():
            raise FileProblem(why)
        import crafter

        self._env: Any = crafter.Env(area=(area, area), seed=seed)
        self._env._obs = lambda: None  # do not render
        self._env.reset()
        world = self._env._world
        ordered: dict[Any, _InOrder] = defaultdict(_InOrder)
        for chunk in world.chunks:
            ordered[chunk] = _InOrder()
        for thing in world.objects:
            ordered[world.chunk_key(thing.pos)].add(thing)
        world._chunks = ordered
        self.area = area
        self.steps = 0
        self.over = False

    def act(self, action: str) -> float:
        """Do one action and return its reward, as Crafter defines it."""
        _, reward, self.over, _ = self._env.step(ACTIONS.index(action))
        self.steps += 1
        return float(reward)

    @property
    def position(self) -> Cell:
        """Return the cell of the player."""
        x, y = self._env._player.pos
        return int(x), int(y)

    @property
    def facing(self) -> Cell:
        """Return the step to the cell that the player faces."""
        x, y = self._env._player.facing
        return int(x), int(y)

    @property
    def asleep(self) -> bool:
        """Tell whether the player sleeps."""
        return bool(self._env._player.sleeping)

    @property
    def daylight(self) -> float:
        """Return the light, from 0 to 1."""
        return float(self._env._world.daylight)

    def owns(self, item: str) -> int:
        """Return how many of an item the player has."""
        return int(self._env._player.inventory[item.replace(" ", "_")])

    def inventory(self) -> UInt8[np.ndarray, " items"]:
        """Return how many there are of each item."""
        return np.array([self.owns(item) for item in ITEMS], np.uint8)

    def achievements(self) -> UInt8[np.ndarray, " achievements"]:
        """Return how often each achievement was unlocked, up to 255."""
        found = self._env._player.achievements
        return np.array([min(found[name.replace(" ", "_")], 255) for name in ACHIEVEMENTS], np.uint8)

    def at(self, cell: Cell) -> tuple[str, str]:
        """Return the material of a cell and the thing on it."""
        if not (0 <= cell[0] < self.area and 0 <= cell[1] < self.area):
            return "outside", "nothing"
        found, thing = self._env._world[cell]
        return str(found), str(thing.texture) if thing else "nothing"

    def maps(self) -> tuple[UInt8[np.ndarray, "rows columns"], UInt8[np.ndarray, "rows columns"]]:
        """Return materials and things of the whole map."""
        world = self._env._world
        materials = world._mat_map.T.copy()
        assert materials.max() < len(MATERIALS)
        things = np.zeros_like(materials)
        for thing in world.objects:
            things[thing.pos[1], thing.pos[0]] = THINGS.index(thing.texture)
        return materials, things
