"""Other shares of classes: worlds in which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from certero.errors import DataError
from certero.stats.shares import estimate_shares, reweigh


def _world(shares: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes [n] and levels [n, 2] of Gaussian classes."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(shares), p=shares, size=n)
    centres = np.array([[0.0, 0.0], [1.6, 0.0], [0.0, 1.6]])
    return truth, centres[truth] + rng.standard_normal((n, 2))


def _outputs(levels: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The true probabilities of each class: perfectly calibrated for these shares."""
    centres = np.array([[0.0, 0.0], [1.6, 0.0], [0.0, 1.6]])
    log = -0.5 * ((levels[:, None] - centres) ** 2).sum(axis=2) + np.log(shares)
    return np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))


BEFORE, NOW = np.array([0.7, 0.25, 0.05]), np.array([0.2, 0.3, 0.5])


def test_reweighed_outputs_are_those_of_a_classifier_made_for_the_new_shares() -> None:
    _truth, levels = _world(NOW, 500, 0)
    assert np.allclose(reweigh(_outputs(levels, BEFORE), BEFORE, NOW), _outputs(levels, NOW))


def test_the_shares_of_photos_without_labels_are_found() -> None:
    truth, levels = _world(NOW, 5000, 1)
    found = estimate_shares(_outputs(levels, BEFORE), BEFORE)
    assert np.abs(found - np.bincount(truth) / len(truth)).max() < 0.03
    assert found.sum() == pytest.approx(1)


def test_unchanged_shares_stay() -> None:
    truth, levels = _world(BEFORE, 5000, 2)
    found = estimate_shares(_outputs(levels, BEFORE), BEFORE)
    assert np.abs(found - np.bincount(truth) / len(truth)).max() < 0.03


def test_adapting_names_more_photos_rightly() -> None:
    truth, levels = _world(NOW, 5000, 3)
    plain = _outputs(levels, BEFORE)
    adapted = reweigh(plain, BEFORE, estimate_shares(plain, BEFORE))
    before, after = ((each.argmax(axis=1) == truth).mean() for each in (plain, adapted))
    assert after > before + 0.05


def test_a_class_that_is_not_there_any_more_goes_to_nothing() -> None:
    _truth, levels = _world(np.array([0.6, 0.4, 0.0]), 5000, 4)
    assert estimate_shares(_outputs(levels, BEFORE), BEFORE)[2] < 0.01


def test_what_cannot_be_weighed_is_refused() -> None:
    with pytest.raises(DataError, match="found a share of 0"):
        reweigh([[0.5, 0.5]], [1.0, 0.0], [0.5, 0.5])
    with pytest.raises(DataError, match="at least one photo"):
        estimate_shares(np.empty((0, 2)), [0.5, 0.5])


def test_few_photos_move_the_shares_less_far_than_many() -> None:
    _truth, levels = _world(NOW, 5000, 5)
    plain = _outputs(levels, BEFORE)
    far = [np.abs(estimate_shares(plain[:n], BEFORE, prior=20) - BEFORE).sum() for n in (10, 5000)]
    assert far[0] < 0.7 * far[1]
    assert np.abs(estimate_shares(plain[:10], BEFORE, prior=1e6) - BEFORE).max() < 1e-3


def test_a_photo_that_counts_twice_is_as_good_as_two() -> None:
    _truth, levels = _world(NOW, 100, 6)
    plain = _outputs(levels, BEFORE)
    once = estimate_shares(np.concatenate([plain, plain[:40]]), BEFORE)
    weights = np.repeat([2.0, 1.0], [40, 60])
    assert np.allclose(estimate_shares(plain, BEFORE, weights=weights), once, atol=1e-5)
    assert np.allclose(estimate_shares(plain, BEFORE, weights=weights, start=once), once, atol=1e-3)


def test_the_estimate_is_where_the_likelihood_with_its_prior_is_highest() -> None:
    # An oracle that knows nothing of expectation maximisation: a search over the simplex.
    minimize = pytest.importorskip("scipy.optimize").minimize
    _truth, levels = _world(NOW, 200, 7)
    ratio = _outputs(levels, BEFORE) / BEFORE

    def loss(free: np.ndarray) -> float:
        shares = np.exp(free - np.logaddexp.reduce(free))
        return float(-np.log(ratio @ shares).sum() - 20 * (BEFORE @ np.log(shares)))

    best = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000}).x
    found = estimate_shares(_outputs(levels, BEFORE), BEFORE, prior=20)
    assert np.allclose(found, np.exp(best - np.logaddexp.reduce(best)), atol=1e-4)


def test_a_class_with_share_0_is_never_named_even_where_nothing_else_was_possible() -> None:
    assert reweigh([[1.0, 0.0, 0.0]], [0.5, 0.3, 0.2], [0.0, 0.6, 0.4])[0].tolist() == [0.0, 0.6, 0.4]
