"""Find failures that persist for several frames: a detector may miss or invent something in one frame."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from chronotope.worlds.check import Outcome

__all__ = ["PERSISTENT_SECONDS", "first_run", "persistent_frames", "steadily_seen"]

PERSISTENT_SECONDS = 0.25
STEADY_SHARE = 0.8  # of the frames between the first and the last detection


def persistent_frames(fps: float) -> int:
    """Return how many frames in a row make a failure: a quarter of a second, and at least two."""
    return max(2, round(PERSISTENT_SECONDS * fps))


def first_run(code: str, flags: Bool[np.ndarray, " t"], fps: float) -> Outcome:
    """Return `code` with the start of the first persistent run of true flags; in a clip shorter than that, of a run
    over all of it.
    """
    needed, length = min(persistent_frames(fps), len(flags)), 0
    for t, flag in enumerate(flags):
        length = length + 1 if flag else 0
        if length >= needed:
            return code, t - needed + 1
    return None


def steadily_seen(found: Bool[np.ndarray, " t"], least: int) -> bool:
    """Tell whether something is seen steadily from the first frame on or up to the last, for at least `least` frames.

    Then it disappears or comes late, which is another failure than to be missing altogether.
    """
    times = np.flatnonzero(found)
    if len(times) < least:
        return False
    return bool(
        len(times) >= STEADY_SHARE * (times[-1] - times[0] + 1) and (times[0] <= 1 or times[-1] >= len(found) - 2)
    )
