"""PSNR and SSIM against direct computations and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chronotope.metrics.similarity import psnr, ssim

LUMA = (0.299, 0.587, 0.114)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def slow_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Wang et al. 2004, written out window by window."""
    axis = np.arange(11) - 5
    weights = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    x, y = ((picture.astype(float) * LUMA).sum(axis=2) for picture in (one, other))
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (picture[top : top + 11, left : left + 11] for picture in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            variance_a, variance_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
            values.append(above / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)))
    return float(np.mean(values))


def test_ssim_is_that_of_the_paper() -> None:
    one = noise(19, 23, 3)
    other = np.clip(one.astype(int) + noise(19, 23, 3, seed=1) // 4 - 20, 0, 255).astype(np.uint8)
    assert ssim(one, other) == pytest.approx(slow_ssim(one, other), abs=1e-9)


def test_ssim_of_plain_frames_has_a_closed_form() -> None:
    one, other = (np.full((16, 16, 3), value, np.uint8) for value in (100, 120))
    c1 = (0.01 * 255) ** 2
    assert ssim(one, other) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (10, 2), (11, 11), (64, 96)])
def test_ssim_of_a_frame_with_itself_is_one_at_any_size(size: tuple[int, int]) -> None:
    frame = noise(*size, 3)
    assert ssim(frame, frame) == pytest.approx(1.0)


def test_psnr_in_closed_form() -> None:
    frames = np.full((3, 8, 8, 3), 100, np.uint8)
    assert psnr(frames, frames + 5) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(frames, frames) == math.inf
