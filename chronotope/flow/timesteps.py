"""Choose timesteps t for training and for sampling.

Logit-normal t and the resolution shift t' = a t / (1 + (a - 1) t) follow Esser et al. 2024 (arXiv 2403.03206), section
3.1 and equation 23. A share of t is uniform, because the logit-normal density vanishes at t = 0 and t = 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["sample_timesteps", "schedule", "shift_timesteps"]


def shift_timesteps(t: Tensor, shift: float) -> Tensor:
    """Shift t towards noise by the factor `shift` (1: no change); 0 and 1 are fixed points."""
    return shift * t / (1 + (shift - 1) * t)


def sample_timesteps(
    count: int,
    generator: torch.Generator,
    mean: float = 0.0,
    deviation: float = 1.0,
    uniform: float = 0.1,
    shift: float = 1.0,
) -> Float[Tensor, " count"]:
    """Draw `count` training timesteps in (0, 1): logit-normal, except for a share `uniform`, then shifted."""
    normal = torch.randn(count, generator=generator, device=generator.device)
    t = torch.sigmoid(mean + deviation * normal)
    uniform_t = torch.rand(count, generator=generator, device=generator.device)
    use_uniform = torch.rand(count, generator=generator, device=generator.device) < uniform
    return shift_timesteps(torch.where(use_uniform, uniform_t, t), shift)


def schedule(num_steps: int, shift: float = 1.0) -> Float[Tensor, " steps"]:
    """Return the `num_steps` + 1 timesteps of a sampling run, from 1 down to 0, shifted."""
    return shift_timesteps(torch.linspace(1, 0, num_steps + 1, dtype=torch.float64), shift).float()
