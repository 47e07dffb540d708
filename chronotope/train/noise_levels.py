"""Noise levels for training: one per token, so that one model learns every task of the canvas.

uniform   all tokens share one level: text to video and pictures (and edits, from the middle of the path)
forcing   every slice has its own level (diffusion forcing, Chen et al. 2024, arXiv 2407.01392): histories of any quality
context   some slices are given and the others share one level: a first picture, a past, a future, both ends, or any stills
region    a box in space, in some or all slices, is given or is all that is not: retakes, inpainting, outpainting

What is given is clean or, as a sliding window sees its past, slightly noised; it carries no loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chronotope.errors import UsageError
from chronotope.flow.timesteps import sample_timesteps

__all__ = ["LevelConfig", "Levels", "sample_levels"]


@dataclass(frozen=True)
class LevelConfig:
    """Shares of the kinds (the rest is uniform), the distribution of t, and how often and how far what is given is noised."""

    forcing: float = 0.1
    context: float = 0.25
    region: float = 0.1
    mean: float = 0.3
    deviation: float = 1.2
    flat: float = 0.1
    history_share: float = 0.4
    history: float = 0.1

    def __post_init__(self) -> None:
        shares = (self.forcing, self.context, self.region)
        if min(shares) < 0 or sum(shares) > 1:
            raise UsageError(
                f"the shares of forcing, context and region must be positive and sum to at most 1, got {shares}"
            )
        if not (0 <= self.history_share <= 1 and 0 <= self.history < 1):
            raise UsageError(f"history_share and history lie in [0, 1], got {self.history_share} and {self.history}")


@dataclass(frozen=True)
class Levels:
    """A noise level in [0, 1) for each token, and which tokens are given."""

    level: Float[Tensor, "s rows columns"]
    given: Bool[Tensor, "s rows columns"]


def sample_levels(config: LevelConfig, num_slices: int, grid: tuple[int, int], generator: torch.Generator) -> Levels:
    """Levels for `num_slices` slices of `grid` (rows, columns) tokens; never is everything given."""
    kind = float(torch.rand((), generator=generator))
    count = num_slices if kind < config.forcing else 1
    level = sample_timesteps(count, generator, config.mean, config.deviation, config.flat)
    level = level[:, None, None].expand(num_slices, *grid).clone()
    given = torch.zeros(level.shape, dtype=torch.bool)
    if config.forcing <= kind < config.forcing + config.context and num_slices > 1:
        given[_given_slices(num_slices, generator)] = True
    elif config.forcing + config.context <= kind < config.forcing + config.context + config.region:
        given = _given_region(num_slices, grid, generator)
    noised = float(torch.rand((), generator=generator)) < config.history_share
    history = config.history * float(torch.rand((), generator=generator)) * noised
    return Levels(level.masked_fill(given, history), given)


def _given_slices(num_slices: int, generator: torch.Generator) -> Tensor:
    """Which slices are given: the first, a longer head, a tail, both ends, or any of them."""
    kind = float(torch.rand((), generator=generator))
    many = _between(1, num_slices - 1, generator)
    if kind < 0.35:
        return torch.tensor([0])
    if kind < 0.55:
        return torch.arange(many)
    if kind < 0.7:
        return torch.arange(num_slices - many, num_slices)
    if kind < 0.85 and num_slices > 2:
        head = _between(1, num_slices - 2, generator)
        tail = _between(1, num_slices - 1 - head, generator)
        return torch.cat([torch.arange(head), torch.arange(num_slices - tail, num_slices)])
    return torch.randperm(num_slices, generator=generator)[:many]


def _given_region(num_slices: int, grid: tuple[int, int], generator: torch.Generator) -> Tensor:
    """All but a box is given, or only the box, and half of the time the slices before and after it as well."""
    inside = torch.ones(num_slices, *grid, dtype=torch.bool)
    for axis, size in enumerate(grid, start=1):
        length = _between(1, size, generator)
        first = _between(0, size - length, generator)
        place = torch.arange(size)
        along = (place >= first) & (place < first + length)
        inside &= along.view([-1 if i == axis else 1 for i in range(3)])
    outside_too = torch.zeros(num_slices, 1, 1, dtype=torch.bool)
    if float(torch.rand((), generator=generator)) < 0.5:
        length = _between(1, num_slices, generator)
        first = _between(0, num_slices - length, generator)
        outside_too = ((torch.arange(num_slices) < first) | (torch.arange(num_slices) >= first + length))[:, None, None]
    given = outside_too | (~inside if float(torch.rand((), generator=generator)) < 0.5 else inside)
    return given if not bool(given.all()) else torch.zeros_like(given)


def _between(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
