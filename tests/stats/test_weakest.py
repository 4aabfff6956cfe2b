"""The weakest class is one that was picked: what is said of it holds all the same."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta, binom

from certero.records.quantity import Quantity
from certero.stats.intervals import proportion, wilson
from certero.stats.weakest import weakest_class

_REPEATS = 40


def _recall(found: int, n: int) -> Quantity:
    return Quantity(found / n, *wilson(found / n, n), "wilson", n)


def _recalls(found: NDArray[np.int64], sizes: NDArray[np.int64]) -> dict[str, Quantity]:
    pairs = zip(found.tolist(), sizes.tolist(), strict=True)
    return {str(place): _recall(hits, n) for place, (hits, n) in enumerate(pairs)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shares", "biased"),
    [(np.full(36, 0.85), True), (np.r_[0.5, np.full(35, 0.9)], False), (np.linspace(0.7, 1, 36), True)],
    ids=["all alike", "one bad", "spread"],
)
def test_the_interval_of_a_picked_class_holds_its_true_share(shares: NDArray[np.float64], biased: bool) -> None:
    draw = np.random.default_rng(5)
    held, held_by_own, off, own_off = 0, 0, [], []
    for _ in range(_REPEATS):
        sizes = np.maximum(8, draw.poisson(30, len(shares)))
        recalls = _recalls(draw.binomial(sizes, shares), sizes)
        weakest = weakest_class(recalls)
        assert weakest is not None
        assert weakest.recall.interval is not None
        assert weakest.recall.value is not None
        true = shares[int(weakest.name)]
        low, high = weakest.recall.interval
        own = recalls[weakest.name]
        held += low <= true <= high
        held_by_own += (own.low or 0) <= true <= (own.high or 1)
        off.append(weakest.recall.value - true)
        own_off.append(weakest.found - true)
    assert held >= 0.9 * _REPEATS
    assert abs(np.mean(off)) < 0.09
    if biased:
        assert np.mean(own_off) < min(-0.06, 1.2 * float(np.mean(off)))
        assert held_by_own < held


def test_a_class_that_stands_apart_stays_where_it_is() -> None:
    recalls = {str(place): _recall(28, 30) for place in range(35)} | {"bad": _recall(9, 30)}
    weakest = weakest_class(recalls)
    assert weakest is not None
    assert (weakest.name, weakest.n, weakest.found, weakest.of, weakest.worse) == ("bad", 30, 0.3, 36, True)
    assert weakest.recall.value == pytest.approx(0.3, abs=0.02)
    assert weakest.p is not None
    assert weakest.p < 0.01
    assert len(weakest.next) == 4


def test_classes_that_are_alike_are_drawn_together_and_no_finding() -> None:
    draw = np.random.default_rng(3)
    found = 0
    for _ in range(_REPEATS):
        sizes = np.full(12, 25)
        weakest = weakest_class(_recalls(draw.binomial(sizes, 0.8), sizes))
        assert weakest is not None
        assert weakest.recall.value is not None
        assert weakest.recall.value > weakest.found
        found += weakest.worse
    assert found <= 0.1 * _REPEATS


def test_what_the_lowest_of_equal_classes_shows_is_that_of_the_order_statistic() -> None:
    weakest = weakest_class({str(place): _recall(16, 20) for place in range(10)})
    assert weakest is not None
    # The least of 10 draws exceeds k with probability (1 - F(k)) ** 10.
    expected = float(((1 - binom.cdf(np.arange(20), 20, 0.8)) ** 10).sum()) / 20
    assert weakest.by_chance == pytest.approx(expected, abs=0.01)
    assert weakest.p == pytest.approx(1, abs=0.01)


def test_the_expected_shares_are_those_of_the_model_computed_by_drawing_from_it() -> None:
    """An oracle that shares no formula: draws from the prior, weighed by how well they explain the photos."""
    found, sizes = np.array([3, 9, 10, 19]), np.array([10, 10, 10, 20])
    draw = np.random.default_rng(11)
    n = 100_000
    mean, spread = beta(0.5, 0.5).rvs(n, random_state=draw), draw.uniform(0.0002, 0.95, n)
    strays = draw.choice([0.01, 0.03, 0.1, 0.3], n)
    strength = 1 / spread - 1
    bulk = draw.beta((mean * strength)[:, None], ((1 - mean) * strength)[:, None], (n, 4))
    shares = np.where(draw.random((n, 4)) < strays[:, None], draw.random((n, 4)), bulk).clip(1e-12, 1 - 1e-12)
    weights = np.exp(binom.logpmf(found, sizes, shares).sum(axis=1))
    expected = weights @ shares / weights.sum()
    weakest = weakest_class(_recalls(found, sizes))
    assert weakest is not None
    shown = {row.name: row.recall.value for row in (weakest, *weakest.next)}
    assert [shown[str(place)] for place in range(4)] == pytest.approx(expected, abs=0.02)


def test_a_class_of_one_group_counts_as_one_photo() -> None:
    alone = proportion(np.zeros(40), np.zeros(40), all_groups=12)
    assert alone.interval is None
    weakest = weakest_class({"alone": alone} | {str(place): _recall(27, 30) for place in range(8)})
    assert weakest is not None
    assert weakest.p is not None
    assert not weakest.worse
    row = next(row for row in (weakest, *weakest.next) if row.name == "alone")
    assert row.recall.value is not None
    assert row.recall.value > 0.3


def test_without_intervals_the_lowest_is_named_as_it_is() -> None:
    few = {name: Quantity(share, None, None, "too_few_groups", 20) for name, share in (("a", 0.9), ("b", 0.4))}
    weakest = weakest_class(few)
    assert weakest is not None
    assert (weakest.name, weakest.recall, weakest.p, weakest.by_chance, weakest.worse) == (
        "b",
        few["b"],
        None,
        None,
        False,
    )


def test_one_class_has_no_weakest() -> None:
    assert weakest_class({"a": _recall(3, 9), "b": Quantity(None, None, None, "undefined", 0)}) is None


def test_thousands_of_photos_a_class_are_counted_without_a_logarithm_of_nothing() -> None:
    many = 6000
    recalls = {name: _recall(many // 2, many) for name in "abc"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picked = weakest_class(recalls)
    assert picked is not None
    assert picked.recall.value == pytest.approx(0.5, abs=0.01)
    assert not picked.worse
