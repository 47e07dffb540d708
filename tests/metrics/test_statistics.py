"""Intervals and tests against closed forms, worked examples, their definitions and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from chronotope.errors import UsageError
from chronotope.metrics.statistics import (
    Rate,
    Survival,
    bootstrap,
    clustered,
    holm,
    mcnemar,
    sign_flip,
    specs_needed,
    survival,
    trend,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (1, 1), (0, 10), (3, 10), (90, 100), (180, 200), (200, 200), (999, 1000)]
)
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


def test_mcnemar_is_the_binomial_test_of_scipy() -> None:
    for first in range(12):
        for second in range(12):
            wanted = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
            assert mcnemar(first, second) == pytest.approx(wanted, abs=1e-12)


def test_holm_on_a_worked_example_and_against_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.random(7).tolist()
        adjusted = holm(values)
        for level in (0.01, 0.05, 0.2, 0.5):
            rejected, ranked = set(), sorted(range(7), key=lambda i: values[i])
            for rank, place in enumerate(ranked):  # step down until the first that is kept
                if values[place] > level / (7 - rank):
                    break
                rejected.add(place)
            assert {i for i in range(7) if adjusted[i] <= level} == rejected


def test_the_bootstrap_approaches_the_normal_interval_and_clusters_widen_it() -> None:
    values = [float(place % 10 < 7) for place in range(200)]
    half = 1.96 * math.sqrt(0.7 * 0.3 / 200)
    assert bootstrap(values, range(200)) == pytest.approx((0.7 - half, 0.7 + half), abs=0.005)
    fourfold = [value for value in values[:50] for _ in range(4)]
    same = bootstrap(fourfold, [place // 4 for place in range(200)])
    naive = bootstrap(fourfold, range(200))
    # Four copies of a value tell no more than one.
    assert (same[1] - same[0]) == pytest.approx(2 * (naive[1] - naive[0]), rel=0.15)


def test_the_bootstrap_of_a_seed_is_that_of_version_0_1_0() -> None:
    """The intervals of version 0.1.0, whose own loop drew the same clusters from the same seed."""
    rng = np.random.default_rng(1)
    for count, wanted in ((50, (0.635, 0.755)), (300, (0.6658333333, 0.7191666667)), (2000, (0.684621875, 0.7045))):
        values = (rng.random(4 * count) < 0.7).astype(float).tolist()
        assert bootstrap(values, [place // 4 for place in range(4 * count)]) == pytest.approx(wanted, abs=1e-9)


def test_the_bootstrap_weighs_clusters_by_their_sizes() -> None:
    """As many clusters of one 0 as of three 1: the mean is 0.75, not 0.5."""
    low, high = bootstrap([0.0, 1.0, 1.0, 1.0] * 100, [place // 4 * 2 + (place % 4 > 0) for place in range(400)])
    assert 0.65 < low < 0.75 < high < 0.85


def test_kaplan_meier_on_a_worked_example() -> None:
    """Weeks of remission under 6-MP (Freireich et al. 1963), with the log-log intervals of R's survival package."""
    failures = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    curve = survival([float(t) for t in failures + censored], [True] * len(failures) + [False] * len(censored))
    assert curve.times == (0, 6, 7, 10, 13, 16, 22, 23)
    assert curve.alive == pytest.approx((1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448), abs=6e-4)
    assert curve.low == pytest.approx((1, 0.620, 0.563, 0.503, 0.432, 0.368, 0.268, 0.188), abs=6e-4)
    assert curve.high == pytest.approx((1, 0.952, 0.923, 0.889, 0.849, 0.805, 0.747, 0.680), abs=6e-4)
    assert curve.median == 23


def test_kaplan_meier_where_all_or_none_fail() -> None:
    assert survival([], []) == survival([4.0, 9.0], [False, False]) == Survival((0.0,), (1.0,), (1.0,), (1.0,))
    everyone = survival([2.0, 1.0], [True, True])
    assert everyone.times == (0, 1, 2) and everyone.alive == (1, 0.5, 0) and everyone.median == 1
    assert everyone.low[-1] == everyone.high[-1] == 0
    assert survival([1.0, 2.0, 2.0], [True, False, False]).median is None


def test_the_sizes_of_sets_are_those_of_the_protocol() -> None:
    """docs/evaluation/protocol.md: finding 50 against 55 % takes 1,565 a system, 80 against 85 % 906, 90 against 95 %
    435.
    """
    assert [specs_needed(*pair) for pair in ((0.5, 0.55), (0.8, 0.85), (0.9, 0.95))] == [1565, 906, 435]


