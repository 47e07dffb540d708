"""A visible mark in the corner of a frame: the letters AI, on request."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float

from chronotope.geometry import Picture

__all__ = ["add_visible_mark"]

WORDS = "AI generated"
SHORT = "AI"  # where the words have no room
HEIGHT = 0.07  # of the shorter side
LEAST_HEIGHT = 7  # pixels, below which letters cannot be read
OPACITY = 0.6


def add_visible_mark(frame: Picture) -> Picture:
    """Return the frame with white letters on a dark plate in its lower right corner."""
    height, width = frame.shape[:2]
    plate = _plate(height, width)
    marked = frame.copy()
    rows, columns = plate.shape
    corner = marked[height - rows :, width - columns :]
    mixed = (1 - OPACITY) * corner + OPACITY * 255 * plate[..., None]
    corner[:] = np.rint(mixed).astype(np.uint8)
    return marked


@cache
def _plate(height: int, width: int) -> Float[np.ndarray, "h w"]:
    """Return the plate for frames of this size: 0 is dark, 1 is white."""
    import cv2

    face, line = cv2.FONT_HERSHEY_SIMPLEX, cv2.LINE_AA
    tall = max(LEAST_HEIGHT, round(HEIGHT * min(height, width)))
    margin = max(2, tall // 3)
    for words in (WORDS, SHORT):
        scale = cv2.getFontScaleFromHeight(face, tall)
        (long, _), _ = cv2.getTextSize(words, face, scale, 1)
        rows, columns = tall + 2 * margin, long + 2 * margin
        if columns <= 0.6 * width:
            break
    plate = np.zeros((rows, columns), np.uint8)
    cv2.putText(plate, words, (margin, rows - margin), face, scale, 255, 1 + tall // 24, line)
    return plate[:height, :width].astype(np.float32) / 255
