"""Paths between clean data and noise: noisy = alpha(t) clean + sigma(t) noise, with t = 0 clean and t = 1 noise.

Rectified flow (Liu et al. 2022, arXiv 2209.03003): alpha = 1 - t, sigma = t, velocity = noise - clean. Variance
preserving, cosine (Nichol and Dhariwal 2021, arXiv 2102.09672): alpha = cos(pi t / 2), sigma = sin(pi t / 2). A network
may predict the velocity, the clean data or the noise. Each is a linear function of the noisy data and any other, so
solvers always integrate a velocity. `t` broadcasts against the data.

The network is preconditioned (Karras et al. 2022, arXiv 2206.00364, table 1, extended to any path and prediction): its
input has standard deviation 1 at every t, and its output is added to the best linear estimate, in units of that
estimate's error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from chronotope.config import Positive, Range

__all__ = [
    "Balance",
    "FlowConfig",
    "PathName",
    "Prediction",
    "balance",
    "interpolate",
    "prediction_target",
    "to_clean",
    "to_velocity",
]

PathName = Literal["rectified", "variance_preserving"]
Prediction = Literal["velocity", "clean", "noise"]


@dataclass(frozen=True)
class FlowConfig:
    """What a network predicts, along which path, and the timestep shift of sampling; stored with its weights.

    `deviation` is the standard deviation of the clean data: one number for all values, or one for each value of a
    token.
    """

    path: PathName = "rectified"
    prediction: Prediction = "velocity"
    shift: Annotated[float, Range(0.01, 100)] = 1.0
    deviation: tuple[Positive, ...] = (1.0,)


# alpha and sigma are clamped to this minimum before a division by them
_MIN_DIVISOR = 1e-3


def _coefficients(path: PathName, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return alpha, sigma and their derivatives with respect to t."""
    if path == "rectified":
        one = torch.ones_like(t)
        return 1 - t, t, -one, one
    angle = t * (math.pi / 2)
    return angle.cos(), angle.sin(), -angle.sin() * (math.pi / 2), angle.cos() * (math.pi / 2)


def interpolate(path: PathName, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return the noisy data at t: alpha(t) clean + sigma(t) noise."""
    alpha, sigma, _, _ = _coefficients(path, t)
    return alpha * clean + sigma * noise


@dataclass(frozen=True)
class Balance:
    """Preconditioning: the network input is `scale_in * noisy`, the prediction `skip * noisy + scale_out * output`."""

    scale_in: Tensor
    skip: Tensor
    scale_out: Tensor


def balance(flow: FlowConfig, t: Tensor, deviation: Tensor | None = None) -> Balance:
    """Return the preconditioning scales at t [n, 1] for data of the flow's deviation d.

    The target is a clean + b noise. Its best linear estimate from noisy = alpha clean + sigma noise is skip * noisy,
    with variance v = alpha^2 d^2 + sigma^2, skip = (a alpha d^2 + b sigma) / v and error d |a sigma - b alpha| /
    sqrt(v). `deviation` may be given as a tensor, so that nothing is copied to the device at each call.
    """
    alpha, sigma, alpha_slope, sigma_slope = _coefficients(flow.path, t)
    zero, one = torch.zeros_like(t), torch.ones_like(t)
    a, b = {"velocity": (alpha_slope, sigma_slope), "clean": (one, zero), "noise": (zero, one)}[flow.prediction]
    d = torch.tensor(flow.deviation, device=t.device, dtype=t.dtype) if deviation is None else deviation
    variance = (alpha * d) ** 2 + sigma**2
    error = d * (a * sigma - b * alpha).abs() * variance.rsqrt()
    return Balance(variance.rsqrt(), (a * alpha * d**2 + b * sigma) / variance, error.clamp(min=1e-6))


def prediction_target(path: PathName, prediction: Prediction, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return what the network is trained to predict for these clean data and noise at t."""
    if prediction == "clean":
        return clean
    if prediction == "noise":
        return noise
    _, _, alpha_slope, sigma_slope = _coefficients(path, t)
    return alpha_slope * clean + sigma_slope * noise


def to_clean(path: PathName, prediction: Prediction, predicted: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
    """Convert a prediction at t to the clean data that it implies."""
    if prediction == "clean":
        return predicted
    alpha, sigma, alpha_slope, sigma_slope = _coefficients(path, t)
    if prediction == "noise":
        return (noisy - sigma * predicted) / alpha.clamp(min=_MIN_DIVISOR)
    # noisy = alpha c + sigma n and predicted = alpha' c + sigma' n, solved for c; the determinant is 1 or pi/2
    return (sigma_slope * noisy - sigma * predicted) / (alpha * sigma_slope - sigma * alpha_slope)


def to_velocity(path: PathName, prediction: Prediction, predicted: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
    """Convert a prediction at t to the velocity d noisy / dt along the path."""
    if prediction == "velocity":
        return predicted
    alpha, sigma, alpha_slope, sigma_slope = _coefficients(path, t)
    if prediction == "clean":
        clean, noise = predicted, (noisy - alpha * predicted) / sigma.clamp(min=_MIN_DIVISOR)
    else:
        clean, noise = (noisy - sigma * predicted) / alpha.clamp(min=_MIN_DIVISOR), predicted
    return alpha_slope * clean + sigma_slope * noise
