"""Measure how the view moves in a video in first person: the shift and the growth of the picture from frame to frame.

A turn shifts the picture, a step forward makes it grow around its middle. Of all shifts and growths the one is taken
under which two frames differ least; the lowest part, where the player's hands are, is left out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from chronotope.geometry import Frames

__all__ = ["Motion", "largest_run", "measure"]

WIDTH = 48  # of the frames that are compared
UPPER = 0.7  # of their height
SHIFTS = np.arange(-16, 17)  # pixels to the right
GROWTHS = np.array([0.86, 0.9, 0.94, 0.97, 1.0, 1.03, 1.06, 1.1, 1.16])
PENALTY = 0.1  # levels of 255 for each pixel of shift and 0.02 of growth, so that nothing is seen where nothing is
LEAST_SHARE = 0.45  # of the columns that must be compared


@dataclass(frozen=True)
class Motion:
    """The motion from the frame before, by frame; the first values are 0.

    `shift` is that of the picture to the right in widths: a turn to the left. `growth` is its logarithm. `rest` is the
    mean difference, in levels of 255, that no motion explains; `change` is that of the frames as they are.
    """

    shift: Float[np.ndarray, " t"]
    growth: Float[np.ndarray, " t"]
    rest: Float[np.ndarray, " t"]
    change: Float[np.ndarray, " t"]


def measure(frames: Frames) -> Motion:
    """Measure the motion of a video."""
    small = [_small(frame) for frame in frames]
    pairs = [(0.0, 0.0, 0.0, 0.0), *(_pair(a, b) for a, b in itertools.pairwise(small))]
    return Motion(*np.array(pairs).T)


def largest_run(amounts: Float[np.ndarray, " t"]) -> tuple[float, int, int]:
    """Return the largest sum of a run of consecutive amounts, its first index and the one after its last."""
    best, total, start = (0.0, 0, 0), 0.0, 0
    for t, amount in enumerate(amounts):
        if total <= 0:
            total, start = 0.0, t
        total += float(amount)
        if total > best[0]:
            best = (total, start, t + 1)
    return best


def _small(frame: np.ndarray) -> UInt8[np.ndarray, "h w"]:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    height = max(8, round(WIDTH * frame.shape[0] / frame.shape[1]))
    return cv2.resize(grey, (WIDTH, height), interpolation=cv2.INTER_AREA)[: round(height * UPPER)]


def _pair(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> tuple[float, float, float, float]:
    """Return the shift in widths, the logarithm of growth, the difference left and the difference at all."""
    left = np.full((len(GROWTHS), len(SHIFTS)), np.inf)
    target = after.astype(np.float32)
    for i, growth in enumerate(GROWTHS):
        grown, known = _grown(before, float(growth))
        for j, shift in enumerate(SHIFTS.tolist()):
            ours, theirs = (slice(max(0, -shift), WIDTH - max(0, shift)), slice(max(0, shift), WIDTH + min(0, shift)))
            valid = known[:, ours]
            if valid.mean() * (WIDTH - abs(shift)) < LEAST_SHARE * WIDTH:
                continue
            left[i, j] = np.abs(grown[:, ours] - target[:, theirs])[valid].mean()
    costs = left + PENALTY * (np.abs(SHIFTS) + np.abs(GROWTHS - 1)[:, None] / 0.02)
    best = np.unravel_index(int(costs.argmin()), costs.shape)
    change = float(np.abs(target - before).mean())
    return float(SHIFTS[best[1]]) / WIDTH, float(np.log(GROWTHS[best[0]])), float(left[best]), change


def _grown(frame: UInt8[np.ndarray, "h w"], growth: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame that is enlarged around the height of the eyes, and which of its pixels are known."""
    columns, rows = _maps(frame.shape[0], frame.shape[1], growth)
    grown = cv2.remap(frame.astype(np.float32), columns, rows, cv2.INTER_LINEAR)
    height, width = frame.shape
    return grown, (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)


@cache
def _maps(height: int, width: int, growth: float) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    middle_x, middle_y = (width - 1) / 2, (height / UPPER - 1) / 2  # the horizon is at half the height of the frame
    return (x - middle_x) / growth + middle_x, (y - middle_y) / growth + middle_y
