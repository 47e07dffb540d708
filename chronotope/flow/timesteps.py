"""Which t to train on, and which t to visit when sampling.

Logit-normal t and the resolution shift t' = a t / (1 + (a - 1) t): Esser et al. 2024, arXiv 2403.03206, section 3.1 and
equation 23. A share of uniform t keeps the ends of the interval from being forgotten.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["sample_timesteps", "schedule", "shift_timesteps"]


def shift_timesteps(t: Tensor, shift: float) -> Tensor:
    """Move t towards noise by `shift` (1 leaves it); 0 and 1 stay where they are."""
    return shift * t / (1 + (shift - 1) * t)


def sample_timesteps(
    count: int,
    generator: torch.Generator,
    mean: float = 0.0,
    deviation: float = 1.0,
    uniform: float = 0.1,
    shift: float = 1.0,
) -> Float[Tensor, " count"]:
    """`count` training times in (0, 1): logit-normal, a share of them uniform, then shifted."""
    normal = torch.randn(count, generator=generator, device=generator.device)
    t = torch.sigmoid(mean + deviation * normal)
    flat = torch.rand(count, generator=generator, device=generator.device)
    choose = torch.rand(count, generator=generator, device=generator.device) < uniform
    return shift_timesteps(torch.where(choose, flat, t), shift)


def schedule(num_steps: int, shift: float = 1.0) -> Float[Tensor, " steps"]:
    """`num_steps` + 1 times from 1 down to 0."""
    return shift_timesteps(torch.linspace(1, 0, num_steps + 1, dtype=torch.float64), shift).float()
