"""Labels are doubted where held-out outputs contradict them, and not where a photo is merely hard."""

from __future__ import annotations

import numpy as np
import pytest

from certero.stats.suspicion import suspect

pytest.importorskip("sklearn", reason="the audit needs the [report] extra")


def _blobs(counts: list[int], spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 [n, 40] of classes with so many photos each, and the class of each."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    centres = 3 * random.normal(size=(len(counts), 40))
    return (centres[truth] + spread * random.normal(size=(len(truth), 40))).astype(np.float32), truth


def test_planted_wrong_labels_rank_first() -> None:
    random = np.random.default_rng(0)
    features, truth = _blobs([150] * 6, 2.0)
    wrong = random.choice(900, 45, replace=False)
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + random.integers(1, 6, 45)) % 6
    found = suspect(features, labels, random.integers(0, 5, 900), map)
    assert np.isin(wrong, np.argsort(-found.wrong)[:72]).mean() >= 0.95
    assert (found.suggested[wrong] == truth[wrong]).mean() >= 0.9
    assert np.isin(np.flatnonzero(found.wrong >= 0.5), wrong).mean() >= 0.9
    assert (found.wrong[wrong] >= 0.05).mean() >= 0.95
    assert found.share == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("spread", [1.0, 4.0, 8.0, 100.0])
@pytest.mark.parametrize("counts", [[150] * 6, [200, 200], [290, 124, 15], [190, 10], [8] * 12])
def test_of_right_labels_none_is_probably_wrong_however_hard_the_photos_are(counts: list[int], spread: float) -> None:
    """From classes that no model confuses to labels that nothing tells."""
    features, truth = _blobs(counts, spread, seed=1)
    found = suspect(features, truth, np.random.default_rng(1).permutation(len(truth)) % 5, map)
    assert found.share == 0
    assert (found.wrong < 0.5).all()


@pytest.mark.slow
def test_a_rare_class_is_neither_doubted_nor_what_others_look_like() -> None:
    """With more features than photos a penalised constant turned sign: 121 of 429 crops looked like the rare class."""
    random = np.random.default_rng(2)
    truth = np.repeat([0, 1, 2], [120, 60, 8])
    features = (random.normal(size=(3, 600))[truth] + 3 * random.normal(size=(188, 600))).astype(np.float32) + 5
    found = suspect(features, truth, random.permutation(188) % 5, map)
    assert found.judged.all()
    assert found.doubted[truth != 2].mean() < 0.1
    assert (found.suggested[found.doubted & (truth != 2)] != 2).all()


def test_photos_of_a_class_that_lies_in_one_fold_are_not_judged_and_no_model_there_names_it() -> None:
    features, truth = _blobs([60, 60, 30], 1.0)
    folds = np.where(truth == 2, 0, np.arange(150) % 5)
    found = suspect(features, truth, folds, map)
    assert not found.judged[truth == 2].any()
    assert found.judged[truth != 2].all()
    assert (found.wrong[truth == 2] == 0).all()
    assert not found.doubted.any()
    assert (found.suggested[(folds == 0) & (truth != 2)] != 2).all()
    # A few wrong labels elsewhere do not make that class known.
    labels = truth.copy()
    labels[[1, 2, 3, 4, 61, 62, 63, 64]] = 2
    again = suspect(features, labels, folds, map)
    assert not again.judged[truth == 2].any()


def test_held_out_outputs_are_those_of_ridge_regression_without_the_fold_and_sum_to_one() -> None:
    from sklearn.linear_model import Ridge

    from certero.stats import suspicion

    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 200)
    features = (random.normal(size=(3, 300))[truth] + random.normal(size=(200, 300))).astype(np.float32) + 1
    folds = np.arange(200) % 4
    ours, _explained = suspicion._held_out(features, truth, folds, 3, np.ones(200, bool), map)
    assert ours.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-3)
    rooted = np.sign(features) * np.sqrt(np.abs(features))
    standard = (rooted - rooted.mean(axis=0)) / rooted.std(axis=0)
    candidates = []
    for penalty in suspicion._PENALTIES:
        outputs = np.empty((200, 3))
        for fold in range(4):
            inside = folds != fold
            ridge = Ridge(penalty * 201).fit(standard[inside], np.eye(3)[truth[inside]])
            outputs[~inside] = ridge.predict(standard[~inside])
        candidates.append(float(np.abs(ours - outputs).max()))
    assert min(candidates) < 2e-3
