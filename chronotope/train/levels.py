"""Noise levels for training: one per slice, so that one model learns every task of the canvas.

uniform   all slices share one level: text to video and pictures (and edits, from the middle of the path)
forcing   every slice has its own level (diffusion forcing, Chen et al. 2024, arXiv 2407.01392): histories of any quality
context   some slices are clean and the others share one level: a first picture, a past, a future, or any stills
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.flow.timesteps import sample_timesteps

__all__ = ["LevelConfig", "sample_levels"]


@dataclass(frozen=True)
class LevelConfig:
    """Shares of the three kinds (the rest is uniform), and the distribution of t."""

    forcing: float = 0.1
    context: float = 0.25
    mean: float = 0.3
    deviation: float = 1.2
    flat: float = 0.1

    def __post_init__(self) -> None:
        if min(self.forcing, self.context) < 0 or self.forcing + self.context > 1:
            raise UsageError(f"shares of forcing ({self.forcing}) and context ({self.context}) must be positive and sum to at most 1")


def sample_levels(config: LevelConfig, num_slices: int, generator: torch.Generator) -> Float[Tensor, " s"]:
    """A noise level in [0, 1) for each slice; 0 marks a clean slice, which carries no loss."""
    kind = float(torch.rand((), generator=generator))
    count = num_slices if kind < config.forcing else 1
    levels = sample_timesteps(count, generator, config.mean, config.deviation, config.flat).expand(num_slices).clone()
    if config.forcing <= kind < config.forcing + config.context and num_slices > 1:
        levels[_clean_slices(num_slices, generator)] = 0.0
    return levels


def _clean_slices(num_slices: int, generator: torch.Generator) -> Tensor:
    """Which slices are given: the first (half of the time), a longer head, a tail, or any of them."""
    kind = float(torch.rand((), generator=generator))
    many = int(torch.randint(1, num_slices, (), generator=generator))
    if kind < 0.5:
        return torch.tensor([0])
    if kind < 0.7:
        return torch.arange(many)
    if kind < 0.85:
        return torch.arange(num_slices - many, num_slices)
    return torch.randperm(num_slices, generator=generator)[:many]
