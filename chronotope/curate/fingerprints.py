"""Frames -> hashes of what they show, and which clips show nearly the same.

A hash is that of PDQ (Facebook, 2019) in its idea: the signs of the low frequencies of a small picture against their
median, 256 bits. Half of the bits of two unrelated pictures differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from chronotope.curate.scores import Grey

__all__ = ["NEAR_BITS", "Fingerprinted", "fingerprint", "near_duplicates"]

SIDE, LOW = 64, 16  # pixels of the small picture, and frequencies of a side
FLAT = 0.02  # contrast below which a frame has nothing to be recognised by
NEAR_BITS = 84  # of 256 that differ at most between frames of the same; in 50,000 unrelated pairs the least is 94
SAME_SHARE = 0.6  # of the frames of a clip that have such a frame in the other clip
ROWS = 4096  # of hashes that are compared at a time


def fingerprint(frame: Grey) -> str | None:
    """Return the hash of a frame in 64 hex digits; None for a frame of nearly one colour."""
    if frame.std() / 255 < FLAT:
        return None
    small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[1 : LOW + 1, 1 : LOW + 1]  # without the mean of rows and columns
    return np.packbits(low > np.median(low)).tobytes().hex()


@dataclass(frozen=True)
class Fingerprinted:
    """A clip as it is compared: the hashes of its frames, and `rank`, the lower the better worth keeping."""

    key: str
    hashes: tuple[str, ...]
    rank: tuple[float | str, ...] = ()


def near_duplicates(clips: Sequence[Fingerprinted]) -> dict[str, str]:
    """Return the clips that show nearly the same as a better one, with the key of that one.

    A clip is left out if most of its frames have a frame of a better clip that is kept, within `NEAR_BITS`.
    """
    ordered = sorted((clip for clip in clips if clip.hashes), key=lambda clip: (clip.rank, clip.key))
    owners = np.repeat(np.arange(len(ordered)), [len(clip.hashes) for clip in ordered])
    signs = _signs([each for clip in ordered for each in clip.hashes])
    kept: set[int] = set()
    found: dict[str, str] = {}
    places = np.cumsum([0, *(len(clip.hashes) for clip in ordered)])
    for number, clip in enumerate(ordered):
        own = signs[places[number] : places[number + 1]]
        original = _original(own, signs[: places[number]], owners, kept)
        if original is None:
            kept.add(number)
        else:
            found[clip.key] = ordered[original].key
    return found


def _signs(hashes: Sequence[str]) -> Float32[np.ndarray, "n 256"]:
    """Return the bits of hashes as 1 and -1, so that a product counts equal bits."""
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, LOW * LOW // 8)
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


def _original(own: np.ndarray, earlier: np.ndarray, owners: np.ndarray, kept: set[int]) -> int | None:
    """Return the number of the kept clip that has most of the frames of another one; None where none has enough."""
    frames: dict[int, set[int]] = {}
    for first in range(0, len(earlier), ROWS):
        near = own @ earlier[first : first + ROWS].T >= 256 - 2 * NEAR_BITS
        for frame, place in zip(*np.nonzero(near), strict=True):
            frames.setdefault(int(owners[first + place]), set()).add(int(frame))
    shares = {owner: len(seen) / len(own) for owner, seen in frames.items() if owner in kept}
    best = max(shares, key=lambda owner: (shares[owner], -owner), default=None)
    return best if best is not None and shares[best] >= SAME_SHARE else None
