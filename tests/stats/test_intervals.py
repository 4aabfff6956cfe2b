"""Intervals: equal to independent oracles, and holding the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from certero.errors import DataError
from certero.records.quantity import Quantity
from certero.stats.beta_binomial import posterior_interval
from certero.stats.intervals import (
    bootstrap,
    degrees_of_freedom,
    effective_sample_size,
    expanded_percentiles,
    percentile_interval,
    photos_to_halve,
    proportion,
    resample,
    wilson,
)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (1, 3), (17, 40), (2100, 2266)])
def test_independent_photos_get_the_wilson_interval_of_statsmodels(hits: int, n: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    quantity = proportion(np.arange(n) < hits)
    assert quantity.method == "wilson"
    assert (quantity.value, quantity.n) == (hits / n, n)
    assert (quantity.low, quantity.high) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-12)


def test_the_effective_sample_size_agrees_with_cluster_robust_regression() -> None:
    # An intercept-only regression has the mean as its coefficient, the ratio estimator's variance as its own.
    import statsmodels.api as sm

    generator = np.random.default_rng(3)
    groups = np.repeat(np.arange(25), generator.integers(1, 20, 25))
    hits = generator.random(len(groups)) < generator.beta(2, 1, 25)[groups]
    n, count = len(groups), 25
    fit = sm.OLS(hits.astype(float), np.ones(n)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True}
    )
    # statsmodels multiplies by G/(G - 1) (n - 1)/(n - k) with k = 1.
    variance = float(fit.cov_params()[0, 0])
    share = hits.mean()
    assert effective_sample_size(hits, groups) == pytest.approx(share * (1 - share) / variance, rel=1e-9)
    assert count < effective_sample_size(hits, groups) < n


def test_correlated_groups_widen_the_interval() -> None:
    hits = np.repeat(np.arange(30) % 3 > 0, 10)  # every group wholly right or wholly wrong
    dependent, independent = proportion(hits, np.repeat(np.arange(30), 10)), proportion(hits)
    assert dependent.method == "wilson_effective_n"
    assert dependent.low < independent.low < independent.value < independent.high < dependent.high
    assert effective_sample_size(hits, np.repeat(np.arange(30), 10)) == pytest.approx(29, abs=1e-9)


def test_grouped_photos_never_count_more_than_independent_ones() -> None:
    hits = np.tile([True, True, False, True], 20)  # every group has the same share: less spread than chance
    assert effective_sample_size(hits, np.repeat(np.arange(20), 4)) == 80


def test_a_perfect_score_on_groups_counts_groups_not_photos() -> None:
    groups = np.repeat(np.arange(12), 50)
    quantity = proportion(np.ones(600, dtype=bool), groups)
    assert effective_sample_size(np.ones(600), groups) == pytest.approx(12)
    assert quantity.high == 1.0
    assert quantity.low < wilson(1.0, 12)[0] < proportion(np.ones(600)).low


def test_groups_of_one_photo_are_independent_photos() -> None:
    hits = np.arange(20) < 15
    assert proportion(hits, np.arange(20)) == proportion(hits)


def test_fewer_than_3_groups_give_no_interval() -> None:
    quantity = proportion(np.arange(20) % 2 == 0, np.repeat(np.arange(2), 10))
    assert (quantity.value, quantity.low, quantity.high, quantity.method) == (
        0.5,
        None,
        None,
        "too_few_groups",
    )
    three = proportion(np.arange(30) % 2 == 0, np.repeat(np.arange(3), 10))
    assert three.method == "wilson_effective_n"
    assert three.low < 0.5 < three.high


def test_the_interval_of_groups_holds_both_of_its_parts() -> None:
    generator = np.random.default_rng(2)
    for count in (3, 5, 12, 40):
        sizes = generator.integers(2, 81, count)
        right = generator.binomial(sizes, generator.beta(9, 1, count))
        groups = np.repeat(np.arange(count), sizes)
        hits = np.concatenate([np.arange(size) < found for size, found in zip(sizes, right, strict=True)])
        found = proportion(hits, groups)
        residuals = right - hits.mean() * sizes
        quantile = t.ppf(0.975, degrees_of_freedom(residuals))
        wide = wilson(hits.mean(), effective_sample_size(hits, groups), quantile)
        low, high = posterior_interval(right, sizes)
        assert (found.low, found.high) == pytest.approx((min(wide[0], low), max(wide[1], high)), abs=1e-9)


def test_parts_of_photos_count_as_such() -> None:
    # A mean of fractions that all agree stands for hits.
    groups = np.repeat(np.arange(5), 4)
    halves = proportion(np.full(20, 0.75), groups)
    whole = proportion(np.tile([True, True, True, False], 5), groups)
    assert (halves.low, halves.high) == pytest.approx((whole.low, whole.high), abs=1e-9)


@pytest.mark.parametrize(
    ("count", "good", "bad", "share_bad", "size"),
    [(13, 0.995, 0.3, 0.065, (2, 81)), (20, 0.995, 0.3, 0.022, (2, 81)), (3, 0.98, 0.6, 0.2, (30, 31))],
)
def test_rare_very_bad_groups_are_allowed_for(
    count: int, good: float, bad: float, share_bad: float, size: tuple[int, int]
) -> None:
    # Most such samples hold no bad group at all: what they show cannot say how much groups differ.
    generator = np.random.default_rng(11)
    truth = good - share_bad * (good - bad)
    held = 0
    for _ in range(250):
        sizes = generator.integers(*size, count)
        chance = np.where(generator.random(count) < share_bad, bad, good)
        hits = generator.random(sizes.sum()) < np.repeat(chance, sizes)
        found = proportion(hits, np.repeat(np.arange(count), sizes))
        held += found.low <= truth <= found.high
    assert held / 250 > 0.9


def test_a_class_in_few_groups_of_many_keeps_a_wide_interval() -> None:
    hits, groups = np.array([True] * 9 + [False]), np.array([0] * 5 + [1] * 5)
    assert proportion(hits, groups).method == "too_few_groups"
    of_class = proportion(hits, groups, all_groups=40)
    assert of_class.method == "wilson_effective_n"
    assert of_class.high - of_class.low > 0.5
    alone = proportion(np.ones(5), np.zeros(5), all_groups=40)  # one group tells nothing of how groups differ
    assert (alone.value, alone.low, alone.method) == (1.0, None, "too_few_groups")


def test_no_photos_give_an_undefined_figure_not_zero() -> None:
    quantity = proportion(np.zeros(0, dtype=bool))
    assert quantity.to_json() == {"value": None, "low": None, "high": None, "method": "undefined", "n": 0}


def test_groups_must_name_every_photo() -> None:
    with pytest.raises(DataError, match="one entry a photo"):
        proportion([True, False], ["a"])


def _grouped_sample(generator: np.random.Generator, mean: float, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Beta-binomial answers: 30 groups of 2 to 20 photos, correlated within a group."""
    groups = np.repeat(np.arange(30), generator.integers(2, 21, 30))
    spread = (1 - correlation) / correlation
    shares = generator.beta(mean * spread, (1 - mean) * spread, 30)
    return generator.random(len(groups)) < shares[groups], groups


