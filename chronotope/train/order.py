"""The endless order in which clips are shown, and which of them make a batch, for any number of processes.

The clip at a place is a function of the seed and the place alone.

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

__all__ = ["BatchPlan", "Mixture", "clips_in_order", "mixture_of", "plan_batches", "share_notes"]


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


@dataclass(frozen=True)
class BatchPlan:
    """The clips of one step, as indices into the dataset, and the number of visual tokens of each.

    `first` is the number of clips in all earlier batches. `waiting` are the places in the order that were passed over
    up to this batch, because their clips did not fit: with `first` and the number of clips, all that the next plan
    depends on.
    """

    step: int
    first: int
    clips: tuple[int, ...]
    sizes: tuple[int, ...]
    waiting: tuple[int, ...] = ()


def plan_batches(
    sizes: Sequence[int] | np.ndarray,
    budget: int,
    seed: int,
    step: int = 0,
    first: int = 0,
    mixture: Mixture | None = None,
    look_ahead: int = 0,
    waiting: Sequence[int] = (),
) -> Iterator[BatchPlan]:
    """Yield plans without end: clips up to the budget of visual tokens, at least one, first-fit in their order.

    A clip that does not fit waits and begins the next batch; up to `look_ahead` clips after the first such one are
    passed over as well, while smaller ones fill the batch. `sizes` are the numbers of tokens of all clips of the
    dataset; with a `mixture`, its datasets have shares. Plans depend on `first` and `waiting`, not on how a run came to
    them, nor on the number of processes.
    """
    place, smallest = first + len(waiting), int(min(sizes))
    order = clips_in_order(len(sizes), seed, place, mixture)
    held = [(earlier, next(clips_in_order(len(sizes), seed, earlier, mixture))) for earlier in waiting]
    while True:
        clips, room, passed = list[int](), budget, list[tuple[int, int]]()
        earlier = iter(held)
        while len(passed) <= look_ahead and not (clips and room < smallest):
            if (found := next(earlier, None)) is None:
                found, place = (place, next(order)), place + 1
            if clips and sizes[found[1]] > room:
                passed.append(found)
            else:
                clips.append(found[1])
                room -= int(sizes[found[1]])
        held = [*passed, *earlier]
        taken = first + len(clips)
        # the places that wait, but for those at the end, which nothing has passed
        skipped = [at for at, _ in held]
        while skipped and skipped[-1] == taken + len(skipped) - 1:
            skipped.pop()
        yield BatchPlan(step, first, tuple(clips), tuple(int(sizes[index]) for index in clips), tuple(skipped))
        step, first = step + 1, taken
