"""The solver of the probe against scikit-learn's, whose objective it takes over."""

from __future__ import annotations

import numpy as np
import pytest

from certero.probe.logistic import fit_logistic


@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("strength", [0.01, 0.3])
def test_answers_are_those_of_scikit_learn(n_classes: int, strength: float) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(n_classes)
    truth = np.arange(300) % n_classes
    features = (rng.normal(size=(n_classes, 20))[truth] + rng.normal(size=(300, 20))).astype(np.float32)
    weights = rng.uniform(0.5, 3.0, 300)
    coefficients, intercepts, steps = fit_logistic(
        features, truth, n_classes, strength, weights, tolerance=1e-6, max_steps=1000
    )
    oracle = LogisticRegression(C=strength, tol=1e-8, max_iter=10_000).fit(features.astype(float), truth, weights)
    logits = features @ coefficients.T + intercepts
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    assert np.abs(shares - oracle.predict_proba(features)).max() < 1e-3
    assert 0 < steps < 1000


def test_a_start_at_the_optimum_stays_there_and_one_elsewhere_ends_there() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    features = (rng.normal(size=(3, 5))[truth] + rng.normal(size=(90, 5))).astype(np.float32)

    def fit(start: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray, int]:
        return fit_logistic(features, truth, 3, 0.1, np.ones(90), tolerance=1e-6, max_steps=1000, start=start)

    coefficients, intercepts, steps = fit()
    again = fit((coefficients, intercepts))
    assert again[2] < steps / 2
    assert np.abs(again[0] - coefficients).max() < 1e-5
    far = fit((rng.normal(size=(3, 5)), rng.normal(size=3)))
    assert np.abs(far[0] - coefficients).max() < 1e-4


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_many_classes_of_few_photos_have_the_answers_of_scikit_learn(strength: float, warm: bool) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    truth = np.arange(60) % 30
    features = (rng.normal(size=(30, 200))[truth] + rng.normal(size=(60, 200))).astype(np.float32)
    features -= features.mean(axis=0)  # as the probe's are: the rows do not span as many directions as they are
    new = rng.normal(size=(40, 200))
    start = (rng.normal(size=(30, 200)), rng.normal(size=30)) if warm else None
    coefficients, intercepts, _steps = fit_logistic(
        features, truth, 30, strength, np.ones(60), tolerance=1e-6, max_steps=1000, start=start
    )
    oracle = LogisticRegression(C=strength, tol=1e-8, max_iter=10_000).fit(features.astype(float), truth)
    for photos in (features, new):
        logits = photos @ coefficients.T + intercepts
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        assert np.abs(shares - oracle.predict_proba(photos)).max() < 2e-3


def test_many_classes_of_few_photos_take_few_steps() -> None:
    rng = np.random.default_rng(2)
    truth = np.concatenate([np.arange(80), np.arange(40)])
    features = rng.normal(size=(120, 600)) + 0.6 * rng.normal(size=(120, 1)) * rng.normal(size=600)
    features = (features - features.mean(axis=0)).astype(np.float32)
    taken = fit_logistic(features, truth, 80, 0.01, np.ones(120), tolerance=1e-4, max_steps=1000)[2]
    assert taken < 40  # 57 where an intercept has the unit of a coefficient
