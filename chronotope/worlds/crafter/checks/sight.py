"""Read frames of Crafter of which nothing is known: a session of a learned world, at any hour.

The light is found in the frames: it is that of a few levels in which textures explain the map best, searched for from
the light of the frame before.
"""

from __future__ import annotations

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.crafter.checks.judge import caused
from chronotope.worlds.crafter.checks.reading import MapReading, read_map, reading_of
from chronotope.worlds.crafter.deeds import TOOLS, faced
from chronotope.worlds.crafter.scene import ITEMS, MATERIALS, THINGS, Scenes
from chronotope.worlds.crafter.spec import View, view_of
from chronotope.worlds.playable import Sight

__all__ = ["sight"]

LIGHTS = tuple(level / 10 for level in range(11))
FOODS = ("cow", "plant-ripe")


def sight(frames: Frames) -> Sight:
    """Return what frames show. Sleep explains energy, and a table in view a tool; health needs no cause."""
    view = view_of(frames.shape[2], frames.shape[1])
    found: list[MapReading] = []
    for frame in frames:
        found.append(_read(frame, view, found[-1].daylight if found else None))
    reading = reading_of(frames, view, found)
    causes = [{}, *(_causes(reading.scenes, t) for t in range(1, len(frames)))]
    return Sight(
        cells=reading.scenes.materials,
        positions=reading.positions,
        residual=reading.residual,
        counters=reading.scenes.inventory,
        names=ITEMS,
        gains=np.array([len(one) for one in causes]),
        explained=np.array([sum(one.values()) for one in causes]),
        player=reading.player_seen,
    )


def _read(frame: np.ndarray, view: View, before: float | None) -> MapReading:
    """Read a frame in the light that explains it best; climb from the light of the frame before."""
    if before is None:
        return read_map(frame, view, LIGHTS)
    place = LIGHTS.index(before)
    best = read_map(frame, view, LIGHTS[max(place - 1, 0) : place + 2])
    return best if best.daylight == before else _read(frame, view, best.daylight)


def _causes(scenes: Scenes, t: int) -> dict[str, bool]:
    """Return what was gathered, made or eaten in frame t, and whether what was in view the frame before explains it."""
    causes = caused(scenes, t)
    grown = scenes.inventory[t].astype(int) - scenes.inventory[t - 1]
    table = bool((scenes.materials[t - 1] == MATERIALS.index("table")).any())
    causes |= {tool: table for tool in TOOLS if grown[ITEMS.index(tool)] > 0}
    if grown[ITEMS.index("food")] > 0:
        cell = faced(scenes, t - 1)
        causes["food"] = cell is not None and THINGS[scenes.things[t - 1][cell]] in FOODS
    if grown[ITEMS.index("energy")] > 0:
        causes["energy"] = bool(scenes.asleep[t - 1 : t + 1].any())
    return causes
