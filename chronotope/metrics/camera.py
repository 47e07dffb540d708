"""How the camera moves in a clip, measured from its frames: corners are followed, and most of them move alike.

Corners (Shi and Tomasi 1994) are followed by optical flow (Lucas and Kanade 1981); shift and growth are fitted to them
by RANSAC. Where the corners that agree cover little of the picture, they may be those of one thing that moves, and
nothing is said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

__all__ = ["CameraMotion", "PictureMotion", "camera_motion", "picture_motion"]

SIDE = 256  # pixels of the frames that are looked at
PAIRS = 24  # of neighbouring frames of a clip
CORNERS, MIN_CORNERS = 60, 6
SPREAD = 0.5  # of width and height that the corners which agree must cover
SLOWEST = 0.03  # widths a second, or growth a second, from which the camera moves


@dataclass(frozen=True)
class PictureMotion:
    """How the picture moves between two frames: pixels to the right and down, the logarithm of its growth.

    `spread` is the share of width and of height that the corners which agree cover, the lesser of the two.
    """

    right: float
    down: float
    growth: float
    spread: float


@dataclass(frozen=True)
class CameraMotion:
    """The path of the camera in widths a second, to the right and down, and the growth of the picture a second."""

    right: float
    down: float
    zoom: float

    @property
    def words(self) -> str:
        """What the camera does, as captions say it."""
        pan = max(abs(self.right), abs(self.down))
        if max(pan, abs(self.zoom)) < SLOWEST:
            return "still"
        if abs(self.zoom) > pan:
            return "zooms in" if self.zoom > 0 else "zooms out"
        if abs(self.right) >= abs(self.down):
            return "pans right" if self.right > 0 else "pans left"
        return "pans down" if self.down > 0 else "pans up"


def camera_motion(frames: UInt8[np.ndarray, "t h w 3"], fps: float) -> CameraMotion | None:
    """Measure the motion of the camera; None for a picture, and where too little is seen that could tell."""
    if len(frames) < 2:
        return None
    at = np.unique(np.linspace(0, len(frames) - 2, PAIRS).round().astype(int))
    found = [picture_motion(_small(frames[place]), _small(frames[place + 1])) for place in at]
    seen = [one for one in found if one is not None and one.spread >= SPREAD]
    if len(seen) < len(found) / 2:
        return None
    width = _small(frames[0]).shape[1]
    right, down = (float(np.median([getattr(one, axis) for one in seen])) * fps / width for axis in ("right", "down"))
    # where the camera goes to the right, the picture goes to the left
    return CameraMotion(-right, -down, float(np.median([one.growth for one in seen])) * fps)


def _small(frame: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, SIDE / max(grey.shape))
    if scale == 1:
        return grey
    size = max(8, round(grey.shape[1] * scale)), max(8, round(grey.shape[0] * scale))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def picture_motion(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> PictureMotion | None:
    """Measure the shift at the middle of a picture, and its growth; None where too few corners are followed."""
    corners = cv2.goodFeaturesToTrack(before, CORNERS, 0.02, 3)
    if corners is None or len(corners) < MIN_CORNERS:
        return None
    moved, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(9, 9), maxLevel=2)  # type: ignore[call-overload]
    good = status.ravel() == 1
    if good.sum() < MIN_CORNERS:
        return None
    fit, agrees = cv2.estimateAffinePartial2D(corners[good], moved[good], ransacReprojThreshold=0.7)
    if fit is None:
        return None
    height, width = before.shape
    middle = np.array([width / 2, height / 2])
    right, down = fit @ [*middle, 1.0] - middle
    spread = np.ptp(corners[good][agrees.ravel() == 1].reshape(-1, 2), axis=0) / [width, height]
    growth = math.log(max(math.hypot(fit[0, 0], fit[1, 0]), 1e-3))
    return PictureMotion(float(right), float(down), growth, float(spread.min()))
