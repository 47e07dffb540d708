"""Paths between clean data and noise: noisy = alpha(t) clean + sigma(t) noise, with t = 0 clean and t = 1 noise.

Rectified flow (Liu et al. 2022, arXiv 2209.03003): alpha = 1 - t, sigma = t, velocity = noise - clean.
Variance preserving, cosine (Nichol and Dhariwal 2021, arXiv 2102.09672): alpha = cos(pi t / 2), sigma = sin(pi t / 2).
A network may predict the velocity, the clean data or the noise; all are linear in one another, so the solver always
integrates a velocity. `t` broadcasts against the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["FlowConfig", "PathName", "Prediction", "interpolate", "prediction_target", "to_clean", "to_velocity"]

PathName = Literal["rectified", "variance_preserving"]
Prediction = Literal["velocity", "clean", "noise"]


@dataclass(frozen=True)
class FlowConfig:
    """What a network predicts, along which path, and how far sampling times are shifted towards noise; kept beside its weights."""

    path: PathName = "rectified"
    prediction: Prediction = "velocity"
    shift: float = 1.0


# below this the clean part (or the noise part) of the noisy data is too faint to divide by
_FAINT = 1e-3


def _coefficients(path: PathName, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """alpha, sigma and their derivatives by t."""
    if path == "rectified":
        one = torch.ones_like(t)
        return 1 - t, t, -one, one
    angle = t * (math.pi / 2)
    return angle.cos(), angle.sin(), -angle.sin() * (math.pi / 2), angle.cos() * (math.pi / 2)


def interpolate(path: PathName, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The noisy data at t."""
    alpha, sigma, _, _ = _coefficients(path, t)
    return alpha * clean + sigma * noise


def prediction_target(path: PathName, prediction: Prediction, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What the network should output for these clean data and noise."""
    if prediction == "clean":
        return clean
    if prediction == "noise":
        return noise
    _, _, alpha_slope, sigma_slope = _coefficients(path, t)
    return alpha_slope * clean + sigma_slope * noise


def to_clean(path: PathName, prediction: Prediction, output: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
    """The clean data that the network's output stands for."""
    if prediction == "clean":
        return output
    alpha, sigma, alpha_slope, sigma_slope = _coefficients(path, t)
    if prediction == "noise":
        return (noisy - sigma * output) / alpha.clamp(min=_FAINT)
    # noisy = alpha c + sigma n and output = alpha' c + sigma' n, solved for c; the determinant is 1 (or pi/2)
    return (sigma_slope * noisy - sigma * output) / (alpha * sigma_slope - sigma * alpha_slope)


def to_velocity(path: PathName, prediction: Prediction, output: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
    """d noisy / dt along the path, from what the network predicts."""
    if prediction == "velocity":
        return output
    alpha, sigma, alpha_slope, sigma_slope = _coefficients(path, t)
    if prediction == "clean":
        clean, noise = output, (noisy - alpha * output) / sigma.clamp(min=_FAINT)
    else:
        clean, noise = (noisy - sigma * output) / alpha.clamp(min=_FAINT), output
    return alpha_slope * clean + sigma_slope * noise
