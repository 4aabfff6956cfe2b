"""The beta-binomial posterior: against SciPy's likelihood, and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom

from certero.stats.beta_binomial import posterior_interval


def _by_brute_force(hits: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    shares = 1 / (1 + np.exp(-np.linspace(-16, 16, 4001)))
    density = np.zeros(len(shares))
    for rho in np.r_[0.002, np.linspace(0.02, 0.98, 25)]:
        a, b = shares * (1 / rho - 1), (1 - shares) * (1 / rho - 1)
        log = sum(betabinom.logpmf(k, m, a, b) for k, m in zip(hits, sizes, strict=True))
        density += np.exp(log + 50) * np.sqrt(shares * (1 - shares))
    below = np.cumsum(density) / density.sum()
    low, high = np.interp([0.025, 0.975], below, shares)
    return float(low), float(high)


@pytest.mark.parametrize("seed", range(6))
def test_the_interval_is_that_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 12, 7)
    hits = rng.binomial(sizes, rng.beta(4, 1, 7))
    assert posterior_interval(hits, sizes) == pytest.approx(_by_brute_force(hits, sizes), abs=2e-3)


@pytest.mark.parametrize("size", [1, 30, 3000])
def test_few_and_many_photos_a_group_take_the_same_way(size: int) -> None:
    # Long products go by the gamma function, short ones factor by factor.
    hits, sizes = np.array([size, size, size - size // 10]), np.full(3, size)
    low, high = posterior_interval(hits, sizes)
    assert 0 < low < hits.sum() / sizes.sum() < high < 1 or size == 1
    assert 0 < low < high < 1


def test_groups_that_differ_widen_it() -> None:
    alike = posterior_interval([90] * 6, [100] * 6)
    unlike = posterior_interval([100, 100, 100, 100, 100, 40], [100] * 6)
    assert unlike[1] - unlike[0] > 2 * (alike[1] - alike[0])


def test_a_thousand_groups_leave_little_doubt() -> None:
    low, high = posterior_interval([9] * 1000, [10] * 1000)
    assert 0.88 < low < 0.9 < high < 0.92


def test_the_order_of_groups_does_not_matter() -> None:
    assert posterior_interval([3, 9, 5], [4, 10, 5]) == posterior_interval([5, 3, 9], [5, 4, 10])


@pytest.mark.parametrize("seed", range(3))
def test_large_and_unequal_groups_follow_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 400, 9)
    hits = rng.binomial(sizes, rng.beta(18, 1, 9))
    assert posterior_interval(hits, sizes) == pytest.approx(_by_brute_force(hits, sizes), abs=2e-3)


def test_parts_of_photos_lie_between_whole_ones() -> None:
    less, between, more = (posterior_interval([4, hits, 5], [5, 5, 5])[0] for hits in (3, 3.5, 4))
    assert less < between < more
    assert posterior_interval([4.0, 3.0, 5.0], [5, 5, 5]) == posterior_interval([4, 3, 5], [5, 5, 5])
