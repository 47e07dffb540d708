"""Films for the tests: moving textures, whose cuts are known."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["film", "scene"]


def scene(rng: np.random.Generator, count: int, height: int = 72, width: int = 128) -> list[np.ndarray]:
    """Return frames of a coloured texture that drifts, with a disc that crosses it."""
    base = rng.integers(40, 215, 3)
    coarse = np.clip(base + rng.integers(-60, 60, (height // 8 + 8, width // 8 + 20, 3)), 0, 255).astype(np.uint8)
    texture = cv2.resize(coarse, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    colour = tuple(int(value) for value in rng.integers(0, 255, 3))
    speed = rng.uniform(0.3, 1.5)
    frames = []
    for step in range(count):
        shift = int(speed * step)
        frame = np.ascontiguousarray(texture[8 : 8 + height, shift : shift + width])
        cv2.circle(frame, (10 + int(2 * speed * step), height // 2), 9, colour, -1)
        frames.append(frame)
    return frames


def film(seed: int, count: int) -> tuple[list[np.ndarray], list[int]]:
    """Return the frames of a film of `count` scenes, and the frames with which they begin."""
    rng = np.random.default_rng(seed)
    frames: list[np.ndarray] = []
    starts = []
    for _ in range(count):
        starts.append(len(frames))
        frames += scene(rng, int(rng.integers(14, 40)))
    return frames, starts
