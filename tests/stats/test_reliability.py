"""The calibration error and the table behind the diagram, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from certero.stats.calibration import softmax
from certero.stats.reliability import expected_calibration_error, reliability


def _sample(n: int, k: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose probabilities are right at the given temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=3.0, size=(n, k))
    cumulated = softmax(logits, temperature).cumsum(axis=1)
    return logits, (generator.random((n, 1)) > cumulated).sum(axis=1).clip(0, k - 1)


def test_the_calibration_error_is_the_mean_gap_over_bins() -> None:
    logits, truth = _sample(1003, 6, 1.0)
    probabilities = softmax(logits, 0.5)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    order = np.argsort(confidence)
    # Without ties bins of equal mass are slices of the sorted photos, to within the photo on an edge.
    slices = np.array_split(order, 15)
    gaps = [abs(correct[s].mean() - confidence[s].mean()) * len(s) for s in slices]
    error = expected_calibration_error(probabilities, truth)
    assert error == pytest.approx(sum(gaps) / 1003, abs=2e-3)
    assert error > 0.05


def test_the_reliability_table_agrees_with_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve

    logits, truth = _sample(800, 4, 1.3, seed=5)
    probabilities = softmax(logits)
    correct = probabilities.argmax(axis=1) == truth
    accuracy, confidence = calibration_curve(correct, probabilities.max(axis=1), n_bins=10, strategy="quantile")
    rows = reliability(probabilities, truth, bins=10)
    assert [row.confidence for row in rows] == pytest.approx(list(confidence), abs=1e-12)
    assert [row.accuracy.value for row in rows] == pytest.approx(list(accuracy), abs=1e-12)
    assert sum(row.n for row in rows) == 800
    error = sum(row.n * abs(row.accuracy.value - row.confidence) for row in rows) / 800
    assert expected_calibration_error(probabilities, truth, bins=10) == pytest.approx(error, abs=1e-12)


def test_the_calibration_error_does_not_depend_on_the_order_of_photos() -> None:
    generator = np.random.default_rng(8)
    top = generator.choice([0.6, 0.9, 1.0], size=500)  # many equal confidences
    probabilities = np.stack([top, 1 - top], axis=1)
    truth = (generator.random(500) > top).astype(int)
    shuffled = generator.permutation(500)
    assert expected_calibration_error(probabilities, truth) == pytest.approx(
        expected_calibration_error(probabilities[shuffled], truth[shuffled]), abs=1e-12
    )


def test_without_photos_there_is_no_calibration_error() -> None:
    assert expected_calibration_error(np.zeros((0, 3)), np.zeros(0, dtype=int)) is None
    assert reliability(np.zeros((0, 3)), np.zeros(0, dtype=int)) == ()
