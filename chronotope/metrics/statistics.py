"""How far a measured rate may be from the true one, whether two of them differ, and how long things last."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chronotope.errors import UsageError

__all__ = [
    "Rate",
    "Survival",
    "Trend",
    "bootstrap",
    "clustered",
    "design_effect",
    "holm",
    "mcnemar",
    "sign_flip",
    "specs_needed",
    "survival",
    "trend",
    "wilson",
]

MANY = 200  # clusters, drawn again and again, show how clusters differ, if each answer is in so many of them:
EACH = 20
NORMAL_95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution


def wilson(successes: int, trials: int, z: float = NORMAL_95) -> tuple[float, float]:
    """The Wilson (1927) score interval of a proportion, 95 % by default; without trials, everything is possible."""
    if not 0 <= successes <= trials:
        raise UsageError(f"{successes} successes in {trials} trials: expected 0 to {trials}")
    return _score_interval(successes / trials, float(trials), z) if trials else (0.0, 1.0)


def _score_interval(share: float, trials: float, z: float = NORMAL_95) -> tuple[float, float]:
    """Wilson's, of a share in a number of trials that need not be whole."""
    weight = z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    # at the ends of the scale the bound is the end itself, which rounding would miss
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


@dataclass(frozen=True)
class Rate:
    """How often something was so, out of how many times."""

    successes: int
    trials: int

    @property
    def share(self) -> float:
        return self.successes / self.trials if self.trials else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.successes, self.trials)

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.successes + other.successes, self.trials + other.trials)

    def __str__(self) -> str:
        if not self.trials:
            return "none"
        low, high = self.interval
        return f"{self.share:.1%} [{low:.1%}, {high:.1%}] of {self.trials}"


