"""Better than guessing: the class to guess is known before the photos, and both are judged on the same ones."""

from __future__ import annotations

import numpy as np
import pytest

from certero.stats.guessing import compare_with_guess
from certero.stats.intervals import proportion

CLASSES = ("a", "b", "c")


def test_the_class_of_the_training_is_judged_on_the_test_photos() -> None:
    truth = np.array([0] * 20 + [1] * 70 + [2] * 10)
    found = compare_with_guess(truth < 2, truth, 0, CLASSES, None)
    assert (found.name, found.accuracy.value) == ("a", 0.2)
    assert found.gain.value == pytest.approx(0.7)
    unknown = compare_with_guess(truth < 2, truth, None, CLASSES, None)
    assert (unknown.name, unknown.accuracy.value) == ("b", 0.7)


def test_folds_that_would_name_different_classes_each_name_theirs() -> None:
    truth = np.array([0, 0, 1, 1])
    found = compare_with_guess(truth == 0, truth, np.array([0, 0, 1, 0]), CLASSES, None)
    assert (found.name, found.accuracy.value, found.gain.value) == (None, 0.75, -0.25)


def test_the_interval_of_independent_photos_is_that_of_a_paired_difference() -> None:
    generator = np.random.default_rng(2)
    truth = generator.choice(3, 400, p=[0.6, 0.3, 0.1])
    right = generator.random(400) < np.where(truth == 0, 0.9, 0.5)
    gains = right.astype(float) - (truth == 0)
    found = compare_with_guess(right, truth, 0, CLASSES, None).gain
    half = 1.96 * gains.std() / 20
    assert found.value == pytest.approx(gains.mean())
    assert (found.low, found.high) == pytest.approx((gains.mean() - half, gains.mean() + half), abs=0.012)


@pytest.mark.parametrize("groups", [None, 15])
def test_a_model_that_only_guesses_is_seldom_called_better(groups: int | None) -> None:
    """Its true accuracy is that of the guess."""
    generator = np.random.default_rng(6)
    called, repeats, n = 0, 200, 300
    codes = None if groups is None else np.arange(n) // (n // groups)
    for _ in range(repeats):
        share = 0.6 if codes is None else generator.beta(6, 4, groups)[codes]
        truth = np.where(generator.random(n) < share, 0, 1)
        right = generator.random(n) < (0.6 if codes is None else generator.beta(6, 4, groups)[codes])
        gain = compare_with_guess(right, truth, 0, CLASSES, codes).gain
        called += gain.low is not None and gain.low > 0
    assert called / repeats < 0.07


def test_a_difference_is_seen_where_the_intervals_of_the_two_accuracies_overlap() -> None:
    """Hours differ much for both alike: the paired difference knows it, the accuracy beside the guess does not."""
    generator = np.random.default_rng(9)
    codes = np.repeat(np.arange(20), 30)
    share = np.repeat(generator.beta(0.7, 0.7, 20), 30)
    truth = np.where(generator.random(600) < share, 0, 1)
    right = (truth == 0) | (generator.random(600) < 0.25)
    found = compare_with_guess(right, truth, 0, CLASSES, codes)
    alone = proportion(right, codes)
    assert alone.low is not None
    assert found.accuracy.value is not None
    assert found.gain.low is not None
    assert alone.low < found.accuracy.value
    assert found.gain.low > 0