def test_sign_flips_keep_their_level_where_runs_of_a_spec_agree_and_find_what_differs() -> None:
    rng = np.random.default_rng(5)
    rejected = 0
    for trial in range(60):  # no difference, four runs of each spec alike: McNemar on videos would reject far too often
        differences = np.repeat(rng.integers(-1, 2, 40), 4).astype(float)
        rejected += sign_flip(differences.tolist(), np.repeat(np.arange(40), 4).tolist(), flips=1000, seed=trial) < 0.05
    assert rejected <= 9
    assert sign_flip([1.0] * 20, range(20)) < 0.001 and sign_flip([0.0] * 5, range(5)) == 1.0


def test_statistics_refuse_nonsense() -> None:
    for call in (
        lambda: bootstrap([], []),
        lambda: bootstrap([1.0, 2.0], [0, 0]),
        lambda: bootstrap([1.0, 2.0], [0]),
        lambda: mcnemar(-1, 2),
        lambda: survival([1.0], []),
        lambda: specs_needed(0.5, 0.5),
    ):
        with pytest.raises(UsageError):
            call()


def test_a_trend_finds_the_curve_its_data_came_from() -> None:
    compute, rng = [1e12, 4e12, 3.2e13], np.random.default_rng(0)
    chances = 1 / (1 + np.exp(-(-26.0 + 2.0 * np.log10(compute))))
    luck = rng.random(4000)  # the same specs are easy for all models
    fitted = trend(compute, [(luck < chance).tolist() for chance in chances])
    assert fitted.slope == pytest.approx(2.0, abs=0.2)
    low, high = fitted.odds_interval
    assert low < math.exp(2.0) < high
    middle, bottom, top = fitted.at(np.array(compute))
    np.testing.assert_allclose(middle, chances, atol=0.03)
    assert (bottom <= middle).all() and (middle <= top).all()


def test_a_trend_of_nothing_and_everything_stays_finite() -> None:
    fitted = trend([1e12, 1e13], [[False] * 20, [True] * 20])
    assert math.isfinite(fitted.slope) and fitted.slope > 0
    with pytest.raises(UsageError, match="two models"):
        trend([1e12], [[True]])


def test_clusters_that_agree_count_once_each_and_single_ones_are_plain_trials() -> None:
    assert clustered([True] * 8, [0, 0, 0, 0, 1, 1, 1, 1]) == pytest.approx(wilson(2, 2))
    assert clustered([True, True, False, False], [0, 0, 1, 1]) == pytest.approx(wilson(1, 2))
    assert clustered([True] * 7 + [False], range(8)) == wilson(7, 8)
    assert clustered([], []) == (0.0, 1.0)
    low, high = clustered([True, True, True, False] * 2, [0, 0, 0, 0, 1, 1, 1, 1])  # 75 % of 8: not 2 of 2
    assert low < wilson(6, 8)[0] and wilson(6, 8)[1] < high < 1
    with pytest.raises(UsageError, match="as many"):
        clustered([True], [])


def test_a_single_failure_is_no_less_uncertain_than_without_clusters() -> None:
    """1 of 40 in 10 clusters: the bootstrap alone would give [92.5, 100]."""
    low, high = clustered([True] * 39 + [False], [place // 4 for place in range(40)])
    assert low <= wilson(39, 40)[0] and high >= wilson(39, 40)[1]
    # Many clusters, but only one of them contains a failure.
    low, high = clustered([True] * 999 + [False], [place // 4 for place in range(1000)])
    assert low <= wilson(999, 1000)[0] and high >= wilson(999, 1000)[1]


def test_many_clusters_are_resampled() -> None:
    found, clusters = [i % 3 == 0 for i in range(600)], [i // 2 for i in range(600)]
    assert clustered(found, clusters) == bootstrap([float(one) for one in found], clusters)


@pytest.mark.parametrize("share", [0.7, 0.95])
@pytest.mark.parametrize("count", [10, 30])
def test_intervals_over_clusters_contain_the_truth_as_often_as_they_say(count: int, share: float) -> None:
    """Clusters of 4 whose own rates are beta distributed: correlations of 0 to 0.8 within a cluster."""
    rng, clusters = np.random.default_rng(11), np.repeat(np.arange(count), 4).tolist()
    for correlation in (0.0, 0.3, 0.5, 0.8):
        held = 0
        for _ in range(800):
            spread = 1 / correlation - 1 if correlation else 1e9
            chances = rng.beta(share * spread, (1 - share) * spread, count)
            low, high = clustered((rng.random(4 * count) < np.repeat(chances, 4)).tolist(), clusters)
            held += low <= share <= high
        assert held >= 0.93 * 800, correlation
