"""What Crafter shows: the materials and things in the cells of the view, what the player owns, and the light."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

__all__ = [
    "ACHIEVEMENTS",
    "ACTIONS",
    "ITEMS",
    "MATERIALS",
    "PLAYERS",
    "THINGS",
    "WALKABLE",
    "Scenes",
    "material",
    "thing",
]

# Crafter's own order: the number of a material or an action is its place. Outside the map there is no material.
MATERIALS = (
    "outside", "water", "grass", "stone", "path", "sand", "tree", "lava", "coal", "iron", "diamond", "table", "furnace",
)  # fmt: skip
WALKABLE = ("grass", "path", "sand")
# Things stand on a material; these are the names of their textures.
PLAYERS = ("player-left", "player-right", "player-up", "player-down", "player-sleep")
THINGS = (
    "nothing", *PLAYERS, "cow", "zombie", "skeleton", "arrow-left", "arrow-right", "arrow-up", "arrow-down", "plant",
    "plant-ripe", "fence",
)  # fmt: skip
ITEMS = (
    "health", "food", "drink", "energy", "sapling", "wood", "stone", "coal", "iron", "diamond", "wood pickaxe",
    "stone pickaxe", "iron pickaxe", "wood sword", "stone sword", "iron sword",
)  # fmt: skip
ACTIONS = (
    "noop", "move left", "move right", "move up", "move down", "do", "sleep", "place stone", "place table",
    "place furnace", "place plant", "make wood pickaxe", "make stone pickaxe", "make iron pickaxe", "make wood sword",
    "make stone sword", "make iron sword",
)  # fmt: skip
ACHIEVEMENTS = (
    "collect coal", "collect diamond", "collect drink", "collect iron", "collect sapling", "collect stone",
    "collect wood", "defeat skeleton", "defeat zombie", "eat cow", "eat plant", "make iron pickaxe", "make iron sword",
    "make stone pickaxe", "make stone sword", "make wood pickaxe", "make wood sword", "place furnace", "place plant",
    "place stone", "place table", "wake up",
)  # fmt: skip


def material(name: str) -> int:
    """Return the number of a material."""
    return MATERIALS.index(name)


def thing(name: str) -> int:
    """Return the number of a thing."""
    return THINGS.index(name)


@dataclass(frozen=True)
class Scenes:
    """The view at every frame, complete: frames are drawn from this and from nothing else.

    `noise` seeds the grain of the night in each frame.
    """

    materials: UInt8[np.ndarray, "t rows columns"]
    things: UInt8[np.ndarray, "t rows columns"]
    inventory: UInt8[np.ndarray, "t 16"]
    daylight: Float[np.ndarray, " t"]  # 0 is the darkest night, 1 is noon
    asleep: Bool[np.ndarray, " t"]
    noise: Int[np.ndarray, "t 2"]

    def __len__(self) -> int:
        return len(self.materials)

    def copy(self) -> Scenes:
        """Return scenes whose cells and inventory can be edited."""
        return replace(
            self, materials=self.materials.copy(), things=self.things.copy(), inventory=self.inventory.copy()
        )

    def at(self, frames: np.ndarray) -> Scenes:
        """Return the scenes of these frames, in this order."""
        return Scenes(*(getattr(self, name)[frames] for name in self.__dataclass_fields__))