@pytest.mark.parametrize(
    ("mean", "correlation", "share_holding"),
    [
        (0.85, 0.4, 0.92),
        (0.5, 0.7, 0.92),
        (0.97, 0.5, 0.92),
    ],
)
def test_intervals_of_dependent_photos_hold_the_truth(mean: float, correlation: float, share_holding: float) -> None:
    generator = np.random.default_rng(0)
    held = naive = 0
    for _ in range(400):
        hits, groups = _grouped_sample(generator, mean, correlation)
        grouped, plain = proportion(hits, groups), proportion(hits)
        held += grouped.low <= mean <= grouped.high
        naive += plain.low <= mean <= plain.high
    assert held / 400 > share_holding
    assert naive / 400 < 0.65  # what ignoring the groups would claim to be 0.95


def test_bootstrap_intervals_of_dependent_photos_hold_the_truth() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(150):
        hits, groups = _grouped_sample(generator, 0.7, 0.3)
        quantity = bootstrap(lambda w, h=hits: float(w @ h / w.sum()), len(hits), groups, n_resamples=200)
        held += quantity.low <= 0.7 <= quantity.high
    assert quantity.method == "grouped_bootstrap"
    assert held / 150 > 0.88


def test_the_bootstrap_agrees_with_the_standard_error_of_a_mean() -> None:
    values = np.random.default_rng(5).normal(size=400)
    quantity = bootstrap(lambda w: w @ values / w.sum(), 400, n_resamples=2000)
    assert quantity.method == "bootstrap"
    assert (quantity.high - quantity.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.06)


