"""A video and clips -> how near it is to the nearest of them, and how near copies are: in levels of 255.

Frames are reduced to 16 x 16 pixels, and the distance is the root mean square difference. A copy that was recoded,
scaled or slightly blurred stays near; a clip that shows the same actor in another place does not. Whole clips are
compared at eight moments of each (`signature`, `nearest`); a part of at most 1.75 s of a video with every part of a
clip, at four moments a second (`part_distances`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from chronotope.geometry import Frames, Picture

__all__ = [
    "MOMENTS",
    "RATE",
    "SAME",
    "SIDE",
    "Moments",
    "best_alignment",
    "moments_of",
    "nearest",
    "num_moments",
    "part_distances",
    "reduced",
    "signature",
]

MOMENTS, SIDE = 8, 16
RATE = 4.0  # moments a second, where parts are compared
SAME = 4.0  # levels; a clip that is nearer is the same one, or the same one coded again: H.264 at CRF 23 changes 3
BLOCK = 2048  # rows that are compared at a time

Rows = UInt8[np.ndarray, "_ _"]  # a reduced frame a row


def reduced(frame: Picture) -> UInt8[np.ndarray, "d"]:
    """Return a frame as it is compared: 16 x 16 pixels of 3 channels, in one row."""
    return cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()


# Whole clips


def signature(frames: Frames) -> UInt8[np.ndarray, " d"]:
    """Reduce a clip of any size and length to a vector; d = 8 moments x 16 x 16 pixels x 3 channels."""
    times = np.linspace(0, len(frames) - 1, MOMENTS).round().astype(int)
    small = {t: reduced(frames[t]) for t in np.unique(times)}
    return np.concatenate([small[t] for t in times])


def nearest(
    ours: UInt8[np.ndarray, "n d"], theirs: UInt8[np.ndarray, "m d"], block: int = BLOCK
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """For each row of `ours`, the index of the nearest row of `theirs` and its distance in levels."""
    best, place = np.full(len(ours), np.inf), np.zeros(len(ours), int)
    for start in range(0, len(theirs), block):
        found = _mean_squares(ours, theirs[start : start + block])
        closest = found.argmin(axis=1)
        least = found[np.arange(len(ours)), closest]
        place[least < best] = start + closest[least < best]
        best = np.minimum(best, least)
    # the expanded square loses precision for near rows, so the final distance is computed from the difference
    pairs = zip(ours.astype(np.float32), place, strict=True)
    distances = [np.sqrt(((row - theirs[at].astype(np.float32)) ** 2).mean()) for row, at in pairs]
    return place, np.array(distances, dtype=float)


def _mean_squares(ours: UInt8[np.ndarray, "n d"], theirs: UInt8[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """Return the mean square difference of every two rows, at least 0."""
    left, right = ours.astype(np.float32), theirs.astype(np.float32)
    found = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None] - 2 * left @ right.T
    return np.maximum(found, 0) / ours.shape[1]


# Parts of clips


@dataclass(frozen=True)
class Moments:
    """Clips as videos are compared with them: reduced frames, four a second, one clip after the other.

    `counts` are the numbers of rows of each clip, at least 1.
    """

    rows: Rows
    counts: tuple[int, ...]

    def clip(self, index: int) -> Rows:
        """Return the rows of one clip."""
        start = sum(self.counts[:index])
        return self.rows[start : start + self.counts[index]]


def moments_of(frames: Rows, fps: float) -> Rows:
    """Take four frames a second of a clip whose frames are reduced already."""
    return frames[_frames_at(num_moments(len(frames), fps), fps)]


def num_moments(num_frames: int, fps: float) -> int:
    """Return how many moments a clip has."""
    return int((num_frames - 1) / fps * RATE + 1e-6) + 1


def _frames_at(count: int, fps: float) -> Int[np.ndarray, " n"]:
    return np.floor(np.arange(count) * fps / RATE + 0.5).astype(int)


def part_distances(videos: Sequence[Rows], fps: float, clips: Moments, most: int = MOMENTS) -> Float[np.ndarray, "v n"]:
    """Return the distance of each video to each clip: of the part of both, of `most` moments at most, that is nearest.

    `videos` hold all of their frames, reduced. The part is as long as the shorter of both where that is shorter.
    """
    counts = np.array(clips.counts)
    starts, ends = np.cumsum([0, *counts[:-1]]), np.cumsum(counts)
    bounds = np.cumsum([0, *map(len, videos)])
    found = np.full((len(videos), len(counts)), np.inf)
    for key in range(1, MOMENTS + 1):  # clips that are as long as a part, or longer
        for group in _blocks(np.flatnonzero(np.minimum(counts, MOMENTS) == key), counts):
            rows = np.concatenate([clips.rows[starts[at] : ends[at]] for at in group])
            squares = _mean_squares(np.concatenate(videos), rows)
            first = np.cumsum([0, *counts[group][:-1]])
            left = np.repeat(first + counts[group], counts[group]) - np.arange(len(rows))  # moments to the clip's end
            for number in range(len(videos)):
                own = squares[bounds[number] : bounds[number + 1]]
                length = min(most, key, num_moments(len(own), fps))
                least = np.append(_aligned(own, fps, length).min(axis=0), np.full(length - 1, np.inf))
                least[left < length] = np.inf  # a part of two clips is a part of neither
                found[number, group] = np.minimum.reduceat(least, first)
    return np.sqrt(found)


def _blocks(chosen: Int[np.ndarray, " n"], counts: Int[np.ndarray, " m"]) -> list[Int[np.ndarray, " k"]]:
    """Divide clips into groups of about `BLOCK` rows."""
    block = np.cumsum(counts[chosen]) // BLOCK
    return [part for part in np.split(chosen, np.flatnonzero(np.diff(block)) + 1) if len(part)]


def _aligned(squares: Float[np.ndarray, "t m"], fps: float, length: int) -> Float[np.ndarray, "s p"]:
    """Return the mean of `length` moments that follow each other, from each frame and each row on."""
    offsets = _frames_at(length, fps)
    begins, places = len(squares) - offsets[-1], squares.shape[1] - length + 1
    total = np.zeros((begins, places))
    for number, at in enumerate(offsets):
        total += squares[at : at + begins, number : number + places]
    return total / length


def best_alignment(video: Rows, fps: float, clip: Rows, most: int = MOMENTS) -> tuple[float, float]:
    """Return the seconds at which the nearest parts of a video and of one clip begin."""
    length = min(most, num_moments(len(video), fps), len(clip))
    found = _aligned(_mean_squares(video, clip), fps, length)
    frame, row = np.unravel_index(int(found.argmin()), found.shape)
    return float(frame / fps), float(row / RATE)
