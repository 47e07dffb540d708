"""Wilson intervals against their definition and scipy."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from chronotope.errors import UsageError
from chronotope.evaluate.statistics import Rate, wilson


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 10), (3, 10), (90, 100), (180, 200), (200, 200), (999, 1000)])
def test_wilson_is_scipys(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(3, 10), (45, 50), (1, 400)])
def test_the_bounds_are_where_the_score_test_is_at_its_limit(successes: int, trials: int) -> None:
    z = 1.96
    for bound in wilson(successes, trials, z):
        assert abs(successes / trials - bound) / math.sqrt(bound * (1 - bound) / trials) == pytest.approx(z)


def test_the_figures_of_the_protocol() -> None:
    """n = 200 at 90 % gives [85.1, 93.4], as shared/reference/evaluation.md says."""
    low, high = wilson(180, 200)
    assert (round(100 * low, 1), round(100 * high, 1)) == (85.1, 93.4)


def test_no_trials_say_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert math.isnan(Rate(0, 0).share)
    assert str(Rate(0, 0)) == "none"


@pytest.mark.parametrize(("successes", "trials"), [(2, 1), (-1, 4)])
def test_impossible_counts(successes: int, trials: int) -> None:
    with pytest.raises(UsageError, match="successes"):
        wilson(successes, trials)


def test_rates_add_up() -> None:
    assert Rate(3, 4) + Rate(1, 4) == Rate(4, 8)
    assert (Rate(3, 4) + Rate(1, 4)).share == 0.5
    assert str(Rate(1, 2)) == "50.0% [9.5%, 90.5%] of 2"
