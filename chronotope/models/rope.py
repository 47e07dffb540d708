"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864) of real positions; each axis has a share of every head.

A position is (seconds, y, x), so frame rate, duration, size and aspect ratio are expressed as positions. Text tokens
are placed at the middle of the frame at the time that they describe; relative to them, a visual token knows its place
in the frame.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["rotary_angles", "rotate"]

# lowest and highest angular frequency: radians per second, and per sqrt(height * width)
_TIME = (0.05, 8.0)
_SPACE = (0.5, 32.0)


def rotary_angles(positions: Float[Tensor, "n 3"], head_dim: int) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the rotation angles of every token, [n, 1, head_dim / 2] each."""
    pairs = head_dim // 2
    shares = (pairs - 2 * (pairs // 3), pairs // 3, pairs // 3)
    angles = []
    for axis, (count, (low, high)) in enumerate(zip(shares, (_TIME, _SPACE, _SPACE), strict=True)):
        steps = torch.linspace(0, 1, count, device=positions.device)
        frequencies = low * (high / low) ** steps
        angles.append(positions[:, axis, None] * frequencies)
    angle = torch.cat(angles, dim=1)[:, None]
    return angle.cos(), angle.sin()


def rotate(x: Float[Tensor, "*n heads k"], cosines: Tensor, sines: Tensor) -> Float[Tensor, "*n heads k"]:
    """Rotate each pair of channels (i, i + head_dim / 2) by its angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)
