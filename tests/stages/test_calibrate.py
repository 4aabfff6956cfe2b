"""Calibration of probes on their out-of-fold outputs: a rare class, a user's weights, and units of every size."""

from __future__ import annotations

import numpy as np
import pytest

from certero.config.parsing import ClassWeights
from certero.probe.probe import Probe, fit_probe
from certero.records.metrics import Calibration
from certero.stages.calibrate import calibrate_outputs, weights_to_undo
from certero.stats.calibration import softmax
from certero.stats.reliability import expected_calibration_error

CLASSES = ["empty", "lying", "standing"]
SHARES = [0.68, 0.285, 0.035]
Photos = tuple[np.ndarray, np.ndarray]


def _photos(n: int, apart: float, random: np.random.Generator, shift: np.ndarray | None = None) -> Photos:
    """Features of three normal classes in 24 dimensions, the last one rare; `shift` [n, 24] moves each photo."""
    means = np.random.default_rng(5).standard_normal((3, 24))
    means *= apart / np.linalg.norm(means, axis=1, keepdims=True)
    truth = random.choice(3, p=SHARES, size=n)
    truth[:9] = np.repeat(np.arange(3), 3)
    moved = 0.0 if shift is None else shift
    return (means[truth] + random.standard_normal((n, 24)) + moved).astype(np.float32), truth


def _probe(photos: Photos, fold: np.ndarray, class_weights: ClassWeights = "balanced") -> tuple[Probe, Calibration]:
    """A probe and its calibration by the folds' own units."""
    from certero.probe.probe import weigh_classes

    features, truth = photos
    folds = [(fold != number, fold == number) for number in range(int(fold.max()) + 1)]
    weights = weigh_classes(truth, CLASSES, class_weights)
    probe = fit_probe(features, truth, folds, (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), weights, map)
    held = probe.held_out
    undo = weights_to_undo(truth, CLASSES, class_weights)
    units = [str(number) for number in fold[held]]
    return probe, calibrate_outputs(probe.oof_logits[held], truth[held], "oof", units, CLASSES, undo)


def _calibrated(probe: Probe, calibration: Calibration, features: np.ndarray) -> np.ndarray:
    return softmax(probe.head.logits(features), calibration.divisor, calibration.offsets_of(CLASSES))


def test_where_a_rare_class_is_named_the_probability_is_right_within_ten_points() -> None:
    """1,500 photos, 3.5 % of the class: with a temperature alone 77 % was said, and 33 % were right.

    Over more runs it is seven points (benchmarks/calibration.py).
    """
    said, right, alone = [], [], []
    for seed in range(3):
        random = np.random.default_rng(seed)
        photos = _photos(1500, 2.2, random)
        others, truth = _photos(20_000, 2.2, random)
        probe, found = _probe(photos, np.arange(1500) % 50 % 5)
        assert found.method == "temperature_and_offsets"
        probabilities = _calibrated(probe, found, others)
        called = probabilities.argmax(axis=1) == 2
        said += probabilities[called, 2].tolist()
        right += (truth[called] == 2).tolist()
        assert probabilities[:, 2].mean() == pytest.approx((truth == 2).mean(), abs=0.01)
        plain = softmax(probe.head.logits(others), found.divisor)
        alone.append(plain[plain.argmax(axis=1) == 2, 2].mean() - (truth[plain.argmax(axis=1) == 2] == 2).mean())
    assert abs(np.mean(said) - np.mean(right)) < 0.1
    assert np.mean(alone) > 0.3


def test_weights_that_a_user_names_are_not_undone() -> None:
    photos = _photos(600, 2.2, np.random.default_rng(1))
    _, found = _probe(photos, np.arange(600) % 5, {"standing": 20.0})
    assert found.method == "temperature"
    assert found.offsets is None
    truth = np.array([0, 0, 0, 1])
    assert weights_to_undo(truth, ["a", "b"], {"b": 3.0}) is None
    assert (weights_to_undo(truth, ["a", "b"], "balanced") == [4 / 6, 2.0]).all()  # type: ignore[union-attr]
    assert (weights_to_undo(truth, ["a", "b"], "none") == [1.0, 1.0]).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("units", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("rare", ["everywhere", "in one unit"])
def test_no_choice_of_units_makes_the_probabilities_explode(units: int, rare: str) -> None:
    """Half days, days, hours; a rare class that a fold's model never saw once drove the temperature to its bound."""
    worse, losses = [], []
    for seed in range(4):
        random = np.random.default_rng([seed, units])
        fold = np.arange(450) * units // 450
        shift = random.normal(scale=0.35, size=(units, 24))
        features, truth = _photos(450, 2.6, random, shift[fold])
        if rare == "in one unit":
            kept = (truth != 2) | (fold == 0)
            features, truth, fold = features[kept], truth[kept], fold[kept]
        if units == 1:
            # One unit: photos hold each other out, which is too easy, and the calibration says so.
            fold = np.arange(len(truth)) % 2
        probe, found = _probe((features, truth), np.minimum(fold, 4) if units == 40 else fold)
        assert found.temperature is not None
        assert 0.1 < found.temperature < 6
        assert (found.reason is not None) == (found.method == "none")
        if units < 3:
            assert "too few separate times or groups" in str(found.reason)
        assert (found.log_loss_after or 0) <= (found.log_loss_before or 0)
        others, shown = _photos(4000, 2.6, random, random.normal(scale=0.35, size=(1, 24)).repeat(4000, axis=0))
        before, after = softmax(probe.head.logits(others)), _calibrated(probe, found, others)
        errors = [expected_calibration_error(probabilities, shown) or 0.0 for probabilities in (before, after)]
        worse.append(errors[1] - errors[0])
        rows = np.arange(4000)
        losses.append(float(np.log(before[rows, shown] / after[rows, shown]).mean()))
    assert max(worse) < 0.08
    assert np.mean(worse) < 0.03
    if rare == "everywhere":  # elsewhere the other photos show the class more often than any that was learnt
        assert np.mean(losses) < 0.03
