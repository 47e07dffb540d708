"""Frames of a film, one after the other -> where one shot ends and the next begins.

Cuts are found by PySceneDetect: a change of colours that stands out from the changes around it, or a fade through
black.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from chronotope.media.picture import Frame

if TYPE_CHECKING:
    from scenedetect import SceneDetector

__all__ = ["CutFinder", "equal_parts"]

MIN_SHOT_FRAMES = 8  # two cuts are at least so far apart
MIN_SHOT_SECONDS = 0.4
CHANGE, LEAST_CHANGE = 3.0, 15.0  # of a cut: times the changes around it, and in levels of hue, saturation and light
BLACK = 12  # mean level below which a frame is part of a fade


@dataclass
class CutFinder:
    """Finds the cuts of one film; `add` takes its frames in order, `cuts` are the frames with which a shot begins."""

    fps: float
    cuts: set[int] = field(default_factory=set)
    count: int = 0
    _shown: list[int] = field(default_factory=list)  # the numbers of the frames that differ from the one before

    def __post_init__(self) -> None:
        self._min_frames = max(MIN_SHOT_FRAMES, round(MIN_SHOT_SECONDS * self.fps))
        self._detectors = _detectors(self._min_frames)

    def add(self, frame: Frame, repeats: bool = False) -> None:
        """Take the next frame; a cut may be found some frames later.

        One that `repeats` the frame before is not looked at: the step after a held frame would stand out as a cut does.
        """
        from scenedetect import FrameTimecode

        self.count += 1
        if repeats:
            return
        self._shown.append(self.count - 1)
        time = FrameTimecode(len(self._shown) - 1, float(self.fps))
        blue_first = np.ascontiguousarray(frame[..., ::-1])
        for detector in self._detectors:
            self._take(detector.process_frame(time, blue_first))

    def _take(self, found: list[Any]) -> None:
        self.cuts |= {self._shown[time.frame_num] for time in found}

    def bounds(self) -> list[tuple[int, int]]:
        """Return the first frame of each shot and the one after its last."""
        starts = [0]
        for cut in sorted(self.cuts):  # the detectors may find the same one some frames apart
            if starts[-1] + self._min_frames <= cut < self.count:
                starts.append(cut)
        return list(zip(starts, [*starts[1:], self.count], strict=True))


def _detectors(min_frames: int) -> list[SceneDetector]:
    from scenedetect.detectors import AdaptiveDetector, ThresholdDetector

    cut = AdaptiveDetector(CHANGE, min_scene_len=min_frames, min_content_val=LEAST_CHANGE)
    return [cut, ThresholdDetector(BLACK, min_scene_len=min_frames)]


def equal_parts(start: int, stop: int, most: int) -> list[tuple[int, int]]:
    """Divide frames into as few parts of about equal length as have at most `most` frames each."""
    count = -(-(stop - start) // most)
    edges = [start + (stop - start) * index // count for index in range(count + 1)]
    return list(itertools.pairwise(edges))
