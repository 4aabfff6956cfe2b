"""The check of calibration: how often it raises a false alarm, and whether it sees what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from certero.stats.calibration import softmax
from certero.stats.calibration_check import CalibrationCheck, check_calibration
from certero.stats.redrawn_labels import redraw
from certero.stats.reliability import expected_calibration_error
from certero.stats.scores import score

CLASSES = ["empty", "lying", "standing"]


def _logits(n: int, random: np.random.Generator) -> np.ndarray:
    """Of three classes, the last one rare."""
    kinds = random.choice(3, p=[0.68, 0.285, 0.035], size=n)
    logits: np.ndarray = random.normal(scale=1.3, size=(n, 3)) + 3.0 * np.eye(3)[kinds]
    return logits


def _check(probabilities: np.ndarray, truth: np.ndarray, codes: np.ndarray | None = None) -> CalibrationCheck:
    photo = np.arange(len(truth))
    return check_calibration(probabilities, truth, CLASSES, codes, photo, probabilities.argmax(axis=1))


def _verdicts(check: CalibrationCheck) -> list[str | None]:
    return [row.verdict for row in check.by_class.values()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "group", "alike"), [(429, 1, 0.0), (1500, 1, 0.0), (429, 14, 0.0), (429, 14, 0.2), (429, 40, 0.1)]
)
def test_perfect_calibration_is_seldom_called_off(n: int, group: int, alike: float) -> None:
    """One set in 20 may lie above its band, and one in 20 may have a class called off; 60 sets are drawn."""
    random = np.random.default_rng(n + group)
    codes = None if group == 1 else np.arange(n) // group
    above = off = 0
    for number in range(60):
        probabilities = softmax(_logits(n, random))
        truth = next(redraw(probabilities, codes, alike, 1, seed=number))
        found = _check(probabilities, truth, codes)
        error = expected_calibration_error(probabilities, truth)
        assert error is not None
        assert found.perfect.high is not None
        above += error > found.perfect.high
        off += "off" in _verdicts(found)
    assert above <= 10
    assert off <= 10


def test_photos_that_are_alike_widen_the_band() -> None:
    random = np.random.default_rng(5)
    probabilities = softmax(_logits(400, random))
    codes = np.arange(400) // 40
    wide = []
    for alike in (0.0, 0.4):
        truths = redraw(probabilities, codes, alike, 12, seed=3)
        wide.append(np.mean([_check(probabilities, truth, codes).perfect.high or 0 for truth in truths]))
    assert wide[1] > 1.3 * wide[0]


def test_weights_that_stay_in_the_probabilities_are_seen_in_the_rare_class() -> None:
    """As balanced weights leave them: the rare class is named too often, and the other two hide it in the mean."""
    random = np.random.default_rng(1)
    logits = _logits(1500, random)
    truth = next(redraw(softmax(logits), None, 0.0, 1))
    fair = _check(softmax(logits), truth)
    assert _verdicts(fair) == ["calibrated", "calibrated", "calibrated"]
    weighed = _check(softmax(logits + np.log([0.5, 1.2, 9.5])), truth)
    row = weighed.by_class["standing"]
    assert row.verdict == "off"
    assert row.said is not None
    assert row.right.value is not None
    assert row.said - row.right.value > 0.2
    assert row.expected_share > 2 * (row.share.value or 0)


def test_the_figures_of_a_class_are_what_one_counts_by_hand() -> None:
    random = np.random.default_rng(2)
    probabilities = softmax(_logits(600, random))
    truth = next(redraw(probabilities, None, 0.0, 1))
    found = score(probabilities, truth, CLASSES, np.arange(600) // 6).to_json()
    for index, (name, row) in enumerate(found["calibration_by_class"].items()):
        called = probabilities.argmax(axis=1) == index
        assert row["named"] == called.sum() == found["per_class"][name]["precision"]["n"]
        assert row["said"] == pytest.approx(probabilities[called, index].mean())
        assert row["right"] == found["per_class"][name]["precision"]
        assert row["expected_share"] == pytest.approx(probabilities[:, index].mean())
        assert row["share"]["value"] == pytest.approx((truth == index).mean())


def test_a_class_of_few_photos_gets_no_tick() -> None:
    random = np.random.default_rng(3)
    probabilities = softmax(4 * _logits(120, random))
    truth = probabilities.argmax(axis=1)
    found = _check(probabilities, truth).by_class["standing"]
    assert found.named < 20
    assert found.verdict == "too_few"


@pytest.mark.parametrize("case", ["one class", "two groups", "no probabilities"])
def test_what_cannot_be_tested_is_not_ticked(case: str) -> None:
    random = np.random.default_rng(4)
    probabilities = softmax(_logits(200, random))
    truth = probabilities.argmax(axis=1)
    codes = np.arange(200) // 100 if case == "two groups" else None
    if case == "one class":
        truth = np.zeros(200, dtype=int)
    if case == "no probabilities":
        probabilities = probabilities * 0.5
    found = _check(probabilities, truth, codes)
    assert found.perfect.high is None
    assert set(_verdicts(found)) == {None}


@pytest.mark.slow
def test_the_interval_of_the_calibration_error_holds_0_where_calibration_is_perfect() -> None:
    """Resampled photos alone hold it in some half of the sets (docs/decisions/0070)."""
    random = np.random.default_rng(6)
    held = 0
    for number in range(40):
        probabilities = softmax(_logits(400, random))
        truth = next(redraw(probabilities, None, 0.0, 1, seed=number))
        ece = score(probabilities, truth, CLASSES).ece
        held += ece.low == 0
    assert held >= 34
    over = softmax(2 * _logits(400, random))
    truth = next(redraw(softmax(np.log(over) / 2), None, 0.0, 1))
    assert (score(over, truth, CLASSES).ece.low or 0) > 0


@pytest.mark.slow
def test_the_check_of_a_large_set_takes_seconds() -> None:
    import time

    random = np.random.default_rng(7)
    probabilities = softmax(random.normal(scale=3.0, size=(50_000, 36)))
    truth = next(redraw(probabilities, None, 0.0, 1))
    began = time.process_time()
    photo = np.arange(50_000)
    label = probabilities.argmax(axis=1)
    check_calibration(probabilities, truth, [str(k) for k in range(36)], photo // 10, photo, label)
    assert time.process_time() - began < 20
