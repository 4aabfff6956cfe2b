"""ROC and precision-recall curves against scikit-learn, their intervals against DeLong's and a numeric derivative."""

from __future__ import annotations

import numpy as np
import pytest

from certero.stats.beta_binomial import posterior_interval
from certero.stats.linearised import Pulled, linearised
from certero.stats.ranking import rank


def _sample(n: int = 240, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and truth."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, k, n)
    logits = generator.normal(size=(n, k)).round(1)
    logits[np.arange(n), truth] += 1
    shares = np.exp(logits)
    return (shares / shares.sum(axis=1, keepdims=True)).round(2), truth


def test_areas_agree_with_scikit_learn_ties_included() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    probabilities, truth = _sample()
    found = rank(probabilities, truth)
    wanted = np.eye(4)[truth]
    assert found.macro.roc_auc.value == pytest.approx(roc_auc_score(wanted, probabilities), abs=1e-12)
    assert found.macro.average_precision.value == pytest.approx(
        average_precision_score(wanted, probabilities), abs=1e-12
    )
    for index, one in enumerate(found.classes):
        area = roc_auc_score(truth == index, probabilities[:, index])
        assert one.roc_auc.value == pytest.approx(area, abs=1e-12)
        precision = average_precision_score(truth == index, probabilities[:, index])
        assert one.average_precision.value == pytest.approx(precision, abs=1e-12)


def test_the_points_of_the_curves_lie_on_those_of_scikit_learn() -> None:
    from sklearn.metrics import precision_recall_curve, roc_curve

    probabilities, truth = _sample()
    one = rank(probabilities, truth).classes[2]
    false, true, _ = roc_curve(truth == 2, probabilities[:, 2], drop_intermediate=False)
    assert {tuple(point) for point in one.roc.round(9)} <= set(zip(false.round(9), true.round(9), strict=True))
    precision, recall, _ = precision_recall_curve(truth == 2, probabilities[:, 2])
    known = set(zip(recall.round(9), precision.round(9), strict=True))
    assert {tuple(point) for point in one.precision_recall.round(9)} <= known
    assert one.roc[0].tolist() == [0, 0]
    assert one.roc[-1].tolist() == [1, 1]
    assert one.precision_recall[-1, 0] == 1
    assert 10 < len(one.roc) <= 34


def test_the_interval_of_the_roc_area_has_the_variance_of_delong() -> None:
    # DeLong's variance, from its definition: every pair of a photo of the class and another one.
    probabilities, truth = _sample()
    scores, positive = probabilities[:, 1], truth == 1
    pairs = (scores[positive][:, None] > scores[~positive]) + 0.5 * (scores[positive][:, None] == scores[~positive])
    area = pairs.mean()
    variance = pairs.mean(axis=1).var(ddof=1) / positive.sum() + pairs.mean(axis=0).var(ddof=1) / (~positive).sum()
    found = rank(probabilities, truth).classes[1].roc_auc
    # Wilson's half width without its terms in 1/n, which are small here.
    assert (found.high - found.low) / 2 == pytest.approx(1.97 * np.sqrt(variance), rel=0.02)
    assert found.value == pytest.approx(area, abs=1e-12)


def test_groups_widen_the_interval_of_an_area() -> None:
    probabilities, truth = _sample(60)
    repeated, labels, groups = np.tile(probabilities, (5, 1)), np.tile(truth, 5), np.tile(np.arange(60), 5)
    honest, naive = rank(repeated, labels, groups).macro, rank(repeated, labels).macro
    for figure in ("roc_auc", "average_precision"):
        wide, narrow = getattr(honest, figure), getattr(naive, figure)
        assert wide.value == narrow.value
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert (honest.roc_auc.method, rank(repeated, labels, groups).classes[0].roc_auc.method) == (
        "class_intervals",
        "grouped_linearised",
    )
    few = rank(repeated, labels, groups % 2).macro.roc_auc
    assert (few.low, few.method) == (None, "too_few_groups")


def test_the_area_of_a_class_in_few_groups_knows_how_few_they_are() -> None:
    """Both areas are means over the photos of the class, so its groups alone bound them from below."""
    generator = np.random.default_rng(3)
    groups = np.repeat(np.arange(20), 15)
    truth = ((groups < 3) & (np.arange(300) % 3 == 0)).astype(int)
    scores = np.clip(0.3 * truth + generator.normal(0.4, 0.15, 300), 0.01, 0.99)
    found = rank(np.column_stack([1 - scores, scores]), truth, groups).classes[1]
    positive, negative = scores[truth == 1], scores[truth == 0]
    outranked = (negative[None] < positive[:, None]).mean(axis=1)
    falling = np.argsort(-scores)
    precision_at = dict(zip(falling.tolist(), np.cumsum(truth[falling]) / (np.arange(300) + 1), strict=True))
    precise = np.array([precision_at[photo] for photo in np.flatnonzero(truth == 1)])
    for figure, parts in ((found.roc_auc, outranked), (found.average_precision, precise)):
        hits = np.bincount(groups[truth == 1], weights=parts)
        low, high = posterior_interval(hits, np.bincount(groups[truth == 1]))
        assert figure.value == pytest.approx(parts.mean(), abs=1e-12)
        assert figure.low <= low + 1e-9
        assert figure.high >= high - 1e-9


def test_a_perfect_ranking_of_few_photos_is_not_taken_for_certain() -> None:
    truth = np.array([0] * 40 + [1] * 6)
    found = rank(np.eye(2)[truth] * 0.9 + 0.05, truth).macro
    assert found.roc_auc.value == found.average_precision.value == 1
    assert found.roc_auc.high == 1
    assert found.roc_auc.low < 0.7  # 6 photos of 6


def test_a_class_without_photos_cannot_be_ranked_and_does_not_count() -> None:
    probabilities, truth = _sample()
    kept = truth < 3
    found = rank(probabilities[kept], truth[kept])
    assert found.classes[3].roc_auc.value is None
    assert found.macro.roc_auc.value == pytest.approx(np.mean([one.roc_auc.value for one in found.classes[:3]]))
    alone = rank(probabilities[truth == 0], truth[truth == 0]).macro.roc_auc
    assert (alone.value, alone.method) == (None, "single_class")


def test_the_pull_of_a_photo_is_the_derivative_to_its_weight() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    from certero.stats.ranking import _rank_one

    probabilities, truth = _sample()
    one, positive = _rank_one(probabilities[:, 0], truth == 0), truth == 0
    for photo in range(0, 240, 37):
        weights = np.ones(240)
        weights[photo] += 1e-5
        for score, area in (
            (roc_auc_score, one.roc_auc),
            (average_precision_score, one.average_precision),
        ):
            moved = (score(positive, probabilities[:, 0], sample_weight=weights) - area.value) / 1e-5
            assert area.influence[photo] == pytest.approx(moved, abs=1e-6)
    assert linearised(Pulled(float("nan"), np.zeros(3), 1, np.zeros(3))).value is None
