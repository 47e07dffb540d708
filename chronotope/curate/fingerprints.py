"""Frames -> hashes of what they show, and which clips show nearly the same.

A hash is that of PDQ (Facebook, 2019) in its idea: the signs of the low frequencies of a small picture against their
median, 256 bits. Half of the bits of two unrelated pictures differ. Mirroring a picture negates every second frequency
across, so the hash of the mirrored picture is that of the picture with these bits inverted, but for a few bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from chronotope.media.picture import Frame

__all__ = [
    "NEAR_BITS",
    "Fingerprinted",
    "Small",
    "fingerprints",
    "main_colour",
    "near_duplicates",
    "scenes",
    "shrunk",
    "within_borders",
]

SIDE, LOW = 64, 16  # pixels of the small picture, and frequencies of a side
FLAT = 5.0  # deviation in levels of 255 below which a frame has nothing to be recognised by
STIR_PIXEL = 12.0  # levels from which a pixel is part of what moves
VIVID = 60.0  # levels between the channels of a pixel that has a colour
OTHER_COLOUR = 40  # levels by which red, green or blue differ at most between copies
STIR_SHARE = 0.003  # of the pixels of a frame in which something moves
NEAR_BITS = 84  # of 256 that differ at most between frames of the same; in 50,000 unrelated pairs the least is 94
NEAR_MIRRORED_BITS = 20  # ... between frames and mirrored ones; two events in a symmetric scene differ by 24 and more
NEAR_MOVING_BITS = 92  # ... between what moves in them
VARIED_BITS = 90  # that differ on average between frames of a clip whose camera moves
SAME_SHARE = 0.6  # of the frames of a clip that have such a frame in the other clip
BITS, HEX = LOW * LOW, LOW * LOW // 4
ROWS = 4096  # of hashes that are compared at a time
MIRRORED = np.tile(
    np.array([-1, 1], np.float32), BITS // 2
)  # signs of a mirrored picture: odd frequencies across are negated

Small = UInt8[np.ndarray, "64 64 3"]


def shrunk(frame: Frame) -> Small:
    """Return a frame as it is compared."""
    return cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def within_borders(frames: UInt8[np.ndarray, "n 64 64 3"], borders: Sequence[float]) -> UInt8[np.ndarray, "n 64 64 3"]:
    """Return what lies within black borders, their widths as `scores.borders` has them, enlarged to the whole size."""
    if not any(borders):
        return frames
    top, bottom, left, right = (round(SIDE * width) for width in borders)
    inside = frames[:, top : SIDE - bottom, left : SIDE - right]
    return np.stack([cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for frame in inside])


def fingerprints(frames: UInt8[np.ndarray, "n 64 64"]) -> tuple[str, ...]:
    """Return the hashes of some frames of a shot, in hex: of each frame, then of what moves in it.

    What moves is the difference from the median of all of them, so that two events before the same background differ.
    Where nothing moves, the second hash is left out. Frames of nearly one colour have none.
    """
    background = np.median(frames, axis=0)
    found = []
    for frame in frames.astype(np.float32):
        if frame.std() >= FLAT:
            moving = np.abs(frame - background).astype(np.float32)
            stirs = (moving >= STIR_PIXEL).mean() >= STIR_SHARE
            found.append(_hash(frame) + (_hash(moving) if stirs else ""))
    return tuple(found)


def scenes(hashes: Sequence[str]) -> tuple[str, ...]:
    """Return hashes of frames alone, without what moves in them: those that a picture has."""
    return tuple(each[:HEX] for each in hashes)


def main_colour(frames: UInt8[np.ndarray, "n 64 64 3"]) -> tuple[int, ...]:
    """Return the mean colour of what moves in some frames of a shot, red, green and blue.

    Where nothing moves, it is that of the vivid pixels; () where there are none.
    """
    pixels = frames.astype(np.float32)
    moving = np.abs(pixels - np.median(frames, axis=0)).mean(axis=3)
    vivid = pixels.max(axis=3) - pixels.min(axis=3)
    for weight, least in ((moving, STIR_PIXEL), (vivid, VIVID)):
        weight[weight < least] = 0
        if weight.any():
            return tuple(map(int, np.round((weight[..., None] * pixels).sum(axis=(0, 1, 2)) / weight.sum())))
    return ()


def _hash(picture: Float32[np.ndarray, "64 64"]) -> str:
    low = cv2.dct(picture)[1 : LOW + 1, 1 : LOW + 1]  # without the mean of rows and columns
    return np.packbits(low > np.median(low)).tobytes().hex()


@dataclass(frozen=True)
class Fingerprinted:
    """A clip as it is compared: the hashes of its frames, and `rank`, the lower the better worth keeping.

    Clips of the same `source` are not compared: parts of one film are alike and no copies.
    """

    key: str
    hashes: tuple[str, ...]
    rank: tuple[float | str, ...] = ()
    source: str = ""
    colour: tuple[int, ...] = ()


def near_duplicates(clips: Sequence[Fingerprinted], near_bits: int = NEAR_BITS) -> dict[str, str]:
    """Return the clips that show nearly the same as a better one, with the key of that one.

    A clip is left out if most of its frames, or most of them mirrored, have such a frame in a better clip that is kept:
    within `near_bits`, and within fewer where they are mirrored.
    """
    ordered = sorted((clip for clip in clips if clip.hashes), key=lambda clip: (clip.rank, clip.key))
    hashes = [each for clip in ordered for each in clip.hashes]
    scenes, moving = (_signs([each[part] for each in hashes]) for part in (slice(0, HEX), slice(HEX, None)))
    places = np.cumsum([0, *(len(clip.hashes) for clip in ordered)])
    owners = np.repeat(np.arange(len(ordered)), np.diff(places))
    varied = np.concatenate([_varied(part) for part in np.split(scenes, places[1:-1])]) if ordered else owners
    kept: set[int] = set()
    found: dict[str, str] = {}
    near_mirrored = min(near_bits, NEAR_MIRRORED_BITS)
    for number, clip in enumerate(ordered):
        own = slice(places[number], places[number + 1])
        count = len(clip.hashes)
        limits = np.repeat([near_bits, near_mirrored], count)[:, None]
        both, both_moving = (np.concatenate([part[own], part[own] * MIRRORED]) for part in (scenes, moving))
        matches: dict[tuple[int, int], set[int]] = {}  # frames of it, and of it mirrored, that an earlier clip has
        for first in range(0, int(places[number]), ROWS):
            others = slice(first, min(first + ROWS, places[number]))
            near = both @ scenes[others].T >= BITS - 2 * limits
            # rows of zeros are frames in which nothing moves: their product is 0, which is far
            stirs = np.add.outer(both_moving.any(axis=1), moving[others].any(axis=1))
            # where the camera moves, frames alone tell one clip from another
            stirs &= ~np.logical_and.outer(np.tile(varied[own], 2), varied[others])
            near &= ~stirs | (both_moving @ moving[others].T >= BITS - 2 * NEAR_MOVING_BITS)
            for frame, place in zip(*np.nonzero(near), strict=True):
                matches.setdefault((int(owners[first + place]), int(frame // count)), set()).add(int(frame))
        shares: dict[int, float] = {}
        for (owner, _), frames in matches.items():
            if owner in kept and _may_be_copies(clip, ordered[owner]):
                shares[owner] = max(shares.get(owner, 0.0), len(frames) / count)
        best = max(shares, key=lambda owner: (shares[owner], -owner), default=None)
        if best is not None and shares[best] >= SAME_SHARE:
            found[clip.key] = ordered[best].key
        else:
            kept.add(number)
    return found


def _varied(signs: Float32[np.ndarray, "n 256"]) -> np.ndarray:
    """Return for each frame of a clip whether its frames differ much from each other, as where the camera moves."""
    different = (BITS - signs @ signs.T) / 2
    count = len(signs)
    return np.full(count, count > 1 and different.sum() / (count * (count - 1)) >= VARIED_BITS)


def _may_be_copies(one: Fingerprinted, other: Fingerprinted) -> bool:
    if one.source and one.source == other.source:
        return False
    return all(abs(a - b) <= OTHER_COLOUR for a, b in zip(one.colour, other.colour, strict=False))


def _signs(hashes: Sequence[str]) -> Float32[np.ndarray, "n 256"]:
    """Return the bits of hashes as 1 and -1, so that a product counts equal bits; a missing one as zeros."""
    packed = np.frombuffer(bytes.fromhex("".join(each or "00" * (BITS // 8) for each in hashes)), np.uint8)
    signs = np.unpackbits(packed.reshape(-1, BITS // 8), axis=1).astype(np.float32) * 2 - 1
    return signs * np.array([bool(each) for each in hashes], np.float32)[:, None]
