"""Sample noise levels for training: one per token, so that one model learns every task of the canvas.

The kinds of samples, each with its share in `NoiseLevelConfig`:
uniform   all tokens have one level: text to video or picture, and editing from the middle of the path
forcing   every slice has its own level: diffusion forcing (Chen et al. 2024, arXiv 2407.01392)
context   some slices are known and the others have one level: the first, a past, a future, both ends, or any
region    a box in space and time is known, or everything else is: retakes, inpainting and outpainting

causal    the slices come twice, first known and then each at its own level, under the slice-causal mask

Known tokens are clean or, as the past of a sliding window, slightly noised; they carry no loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chronotope.config import Range, Share
from chronotope.errors import UsageError
from chronotope.flow.timesteps import mixed_timesteps, timestep_noise

__all__ = ["NoiseLevelChoice", "NoiseLevelConfig", "NoiseLevels", "noise_levels", "sample_noise_levels"]


@dataclass(frozen=True)
class NoiseLevelConfig:
    """Shares of the kinds (the rest is uniform), the distribution of t, and the noise on known tokens.

    t is logit-normal with `mean` and `deviation`, except for a share `flat` that is uniform in (0, 1). In a share
    `history_share` of the samples, known tokens have a noise level drawn from [0, `history`); in the others they are
    clean.
    """

    forcing: Share = 0.1
    context: Share = 0.25
    region: Share = 0.1
    mean: Annotated[float, Range(-10, 10)] = 0.3
    deviation: Annotated[float, Range(0, 10)] = 1.2
    flat: Share = 0.1
    history_share: Share = 0.4
    history: Annotated[float, Range(0, 1, open="high")] = 0.1
    causal: Share = 0.0

    def __post_init__(self) -> None:
        shares = (self.forcing, self.context, self.region, self.causal)
        if sum(shares) > 1:
            raise UsageError(f"the shares of forcing, context, region and causal must sum to at most 1, got {shares}")
        if self.deviation == self.flat == 0:
            raise UsageError("noise_levels: deviation and flat are 0, so all t would be one number; raise one of them")


@dataclass(frozen=True)
class NoiseLevelChoice:
    """The random choices of one sample: numbers of `timestep_noise`, known tokens and the noise level of these.

    There is one timestep for the sample, or one for each slice. In a `causal` sample the slices come twice.
    """

    normal: Float[Tensor, " t"]
    flat: Float[Tensor, "2 t"]
    known: Bool[np.ndarray, "s rows columns"]
    history: float
    causal: bool = False


@dataclass(frozen=True)
class NoiseLevels:
    """The noise level of every token, in [0, 1), and which tokens are known; tokens of several samples in a row."""

    level: Float[Tensor, " v"]
    known: Bool[Tensor, " v"]


def sample_noise_levels(
    config: NoiseLevelConfig, num_slices: int, grid: tuple[int, int], generator: torch.Generator
) -> NoiseLevelChoice:
    """Choose noise levels for `num_slices` slices of `grid` (rows, columns) tokens; at least one token is unknown."""
    kind = float(torch.rand((), generator=generator))
    if kind >= 1 - config.causal:
        normal, flat = timestep_noise(2 * num_slices, generator)
        known = np.zeros((2 * num_slices, *grid), bool)
        known[:num_slices] = True
        return NoiseLevelChoice(normal, flat, known, _history(config, generator), causal=True)
    normal, flat = timestep_noise(num_slices if kind < config.forcing else 1, generator)
    known = np.zeros((num_slices, *grid), bool)
    if config.forcing <= kind < config.forcing + config.context and num_slices > 1:
        known[_known_slices(num_slices, generator)] = True
    elif config.forcing + config.context <= kind < config.forcing + config.context + config.region:
        known = _known_region(num_slices, grid, generator)
    return NoiseLevelChoice(normal, flat, known, _history(config, generator))


def _history(config: NoiseLevelConfig, generator: torch.Generator) -> float:
    """Choose the noise level of known tokens."""
    chance, amount = torch.rand(2, generator=generator).tolist()
    return config.history * amount * (chance < config.history_share)


def noise_levels(
    config: NoiseLevelConfig, choices: Sequence[NoiseLevelChoice], clock: Sequence[float] = ()
) -> NoiseLevels:
    """Return the noise levels of all tokens of several samples; with a `clock`, t is one of its times."""
    normal, flat = torch.cat([each.normal for each in choices]), torch.cat([each.flat for each in choices], dim=1)
    if clock:
        t = np.array(clock, np.float32)[(flat[0] * len(clock)).long().clamp(max=len(clock) - 1)]
    else:
        t = mixed_timesteps(normal, flat, config.mean, config.deviation, config.flat).numpy()
    counts = [len(each.normal) for each in choices]
    tokens = [each.known.size for each in choices]
    of_timestep = np.repeat(np.floor_divide(tokens, counts), counts)
    known = np.concatenate([each.known.reshape(-1) for each in choices])
    history = np.array([each.history for each in choices], np.float32)
    level = np.where(known, history.repeat(tokens), t.repeat(of_timestep))
    return NoiseLevels(torch.from_numpy(level), torch.from_numpy(known))


def _known_slices(num_slices: int, generator: torch.Generator) -> list[int]:
    """Choose known slices: the first one, several at the start, several at the end, both ends, or any."""
    kind = float(torch.rand((), generator=generator))
    count = _random_integer(1, num_slices - 1, generator)
    if kind < 0.35:
        return [0]
    if kind < 0.55:
        return list(range(count))
    if kind < 0.7:
        return list(range(num_slices - count, num_slices))
    if kind < 0.85 and num_slices > 2:
        head = _random_integer(1, num_slices - 2, generator)
        tail = _random_integer(1, num_slices - 1 - head, generator)
        return [*range(head), *range(num_slices - tail, num_slices)]
    return torch.randperm(num_slices, generator=generator)[:count].tolist()


def _known_region(
    num_slices: int, grid: tuple[int, int], generator: torch.Generator
) -> Bool[np.ndarray, "s rows columns"]:
    """Choose a box whose inside or outside is known; half of the time also the slices outside a span are known."""
    box = tuple(_random_span(size, generator) for size in grid)
    span = slice(None)
    if float(torch.rand((), generator=generator)) < 0.5:
        span = _random_span(num_slices, generator)
    outside = float(torch.rand((), generator=generator)) < 0.5
    inside = np.zeros(grid, bool)
    inside[box] = True
    known = np.ones((num_slices, *grid), bool)
    known[span] = ~inside if outside else inside
    return known if not known.all() else np.zeros_like(known)


def _random_span(size: int, generator: torch.Generator) -> slice:
    """Choose a random run of at least one of `size` places."""
    length = _random_integer(1, size, generator)
    first = _random_integer(0, size - length, generator)
    return slice(first, first + length)


def _random_integer(low: int, high: int, generator: torch.Generator) -> int:
    """Draw an integer in [low, high]."""
    return int(torch.randint(low, high + 1, (), generator=generator))
