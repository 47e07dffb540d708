"""How a clip is shown to models that see pictures, and what they are asked about it."""

from __future__ import annotations

import numpy as np

from chronotope.caption.captioner import DETAILS
from chronotope.geometry import Frames
from chronotope.media.picture import resize

__all__ = ["MAX_SIDE", "question", "shown_pictures"]

MAX_SIDE = 512  # pixels


def shown_pictures(frames: Frames, most: int) -> list[np.ndarray]:
    """Return up to `most` frames, evenly spaced with both ends, of at most `MAX_SIDE` pixels a side."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, most).round().astype(int))
    height, width = frames.shape[1:3]
    scale = min(1.0, MAX_SIDE / max(height, width))
    if scale == 1:
        return list(frames[chosen])
    return [resize(frames[index], max(1, round(height * scale)), max(1, round(width * scale))) for index in chosen]


def question(pictures: int, seconds: float, detail: str) -> str:
    """Return what is asked about a clip that is shown as pictures."""
    about = "One picture."
    if pictures > 1:
        about = f"{pictures} pictures of one clip of {seconds:.3g} seconds, in order of time."
    return f"{about} {DETAILS[detail]}"
