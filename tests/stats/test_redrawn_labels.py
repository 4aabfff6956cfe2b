"""Redrawn labels: each photo's with its own probabilities, photos of one group as much alike as they are."""

from __future__ import annotations

import numpy as np
import pytest

from certero.stats.calibration import softmax
from certero.stats.redrawn_labels import likeness, redraw


def _probabilities(n: int, k: int, seed: int = 0) -> np.ndarray:
    return softmax(np.random.default_rng(seed).normal(scale=2.0, size=(n, k)))


@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_each_class_is_drawn_with_its_probability(alike: float) -> None:
    probabilities = _probabilities(12, 4)
    probabilities[0] = [1.0, 0.0, 0.0, 0.0]
    codes = np.arange(12) // 3
    counts = np.zeros((12, 4))
    draws = 20_000
    for labels in redraw(probabilities, codes, alike, draws):
        counts[np.arange(12), labels] += 1
    deviation = np.sqrt(probabilities * (1 - probabilities) / draws)
    assert (np.abs(counts / draws - probabilities) <= 4.5 * deviation + 1e-12).all()
    assert counts[0, 0] == draws


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.8])
def test_photos_of_one_group_are_as_much_alike_as_asked(alike: float) -> None:
    probabilities = np.tile([0.8, 0.2], (400, 1))
    codes = np.arange(400) // 2
    right = np.array([labels == 0 for labels in redraw(probabilities, codes, alike, 200)])
    pairs = right.reshape(-1, 2)
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(alike, abs=0.03)


@pytest.mark.parametrize("alike", [0.0, 0.2, 0.5])
def test_the_likeness_that_made_the_answers_is_found(alike: float) -> None:
    random = np.random.default_rng(3)
    sure = random.uniform(0.6, 0.95, 1200)
    probabilities = np.stack([sure, 1 - sure], axis=1)
    codes = np.arange(1200) // 20
    found = [likeness(sure, labels == 0, codes) for labels in redraw(probabilities, codes, alike, 40)]
    assert np.mean(found) == pytest.approx(alike, abs=0.05)
    # Too much confidence throughout is no likeness of the photos of one group.
    bold = [
        likeness(np.minimum(sure + 0.1, 1), labels == 0, codes) for labels in redraw(probabilities, codes, alike, 40)
    ]
    assert np.mean(bold) < np.mean(found) + 0.1


def test_independent_photos_are_not_alike_and_one_group_is() -> None:
    sure = np.full(30, 0.8)
    correct = np.arange(30) % 5 > 0
    assert likeness(sure, correct, None) == 0
    assert likeness(sure, correct, np.zeros(30, dtype=int)) > 0.9
    assert likeness(np.ones(30), np.ones(30, dtype=bool), np.arange(30) // 5) == 0
