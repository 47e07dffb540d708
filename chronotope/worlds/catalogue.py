"""The list of all worlds. To add one, import its public interface here and add it to the tuple."""

from __future__ import annotations

from chronotope.errors import UsageError, suggest
from chronotope.worlds.crafter.world import CRAFTER
from chronotope.worlds.doom.world import DOOM
from chronotope.worlds.stage.world import STAGE
from chronotope.worlds.table.pusher.world import PUSHER
from chronotope.worlds.table.world import TABLE
from chronotope.worlds.world import World

__all__ = ["WORLDS", "all_worlds", "find_world"]

WORLDS: tuple[World, ...] = (STAGE, TABLE, CRAFTER, DOOM, PUSHER)


def all_worlds() -> tuple[World, ...]:
    """Return the worlds in their order."""
    return WORLDS


def find_world(name: str) -> World:
    """Return the world of this name.

    Raises UsageError, with the nearest name, if there is none.
    """
    found = {world.name: world for world in all_worlds()}
    if name not in found:
        raise UsageError(f"unknown world '{name}'. {suggest(name, found)}")
    return found[name]
