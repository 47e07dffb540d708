"""What the player does and what there is to see, from scenes: the truth of a clip, or what a detector read in a video.

A deed counts where a viewer can see it: a drink that leaves the counter at 9 is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from chronotope.worlds.crafter.scene import ITEMS, MATERIALS, PLAYERS, THINGS, Scenes, material, thing

__all__ = ["Deed", "Pair", "Sight", "deeds", "faced", "pairs", "place", "sights", "time_of_day"]

DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}  # rows and columns
LEAST_WALK = 2  # cells from the first to the last cell of a walk
# What a counter that rises tells, and what the player faced before; of food it depends on what was faced.
GATHERED = {
    "drink": ("drink", "water"),
    "wood": ("chop", "tree"),
    "sapling": ("pick", "sapling"),
    "stone": ("mine", "stone"),
    "coal": ("mine", "coal"),
    "iron": ("mine", "iron"),
    "diamond": ("mine", "diamond"),
}
TOOLS = tuple(item for item in ITEMS if item.endswith(("pickaxe", "sword")))
PLACED = ("stone", "table", "furnace")
CREATURES = ("cow", "zombie", "skeleton")
SEEN = ("water", "sand", "stone", "path", "tree", "lava", "coal", "iron", "diamond", "table", "furnace")
ROCK = ("stone", "path", "coal", "iron", "diamond", "lava")
Pair = tuple[str, str]


@dataclass(frozen=True)
class Deed:
    """What the player did: a kind and with what, or which way; from the frame where it begins to the one where its
    effect is seen.
    """

    kind: str
    what: str
    start: int
    end: int


@dataclass(frozen=True)
class Sight:
    """A kind of thing in a picture: how many cells show it, and on which side of the player if on one alone."""

    name: str
    count: int
    side: str


def faced(scenes: Scenes, t: int) -> tuple[int, int] | None:
    """Return row and column of the cell that the player faces, or None where that is unknown or out of view."""
    _, rows, columns = scenes.things.shape
    row, column = rows // 2, columns // 2
    name = THINGS[scenes.things[t, row, column]]
    if name not in PLAYERS[:4]:
        return None
    down, right = DIRECTIONS[name.removeprefix("player-")]
    return row + down, column + right


def deeds(scenes: Scenes, positions: Int[np.ndarray, "t 2"]) -> tuple[Deed, ...]:
    """Return the deeds in order; equal ones in a row are one. Positions are column and row on the map."""
    found: list[Deed] = []
    for deed in _changes(scenes):
        before = found[-1] if found else None
        if before and (before.kind, before.what) == (deed.kind, deed.what):
            if not _walk(positions, before.end, deed.start):
                found[-1] = Deed(deed.kind, deed.what, before.start, deed.end)
                continue
        found.append(deed)
    ordered: list[Deed] = []
    start = 0
    for next_deed in (*found, None):
        end = next_deed.start if next_deed else len(scenes) - 1
        if walk := _walk(positions, start, end):
            ordered.append(Deed("walk", walk, start, end))
        if next_deed:
            ordered.append(next_deed)
            start = next_deed.end
    return tuple(ordered)


def _walk(positions: Int[np.ndarray, "t 2"], start: int, end: int) -> str:
    """Return in which direction a walk leads mainly, or nothing where it leads nowhere."""
    right, down = (int(step) for step in positions[end] - positions[start])
    if max(abs(right), abs(down)) < LEAST_WALK or abs(right) == abs(down):
        return ""
    if abs(right) > abs(down):
        return "right" if right > 0 else "left"
    return "down" if down > 0 else "up"


def _changes(scenes: Scenes) -> Iterator[Deed]:
    """Yield the deeds beside walks, each with the frame before its effect and the frame of its effect."""
    for t in range(1, len(scenes)):
        if scenes.asleep[t] and not scenes.asleep[t - 1]:
            yield Deed("sleep", "", t - 1, t)
        elif scenes.asleep[t - 1] and not scenes.asleep[t]:
            yield Deed("wake", "", t - 1, t)
        grown = scenes.inventory[t].astype(int) - scenes.inventory[t - 1]
        cell = faced(scenes, t - 1)
        for item, (kind, what) in GATHERED.items():
            if grown[ITEMS.index(item)] > 0:
                yield Deed(kind, what, t - 1, t)
        for tool in TOOLS:
            if grown[ITEMS.index(tool)] > 0:
                yield Deed("make", tool, t - 1, t)
        if cell is not None:
            yield from _effects(scenes, t, cell, grown)


def _effects(scenes: Scenes, t: int, cell: tuple[int, int], grown: Int[np.ndarray, " items"]) -> Iterator[Deed]:
    """Yield what happened to the cell that the player faced at frame t - 1 and still faces."""
    before = THINGS[scenes.things[t - 1][cell]]
    if before in ("cow", "plant-ripe") and grown[ITEMS.index("food")] > 0:
        yield Deed("eat", before.removesuffix("-ripe"), t - 1, t)
    if faced(scenes, t) != cell:
        return
    for name in PLACED:
        number = material(name)
        cost = "wood" if name == "table" else "stone"
        placed = scenes.materials[t][cell] == number != scenes.materials[t - 1][cell]
        if placed and grown[ITEMS.index(cost)] < 0:
            yield Deed("place", name, t - 1, t)
    if THINGS[scenes.things[t][cell]] == "plant" and before != "plant" and grown[ITEMS.index("sapling")] < 0:
        yield Deed("place", "sapling", t - 1, t)
    if before in ("zombie", "skeleton"):
        row, column = cell
        near = scenes.things[t][max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        if not (near == thing(before)).any():
            yield Deed("defeat", before, t - 1, t)


def sights(scenes: Scenes, t: int) -> tuple[Sight, ...]:
    """Return what the picture of a frame shows beside grass, the most frequent first, creatures before materials."""
    _, rows, columns = scenes.things.shape
    found: list[Sight] = []
    layers = [(scenes.things[t], THINGS, (*CREATURES, "plant", "plant-ripe")), (scenes.materials[t], MATERIALS, SEEN)]
    for cells, names, wanted in layers:
        group = []
        for name in wanted:
            where = np.argwhere(cells == names.index(name))
            if len(where):
                group.append(Sight(name, len(where), _side(where - (rows // 2, columns // 2))))
        found += sorted(group, key=lambda sight: -sight.count)
    return tuple(found)


def _side(offsets: Int[np.ndarray, "n 2"]) -> str:
    """Return the side of the player on which all of it is, or nothing."""
    down, right = offsets.T
    for name, inside in (("left", right < 0), ("right", right > 0), ("top", down < 0), ("bottom", down > 0)):
        if inside.all():
            return name
    return ""


def place(scenes: Scenes, t: int) -> str:
    """Return where the player is, by what most cells show: forest, shore, rocks or grassland."""
    cells = scenes.materials[t]

    def share(*names: str) -> float:
        return float(np.isin(cells, [MATERIALS.index(name) for name in names]).mean())

    if share(*ROCK) >= 0.4:
        return "rocks"
    if share("water", "sand") >= 0.3:
        return "shore"
    return "forest" if share("tree") >= 0.15 else "grassland"


def time_of_day(scenes: Scenes, t: int) -> str:
    """Return day, dusk or night."""
    light = float(scenes.daylight[t])
    return "day" if light >= 0.75 else "dusk" if light >= 0.4 else "night"


def pairs(found: tuple[Deed, ...], scenes: Scenes) -> set[Pair]:
    """Return the pairs of a deed and the place where the clip begins, as captions tell them."""
    where = place(scenes, 0)
    return {(f"{deed.kind} {deed.what}".strip(), where) for deed in found}
