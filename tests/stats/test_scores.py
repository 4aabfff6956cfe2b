"""Scores against scikit-learn, and what happens to figures that mean nothing."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from certero.errors import ConfigError, DataError
from certero.interchange import Json
from certero.stats import scores
from certero.stats.calibration import softmax
from certero.stats.reliability import expected_calibration_error
from certero.stats.scores import Beforehand, Resamples

CLASSES = [f"class {index}" for index in range(7)]
QUANTITY = {"value", "low", "high", "method", "n"}


def score(*photos: Any, **settings: Any) -> Json:
    """The scores as they are stored."""
    return scores.score(*photos, **settings).to_json()


def _sample(n: int = 300, k: int = 7, skill: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and truth; the last two classes never occur, the last is never predicted either."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, k - 2, n)
    logits = generator.normal(size=(n, k))
    logits[np.arange(n), truth] += skill
    logits[:, -1] -= 20
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True), truth


def _check_rows(found: dict[str, Any], oracle: dict[str, Any], rows: list[tuple[str, str]]) -> None:
    for row, name in rows:
        for figure, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert found[row][figure]["value"] == pytest.approx(oracle[name][key], abs=1e-12), (row, figure)


def test_figures_agree_with_scikit_learn() -> None:
    from sklearn import metrics

    probabilities, truth = _sample()
    predicted = probabilities.argmax(axis=1)
    found = score(probabilities, truth, CLASSES)
    oracle = metrics.classification_report(truth, predicted, output_dict=True, zero_division=0)
    _check_rows(found, oracle, [("macro", "macro avg"), ("weighted", "weighted avg")])
    for figure in ("precision", "recall", "f1"):
        assert found["micro"][figure]["value"] == pytest.approx(oracle["accuracy"], abs=1e-12)
    assert found["accuracy"]["value"] == pytest.approx(oracle["accuracy"], abs=1e-12)
    assert found["macro_f1"] == found["macro"]["f1"]
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        balanced = metrics.balanced_accuracy_score(truth, predicted)
    assert found["balanced_accuracy"]["value"] == pytest.approx(balanced, abs=1e-12)
    every = list(range(7))
    loss = metrics.log_loss(truth, probabilities, labels=every)
    assert found["log_loss"]["value"] == pytest.approx(loss, abs=1e-12)
    top_3 = metrics.top_k_accuracy_score(truth, probabilities, k=3, labels=every)
    assert found["top_3"]["value"] == pytest.approx(top_3, abs=1e-12)
    top_5 = metrics.top_k_accuracy_score(truth, probabilities, k=5, labels=every)
    assert found["top_5"]["value"] == pytest.approx(top_5, abs=1e-12)
    assert found["ece"]["value"] == pytest.approx(expected_calibration_error(probabilities, truth), abs=1e-12)
    assert found["confusion"] == {
        "classes": CLASSES,
        "counts": metrics.confusion_matrix(truth, predicted, labels=every).tolist(),
    }
    columns = metrics.precision_recall_fscore_support(truth, predicted, labels=every, zero_division=np.nan)
    for index, name in enumerate(CLASSES):
        row = found["per_class"][name]
        for figure, column in zip(("precision", "recall", "f1"), columns, strict=False):
            value = np.nan if row[figure]["value"] is None else row[figure]["value"]
            assert value == pytest.approx(column[index], abs=1e-12, nan_ok=True), (name, figure)
        assert row["n"] == columns[3][index]


@pytest.mark.parametrize("decide", [0.5, 0.2])
def test_labels_cut_at_a_threshold_agree_with_scikit_learn_on_the_label_matrix(decide: float) -> None:
    from sklearn import metrics

    probabilities, truth = _sample()
    given, wanted = (probabilities >= decide).astype(int), np.eye(7, dtype=int)[truth]
    assert given.sum(axis=1).min() == 0 if decide == 0.5 else given.sum(axis=1).max() > 1
    found = score(probabilities, truth, CLASSES, decide=decide)
    oracle = metrics.classification_report(wanted, given, output_dict=True, zero_division=0)
    _check_rows(found, oracle, [(r, f"{r} avg") for r in ("micro", "macro", "weighted", "samples")])
    assert found["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(wanted, given), abs=1e-12)
    columns = metrics.precision_recall_fscore_support(wanted, given, average=None, zero_division=np.nan)
    for index, name in enumerate(CLASSES):
        for figure, column in zip(("precision", "recall", "f1"), columns, strict=False):
            value = found["per_class"][name][figure]["value"]
            assert (np.nan if value is None else value) == pytest.approx(column[index], abs=1e-12, nan_ok=True)
    confusion = found["confusion"]
    assert np.array(confusion["counts"]).sum() == given.sum()
    assert confusion["no_label"] == np.bincount(truth[given.sum(axis=1) == 0], minlength=7).tolist()


def test_every_quantity_has_the_five_keys_and_holds_its_value() -> None:
    probabilities, truth = _sample()
    for decide in (None, 0.3):
        for groups in (None, np.arange(300) // 6):
            found = score(probabilities, truth, CLASSES, groups, decide=decide)
            json.dumps(found, allow_nan=False)
            quantities = [found[k] for k in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")]
            quantities += [found[r][f] for r in ("micro", "macro", "weighted", "samples") for f in found[r]]
            for quantity in quantities:
                assert set(quantity) == QUANTITY
                assert quantity["low"] <= quantity["value"] <= quantity["high"]
                assert quantity["method"] in (
                    ("wilson", "bootstrap")
                    if groups is None
                    else ("wilson_effective_n", "class_intervals", "grouped_linearised", "grouped_bootstrap")
                )


def test_undefined_figures_of_a_class_are_null_not_zero() -> None:
    probabilities, truth = _sample()
    absent = score(probabilities, truth, CLASSES)["per_class"]["class 6"]
    assert absent["n"] == 0
    for figure in ("precision", "recall", "f1"):
        assert absent[figure] == {"value": None, "low": None, "high": None, "method": "undefined", "n": 0}


def test_a_class_never_predicted_has_no_precision_but_a_recall_of_zero() -> None:
    probabilities = np.array([[0.9, 0.1]] * 20)
    found = score(probabilities, [0] * 15 + [1] * 5, ["empty", "standing"])["per_class"]["standing"]
    assert found["precision"]["value"] is None
    assert (found["recall"]["value"], found["f1"]["value"]) == (0.0, 0.0)
    assert found["recall"]["high"] > 0.4


def test_a_perfect_score_on_few_photos_is_not_taken_for_certain() -> None:
    truth = np.arange(12) % 3
    found = score(np.eye(3)[truth] * 0.97 + 0.01, truth, ["a", "b", "c"])
    for row in ("micro", "macro", "weighted", "samples"):
        for figure, quantity in found[row].items():
            assert quantity["value"] == 1.0, (row, figure)
            assert quantity["low"] < 0.8
            assert quantity["high"] == 1.0
    assert found["macro_f1"]["method"] == "class_intervals"
    assert found["per_class"]["a"]["f1"]["low"] < 0.75
    decided = score(np.eye(3)[truth] * 0.97 + 0.01, truth, ["a", "b", "c"], decide=0.5)
    assert decided["samples"]["precision"]["low"] < 0.8


@pytest.mark.slow
def test_intervals_of_f1_hold_the_truth_19_times_in_20() -> None:
    shares = np.array([[0.52, 0.06, 0.02], [0.05, 0.22, 0.03], [0.01, 0.02, 0.07]])  # [true][predicted]
    f1 = 2 * shares.diagonal() / (shares.sum(axis=0) + shares.sum(axis=1))
    generator = np.random.default_rng(0)
    held = np.zeros(3)
    for _ in range(400):
        cells = generator.choice(9, 80, p=shares.ravel())
        found = score(np.eye(3)[cells % 3], cells // 3, ["empty", "lying", "standing"], resamples=Resamples(2))
        rows = [row["f1"] for row in found["per_class"].values()]
        held += [row["low"] is not None and row["low"] <= x <= row["high"] for row, x in zip(rows, f1, strict=True)]
    assert (held / 400 > 0.92).all()


def test_photos_of_one_class_give_recall_and_accuracy_only() -> None:
    probabilities, _ = _sample()
    for decide in (None, 0.5):
        found = score(probabilities, np.zeros(300, dtype=int), CLASSES, decide=decide)
        only = found["per_class"]["class 0"]
        assert only["recall"] == (found["accuracy"] if decide is None else found["micro"]["recall"])
        assert only["recall"]["low"] < only["recall"]["value"] < only["recall"]["high"]
        meaningless = [found["balanced_accuracy"], found["macro_f1"], found["macro"]["recall"]]
        meaningless += [found[r][f] for r in ("micro", "weighted", "samples") for f in ("precision", "f1")]
        meaningless += [only["precision"], only["f1"], found["per_class"]["class 3"]["precision"]]
        for quantity in meaningless:
            assert (quantity["value"], quantity["method"]) == (None, "single_class")


def test_dependent_photos_widen_every_interval_and_are_counted() -> None:
    probabilities, truth = _sample(60)
    groups = np.tile(np.arange(60), 5)  # every photo five times, as a camera that sees nothing move
    repeated, labels = np.tile(probabilities, (5, 1)), np.tile(truth, 5)
    honest, naive = score(repeated, labels, CLASSES, groups), score(repeated, labels, CLASSES)
    assert (honest["groups"], naive["groups"]) == (60, None)
    assert honest["design_effect"] == pytest.approx(5, rel=0.05)
    assert honest["effective_n"] == pytest.approx(60, rel=0.05)
    assert (naive["design_effect"], naive["effective_n"]) == (1.0, 300.0)
    for key in ("accuracy", "macro_f1", "log_loss", "balanced_accuracy"):
        widths = [found[key]["high"] - found[key]["low"] for found in (honest, naive)]
        assert widths[0] > 1.7 * widths[1], key


def test_fewer_than_3_groups_give_figures_without_intervals() -> None:
    probabilities, truth = _sample()
    found = score(probabilities, truth, CLASSES, np.arange(300) // 150)
    for quantity in (found["accuracy"], found["macro_f1"], found["ece"], found["per_class"]["class 1"]["f1"]):
        assert quantity["value"] is not None
        assert (quantity["low"], quantity["high"], quantity["method"]) == (None, None, "too_few_groups")


def test_the_same_seed_gives_the_same_intervals() -> None:
    probabilities, truth = _sample()
    first, again, other = (score(probabilities, truth, CLASSES, resamples=Resamples(seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_resampling_noise_does_not_raise_the_interval_of_the_calibration_error() -> None:
    generator = np.random.default_rng(2)
    top = generator.uniform(0.5, 1.0, 200)
    truth = (generator.random(200) > top).astype(int)  # perfectly calibrated
    ece = score(np.stack([top, 1 - top], axis=1), truth, ["a", "b"])["ece"]
    assert ece["value"] > 0.04
    assert ece["low"] < 0.6 * ece["value"]
    assert ece["high"] < 1.2 * ece["value"]  # a percentile interval ends at 1.9 times the value


def test_the_share_of_the_most_frequent_class_is_given_as_context() -> None:
    found = score(np.full((10, 2), 0.5), [1] * 7 + [0] * 3, ["a", "b"])
    assert found["majority_class_accuracy"]["value"] == 0.7
    assert found["top_3"]["value"] is None


@pytest.mark.parametrize(
    ("probabilities", "truth", "decide", "error"),
    [
        (np.zeros((0, 2)), [], None, DataError),
        (np.zeros((2, 3)), [0, 1], None, DataError),
        (np.full((2, 2), np.nan), [0, 1], None, DataError),
        (np.full((2, 2), 0.5), [0, 2], None, DataError),
        (np.full((2, 2), 0.5), [0, 1], 1.5, ConfigError),
    ],
)
def test_input_that_does_not_fit_is_refused(
    probabilities: np.ndarray, truth: list[int], decide: float | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        score(probabilities, truth, ["a", "b"], decide=decide)


def test_a_test_set_of_the_size_of_a_shop_is_scored_in_seconds() -> None:
    probabilities, truth = _sample(2266, 36)
    began = time.process_time()  # of the processor: others may be using the machine
    score(probabilities, truth, [str(index) for index in range(36)], np.arange(2266) // 8)
    assert time.process_time() - began < 3  # 0.2 s on two cores


def test_every_figure_of_every_class_and_row_is_there_with_its_interval() -> None:
    probabilities, truth = _sample()
    found = score(probabilities, truth, CLASSES, np.arange(300) // 6, beforehand=Beforehand(2.0, {"0.8": 0.4}))
    for quantity in (found["top_3"], found["top_5"], found["roc_auc"], found["average_precision"]):
        assert set(quantity) == QUANTITY
        assert quantity["low"] < quantity["value"] < quantity["high"]
    assert found["per_class"]["class 1"]["roc_auc"]["low"] > 0.5
    assert found["per_class"]["class 6"]["roc_auc"]["value"] is None
    assert set(found["curves"]["per_class"]) == set(CLASSES[:5])
    assert found["abstention"]["at_coverage"][0]["set_threshold"] == 0.4
    json.dumps(found, allow_nan=False)


def test_the_calibration_error_before_is_that_of_the_unsoftened_logits() -> None:
    generator = np.random.default_rng(3)
    logits, truth = generator.normal(scale=3, size=(400, 4)), generator.integers(0, 4, 400)
    temperatures = np.where(np.arange(400) < 200, 1.5, 2.5)  # as in cross-validation, one a fold
    before = softmax(logits)
    found = score(softmax(logits / temperatures[:, None]), truth, list("abcd"), beforehand=Beforehand(temperatures))
    assert found["before_calibration"]["ece"] == pytest.approx(expected_calibration_error(before, truth), abs=1e-9)
    assert found["before_calibration"]["reliability"][3]["confidence"] > found["reliability"][3]["confidence"]
    assert score(before, truth, list("abcd"))["before_calibration"] is None
    offsets = np.where(np.arange(400)[:, None] < 200, [0.3, 0.0, -0.6, 0.3], [0.0, 0.0, 0.0, 0.0])
    moved = softmax(logits / temperatures[:, None] + offsets)
    found = score(moved, truth, list("abcd"), beforehand=Beforehand(temperatures, offsets=offsets))
    assert found["before_calibration"]["ece"] == pytest.approx(expected_calibration_error(before, truth), abs=1e-9)
