"""Choose timesteps t for training and for sampling.

Logit-normal t and the resolution shift t' = a t / (1 + (a - 1) t) follow Esser et al. 2024 (arXiv 2403.03206), section
3.1 and equation 23. A share of t is uniform, because the logit-normal density vanishes at t = 0 and t = 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["mixed_timesteps", "sample_timesteps", "schedule", "shift_timesteps", "timestep_noise"]


def shift_timesteps(t: Tensor, shift: float) -> Tensor:
    """Shift t towards noise by the factor `shift` (1: no change); 0 and 1 are fixed points."""
    return t if shift == 1 else shift * t / (1 + (shift - 1) * t)


def sample_timesteps(
    count: int,
    generator: torch.Generator,
    mean: float = 0.0,
    deviation: float = 1.0,
    uniform: float = 0.1,
    shift: float = 1.0,
) -> Float[Tensor, " count"]:
    """Draw `count` training timesteps in (0, 1): logit-normal, except for a share `uniform`, then shifted."""
    return shift_timesteps(mixed_timesteps(*timestep_noise(count, generator), mean, deviation, uniform), shift)


def timestep_noise(count: int, generator: torch.Generator) -> tuple[Float[Tensor, " count"], Float[Tensor, "2 count"]]:
    """Draw the normal and the uniform random numbers that `mixed_timesteps` turns into timesteps."""
    device = generator.device
    return torch.randn(count, generator=generator, device=device), torch.rand(
        2, count, generator=generator, device=device
    )


def mixed_timesteps(
    normal: Float[Tensor, " count"], flat: Float[Tensor, "2 count"], mean: float, deviation: float, uniform: float
) -> Float[Tensor, " count"]:
    """Return timesteps that are logit-normal, but for a share `uniform`; each is a function of its numbers alone."""
    # every other value of memory: vector instructions, whose last bit differs, would be used for some values only
    spread = torch.empty(2 * len(normal), device=normal.device)[::2].copy_(mean + deviation * normal)
    return torch.where(flat[1] < uniform, flat[0], spread.sigmoid())


def schedule(num_steps: int, shift: float = 1.0) -> Float[Tensor, " steps"]:
    """Return the `num_steps` + 1 timesteps of a sampling run, from 1 down to 0, shifted."""
    return shift_timesteps(torch.linspace(1, 0, num_steps + 1, dtype=torch.float64), shift).float()
