"""Room for groups that were not met: by hand, and what it does to plausible values."""

from __future__ import annotations

import numpy as np
import pytest

from certero.stats.beta_binomial import posterior_interval
from certero.stats.unmet_groups import Grouped, make_room, room


def _plain(feature: np.ndarray, units: np.ndarray) -> Grouped:
    n = len(feature)
    return Grouped(feature, np.ones(n), units, np.zeros(n, np.int64), np.ones(1))


def test_a_plain_share_of_many_groups_has_the_room_of_its_posterior() -> None:
    units = np.repeat(np.arange(40), 5)
    feature = (np.arange(200) % 9 > 0).astype(float)
    low, high = posterior_interval(np.bincount(units, weights=feature), np.full(40, 5))
    assert room(_plain(feature, units), 0, 1) == pytest.approx((feature.mean() - low, high - feature.mean()))


def test_few_groups_have_room_for_one_more() -> None:
    units = np.repeat(np.arange(9), 10)
    feature = (np.arange(90) % 9 > 0).astype(float)
    low, _high = posterior_interval(np.bincount(units, weights=feature), np.full(9, 10))
    down, up = room(_plain(feature, units), 0, 1)
    assert down == pytest.approx(feature.mean() - low + feature.mean() / 10)
    assert up < down


def test_money_has_the_room_of_shares_in_its_own_unit() -> None:
    units = np.repeat(np.arange(12), 10)
    feature = (np.arange(120) % 9 > 0).astype(float)
    share, money = room(_plain(feature, units), 0, 1), room(_plain(6 * feature - 3, units), -3, 3)
    assert money == pytest.approx((6 * share[0], 6 * share[1]))


def test_groups_that_are_all_alike_leave_the_range_of_the_figure_open() -> None:
    down, up = room(_plain(np.full(60, 3.0), np.repeat(np.arange(6), 10)), -3, 3)
    assert down > 0.5
    assert up == pytest.approx(0, abs=1e-9)


def test_plausible_values_reach_the_room_and_keep_what_reaches_further() -> None:
    values = np.r_[np.random.default_rng(0).normal(5, 1, 999), np.nan]
    spread = make_room(values, 5.0, 4.0, 0.1)
    low, high = np.nanquantile(spread, [0.025, 0.975])
    assert low == pytest.approx(1.0)
    assert high == pytest.approx(np.nanquantile(values, 0.975))
    assert np.isnan(spread).sum() == 1
    still = make_room(np.full(1000, 5.0), 5.0, 4.0, 2.0)
    assert np.quantile(still, [0.025, 0.5, 0.975]) == pytest.approx([1, 5, 7], abs=0.01)
