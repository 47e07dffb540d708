"""Read a video of Crafter: which texture each cell shows, how many of each item there are, and how the view scrolls.

Every cell is compared with every texture in the light that its frame must have; the nearest in squared levels wins. A
true clip is read without error; a generated one as far as its cells resemble Crafter's.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from chronotope.geometry import Frames
from chronotope.worlds.crafter.deeds import faced
from chronotope.worlds.crafter.draw import GRAIN, item_tiles, lit, map_tiles
from chronotope.worlds.crafter.scene import ITEMS, MATERIALS, PLAYERS, THINGS, WALKABLE, Scenes, thing
from chronotope.worlds.crafter.simulate import simulate
from chronotope.worlds.crafter.spec import CrafterSpec, View

__all__ = ["MapReading", "Reading", "read", "read_map", "reading_of"]

SHIFTS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))  # rows and columns by which the player may move in a frame
# Shares of cells that keep their material: below the first no step of one cell explains a frame, and above the second a
# longer one does.
MOVED_ALIKE, FAR_ALIKE = 0.9, 0.95
FLYING = tuple(name for name in THINGS if name.startswith("arrow"))


def _possible() -> list[tuple[int, int]]:
    """Return the pairs of material and thing that Crafter can show."""
    found = [(m, 0) for m in range(len(MATERIALS))]
    for i, name in enumerate(THINGS[1:], 1):
        below = (*WALKABLE, "water", "lava") if name in FLYING else WALKABLE
        found += [(MATERIALS.index(each), i) for each in below]
    return found


POSSIBLE = np.array(_possible())


@dataclass(frozen=True)
class Reading:
    """What a video shows: scenes, and positions of the player from its first one, column and row.

    `jumps[t]` tells that the view scrolled by more than one cell to frame t. `residual` is the mean difference of the
    pixels of each cell from the texture that was read, in levels of 255.
    """

    scenes: Scenes
    positions: Int[np.ndarray, "t 2"]
    jumps: Bool[np.ndarray, " t"]
    residual: Float[np.ndarray, "t rows columns"]

    @property
    def player_seen(self) -> Bool[np.ndarray, " t"]:
        """Return in which frames the player is where it always is."""
        _, rows, columns = self.scenes.things.shape
        return np.isin(self.scenes.things[:, rows // 2, columns // 2], PLAYER_NUMBERS)


PLAYER_NUMBERS = [thing(name) for name in PLAYERS]


@dataclass(frozen=True)
class MapReading:
    """What the map of one frame shows: the number of the possible pair in each cell, its residual, and the light."""

    labels: Int[np.ndarray, "rows columns"]
    residual: Float[np.ndarray, "rows columns"]
    daylight: float
    asleep: bool


def read(spec: CrafterSpec, frames: Frames) -> Reading:
    """Read a video of the size and length of a spec, in the light of its hours."""
    view, light = spec.view, simulate(spec).scenes.daylight
    found = [read_map(frame, view, (float(daylight),)) for frame, daylight in zip(frames, light, strict=True)]
    return reading_of(frames, view, found)


def reading_of(frames: Frames, view: View, found: Sequence[MapReading]) -> Reading:
    """Return the reading of a video from that of the map in each of its frames."""
    labels = POSSIBLE[np.array([one.labels for one in found])]
    scenes = Scenes(
        labels[..., 0].astype(np.uint8),
        labels[..., 1].astype(np.uint8),
        _read_items(frames, view),
        np.array([one.daylight for one in found]),
        np.array([one.asleep for one in found]),
        np.zeros((len(frames), 2), int),
    )
    return Reading(scenes, *_track(scenes), np.array([one.residual for one in found]))


def read_map(frame: UInt8[np.ndarray, "h w 3"], view: View, lights: Iterable[float]) -> MapReading:
    """Read the map of a frame in that of the lights in which the textures explain it best, awake or asleep."""
    best: MapReading | None = None
    cells = _cells(frame, view)
    grid = view.rows, view.columns
    for daylight, asleep in itertools.product(lights, (False, True)):
        tiles = _templates(view, round(daylight, 3), asleep)
        # The squared distance without the square of the cell itself, which is the same for all templates.
        if tiles.ndim == 2:
            distance = (tiles**2).sum(1) - 2 * cells @ tiles.T
        else:
            distance = (tiles**2).sum(2) - 2 * np.einsum("np,nkp->nk", cells, tiles)
        labels = distance.argmin(1)
        shown = tiles[labels] if tiles.ndim == 2 else tiles[np.arange(len(labels)), labels]
        residual = np.abs(shown - cells).mean(1)
        if best is None or residual.mean() < best.residual.mean():
            best = MapReading(labels.reshape(grid), residual.reshape(grid), daylight, asleep)
    assert best is not None
    return best


def _cells(frame: UInt8[np.ndarray, "h w 3"], view: View) -> Float[np.ndarray, "cells pixels"]:
    high, wide = view.rows * view.unit, view.columns * view.unit
    inside = frame[view.top : view.top + high, view.left : view.left + wide].astype(np.float32)
    split = inside.reshape(view.rows, view.unit, view.columns, view.unit, 3).transpose(0, 2, 1, 3, 4)
    return split.reshape(view.rows * view.columns, -1)


@functools.lru_cache(maxsize=256)
def _templates(view: View, daylight: float, asleep: bool) -> Float[np.ndarray, "... pixels"]:
    """Return the possible pairs in this light: (pairs, pixels), or (cells, pairs, pixels) where there is grain."""
    unit = view.unit
    tiles = map_tiles(unit)[POSSIBLE[:, 0], POSSIBLE[:, 1]]
    if daylight >= 0.5:
        flat = lit(tiles.reshape(-1, unit, 3), daylight, asleep, 0.0)
        return flat.reshape(len(tiles), -1).astype(np.float32)
    everywhere = np.concatenate([np.tile(tile, (view.rows, view.columns, 1)) for tile in tiles])
    shown = lit(everywhere, daylight, asleep, sum(GRAIN) / 2, len(tiles))
    split = shown.reshape(len(tiles), view.rows, unit, view.columns, unit, 3).transpose(1, 3, 0, 2, 4, 5)
    return split.reshape(view.rows * view.columns, len(tiles), -1).astype(np.float32)


def _read_items(frames: Frames, view: View) -> UInt8[np.ndarray, "t items"]:
    """Return the number of each item whose picture is nearest."""
    unit, tiles = view.unit, item_tiles(view.unit).astype(np.float32)
    amounts = np.zeros((len(frames), len(ITEMS)), np.uint8)
    for item in range(len(ITEMS)):
        row, column = divmod(item, view.columns)
        y, x = view.top + (view.rows + row) * unit, view.left + column * unit
        cells = frames[:, y : y + unit, x : x + unit].astype(np.float32)
        distance = ((cells[:, None] - tiles[item]) ** 2).mean((2, 3, 4))
        amounts[:, item] = distance.argmin(1)
    return amounts


def _shared(
    before: UInt8[np.ndarray, "rows columns"], after: UInt8[np.ndarray, "rows columns"], step: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Return the parts of two views that show the same cells, where the player moved by a step of rows and columns."""
    rows, columns = before.shape
    down, right = step
    first = before[max(down, 0) : rows + min(down, 0), max(right, 0) : columns + min(right, 0)]
    second = after[max(-down, 0) : rows + min(-down, 0), max(-right, 0) : columns + min(-right, 0)]
    return first, second


