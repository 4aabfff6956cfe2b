"""What a random split would have claimed: same sizes, mean of five, high exactly where photos repeat each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from certero.engine.threads import Threads
from certero.learn.probe import fit_head
from certero.pipelines.optimism import optimism, random_split_accuracy
from certero.records import Quantity

STRENGTH = 0.1


def _corners(counts: list[int], d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Classes that nothing confuses."""
    truth = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(0)
    features = 10 * np.eye(len(counts), d)[truth] + 0.01 * rng.random((len(truth), d))
    return features.astype(np.float32), truth


def _claim(features: np.ndarray, truth: np.ndarray, training_counts: list[np.ndarray], seed: int = 0) -> Quantity:
    weights = np.ones(int(truth.max()) + 1)
    # In two parts, as development and test photos come.
    return random_split_accuracy(
        [features[:7], features[7:]], truth, training_counts, STRENGTH, weights, seed, Threads(2).map
    )


def test_the_random_split_trains_on_as_many_photos_of_each_class_as_the_honest_one() -> None:
    features, truth = _corners([20, 20, 20])
    # A class that gets no training photo is never named: exactly its 20 of 40 test photos are missed.
    quantity = _claim(features, truth, [np.array([10, 10, 0])])
    assert quantity.value == 0.5
    assert quantity.n == 40
    assert _claim(features, truth, [np.array([10, 15, 5])]).n == 30


def test_it_is_the_mean_of_five_and_uses_the_counts_of_each_fold_in_turn() -> None:
    features, truth = _corners([20, 20, 20])
    # Splits 1, 3 and 5 are perfect, 2 and 4 miss a class: 1, .5, 1, .5, 1.
    quantity = _claim(features, truth, [np.array([10, 10, 10]), np.array([10, 10, 0])])
    assert quantity.value == pytest.approx(0.8)
    half = 2.776445 * np.std([1, 0.5, 1, 0.5, 1], ddof=1) / math.sqrt(5)  # Student's t, 4 degrees, from a table
    assert quantity.low == pytest.approx(0.8 - half, abs=1e-6)
    assert quantity.high == 1.0
    assert quantity.method == "t_over_splits"


def test_the_drawing_depends_on_its_seed_alone() -> None:
    features, truth = _noisy_blobs(90, np.random.default_rng(3))
    counts = [np.bincount(truth)[:3] // 2]
    assert _claim(features, truth, counts, seed=1) == _claim(features, truth, counts, seed=1)
    assert _claim(features, truth, counts, seed=1) != _claim(features, truth, counts, seed=2)


def _noisy_blobs(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    truth = np.arange(n) % 3
    centres = np.random.default_rng(0).normal(size=(3, 6))
    return (centres[truth] + 1.2 * rng.normal(size=(n, 6))).astype(np.float32), truth


def test_without_dependence_a_random_split_claims_what_is_honest() -> None:
    features, truth = _noisy_blobs(300, np.random.default_rng(1))
    claim = _claim(features, truth, [np.array([50, 50, 50])])
    fresh, fresh_truth = _noisy_blobs(6000, np.random.default_rng(2))
    head = fit_head(features[:150], truth[:150], 3, STRENGTH, np.ones(150))
    honest = float((head.logits(fresh).argmax(axis=1) == fresh_truth).mean())
    assert claim.value == pytest.approx(honest, abs=0.05)


def test_where_photos_repeat_each_other_a_random_split_claims_more_than_is_honest() -> None:
    # 30 moments of 8 photos each: the class says little about a moment's look, and its photos are nearly one.
    rng = np.random.default_rng(4)
    moment = np.repeat(np.arange(30), 8)
    truth = (np.arange(30) % 3)[moment]
    looks, hint = rng.normal(size=(30, 64)), 0.3 * rng.normal(size=(3, 64))
    features = (looks[moment] + hint[truth] + 0.05 * rng.normal(size=(240, 64))).astype(np.float32)
    inside = moment < 15
    head = fit_head(features[inside], truth[inside], 3, STRENGTH, np.ones(inside.sum()))
    right = head.logits(features[~inside]).argmax(axis=1) == truth[~inside]
    claim = _claim(features, truth, [np.bincount(truth[inside])])
    honest = Quantity(float(right.mean()), 0.3, 0.8, "wilson_effective_n", 120)
    assert claim.value is not None
    assert claim.value > 0.97
    gain = optimism(claim, honest)
    assert gain.value is not None
    assert gain.value > 0.2
    assert gain.value == pytest.approx(claim.value - right.mean())


def test_the_interval_of_the_optimism_is_newcombes() -> None:
    # Method 10 by hand: 0.9 - 0.7 -+ the hypotenuse of the half-widths that face each other.
    gain = optimism(Quantity(0.9, 0.86, 0.93, "t_over_splits", 50), Quantity(0.7, 0.55, 0.82, "wilson_effective_n", 60))
    assert gain.value == pytest.approx(0.2)
    assert gain.low == pytest.approx(0.2 - math.sqrt(0.04**2 + 0.12**2))
    assert gain.high == pytest.approx(0.2 + math.sqrt(0.03**2 + 0.15**2))
    assert gain.n == 60


def test_an_undefined_figure_makes_the_optimism_undefined_never_zero() -> None:
    known = Quantity(0.9, 0.8, 0.95, "wilson", 50)
    none = Quantity(None, None, None, "undefined", 0)
    assert optimism(none, known).value is None
    assert optimism(known, none).value is None
    few = optimism(known, Quantity(0.7, None, None, "too_few_groups", 40))
    assert few.value == pytest.approx(0.2)
    assert (few.low, few.high, few.method) == (None, None, "too_few_groups")


def test_a_training_set_of_all_photos_leaves_nothing_to_claim() -> None:
    features, truth = _corners([5, 5])
    assert _claim(features, truth, [np.array([5, 5])]) == Quantity(None, None, None, "undefined", 0)
