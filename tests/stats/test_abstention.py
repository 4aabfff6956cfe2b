"""Answering only where the model is sure: counts by hand, and thresholds that come from other photos."""

from __future__ import annotations

import numpy as np
import pytest

from certero.stats.abstention import COVERAGES, answer_threshold, answer_thresholds, measure_abstention


def _sample(n: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.3, 1.0, n).round(3)
    return confidence, generator.random(n) < confidence


@pytest.mark.parametrize("coverage", COVERAGES)
def test_the_accuracy_at_a_coverage_is_that_of_the_surest_photos(coverage: float) -> None:
    confidence, correct = _sample()
    row = next(r for r in measure_abstention(confidence, correct).at_coverage if r.coverage == coverage)
    surest = np.sort(confidence)[::-1][int(coverage * 500) - 1]
    assert row.threshold == surest
    assert row.n == (confidence >= surest).sum() >= coverage * 500
    assert row.accuracy.value == pytest.approx(correct[confidence >= surest].mean())
    assert row.accuracy.low < row.accuracy.value < row.accuracy.high
    assert (row.set_threshold, row.answered, row.accuracy_answered) == (None, None, None)


def test_the_curve_ends_at_the_accuracy_on_all_photos_and_agrees_with_a_count() -> None:
    confidence, correct = _sample()
    curve = measure_abstention(confidence, correct).curve
    assert curve[-1][:2] == pytest.approx((1.0, correct.mean()), abs=1e-5)
    assert len(curve) <= 41
    for share, accuracy, threshold in curve:
        answered = confidence >= threshold - 1e-9
        assert share == pytest.approx(answered.mean(), abs=1e-5)
        assert accuracy == pytest.approx(correct[answered].mean(), abs=1e-5)
    shares = [point[0] for point in curve]
    assert shares == sorted(shares)


def test_a_threshold_set_on_other_photos_is_measured_on_these() -> None:
    confidence, correct = _sample()
    other, _ = _sample(seed=1)
    thresholds = answer_thresholds(other)
    assert thresholds["0.95"] == answer_threshold(other, 0.95)
    for row in measure_abstention(confidence, correct, None, thresholds).at_coverage:
        answered = confidence >= row.set_threshold
        assert row.answered.value == pytest.approx(answered.mean())
        assert row.answered.low < row.coverage < row.answered.high  # the same kind of photos
        assert row.accuracy_answered.value == pytest.approx(correct[answered].mean())


def test_photos_of_equal_probability_are_answered_together() -> None:
    row = measure_abstention([0.9] * 6 + [0.5] * 4, [True] * 10).at_coverage[0]
    assert (row.n, row.threshold) == (10, 0.5)


def test_without_photos_there_is_no_threshold() -> None:
    assert answer_threshold([], 0.9) is None
    assert answer_thresholds([]) == {}


def test_groups_widen_the_interval_of_answers() -> None:
    confidence, correct = _sample(60)
    groups = np.tile(np.arange(60), 5)
    honest = measure_abstention(np.tile(confidence, 5), np.tile(correct, 5), groups).at_coverage[0].accuracy
    naive = measure_abstention(np.tile(confidence, 5), np.tile(correct, 5)).at_coverage[0].accuracy
    assert honest.method == "wilson_effective_n"
    assert honest.high - honest.low > 1.7 * (naive.high - naive.low)


def test_thresholds_of_folds_are_each_measured_on_their_own_photos() -> None:
    confidence = np.array([0.9, 0.7, 0.5, 0.9, 0.7, 0.5])
    each = np.array([0.8, 0.8, 0.8, 0.6, 0.6, 0.6])
    row = measure_abstention(confidence, confidence > 0.6, thresholds={"0.8": each}).at_coverage[0]
    assert row.answered is not None
    assert row.accuracy_answered is not None
    assert (row.set_threshold, row.answered.value, row.accuracy_answered.value) == (pytest.approx(0.7), 0.5, 1.0)
