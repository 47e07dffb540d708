"""What lasts: runs of flags in time. Shorter slips of what looks at the frames are forgiven."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from chronotope.worlds.stage.checks.tracking import Fault

__all__ = ["LASTING", "lasting", "run_of", "seen_for_a_time"]

LASTING = 0.25  # seconds
STEADY = 0.8  # of the frames from the first to the last in which it is seen


def lasting(fps: float) -> int:
    """How many frames in a row count: a quarter of a second, and two at least."""
    return max(2, round(LASTING * fps))


def run_of(code: str, flags: Bool[np.ndarray, " t"], fps: float) -> Fault:
    """This failure from the first run of true frames that lasts; in a short clip, from one that never ends."""
    needed, length = min(lasting(fps), len(flags)), 0
    for t, flag in enumerate(flags):
        length = length + 1 if flag else 0
        if length >= needed:
            return code, t - needed + 1
    return None


def seen_for_a_time(found: Bool[np.ndarray, " t"], least: int) -> bool:
    """Seen steadily for a while from the beginning or to the end: gone or late, which is another failure than never to be there."""
    times = np.flatnonzero(found)
    if len(times) < least:
        return False
    return bool(len(times) >= STEADY * (times[-1] - times[0] + 1) and (times[0] <= 1 or times[-1] >= len(found) - 2))
