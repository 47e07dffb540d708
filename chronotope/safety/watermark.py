"""An invisible mark in the pixels of every frame that says one thing: this program made it.

It is spread-spectrum marking (Cox et al. 1997, doi 10.1109/83.650120): a fixed pattern of many sine waves whose phases
follow from a key is added to all frames, and found again by correlation. Waves are counted per frame, not per pixel, so
scaling leaves the pattern in its place; cropping moves and stretches it, and the detector searches for that. The
pattern is the same in all frames, so that trimming and other frame rates change nothing. It has no payload.

The key of the package is public: who reads it can remove the mark, or put it into a file of theirs. A key of the user's
own cannot be read from the package.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Complex, Float, UInt8

from chronotope.geometry import Frames, Picture

__all__ = ["FALSE_POSITIVE_RATE", "PACKAGE_KEY", "RELIABLE_SIDE", "Detection", "Detector", "Marker", "detect"]

PACKAGE_KEY = b"chronotope watermark 1"
SMALLEST_SIDE = 32  # pixels; below them a frame has no room for the pattern
RELIABLE_SIDE = 128  # pixels, from which on the rates of detection are promised
FALSE_POSITIVE_RATE = 1e-3  # of files without the mark

LOW, HIGH = 8, 36  # waves per frame, in octave 0; each further octave doubles them
OCTAVES = 3  # frames of 128, 256 and 512 pixels and more have their own
RMS = 1.7  # levels of 255; 43.4 dB
SMALL_RMS = 1.2  # 46.5 dB: frames below `RELIABLE_SIDE` are watched enlarged, where more shows as a grain
MASKING = 0.05  # more of the pattern for each level of local contrast, where the eye notices it less
MOST_CONTRAST = 12.0  # levels of contrast that count

CANVAS = 128  # pixels a side of the plane in octave 0 on which the detector adds frames up
GRID = 96  # frequencies a side in octave 0, above twice HIGH
MOST_FRAMES = 64  # that the detector looks at
SMALLEST_CROP = 0.75  # of each side
CROP_STEP = 1 / 60  # a wave of HIGH periods is then displaced by at most a sixth of its length
SURE = 1e-6  # an aligned pattern this improbable by chance is not searched for any further

LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Plane = Float[np.ndarray, "h w"]


def octave_of(height: int, width: int) -> int:
    """Return the octave of the pattern for frames of this size."""
    return min(OCTAVES - 1, max(0, math.floor(math.log2(max(1, min(height, width)) / RELIABLE_SIDE))))


@lru_cache(maxsize=16)
def _waves(key: bytes, octave: int) -> tuple[np.ndarray, np.ndarray, Complex[np.ndarray, "v u"]]:
    """Return the frequencies (waves per frame, down and across) of the grid of an octave, and the waves there."""
    side = GRID * 2**octave
    down, across = np.meshgrid(np.fft.fftfreq(side, 1 / side), np.fft.rfftfreq(side, 1 / side), indexing="ij")
    seed = int.from_bytes(hashlib.sha256(key + bytes([octave])).digest(), "big")
    phases = np.random.Generator(np.random.Philox(seed % 2**128)).uniform(0, 2 * np.pi, down.shape)
    radius = np.hypot(down, across)
    used = (radius >= LOW * 2**octave) & (radius <= HIGH * 2**octave) & (across > 0)
    return down.astype(int), across.astype(int), np.where(used, np.exp(1j * phases), 0).astype(np.complex64)


def pattern(key: bytes, height: int, width: int) -> Float[np.ndarray, "height width"]:
    """Return the pattern for frames of this size, with mean 0 and deviation 1."""
    down, across, waves = _waves(key, octave_of(height, width))
    shown = (waves != 0) & (np.abs(down) < height / 2) & (across < width / 2)
    spectrum = np.zeros((height, width // 2 + 1), np.complex128)
    half_pixel = np.exp(1j * np.pi * (down[shown] / height + across[shown] / width))  # pixels have centres
    spectrum[down[shown] % height, across[shown]] = waves[shown] * half_pixel
    found = np.fft.irfft2(spectrum, (height, width))
    return (found / found.std()).astype(np.float32)


class Marker:
    """Adds the mark to frames of one size; frames below `SMALLEST_SIDE` pixels a side stay as they are."""

    def __init__(self, height: int, width: int, key: bytes = PACKAGE_KEY) -> None:
        self.fits = min(height, width) >= SMALLEST_SIDE
        self._rms = SMALL_RMS if min(height, width) < RELIABLE_SIDE else RMS
        self._pattern = pattern(key, height, width) if self.fits else np.zeros((height, width), np.float32)
        self._window = max(3, round(min(height, width) / 2 ** octave_of(height, width) / 16) | 1)

    def __call__(self, frame: Picture) -> Picture:
        """Return the frame with the mark; their difference has at most `RMS` or `SMALL_RMS` levels.

        What a frame has of the pattern already is not added again: a clip that is extended was marked before.
        """
        import cv2

        if not self.fits:
            return frame
        luma = frame.astype(np.float32) @ LUMA
        window = (self._window, self._window)
        contrast = np.sqrt(np.maximum(cv2.blur(luma * luma, window) - cv2.blur(luma, window) ** 2, 0))
        added = self._pattern * (1 + MASKING * np.minimum(contrast, MOST_CONTRAST))
        added *= self._rms / np.sqrt(np.mean(added * added))
        added *= self._lacking(luma, added, contrast, window)
        marked: UInt8[np.ndarray, "h w 3"] = np.clip(np.rint(frame + added[..., None]), 0, 255).astype(np.uint8)
        return marked

    def _lacking(self, luma: Plane, added: Plane, contrast: Plane, window: tuple[int, int]) -> float:
        """Return which share of the pattern a frame lacks.

        Its details are correlated with the pattern, flat areas most: of whole frames the correlation by chance has a
        deviation of a quarter of the mark, so that a frame would get too little.
        """
        import cv2

        details = self._pattern - cv2.blur(self._pattern, window)

        def seen(plane: Plane) -> float:
            return float(np.sum((plane - cv2.blur(plane, window)) * details / (1 + contrast)))

        return min(1.0, max(0.0, 1 - seen(luma) / seen(added)))


# Detect


@dataclass(frozen=True)
class Detection:
    """The best place for the pattern: how improbable it is by chance, and how the frames were changed since.

    `score` is in deviations of the correlation at other places, `chance` the probability of such a score in a file
    without the mark, all searched places counted. `height` and `width` are the shares of the marked frames that these
    frames show.
    """

    found: bool
    score: float
    chance: float
    mirrored: bool
    height: float
    width: float


class Detector:
    """Looks for the mark in the frames that are added to it."""

    def __init__(self) -> None:
        self._planes: dict[int, Plane] = {}
        self._side = 0

    def add(self, frame: Picture) -> None:
        """Look at one more frame; all of one video have the same size."""
        if not self._side:
            self._side = min(frame.shape[:2])
        luma = frame.astype(np.float32) @ LUMA
        for octave in self._octaves():
            plane = _flattened(luma, octave)
            self._planes[octave] = self._planes[octave] + plane if octave in self._planes else plane

    def _octaves(self) -> list[int]:
        """Return the octaves whose waves frames of this size can still show, if they were reduced by less than 2."""
        return [octave for octave in range(OCTAVES) if octave == 0 or HIGH * 2**octave <= 0.75 * self._side]

    def find(self, key: bytes = PACKAGE_KEY, search: bool = True) -> Detection:
        """Return the best place for the pattern of a key; without `search`, only where frames were not cropped."""
        found = [self._best(key, [1.0])]
        if search and found[0].chance > SURE:
            found.append(self._best(key, _crops()))
        best = min(found, key=lambda one: one.chance)
        chance = min(1.0, len(found) * best.chance)
        return Detection(chance < FALSE_POSITIVE_RATE, best.score, chance, best.mirrored, best.height, best.width)

    def _best(self, key: bytes, crops: Sequence[float]) -> Detection:
        """Try every crop; a single one stands for frames as they were marked, with the pattern where it was put."""
        tried, best = 0, (-math.inf, False, 1.0, 1.0)
        for octave, plane in self._planes.items():
            for mirrored in (False, True):
                seen = np.ascontiguousarray(plane[:, ::-1]) if mirrored else plane
                for height in crops:
                    for width in crops:
                        scores = _correlation(seen, key, octave, height, width)
                        score = float(scores[0, 0] if len(crops) == 1 else scores.max())
                        tried += 1 if len(crops) == 1 else scores.size
                        best = max(best, (score, mirrored, height, width))
        score, mirrored, height, width = best
        chance = min(1.0, tried * 0.5 * math.erfc(max(score, 0.0) / math.sqrt(2)))
        return Detection(False, score, chance, mirrored, height, width)


def detect(frames: Frames | Iterable[Picture], key: bytes = PACKAGE_KEY, search: bool = True) -> Detection:
    """Look for the mark in a video, in at most `MOST_FRAMES` frames of it."""
    kept = list(frames)
    chosen = np.unique(np.linspace(0, len(kept) - 1, min(MOST_FRAMES, len(kept))).astype(int))
    detector = Detector()
    for number in chosen:
        detector.add(kept[number])
    return detector.find(key, search)


def _crops() -> list[float]:
    return [1 - CROP_STEP * number for number in range(round((1 - SMALLEST_CROP) / CROP_STEP) + 1)]


def _flattened(luma: Plane, octave: int) -> Float[np.ndarray, "side side"]:
    """Return what the waves of an octave change: the details of a frame, with equal contrast everywhere."""
    import cv2

    side = CANVAS * 2**octave
    shrinks = min(luma.shape) > side
    plane = cv2.resize(luma, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    wave = CANVAS / HIGH  # pixels of the shortest
    details = cv2.GaussianBlur(plane, (0, 0), wave / 4) - cv2.GaussianBlur(plane, (0, 0), wave * 1.5)
    contrast = np.sqrt(cv2.GaussianBlur(details * details, (0, 0), wave))
    return np.clip(details / (0.7 + contrast), -2, 2)


@lru_cache(maxsize=OCTAVES)
def _half_pixels(side: int, grid: int) -> Complex[np.ndarray, "v u"]:
    """Return the factors of the frequencies that move the origin from the corner of a pixel to its centre."""
    down, across = np.fft.fftfreq(grid, 1 / grid)[:, None], np.fft.rfftfreq(grid, 1 / grid)
    return np.exp(-1j * np.pi * (down + across) / side).astype(np.complex64)


def _correlation(
    plane: Float[np.ndarray, "side side"], key: bytes, octave: int, height: float, width: float
) -> Float[np.ndarray, "grid grid"]:
    """Return the correlation with the pattern at every place, in deviations, of frames that show a part of the marked.

    Every frequency counts the same, whatever the power of the video in its neighbourhood.
    """
    import cv2
    import scipy.fft  # in single precision, which takes half the time of numpy's

    side, grid = len(plane), GRID * 2**octave
    rows, columns = round(side * height), round(side * width)
    whole = np.zeros((side, side), np.float32)
    shown = plane if (rows, columns) == plane.shape else cv2.resize(plane, (columns, rows))
    whole[:rows, :columns] = shown
    _, _, waves = _waves(key, octave)
    spectrum = scipy.fft.rfft2(whole)
    spectrum = np.concatenate([spectrum[: grid // 2], spectrum[-grid // 2 :]])[:, : grid // 2 + 1]
    spectrum = spectrum * _half_pixels(side, grid)
    power = cv2.blur(np.abs(spectrum) ** 2, (5, 5))
    product = spectrum / np.sqrt(power + 1e-12) * np.conj(waves)
    scores = scipy.fft.irfft2(product, (grid, grid))
    return np.asarray(scores / max(float(scores.std()), 1e-12))