def bootstrap(
    values: Sequence[float], clusters: Sequence[Hashable], resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile interval of the mean when whole clusters are drawn again: runs of one spec are not independent."""
    if len(values) != len(clusters) or not values:
        raise UsageError(
            f"{len(values)} values and {len(clusters)} clusters: expected as many of each, and at least one"
        )
    names = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    sums, counts = np.zeros(len(names)), np.zeros(len(names))
    for value, name in zip(values, clusters, strict=True):
        sums[names[name]] += value
        counts[names[name]] += 1
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start in range(0, resamples, 1000):  # a thousand at a time, so that memory does not grow with the resamples
        drawn = rng.integers(len(names), size=(min(1000, resamples - start), len(names)))
        means[start : start + len(drawn)] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def clustered(found: Sequence[bool], clusters: Sequence[Hashable]) -> tuple[float, float]:
    """The 95 % interval of a rate when whole clusters are what was drawn; where each is there once, it is Wilson's.

    With many clusters they are drawn again (`bootstrap`). With few, or where nearly all agree, it is Wilson's for fewer trials: the
    trials divided by the design effect, which is how many times the variance between clusters is what independent trials would have.
    """
    if len(found) != len(clusters):
        raise UsageError(f"{len(found)} answers and {len(clusters)} clusters: expected as many of each")
    if not found:
        return 0.0, 1.0
    answers: dict[Hashable, list[bool]] = {}
    for one, name in zip(found, clusters, strict=True):
        answers.setdefault(name, []).append(one)
    sums, sizes = (np.array([measure(row) for row in answers.values()], float) for measure in (sum, len))
    if len(sizes) < len(found) and len(sizes) >= MANY and min((sums > 0).sum(), (sums < sizes).sum()) >= EACH:
        return bootstrap([float(one) for one in found], clusters)
    return _score_interval(sum(found) / len(found), len(found) / design_effect(sums, sizes))


def design_effect(sums: Float[np.ndarray, " n"], sizes: Float[np.ndarray, " n"]) -> float:
    """How many times the variance of a rate is what independent trials would have, from the successes and trials of each cluster.

    At least 1, at most what it is where all of a cluster agree. One more cluster, all of the rarer answer, is counted in: without it
    the few clusters that differ say too little, and the intervals of high rates hold the truth too seldom.
    """
    rare = sizes.mean() if sums.sum() * 2 < sizes.sum() else 0.0
    with_one = np.append(sums, rare), np.append(sizes, sizes.mean())
    count, trials = len(sizes) + 1, with_one[1].sum()
    share = with_one[0].sum() / trials
    between = count / (count - 1) * ((with_one[0] - share * with_one[1]) ** 2).sum() / trials**2
    return float(np.clip(between * trials / (share * (1 - share)), 1.0, (sizes**2).sum() / sizes.sum()))


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p value (binomial) that two systems, judged on the same cases, differ by chance alone."""
    if min(only_first, only_second) < 0:
        raise UsageError(f"counts of cases cannot be negative, got {only_first} and {only_second}")
    trials = only_first + only_second
    tail = sum(math.comb(trials, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**trials)


def sign_flip(differences: Sequence[float], clusters: Sequence[Hashable], flips: int = 10_000, seed: int = 0) -> float:
    """The two-sided p value that paired differences, whose sums per cluster are independent, are zero on average (random sign flips)."""
    if len(differences) != len(clusters):
        raise UsageError(f"{len(differences)} differences and {len(clusters)} clusters: expected as many of each")
    sums: dict[Hashable, float] = {}
    for value, name in zip(differences, clusters, strict=True):
        sums[name] = sums.get(name, 0.0) + value
    values = np.array([value for value in sums.values() if value != 0.0])
    if not len(values):
        return 1.0
    rng, seen = np.random.default_rng(seed), abs(values.sum()) - 1e-9
    extreme = sum(
        int((np.abs((rng.integers(0, 2, (1000, len(values))) * 2 - 1) @ values) >= seen).sum())
        for _ in range(flips // 1000)
    )
    return (extreme + 1) / (flips // 1000 * 1000 + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for having asked so many questions (Holm 1979), in their order."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def specs_needed(first: float, second: float, power: float = 0.8) -> int:
    """Specs for each of two unpaired systems, so that a difference of these two rates is found this often, at 5 %."""
    if not (0 < first < 1 and 0 < second < 1 and first != second and 0 < power < 1):
        raise UsageError(f"rates and power lie between 0 and 1 and the rates differ, got {first}, {second} and {power}")
    from statistics import NormalDist

    # Fleiss, Levin and Paik 2003, Statistical Methods for Rates and Proportions, equation 4.14, without the continuity correction
    mean, reach = (first + second) / 2, NormalDist().inv_cdf(power)
    spread = NORMAL_95 * math.sqrt(2 * mean * (1 - mean)) + reach * math.sqrt(
        first * (1 - first) + second * (1 - second)
    )
    return math.ceil((spread / (first - second)) ** 2)


@dataclass(frozen=True)
class Survival:
    """The Kaplan-Meier curve: from `times[i]` on, a share `alive[i]` has not failed, with its 95 % interval (Greenwood, log-log)."""

    times: tuple[float, ...]
    alive: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def median(self) -> float | None:
        """The time at which half have failed, if so many have."""
        return next((time for time, share in zip(self.times, self.alive, strict=True) if share <= 0.5), None)


def survival(times: Sequence[float], failed: Sequence[bool]) -> Survival:
    """How long things go well: `failed` says whether a time ends in a failure, or only the looking ended then."""
    if len(times) != len(failed):
        raise UsageError(f"{len(times)} times and {len(failed)} ends do not belong together")
    curve: list[tuple[float, float, float, float]] = [(0.0, 1.0, 1.0, 1.0)]
    alive, variance = 1.0, 0.0
    for time in sorted({t for t, end in zip(times, failed, strict=True) if end}):
        at_risk = sum(t >= time for t in times)
        deaths = sum(t == time and end for t, end in zip(times, failed, strict=True))
        alive *= 1 - deaths / at_risk
        if alive == 0:
            curve.append((time, 0.0, 0.0, 0.0))
            break
        variance += deaths / (at_risk * (at_risk - deaths))
        half = NORMAL_95 * math.sqrt(variance) / abs(math.log(alive))
        low, high = (alive ** math.exp(sign * half) for sign in (1, -1))
        curve.append((time, alive, low, high))
    return Survival(*(tuple(column) for column in zip(*curve, strict=True)))


@dataclass(frozen=True)
class Trend:
    """How success grows with compute: logit(share) = intercept + slope log10(compute), and the same of resampled specs."""

    intercept: float
    slope: float
    resampled: tuple[tuple[float, float], ...]

    @property
    def odds(self) -> float:
        """By what ten times the compute multiplies the odds of success."""
        return math.exp(min(self.slope, 700.0))

    @property
    def odds_interval(self) -> tuple[float, float]:
        low, high = np.quantile([slope for _, slope in self.resampled], (0.025, 0.975))
        return math.exp(min(float(low), 700.0)), math.exp(min(float(high), 700.0))

    def at(self, compute: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], ...]:
        """The fitted share at each compute, and its 95 % band."""
        exponents = np.log10(compute)
        curves = np.array([_share(intercept + slope * exponents) for intercept, slope in self.resampled])
        low, high = np.quantile(curves, (0.025, 0.975), axis=0)
        return _share(self.intercept + self.slope * exponents), low, high


def trend(compute: Sequence[float], right: Sequence[Sequence[bool]], resamples: int = 1000, seed: int = 0) -> Trend:
    """Fit success over compute for models asked the same specs in the same order; whole specs are drawn again for the interval."""
    if len(compute) != len(right) or len(compute) < 2 or len({len(row) for row in right}) != 1 or not right[0]:
        raise UsageError(
            f"{len(compute)} computes and {len(right)} rows of answers: expected at least two models with equally many answers"
        )
    exponents, answers = np.log10(np.asarray(compute, float)), np.asarray(right, float)
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(answers.shape[1], size=answers.shape[1]) for _ in range(resamples))
    return Trend(
        *_logistic(exponents, answers.mean(axis=1)),
        tuple(_logistic(exponents, answers[:, places].mean(axis=1)) for places in drawn),
    )


def _share(logit: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return 1 / (1 + np.exp(-np.clip(logit, -700, 700)))


def _logistic(x: Float[np.ndarray, " n"], share: Float[np.ndarray, " n"], ridge: float = 1e-3) -> tuple[float, float]:
    """Maximum likelihood by Newton's method; a little ridge on the slope, for shares that are 0 before and 1 after."""
    centre = x.mean()
    design, penalty = np.stack([np.ones_like(x), x - centre], axis=1), np.diag([ridge * 1e-3, ridge])
    weights = np.zeros(2)
    for _ in range(100):
        fitted = _share(design @ weights)
        gradient = design.T @ (share - fitted) - penalty @ weights
        curvature = design.T @ (design * (fitted * (1 - fitted))[:, None]) + penalty
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step * min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0] - weights[1] * centre), float(weights[1])
