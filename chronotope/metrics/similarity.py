"""How similar two pictures or videos are, by their pixels alone."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8

__all__ = ["decibels", "psnr"]


def decibels(mean_square: float) -> float:
    """Return the peak signal to noise ratio of a mean squared difference, for levels of 0 to 255."""
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


def psnr(one: UInt8[np.ndarray, "*any"], other: UInt8[np.ndarray, "*any"]) -> float:
    """Return the peak signal to noise ratio in dB over all values together."""
    return decibels(float(np.mean((one.astype(np.float64) - other) ** 2)))
