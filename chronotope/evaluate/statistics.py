"""How far a measured rate may be from the true one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chronotope.errors import UsageError

__all__ = ["Rate", "wilson"]

NORMAL_95 = 1.959963984540054  # the 97.5 % point of the standard normal distribution


def wilson(successes: int, trials: int, z: float = NORMAL_95) -> tuple[float, float]:
    """The Wilson (1927) score interval of a proportion, 95 % by default; without trials, everything is possible."""
    if not 0 <= successes <= trials:
        raise UsageError(f"{successes} successes in {trials} trials: expected 0 to {trials}")
    if trials == 0:
        return 0.0, 1.0
    share, weight = successes / trials, z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    # at the ends of the scale the bound is the end itself, which rounding would miss
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)


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
