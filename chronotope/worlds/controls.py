"""Edits of true clips that the injected faults and the controls of every world share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from chronotope.geometry import Frames

__all__ = ["control_clips", "moment_of", "pick", "splice"]

Item = TypeVar("Item")

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


def pick(choices: Sequence[Item], rng: np.random.Generator) -> Item | None:
    """Choose one item at random, or None if there is none."""
    return choices[int(rng.integers(len(choices)))] if choices else None


def moment_of(spec: Any, rng: np.random.Generator) -> int | None:
    """Choose a frame with at least half a second of the clip before and after it, or None in a shorter clip."""
    margin = max(3, round(spec.fps / 2))
    return int(rng.integers(margin, spec.num_frames - margin + 1)) if spec.num_frames >= 2 * margin else None


def splice(first: Frames, second: Frames, moment: int) -> Frames:
    """Join the first clip up to a frame with the second clip from that frame on."""
    return np.concatenate([first[:moment], second[moment:]])