def _track(scenes: Scenes) -> tuple[Int[np.ndarray, "t 2"], Bool[np.ndarray, " t"]]:
    """Return the positions of the player and where the view jumps.

    The step of a frame is the one for which most cells keep their material. Where several do, as on an empty meadow,
    the player moved the way it faces if the cell there was free, and stayed otherwise.
    """
    positions, jumps = [(0, 0)], [False]
    for t in range(1, len(scenes)):
        before, after = scenes.materials[t - 1], scenes.materials[t]
        agreement = {step: _agreement(before, after, step) for step in SHIFTS}
        most = max(agreement.values())
        tied = [step for step, share in agreement.items() if share >= most - 1e-9]
        step = tied[0]
        if len(tied) > 1 and (ahead := _free_step(scenes, t)) in tied:
            step = ahead
        far = max((_agreement(before, after, far), far) for far in _FAR)
        jumps.append(bool(most < MOVED_ALIKE and far[0] > max(FAR_ALIKE, most + 0.08)))
        down, right = far[1] if jumps[-1] else step
        x, y = positions[-1]
        positions.append((x + right, y + down))
    return np.array(positions), np.array(jumps)


_FAR = tuple((down, right) for down in range(-4, 5) for right in range(-4, 5) if abs(down) + abs(right) > 1)


def _agreement(
    before: UInt8[np.ndarray, "rows columns"], after: UInt8[np.ndarray, "rows columns"], step: tuple[int, int]
) -> float:
    first, second = _shared(before, after, step)
    return float((first == second).mean()) if first.size >= before.size / 4 else 0.0


def _free_step(scenes: Scenes, t: int) -> tuple[int, int]:
    """Return the step the way the player faces in frame t, or none where the cell there was not free before."""
    cell = faced(scenes, t)
    if cell is None:
        return 0, 0
    _, rows, columns = scenes.materials.shape
    was_free = MATERIALS[scenes.materials[t - 1][cell]] in WALKABLE and scenes.things[t - 1][cell] == 0
    return (cell[0] - rows // 2, cell[1] - columns // 2) if was_free else (0, 0)
