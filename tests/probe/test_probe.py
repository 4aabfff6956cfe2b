"""The probe: the regression it claims to be, and choices that rest on held-out rows alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from certero.errors import ConfigError
from certero.probe.export import calibrate_classifier, head_alone
from certero.probe.probe import fit_head, fit_probe, root, weigh_classes
from certero.runtime.network import Network
from certero.stats.calibration import softmax


def _blobs(n: int, k: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    features = rng.normal(size=(k, d))[truth] + 1.5 * rng.normal(size=(n, d))
    return features.astype(np.float32), truth


def _cut(numbers: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(numbers != number, numbers == number) for number in np.unique(numbers[numbers >= 0])]


def test_the_head_minimises_the_weighted_penalised_log_loss() -> None:
    features, truth = _blobs(120, 3, 4)
    weights = np.array([1.0, 2.0, 0.5])
    head = fit_head(features, truth, 3, 0.3, weights[truth])
    standardised = (root(features) - head.mean) / head.deviation

    def loss(flat: np.ndarray) -> float:
        coefficients, intercepts = flat[:12].reshape(3, 4), flat[12:]
        rows = log_softmax(standardised @ coefficients.T + intercepts, axis=1)[np.arange(120), truth]
        return float(-(weights[truth] * rows).sum() + (coefficients**2).sum() / (2 * 0.3))

    ours = loss(np.concatenate([head.coefficients.ravel(), head.intercepts]))
    best = minimize(loss, np.zeros(15), method="BFGS").fun
    assert ours == pytest.approx(best, rel=1e-4)


def test_two_classes_give_the_same_answers_as_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    features, truth = _blobs(100, 2, 3)
    head = fit_head(features, truth, 2, 1.0, np.ones(100))
    standardised = (root(features) - head.mean) / head.deviation
    oracle = LogisticRegression(C=1.0, tol=1e-8).fit(standardised, truth).predict_proba(standardised)
    assert np.abs(softmax(head.logits(features)) - oracle).max() < 0.01


def test_a_feature_that_never_varies_is_harmless() -> None:
    features, truth = _blobs(60, 2, 3)
    features[:, 1] = 7.0
    head = fit_head(features, truth, 2, 1.0, np.ones(60))
    assert np.isfinite(head.logits(features)).all()
    assert head.deviation[1] == 1.0


def test_a_class_without_photos_is_never_named() -> None:
    features, truth = _blobs(60, 2, 3)
    head = fit_head(features, truth, 4, 1.0, np.ones(60))
    assert set(head.logits(features).argmax(axis=1)) <= {0, 1}


def test_starting_from_another_head_changes_no_answer() -> None:
    features, truth = _blobs(200, 3, 5)
    cold = fit_head(features, truth, 3, 0.1, np.ones(200))
    warm = fit_head(features, truth, 3, 0.1, np.ones(200), fit_head(features, truth, 3, 0.01, np.ones(200)))
    assert np.abs(softmax(cold.logits(features)) - softmax(warm.logits(features))).max() < 0.01


def test_out_of_fold_logits_come_from_models_that_did_not_see_the_row() -> None:
    features, truth = _blobs(150, 3, 5)
    folds = np.arange(150) % 5
    probe = fit_probe(features, truth, _cut(folds), (0.01, 0.1), np.ones(3), map)
    changed = features.copy()
    changed[folds == 2] += 100.0
    again = fit_probe(changed, truth, _cut(folds), (probe.strength,), np.ones(3), map)
    inside = folds != 2
    alone = fit_head(features[inside], truth[inside], 3, probe.strength, np.ones(inside.sum()))
    expected = alone.logits(changed[folds == 2])
    assert np.allclose(softmax(again.oof_logits[folds == 2]), softmax(expected), atol=0.02)
    assert probe.held_out.all()


def test_rows_of_no_fold_are_never_held_out() -> None:
    features, truth = _blobs(90, 3, 5)
    folds = np.where(np.arange(90) < 30, 0, -1)
    probe = fit_probe(features, truth, _cut(folds), (0.01, 0.1), np.ones(3), map)
    assert np.array_equal(probe.held_out, folds == 0)


def test_the_chosen_strength_has_the_least_held_out_loss() -> None:
    features, truth = _blobs(120, 3, 3)
    noise = np.random.default_rng(5).normal(size=(120, 60)).astype(np.float32)
    features = np.concatenate([features, noise], axis=1)
    probe = fit_probe(features, truth, _cut(np.arange(120) % 4), (1e-4, 1e-2, 1.0, 100.0), np.ones(3), map)
    assert probe.strength == min(probe.losses, key=lambda strength: probe.losses[strength])
    assert probe.strength not in (1e-4, 100.0)


def test_no_weaker_strength_is_tried_once_the_held_out_loss_rises() -> None:
    features, truth = _blobs(120, 3, 3)
    noise = np.random.default_rng(5).normal(size=(120, 60)).astype(np.float32)
    features = np.concatenate([features, noise], axis=1)
    strengths = (1e-4, 1e-3, 1e-2, 1.0, 100.0, 1e4)
    probe = fit_probe(features, truth, _cut(np.arange(120) % 4), strengths, np.ones(3), map)
    tried = list(probe.losses)
    assert tried == sorted(strengths)[: len(tried)]
    assert len(tried) < len(strengths)
    losses = list(probe.losses.values())
    assert losses[:-1] == sorted(losses[:-1], reverse=True)
    assert losses[-1] > losses[-2]


def test_features_are_only_overwritten_where_that_is_allowed_and_the_head_is_the_same() -> None:
    # More rows than are handled at once.
    features, truth = _blobs(9000, 2, 3)
    before = features.copy()
    kept = fit_head(features, truth, 2, 0.1, np.ones(9000))
    assert np.array_equal(features, before)
    free = fit_head(features, truth, 2, 0.1, np.ones(9000), overwrite=True)
    assert np.array_equal(kept.coefficients, free.coefficients)
    assert kept.mean == pytest.approx(root(before).mean(axis=0, dtype=np.float64))
    assert kept.deviation == pytest.approx(root(before).std(axis=0, dtype=np.float64))
    whole = root(before).astype(np.float64) @ kept.folded()[0].T + kept.folded()[1]
    assert np.allclose(kept.logits(before), whole, atol=1e-9)


def test_the_exported_head_answers_as_the_fitted_one_at_any_batch() -> None:
    features, truth = _blobs(64, 3, 8)
    head = fit_head(features, truth, 3, 0.1, np.ones(64))
    network = Network(head_alone(head, 1.7))
    for n in (1, 3, 32):
        (probabilities,) = network.run(features[:n], ["probabilities"])
        assert np.abs(probabilities - softmax(head.logits(features[:n]), 1.7)).max() < 1e-6
    offsets = [0.7, 0.1, -0.8]
    (probabilities,) = Network(head_alone(head, 1.7, offsets)).run(features[:9], ["probabilities"])
    assert np.abs(probabilities - softmax(head.logits(features[:9]), 1.7, offsets)).max() < 1e-6


@pytest.mark.parametrize("offsets", [None, [0.7, 0.1, -0.8]])
def test_a_classifier_is_calibrated_inside_its_graph(offsets: list[float] | None) -> None:
    from onnx import TensorProto, helper

    what = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 3])
    given = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])
    node = helper.make_node("Identity", ["embedding"], ["logits"])
    bare = helper.make_model(
        helper.make_graph([node], "bare", [what], [given]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    network = Network(calibrate_classifier(bare.SerializeToString(), 1.7, offsets))
    logits = np.random.default_rng(0).normal(scale=4.0, size=(20, 3)).astype(np.float32)
    (probabilities,) = network.run(logits, ["probabilities"])
    assert np.abs(probabilities - softmax(logits, 1.7, offsets)).max() < 1e-6


def test_class_weights_go_by_name() -> None:
    truth = np.array([0, 0, 0, 1])
    assert weigh_classes(truth, ["lying", "standing"], "none").tolist() == [1.0, 1.0]
    assert weigh_classes(truth, ["lying", "standing"], "balanced").tolist() == [4 / 6, 2.0]
    assert weigh_classes(truth, ["lying", "standing"], {"standing": 3.0}).tolist() == [1.0, 3.0]
    with pytest.raises(ConfigError, match="stnading"):
        weigh_classes(truth, ["lying", "standing"], {"stnading": 3.0})


def test_class_weights_have_an_effect() -> None:
    features, truth = _blobs(200, 2, 2)
    plain = fit_head(features, truth, 2, 1.0, np.array([1.0, 1.0])[truth])
    heavy = fit_head(features, truth, 2, 1.0, np.array([1.0, 20.0])[truth])
    assert (heavy.logits(features).argmax(axis=1) == 1).sum() > (plain.logits(features).argmax(axis=1) == 1).sum()


def test_classes_that_the_last_fold_lacks_are_fitted_as_well_as_from_nothing() -> None:
    rng = np.random.default_rng(2)
    truth = np.arange(80) % 40
    centres = rng.normal(size=(40, 200))
    features, new = ((centres[truth] + rng.normal(size=(80, 200))).astype(np.float32) for _ in range(2))
    # All photos of five classes are held out by the last fold, whose head the final fit begins with.
    numbers = np.where(truth >= 35, 3, np.arange(80) // 20)
    probe = fit_probe(features, truth, _cut(numbers), (1.0,), np.ones(40), map)
    alone = fit_head(features, truth, 40, 1.0, np.ones(80))
    assert np.abs(softmax(probe.head.logits(new)) - softmax(alone.logits(new))).max() < 0.015
    assert np.abs(probe.head.intercepts).max() < 1.0


def test_views_that_are_the_photos_themselves_change_nothing() -> None:
    features, truth = _blobs(120, 3, 5)
    folds = _cut(np.arange(120) % 4)
    once = fit_probe(features, truth, folds, (0.01, 0.1), np.ones(3), map)
    again = fit_probe((features, features.copy(), features.copy()), truth, folds, (0.01, 0.1), np.ones(3), map)
    assert again.strength == once.strength
    assert again.losses == pytest.approx(once.losses, rel=1e-4)
    assert np.abs(softmax(again.oof_logits) - softmax(once.oof_logits)).max() < 0.01
    assert np.abs(softmax(again.head.logits(features)) - softmax(once.head.logits(features))).max() < 0.01


def test_a_view_of_a_held_out_photo_is_held_out_too_and_only_the_photo_is_judged() -> None:
    features, truth = _blobs(120, 3, 5)
    folds = _cut(np.arange(120) % 4)
    view = features + 0.5
    plain = fit_probe((features, view), truth, folds, (0.1,), np.ones(3), map)
    view[:40] += 100.0 * np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    only = [(np.arange(120) >= 40, np.arange(120) < 40)]
    held = [fit_probe((features, each), truth, only, (0.1,), np.ones(3), map) for each in (features + 0.5, view)]
    assert np.array_equal(held[0].oof_logits[:40], held[1].oof_logits[:40])
    assert not np.array_equal(plain.head.coefficients, held[1].head.coefficients)
