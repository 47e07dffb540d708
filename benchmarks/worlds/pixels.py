"""Measures of frames of Crafter at 64x64 by their pixels alone: errors, changed pixels, and how the map is shifted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from chronotope.geometry import Frames, Picture

CELL = 8  # pixels of a cell of Crafter at 64x64
MOVES = {"move left": (0, 1), "move right": (0, -1), "move up": (1, 0), "move down": (-1, 0)}  # how the map is shifted
OPPOSITE = {"move left": "move right", "move right": "move left", "move up": "move down", "move down": "move up"}
SHIFTS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if not (dy and dx)]
CHANGED = 24  # levels by which a pixel that changed differs, in any colour
DIFFERENT = 10  # levels by which a cell that differs does, in the mean


def error(made: Frames, real: Frames, mask: Bool[np.ndarray, "t h w"] | None = None) -> float:
    """Return the mean square error, on the pixels of a mask."""
    squares = np.square(made.astype(float) - real).mean(axis=-1)
    return float(squares.mean() if mask is None else squares[mask].mean())


def psnr(mean_square_error: float) -> float:
    """Return the PSNR in dB of pixels from 0 to 255; equal frames have 148 dB."""
    return float(10 * np.log10(255**2 / max(mean_square_error, 1e-10)))


def changed(before: Frames, after: Frames) -> Bool[np.ndarray, "t h w"]:
    """Return the pixels that differ from the frame before."""
    return (np.abs(after.astype(int) - before) > CHANGED).any(axis=-1)


def cells(difference: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "rows columns"]:
    """Return the mean over each cell of the grid."""
    height, width = difference.shape[:2]
    mean: np.ndarray = difference.reshape(height // CELL, CELL, width // CELL, CELL, 3).mean(axis=(1, 3, 4))
    return mean


def different(one: Picture, other: Picture) -> Bool[np.ndarray, "rows columns"]:
    """Return the cells in which two pictures differ."""
    return cells(np.abs(one.astype(int) - other)) > DIFFERENT


def shift_of(before: Picture, after: Picture) -> tuple[int, int]:
    """Return the shift of the map, in cells, that explains a frame best; the inventory below is left out."""
    rows = before.shape[0] * 3 // 4
    before, after = before[:rows].astype(int), after[:rows].astype(int)

    def mismatch(shift: tuple[int, int]) -> float:
        dy, dx = shift[0] * CELL, shift[1] * CELL
        ys, xs = (slice(max(0, d), side + min(0, d)) for d, side in ((dy, rows), (dx, before.shape[1])))
        yt, xt = (slice(max(0, -d), side + min(0, -d)) for d, side in ((dy, rows), (dx, before.shape[1])))
        return float(np.abs(after[ys, xs] - before[yt, xt]).mean())

    return min(SHIFTS, key=mismatch)


def shift_rule(frame: Picture, name: str) -> Picture:
    """Return the frame after an action, if a move shifted the map by a cell and nothing else happened; edges are
    repeated.
    """
    dy, dx = MOVES.get(name, (0, 0))
    rows, columns = frame.shape[0] * 3 // 4, frame.shape[1]
    y, x = np.arange(rows) - dy * CELL, np.arange(columns) - dx * CELL
    y, x = (np.where(i < 0, i % CELL, np.where(i >= n, n - CELL + i % CELL, i)) for i, n in ((y, rows), (x, columns)))
    moved = np.concatenate([frame[:rows][np.ix_(y, x)], frame[rows:]])
    top, left = rows // CELL // 2 * CELL, columns // CELL // 2 * CELL  # of the player, who stays in the middle
    moved[top : top + CELL, left : left + CELL] = frame[top : top + CELL, left : left + CELL]
    return moved
