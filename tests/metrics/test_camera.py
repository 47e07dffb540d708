"""The camera's motion is measured from frames: of shifted and scaled pictures whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from chronotope.metrics.camera import camera_motion

FPS, SIZE = 8.0, (96, 128)


@pytest.fixture(scope="module")
def scenery() -> np.ndarray:
    """Soft blobs of many colours, larger than the window that looks at them."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    return cv2.resize(noise, (480, 400), interpolation=cv2.INTER_CUBIC)


def looked_at(scenery: np.ndarray, right: float, down: float, growth: float, count: int = 9) -> np.ndarray:
    """Frames of a camera that goes a share of a width each frame, and makes the picture grow by a factor."""
    height, width = SIZE
    frames = []
    for number in range(count):
        scale = growth**number
        centre = np.array([240 + right * width * number, 200 + down * width * number])
        matrix = np.array([[scale, 0, width / 2 - scale * centre[0]], [0, scale, height / 2 - scale * centre[1]]])
        frames.append(cv2.warpAffine(scenery, matrix, (width, height), flags=cv2.INTER_LINEAR))
    return np.stack(frames)


@pytest.mark.parametrize(
    ("right", "down", "growth", "words"),
    [
        (0.02, 0, 1, "pans right"),
        (-0.02, 0, 1, "pans left"),
        (0, 0.02, 1, "pans down"),
        (0, -0.02, 1, "pans up"),
        (0, 0, 1.03, "zooms in"),
        (0, 0, 0.97, "zooms out"),
        (0, 0, 1, "still"),
    ],
)
def test_the_motion_of_a_camera_is_measured(
    scenery: np.ndarray, right: float, down: float, growth: float, words: str
) -> None:
    found = camera_motion(looked_at(scenery, right, down, growth), FPS)
    assert found is not None and found.words == words
    assert (found.right, found.down) == pytest.approx((right * FPS, down * FPS), abs=0.01)
    assert found.zoom == pytest.approx(np.log(growth) * FPS, abs=0.01)


def test_a_thing_that_moves_is_no_camera_that_pans(scenery: np.ndarray) -> None:
    """On a plain background, all corners are those of the thing."""
    frames = np.full((9, *SIZE, 3), 200, np.uint8)
    for number, frame in enumerate(frames):
        frame[30:60, 10 + 4 * number : 40 + 4 * number] = scenery[30:60, 30:60]
    assert camera_motion(frames, FPS) is None
    behind = looked_at(scenery, 0, 0, 1)
    for number, frame in enumerate(behind):
        frame[30:60, 10 + 4 * number : 40 + 4 * number] = scenery[100:130, 300:330]
    found = camera_motion(behind, FPS)
    assert found is not None and found.words == "still"


def test_pictures_and_empty_frames_have_none(scenery: np.ndarray) -> None:
    assert camera_motion(looked_at(scenery, 0, 0, 1, count=1), FPS) is None
    assert camera_motion(np.zeros((5, *SIZE, 3), np.uint8), FPS) is None
