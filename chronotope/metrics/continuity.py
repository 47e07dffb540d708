"""Is motion smooth where known frames meet generated ones: steps of an actor, differences of frames, optical flow."""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Float

from chronotope.geometry import Frames

__all__ = ["cuts", "differences", "flow_changes", "jump", "seam_ratio", "wrap_ratio"]

STEP_NOISE = 0.015  # short sides of the frame: a cell of the detector is 1/16 of it, and centres move less than cells
FLOW_NOISE = 0.1  # pixels
LEVEL_NOISE = 1.0  # of 255
CUT_FACTOR = 4.0  # times the median difference of the neighbouring frames
CUT_LEAST = 12.0  # of 255


def jump(centres: Float[np.ndarray, "t 2"], joint: int) -> float:
    """Return the change of velocity where frame `joint` follows the one before it, in units of the median step.

    It is infinite if the centres around the joint are NaN, that is, if no actor is found there.
    """
    steps = np.diff(centres, axis=0)
    before, across = steps[joint - 3 : joint - 1], steps[joint - 1]
    if np.isnan(across).any() or np.isnan(before).all():
        return math.inf
    median = max(float(np.nanmedian(np.linalg.norm(steps, axis=1))), STEP_NOISE)
    return float(np.linalg.norm(across - np.nanmean(before, axis=0)) / median)


def differences(frames: Frames, cyclic: bool = False) -> Float[np.ndarray, " n"]:
    """Return the mean absolute difference of each frame and the next, in levels of 255.

    If `cyclic`, the last value is the difference of the last frame and the first.
    """
    pixels = frames.astype(np.float32)
    following = np.roll(pixels, -1, axis=0) if cyclic else pixels[1:]
    found: np.ndarray = np.abs(following - pixels[: len(following)]).mean(axis=(1, 2, 3))
    return found


def cuts(frames: Frames) -> list[int]:
    """Return the frames that begin a new shot: they differ from the frame before far more than their neighbours do."""
    steps = differences(frames)
    found = []
    for place, step in enumerate(steps):
        around = np.delete(steps[max(0, place - 3) : place + 4], min(place, 3))
        if step >= CUT_LEAST and len(around) and step >= CUT_FACTOR * max(float(np.median(around)), LEVEL_NOISE):
            found.append(place + 1)
    return found


def wrap_ratio(values: Float[np.ndarray, " n"], noise: float) -> float:
    """Return the ratio of the last value, that at the wrap, to the median of the others."""
    return float((values[-1] + noise) / (np.median(values[:-1]) + noise))


def seam_ratio(values: Float[np.ndarray, " n"], length: int, noise: float) -> float:
    """Return the ratio of the median between slices of `length` frames to the median inside them, without the wrap."""
    place = np.arange(len(values) - 1)
    between = place % length == length - 1
    return float((np.median(values[:-1][between]) + noise) / (np.median(values[:-1][~between]) + noise))


def flow_changes(frames: Frames) -> Float[np.ndarray, " n"]:
    """Return the change of optical flow, in pixels, from each frame of a cycle to the next; the last is at the wrap."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    count = len(grey)
    flows = [
        cv2.calcOpticalFlowFarneback(grey[i], grey[(i + 1) % count], None, 0.5, 2, 9, 3, 5, 1.1, 0)  # type: ignore[call-overload]
        for i in range(count)
    ]
    return np.array([np.linalg.norm(flows[(i + 1) % count] - flows[i], axis=2).mean() for i in range(count)])
