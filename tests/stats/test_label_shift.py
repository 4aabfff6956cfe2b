"""Whether other shares alone explain outputs: worlds in which the truth is known; more in benchmarks/shares.py."""

from __future__ import annotations

import json

import numpy as np
import pytest

from certero.stats.label_shift import Outcomes, compare_outputs
from certero.stats.shares import estimate_shares

BEFORE = np.array([0.6, 0.3, 0.1])
CENTRES = np.array([[0.0, 0.0], [3.5, 0.0], [0.0, 3.5]])


def _draw(shares: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.choice(len(shares), p=shares, size=n)
    return truth, CENTRES[truth] + rng.standard_normal((n, 2))


def _outputs(levels: np.ndarray) -> np.ndarray:
    log = -0.5 * ((levels[:, None] - CENTRES) ** 2).sum(axis=2) + np.log(BEFORE)
    return np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))


def _plausible(levels: np.ndarray, seed: int) -> bool:
    truth, held = _draw(BEFORE, 400, np.random.default_rng([seed, 1]))
    outputs = _outputs(levels)
    found = Outcomes.from_json(json.loads(json.dumps(Outcomes.of(_outputs(held), truth).to_json())), 3)
    assert found is not None
    return compare_outputs(found, outputs, estimate_shares(outputs, BEFORE, prior=0)).plausible


@pytest.mark.parametrize("n", [30, 300])
def test_other_shares_alone_are_nearly_always_plausible(n: int) -> None:
    refused = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, n])
        _truth, levels = _draw(rng.dirichlet(np.ones(3)), n, rng)
        refused += not _plausible(levels, seed)
    assert refused <= 3


def test_photos_that_the_model_can_make_nothing_of_are_refused() -> None:
    # All of them lie between the classes, where no held-out photo lay.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert not _plausible(np.array([1.75, 1.75]) + 0.5 * rng.standard_normal((200, 2)), seed)


def test_names_that_no_mixture_gives_are_refused() -> None:
    # A model that takes a third of each class for another one says otherwise of photos that it names all alike.
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 600)
    said = np.where(rng.random(600) < 1 / 3, 1 - truth, truth)
    outcomes = Outcomes.of(np.eye(2)[said] * 0.8 + 0.1, truth)
    alike = np.tile([0.9, 0.1], (300, 1))
    fit = compare_outputs(outcomes, alike, np.array([0.99, 0.01]))
    assert fit.elsewhere > fit.elsewhere_allowed
    assert not fit.plausible


def test_photos_that_are_named_as_a_mixture_but_never_surely_are_refused() -> None:
    truth = np.arange(200) % 2
    outcomes = Outcomes.of(np.eye(2)[truth] * 0.98 + 0.01, truth)
    surely, hardly = (np.eye(2)[truth] * sure + (1 - sure) / 2 for sure in (0.98, 0.1))
    for outputs, plausible in ((surely, True), (hardly, False)):
        fit = compare_outputs(outcomes, outputs, np.array([0.5, 0.5]))
        assert fit.elsewhere == 0
        assert fit.plausible is plausible


def test_what_another_version_counted_by_other_bins_is_not_compared() -> None:
    assert Outcomes.from_json({"sureness": [[1, 2], [3, 4]], "named": []}, 2) is None
