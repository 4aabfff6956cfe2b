"""One new day: the prediction interval, against its formula and in worlds where days differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from certero.stats.new_group import predict_new_group


def test_the_interval_is_that_of_the_formula() -> None:
    hits = np.repeat([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0], [19, 1, 28, 2, 24, 16, 18, 2])
    days = np.repeat(np.arange(4), [20, 30, 40, 20])
    logits = np.log(np.array([19.5, 28.5, 24.5, 18.5]) / np.array([1.5, 2.5, 16.5, 2.5]))
    half = t.ppf(0.975, 2) * logits.std(ddof=1) * np.sqrt(1 + 1 / 4)
    found = predict_new_group(hits, days)
    ends = 1 / (1 + np.exp(-(logits.mean() + np.array([-half, half]))))
    assert (found.low, found.high) == pytest.approx(tuple(ends))
    assert found.method == "new_group"


@pytest.mark.parametrize(("days", "deviation"), [(10, 0.7), (10, 0.2), (20, 0.7)])
def test_it_holds_one_new_day_nineteen_times_in_twenty(days: int, deviation: float) -> None:
    rng = np.random.default_rng(days)
    held = []
    for _ in range(400):
        shares = 1 / (1 + np.exp(-(2.5 + deviation * rng.standard_normal(days + 1))))
        counts = rng.binomial(60, shares)
        hits = np.concatenate([np.repeat([1.0, 0.0], [count, 60 - count]) for count in counts[:-1]])
        found = predict_new_group(hits, np.repeat(np.arange(days), 60))
        assert found.low is not None
        assert found.high is not None
        held.append(found.low <= shares[-1] <= found.high)
    assert np.mean(held) >= 0.93


@pytest.mark.parametrize("sizes", [[10, 10, 10], [2, 2, 2, 2, 2], [1, 40, 3], [200] * 12])
def test_days_on_which_all_is_right_are_no_promise_that_the_next_is(sizes: list[int]) -> None:
    found = predict_new_group(np.ones(sum(sizes)), np.repeat(np.arange(len(sizes)), sizes))
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low < 1 - 1 / sum(sizes)
    assert found.low < found.value < found.high <= 1
    assert found.high - found.low > 0.001


def test_too_few_days_have_none() -> None:
    found = predict_new_group([1, 0, 1, 1], ["mon", "mon", "tue", "tue"])
    assert (found.low, found.high, found.method) == (None, None, "too_few_groups")
