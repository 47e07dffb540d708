"""The watermark: how much it changes, what it survives, and how rarely it is found where it is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from chronotope.media import video
from chronotope.metrics.similarity import psnr
from chronotope.safety.watermark import Detector, Marker, detect, pattern

FRAMES = 12


def scene(height: int, width: int, seed: int = 0, frames: int = FRAMES) -> np.ndarray:
    """A texture with the power of photographs (1/f in amplitude) that moves one pixel a frame."""
    rng = np.random.default_rng(seed)
    rows, columns = height, width + frames
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None])
    spectrum = np.fft.rfft2(rng.normal(size=(rows, columns))) / np.maximum(radius, 1 / max(rows, columns))
    texture = np.fft.irfft2(spectrum, (rows, columns))
    grey = 128 + 45 * (texture - texture.mean()) / texture.std()
    moving = np.stack([grey[:, step : step + width] for step in range(frames)])
    return np.clip(np.repeat(moving[..., None], 3, axis=-1), 0, 255).astype(np.uint8)


def marked(frames: np.ndarray, **key: bytes) -> np.ndarray:
    marker = Marker(*frames.shape[1:3], **key)
    return np.stack([marker(frame) for frame in frames])


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return marked(scene(128, 192))


@pytest.mark.parametrize(("height", "width"), [(64, 96), (128, 128), (270, 480), (33, 500)])
@pytest.mark.parametrize("content", ["photograph", "flat", "black"])
def test_the_mark_costs_less_than_42_db(height: int, width: int, content: str) -> None:
    frames = scene(height, width, frames=2)
    if content != "photograph":
        frames[:] = 128 if content == "flat" else 0
    found = psnr(frames, marked(frames))
    assert 42 <= found < 50


@pytest.mark.parametrize(("height", "width"), [(64, 96), (128, 128), (256, 256)])
def test_what_is_marked_is_not_marked_again(height: int, width: int) -> None:
    """A clip that is extended five times would else show the pattern."""
    frames = scene(height, width, frames=1)
    twice = marked(marked(frames))
    assert np.array_equal(marked(twice), twice) and psnr(frames, twice) > 42


def test_a_frame_without_room_stays_as_it_is() -> None:
    frame = scene(31, 200, frames=1)[0]
    assert np.array_equal(Marker(31, 200)(frame), frame)


def test_the_pattern_scales_with_the_frame() -> None:
    """Twice the size, averaged by pairs, is the pattern of half the size: waves are counted per frame."""
    small, large = pattern(b"key", 128, 192), pattern(b"key", 254, 382)
    reduced = cv2.resize(large, (192, 128), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(small.ravel(), reduced.ravel())[0, 1] > 0.98
    assert abs(np.corrcoef(small.ravel(), pattern(b"other", 128, 192).ravel())[0, 1]) < 0.05


def coded(frames: np.ndarray, crf: int, folder: Path, fps: float = 16) -> np.ndarray:
    video.write(folder / "coded.mp4", frames, fps, crf=crf)
    return video.read(folder / "coded.mp4").frames


CHANGES: dict[str, Callable[[np.ndarray, Path], np.ndarray]] = {
    "nothing": lambda frames, folder: frames,
    "crf 23": lambda frames, folder: coded(frames, 23, folder),
    "crf 28": lambda frames, folder: coded(frames, 28, folder),
    "two encodes": lambda frames, folder: coded(coded(frames, 20, folder), 25, folder),
    "mirror": lambda frames, folder: frames[:, :, ::-1],
    "trim": lambda frames, folder: frames[5:8],
    "every third frame": lambda frames, folder: frames[::3],
    "one picture": lambda frames, folder: frames[:1],
    "three quarters of the size": lambda frames, folder: video.resize(frames, 96, 144),
    "twice the size": lambda frames, folder: video.resize(frames, 256, 384),
    "crop of 5 %": lambda frames, folder: frames[:, 3:124, 4:186],
    "crop of 25 %": lambda frames, folder: frames[:, 20:116, 30:174],
    "crop, mirror and crf 23": lambda frames, folder: coded(frames[:, 10:118, 174:10:-1], 23, folder),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_mark_survives(clip: np.ndarray, change: str, tmp_path: Path) -> None:
    found = detect(CHANGES[change](clip, tmp_path))
    assert found.found, found
    assert found.mirrored == ("mirror" in change)


def test_a_crop_is_measured(clip: np.ndarray) -> None:
    found = detect(clip[:, 13:115, 19:182])  # 102 of 128 rows, 163 of 192 columns
    assert (found.height, found.width) == pytest.approx((102 / 128, 163 / 192), abs=0.02)


def test_another_key_finds_nothing(clip: np.ndarray) -> None:
    assert not detect(clip, b"another").found
    assert detect(marked(scene(128, 128), key=b"another"), b"another").found


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_found_in_what_was_not_marked(seed: int) -> None:
    assert not detect(scene(96, 128, seed)).found


def test_the_chance_is_honest() -> None:
    """With random keys the aligned score is that of a normal deviate, so its chance is that of a p-value.

    The best of two mirrored places has chance p in 2 p - p^2 of files; it is told as the sum, 2 p.
    """
    detector = Detector()
    for frame in scene(96, 128, 5, 4):
        detector.add(frame)
    chances = np.array([detector.find(b"%d" % number, search=False).chance for number in range(200)])
    for level in (0.5, 0.2, 0.05):
        expected = 1 - (1 - level / 2) ** 2
        deviation = math.sqrt(expected * (1 - expected) / len(chances))
        assert abs(np.mean(chances < level) - expected) < 4 * deviation
