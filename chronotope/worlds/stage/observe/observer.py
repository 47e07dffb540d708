"""Frames of a video -> sightings: the detector finds things, and their tracks say what they do.

Of each kind the largest patch is tracked, so of two things of one kind only one is seen. Motion is that in the frame:
where the camera pans, things move that stand still.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from chronotope.geometry import AnyFrames
from chronotope.worlds.observe.sightings import Sighting
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.persistence import persistent_frames
from chronotope.worlds.stage.checks.attributes import MIN_MOTION, colour_votes, detect, track
from chronotope.worlds.stage.checks.detector import KINDS, SHAPE_KINDS, load_detector

__all__ = ["StageObserver"]

MIN_CELLS = 6  # of a thing: less than half of what the smallest actor covers
MOTION_SECONDS = 0.75  # in which a thing that moves is displaced by `MIN_MOTION`
NAMES = tuple(COLOURS)


class StageObserver:
    """Keeps of every frame which kinds are there, where, and in which colour."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._detector = load_detector()
        self._kinds = KINDS[2:]
        self._centres: list[Float[np.ndarray, "t kinds 2"]] = []
        self._votes: list[Int[np.ndarray, "t shapes colours"]] = []

    def add(self, frames: AnyFrames) -> None:
        """Look at the next frames."""
        detections = detect(self._detector, np.asarray(frames))
        centres = np.full((len(frames), len(self._kinds), 2), np.nan)
        votes = np.zeros((len(frames), len(SHAPE_KINDS), len(NAMES)), np.int64)
        for number, kind in enumerate(self._kinds):
            trail = track(detections, (kind,))
            large = trail.cells.sum(axis=(1, 2)) >= MIN_CELLS
            centres[large, number] = trail.centres[large]
            if kind in SHAPE_KINDS:
                for t in np.flatnonzero(large):
                    found = colour_votes(detections, trail.only(np.array([t])))
                    votes[t, SHAPE_KINDS.index(kind)] = [found.get(name, 0) for name in NAMES]
        self._centres.append(centres)
        self._votes.append(votes)

    def sightings(self) -> tuple[Sighting, ...]:
        """Return what was seen so far, in order of time."""
        if not self._centres:
            return ()
        centres, votes = np.concatenate(self._centres), np.concatenate(self._votes)
        found = []
        for number, kind in enumerate(self._kinds):
            own = votes[:, SHAPE_KINDS.index(kind)] if kind in SHAPE_KINDS else None
            found += list(self._of_kind(kind, centres[:, number], own))
        return tuple(sorted(found, key=lambda one: (one.start, one.end, one.thing, one.act)))

    def _of_kind(
        self, kind: str, centres: Float[np.ndarray, "t 2"], votes: Int[np.ndarray, "t colours"] | None
    ) -> Iterator[Sighting]:
        """Yield when a kind is there, comes, goes and moves; what is shorter than a quarter of a second is noise."""
        least = min(persistent_frames(self.fps), len(centres))
        there = _steady(~np.isnan(centres[:, 0]), least)
        for first, stop in _runs(there):
            colour = "" if votes is None else NAMES[int(votes[first:stop].sum(axis=0).argmax())]
            start, end = first / self.fps, stop / self.fps
            yield Sighting(kind, "is there", start, end, "", colour)
            if first:
                yield Sighting(kind, "appears", start, start, "", colour)
            if stop < len(there):
                yield Sighting(kind, "disappears", end, end, "", colour)
            for direction, begin, done in self._motions(centres[first:stop], least):
                yield Sighting(kind, "moves", start + begin / self.fps, start + done / self.fps, direction, colour)

    def _motions(self, centres: Float[np.ndarray, "t 2"], least: int) -> Iterator[tuple[str, int, int]]:
        """Yield the direction and the frames of each motion of a thing that is there."""
        span = max(1, round(MOTION_SECONDS * self.fps))
        times = np.flatnonzero(~np.isnan(centres[:, 0]))
        if len(centres) <= span or len(times) < 2:
            return
        x, y = (np.interp(np.arange(len(centres)), times, centres[times, axis]) for axis in (0, 1))
        steps = np.stack([x[span:] - x[:-span], y[span:] - y[:-span]], axis=1)
        sideways = np.abs(steps[:, 0]) >= np.abs(steps[:, 1])
        ways = {
            "left": sideways & (steps[:, 0] <= -MIN_MOTION),
            "right": sideways & (steps[:, 0] >= MIN_MOTION),
            "up": ~sideways & (steps[:, 1] <= -MIN_MOTION),
            "down": ~sideways & (steps[:, 1] >= MIN_MOTION),
        }
        for direction, moving in ways.items():
            for first, stop in _runs(moving):
                if stop - first >= min(least, len(moving)):
                    yield direction, first, stop - 1 + span


def _steady(found: Bool[np.ndarray, " t"], least: int) -> Bool[np.ndarray, " t"]:
    """Fill gaps shorter than `least` frames, then drop what is seen for fewer."""
    filled = found.copy()
    for first, stop in _runs(~found):
        if first > 0 and stop < len(found) and stop - first < least:
            filled[first:stop] = True
    for first, stop in _runs(filled):
        if stop - first < least:
            filled[first:stop] = False
    return filled


def _runs(flags: Bool[np.ndarray, " t"]) -> list[tuple[int, int]]:
    """Return the first frame of each run of true flags, and the frame after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(stop)) for first, stop in zip(edges[::2], edges[1::2], strict=True)]
