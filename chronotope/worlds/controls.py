"""Change a true clip so that no check of its events may pass: freeze, shuffle, reverse or blank its frames."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chronotope.geometry import Frames

__all__ = ["control_clips"]

GREY = 127


def control_clips(
    frames: Frames, rng: np.random.Generator, has_motion: bool, reversible: bool = False
) -> Mapping[str, Frames]:
    """Return the control clips by name.

    A clip without motion has only the blank one. A `reversible` clip, which looks right when played backwards, has no
    reversed one.
    """
    controls = {}
    if has_motion:
        controls["frozen first frame"] = np.repeat(frames[:1], len(frames), axis=0)
        if len(frames) > 4:
            controls["shuffled frames"] = frames[rng.permutation(len(frames))]
        if not reversible:
            controls["backwards"] = frames[::-1]
    controls["blank"] = np.full_like(frames, GREY)
    return controls
