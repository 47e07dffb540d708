"""The endless order in which clips are shown: a function of the seed and the place, for any number of processes.

Without weights every clip is shown once an epoch. With weights each dataset has its own epochs, and the datasets take
turns: the clip number n of a dataset of share s is due at place (n + 1/2) / s, and what is due first comes first. So
every stretch of the order holds each dataset in its share, give or take a few clips.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from chronotope.data.latents import LatentDataset

__all__ = ["Mixture", "clips_in_order", "mixture_of", "share_notes"]


@dataclass(frozen=True)
class Mixture:
    """The numbers of clips of several datasets, which follow each other, and their weights."""

    counts: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def shares(self) -> list[float]:
        """The shares of the datasets in the clips that are shown."""
        total = sum(self.weights)
        return [weight / total for weight in self.weights]


def mixture_of(dataset: LatentDataset) -> Mixture | None:
    """Return the mixture of a dataset; None where all clips are shown equally often."""
    return Mixture(dataset.counts, dataset.weights) if dataset.weights else None


def share_notes(dataset: LatentDataset) -> list[str]:
    """Say in a sentence how often the clips of each folder are shown; nothing without weights."""
    if (mixture := mixture_of(dataset)) is None:
        return []
    told = (
        f"{folder} {share:.1%} ({count} clip{'' if count == 1 else 's'})"
        for folder, share, count in zip(dataset.folders, mixture.shares, mixture.counts, strict=True)
    )
    return [f"of the clips shown: {', '.join(told)}"]


def clips_in_order(count: int, seed: int, first: int = 0, mixture: Mixture | None = None) -> Iterator[int]:
    """Yield the indices of clips without end, from the place `first` on; `count` is the number of all clips."""
    if mixture is not None:
        yield from _mixed(mixture, seed, first)
    place = first
    while True:
        epoch, offset = divmod(place, count)
        yield int(_epoch_order(count, seed, epoch)[offset])
        place += 1


@lru_cache(maxsize=2)
def _epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, 5)).permutation(count)


def _mixed(mixture: Mixture, seed: int, first: int) -> Iterator[int]:
    weights = _whole(mixture.weights)
    shown = _shown_before(weights, first)
    starts = np.cumsum([0, *mixture.counts])
    orders: dict[int, tuple[int, np.ndarray]] = {}  # of each dataset: its epoch and the order of it
    while True:
        dataset = _next_dataset(weights, shown)
        epoch, offset = divmod(shown[dataset], mixture.counts[dataset])
        if dataset not in orders or orders[dataset][0] != epoch:
            rng = np.random.default_rng((seed, epoch, 5, dataset))
            orders[dataset] = epoch, rng.permutation(mixture.counts[dataset])
        yield int(starts[dataset] + orders[dataset][1][offset])
        shown[dataset] += 1


def _whole(weights: Sequence[float]) -> list[int]:
    """Return whole numbers in the proportion of the weights, so that the order is exact at every place."""
    fractions = [Fraction(str(weight)) for weight in weights]
    common = math.lcm(*(each.denominator for each in fractions))
    return [int(each * common) for each in fractions]


def _shown_before(weights: Sequence[int], place: int) -> list[int]:
    """Return how many clips of each dataset come before a place: all that are due a little earlier, and some more."""
    total, earlier = sum(weights), max(0, place - len(weights))
    shown = [(2 * weight * earlier + total) // (2 * total) for weight in weights]
    for _ in range(place - sum(shown)):
        shown[_next_dataset(weights, shown)] += 1
    return shown


def _next_dataset(weights: Sequence[int], shown: Sequence[int]) -> int:
    """Return the dataset whose next clip is due first."""
    common = math.lcm(*weights)
    return min(range(len(weights)), key=lambda index: ((2 * shown[index] + 1) * (common // weights[index]), index))