def test_resamples_draw_whole_groups_and_repeat_with_the_seed() -> None:
    groups = np.array(["b", "a", "b", "c", "a"])
    draws = resample(lambda w: w, 5, groups, n_resamples=50, seed=4)
    assert (draws[:, 0] == draws[:, 2]).all()
    assert (draws[:, 1] == draws[:, 4]).all()
    assert (draws[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert (draws == resample(lambda w: w, 5, groups, n_resamples=50, seed=4)).all()


def test_a_figure_undefined_in_most_resamples_has_no_interval() -> None:
    draws = np.linspace(0.2, 0.4, 100)
    half = np.where(np.arange(100) < 50, np.nan, draws)
    most = np.where(np.arange(100) < 51, np.nan, draws)
    assert percentile_interval(0.3, half, 20).low is not None
    assert percentile_interval(0.3, most, 20).method == "undefined"
    assert percentile_interval(float("nan"), draws, 20).value is None


def test_resamples_that_all_agree_give_no_interval() -> None:
    quantity = percentile_interval(1.0, np.ones(100), 20)
    assert (quantity.low, quantity.high, quantity.method) == (None, None, "no_variation")


def test_the_degrees_of_freedom_follow_the_kurtosis_of_scipy() -> None:
    from scipy.stats import kurtosis

    residuals = np.random.default_rng(0).exponential(size=50) - 1
    residuals -= residuals.mean()
    assert degrees_of_freedom(residuals) == pytest.approx(2 * 50 / (kurtosis(residuals, fisher=False) - 1), rel=1e-12)
    assert degrees_of_freedom(np.tile([1.0, -1.0], 10)) == 19
    assert degrees_of_freedom(np.zeros(12)) == 11


def test_errors_that_fall_on_one_group_make_the_interval_wide() -> None:
    groups = np.repeat(np.arange(20), 10)
    spread, gathered = np.ones(200, bool), np.ones(200, bool)
    spread[::10] = False
    gathered[:20] = False
    one, few = proportion(spread, groups), proportion(gathered, groups)
    assert one.value == few.value == 0.9
    assert few.high - few.low > 3 * (one.high - one.low)


@pytest.mark.parametrize(("share", "groups", "correlation"), [(0.5, 20, 0.1), (0.9, 10, 0.3), (0.9, 50, 0.3)])
def test_a_seeded_part_of_the_simulation_holds_the_truth(share: float, groups: int, correlation: float) -> None:
    # The whole of it is benchmarks/interval_coverage.py.
    generator = np.random.default_rng(7)
    spread = (1 - correlation) / correlation
    held = 0
    for _ in range(500):
        sizes = generator.integers(2, 21, groups)
        chance = generator.beta(share * spread, (1 - share) * spread, groups)
        hits = generator.random(sizes.sum()) < np.repeat(chance, sizes)
        found = proportion(hits, np.repeat(np.arange(groups), sizes))
        held += found.low <= share <= found.high
    assert held / 500 > 0.9


def test_percentiles_of_resamples_are_expanded_for_few_groups() -> None:
    from scipy.stats import norm

    low, high = expanded_percentiles(10)
    assert low == pytest.approx(norm.cdf(-np.sqrt(10 / 9) * t.ppf(0.975, 9)), abs=1e-12)
    assert low + high == pytest.approx(1)
    assert expanded_percentiles(100_000)[0] == pytest.approx(0.025, abs=1e-4)


@pytest.mark.parametrize(("right", "n"), [(12, 15), (5, 40), (50, 100), (20, 20)])
def test_so_many_more_photos_do_halve_the_interval(right: int, n: int) -> None:
    now = proportion([True] * right + [False] * (n - right))
    more = _more(now)
    low, high = wilson(right / n, n + more)
    assert high - low == pytest.approx(_width(now) / 2, rel=0.02)
    fewer = wilson(right / n, n + more - max(2, more // 20))
    assert fewer[1] - fewer[0] > _width(now) / 2


def test_dependent_photos_need_more_in_proportion() -> None:
    hits = np.tile([1, 1, 1, 1, 0], 40)
    groups = np.repeat(np.arange(20), 10)
    dependent = proportion(np.sort(hits)[::-1], groups)
    assert _more(proportion(hits)) > 0
    assert _more(dependent) == pytest.approx(3 * 200, rel=0.15)


def test_an_interval_without_width_cannot_be_halved() -> None:
    assert photos_to_halve(0.5, 0.5, 0.5, 100) is None
    assert photos_to_halve(0.5, None, None, 100) is None
    assert photos_to_halve(None, None, None, 100) is None


def _width(figure: Quantity) -> float:
    assert figure.low is not None
    assert figure.high is not None
    return figure.high - figure.low


def _more(figure: Quantity) -> int:
    more = photos_to_halve(figure.value, figure.low, figure.high, figure.n)
    assert more is not None
    return more
