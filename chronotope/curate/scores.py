"""Measures of a shot, one function each: motion, sharpness, light, black borders, frames that repeat.

All of them look at frames of at most 256 pixels, which is what training sees.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from chronotope.media.picture import Frame

__all__ = ["Grey", "borders", "brightness", "contrast", "grey", "motion", "repeats", "sharpness"]

Grey = UInt8[np.ndarray, "h w"]

FLOW_SIDE = 96  # pixels of the frames between which motion is measured
SAME_LEVELS = 0.35  # mean difference of two frames, in levels of 255, up to which one repeats the other
BLACK_LEVEL = 24  # of 255, up to which a pixel is black
BLACK_SHARE = 0.98  # of the pixels of a row or column that is part of a border
STILL = 1e-2  # pixels of flow that are noise


def grey(frame: Frame) -> Grey:
    """Return the light of a frame."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]


def motion(before: Grey, after: Grey) -> float:
    """Return how far the picture moves between two frames, in widths: the mean optical flow of Farneback (2003)."""
    scale = min(1.0, FLOW_SIDE / max(before.shape))
    size = max(8, round(before.shape[1] * scale)), max(8, round(before.shape[0] * scale))
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in (before, after)]
    flow = cv2.calcOpticalFlowFarneback(*small, None, 0.5, 3, 15, 2, 5, 1.2, 0)  # type: ignore[call-overload]
    length = float(np.linalg.norm(flow, axis=2).mean())
    return 0.0 if length < STILL else length / size[0]


def sharpness(frame: Grey) -> float:
    """Return how much of the contrast is fine detail: the deviation of the Laplacian over that of the light."""
    return float(cv2.Laplacian(frame, cv2.CV_32F).std() / max(1.0, frame.std()))


def brightness(frame: Grey) -> float:
    """Return the mean light, 0 (black) to 1 (white)."""
    return float(frame.mean() / 255)


def contrast(frame: Grey) -> float:
    """Return the standard deviation of the light, 0 (one colour) to 0.5."""
    return float(frame.std() / 255)


def repeats(before: Frame, after: Frame) -> bool:
    """Return whether a frame shows the same as the one before it."""
    return float(cv2.absdiff(before, after).mean()) <= SAME_LEVELS


def borders(brightest: Grey) -> tuple[float, float, float, float]:
    """Return the width of black borders as shares of the picture: top, bottom, left, right.

    `brightest` holds the brightest value of each pixel in all frames that were looked at, small ones will do.
    """
    if (black := brightest <= BLACK_LEVEL).mean() > BLACK_SHARE:
        return 0.0, 0.0, 0.0, 0.0  # all of it is black, which is no border
    rows, columns = (black.mean(axis=axis) >= BLACK_SHARE for axis in (1, 0))
    return _run(rows), _run(rows[::-1]), _run(columns), _run(columns[::-1])


def _run(flags: np.ndarray) -> float:
    """Return the share of flags before the first one that is not set."""
    return float(np.argmin(flags) / len(flags)) if not flags.all() else 0.0
