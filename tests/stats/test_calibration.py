"""Temperature and offsets against brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from certero.errors import DataError
from certero.stats.calibration import (
    ABSENT,
    FEWEST_PHOTOS,
    calibrate,
    fit_offsets,
    fit_temperature,
    softmax,
    uncalibrated,
)
from certero.stats.reliability import expected_calibration_error


def _sample(n: int, k: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose probabilities are right at the given temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=3.0, size=(n, k))
    cumulated = softmax(logits, temperature).cumsum(axis=1)
    return logits, (generator.random((n, 1)) > cumulated).sum(axis=1).clip(0, k - 1)


def test_softmax_agrees_with_scipy_and_does_not_overflow() -> None:
    from scipy.special import softmax as oracle

    logits = np.random.default_rng(0).normal(scale=300, size=(20, 7))
    assert softmax(logits, 0.5) == pytest.approx(oracle(logits / 0.5, axis=1), abs=1e-12)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    logits, truth = _sample(6000, 5, temperature)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.06)


def test_the_temperature_minimises_the_log_loss_of_scikit_learn() -> None:
    from sklearn.metrics import log_loss

    logits, truth = _sample(2000, 4, 1.7, seed=2)
    losses = {t: log_loss(truth, softmax(logits, t)) for t in np.geomspace(1.0, 3.0, 400)}
    best = min(losses, key=losses.__getitem__)
    found = fit_temperature(logits, truth)
    # Not equal: one wrong photo in 2,002 is assumed.
    assert found == pytest.approx(best, rel=0.02)
    assert log_loss(truth, softmax(logits, found)) == pytest.approx(losses[best], abs=1e-4)


def test_photos_all_classified_rightly_do_not_make_probabilities_certain() -> None:
    truth = np.arange(300) % 3
    logits = np.eye(3)[truth] * 4.0
    temperature = fit_temperature(logits, truth)
    wrong = 1 - softmax(logits, temperature)[np.arange(300), truth]
    assert wrong == pytest.approx(np.full(300, 1 / 302), rel=1e-3)


def test_the_temperature_stays_within_its_bounds() -> None:
    assert fit_temperature([[9.0, 0.0]] * 50, [1] * 50) == pytest.approx(20.0, rel=1e-3)
    assert fit_temperature([[0.001, 0.0]] * 50, [0] * 50) == pytest.approx(0.05, rel=1e-3)


def test_a_weight_of_two_counts_like_two_photos() -> None:
    logits, truth = _sample(3000, 3, 1.5)
    twice = np.concatenate([np.arange(3000), np.arange(1000)])
    weights = np.where(np.arange(3000) < 1000, 2.0, 1.0)
    assert fit_temperature(logits, truth, weights) == pytest.approx(
        fit_temperature(logits[twice], truth[twice]), rel=1e-3
    )


def _without(logits: np.ndarray, truth: np.ndarray, lacking: np.ndarray, missing: int) -> np.ndarray:
    """The logits as models have them that some of the photos meet without having been shown a class."""
    given = logits.copy()
    given[lacking & (truth != missing), missing] = ABSENT
    return given


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_class_that_a_fold_lacks_does_not_move_the_temperature(temperature: float) -> None:
    """Its logit of -10,000 could only be explained by the highest temperature that is allowed, 20."""
    logits, truth = _sample(3000, 4, temperature)
    given = _without(logits, truth, np.arange(3000) % 5 == 0, 3)
    assert fit_temperature(given, truth) == pytest.approx(temperature, rel=0.1)
    # Photos of the class itself, met by a model that was never shown it, tell nothing either.
    worse = given.copy()
    worse[(truth == 3) & (np.arange(3000) % 5 == 0), 3] = ABSENT
    assert fit_temperature(worse, truth) == pytest.approx(temperature, rel=0.1)


def test_probes_of_which_one_was_never_shown_the_rare_class_are_calibrated_as_the_others_are() -> None:
    from certero.probe.probe import fit_probe, weigh_classes

    random = np.random.default_rng(0)
    truth = np.r_[np.zeros(300, int), np.ones(150, int), np.full(12, 2)]
    features = (random.standard_normal((3, 20))[truth] + random.standard_normal((462, 20))).astype(np.float32)
    fold = np.r_[np.arange(450) % 5, np.zeros(12, int)]  # all photos of the rare class lie in one fold
    probe = fit_probe(
        features,
        truth,
        [(fold != number, fold == number) for number in range(5)],
        (0.001, 0.003, 0.01, 0.03, 0.1),
        weigh_classes(truth, list("abc"), "balanced"),
        map,
    )
    held = probe.held_out
    assert (probe.oof_logits[held] <= ABSENT).any(axis=1).sum() == 90
    found = calibrate(probe.oof_logits[held], truth[held])
    assert 0.2 < found.temperature < 2
    assert expected_calibration_error(softmax(probe.oof_logits[held], found.temperature), truth[held]) < 0.03
    # Its own offset is what the weights alone let expect, and nobody else's depends on it.
    weights = weigh_classes(truth, list("abc"), "balanced")
    temperature, offsets = fit_offsets(probe.oof_logits[held], truth[held], weights)
    others = truth[held] != 2
    alone, of_two = fit_offsets(probe.oof_logits[held][others][:, :2], truth[held][others], weights[:2])
    assert temperature == pytest.approx(alone, rel=1e-3)
    assert offsets[:2] == pytest.approx(of_two, abs=1e-3)
    assert offsets[2] < offsets[1] < offsets[0]  # the rarer, the heavier; the less likely without its weight
    calibrated = softmax(probe.oof_logits[held], temperature, offsets)
    assert expected_calibration_error(calibrated, truth[held]) < 0.03


@pytest.mark.parametrize("n", [1, 5, 24, FEWEST_PHOTOS - 1])
def test_too_few_photos_are_not_calibrated_on_and_the_reason_is_given(n: int) -> None:
    logits, truth = _sample(n, 3, 3.0)
    found = calibrate(logits, truth)
    assert found.temperature == 1
    assert str(found.reason).startswith(f"too few photos to calibrate the probabilities: {n} of the 50")
    assert found.log_loss_after == found.log_loss_before


def test_two_units_are_too_few_where_three_are_asked_for() -> None:
    logits, truth = _sample(200, 3, 3.0)
    found = calibrate(logits, truth, np.arange(200) % 2, fewest_units=3)
    assert found.temperature == 1
    assert str(found.reason).startswith("too few separate times or groups to calibrate the probabilities: 2 of the 3")
    assert calibrate(logits, truth, np.arange(200) % 3, fewest_units=3).temperature > 2
    assert calibrate(logits, truth, np.arange(200), fewest_units=3).temperature > 2


@pytest.mark.parametrize("seed", range(40))
def test_calibration_never_makes_the_log_loss_worse(seed: int) -> None:
    """Neither of the photos that it is fitted on nor, by temperatures fitted without them, of those that it is not."""
    from sklearn.metrics import log_loss

    random = np.random.default_rng(seed)
    n, k = int(random.integers(50, 300)), int(random.integers(2, 8))
    logits, truth = _sample(n, k, float(random.choice([0.3, 0.9, 1.0, 1.1, 4.0])), seed)
    if seed % 2:  # all but some are named rightly, and with great confidence
        logits += random.choice([5, 20, 200]) * np.eye(k)[truth]
    if seed % 3 == 0:
        logits = _without(logits, truth, np.arange(n) % 4 == 0, k - 1)
    units = np.arange(n) // int(random.integers(1, 30))
    weights = None if seed % 5 == 0 else random.gamma(1.0, size=k) + 0.01
    found = calibrate(logits, truth, units, class_weights=weights)
    after = softmax(logits, found.temperature, found.offsets).clip(1e-300)
    before = softmax(logits).clip(1e-300)
    labels = list(range(k))
    assert log_loss(truth, after, labels=labels) <= log_loss(truth, before, labels=labels) + 1e-12
    assert found.log_loss_before == pytest.approx(log_loss(truth, before, labels=labels), abs=1e-9)
    assert found.log_loss_after <= found.log_loss_before
    errors = [expected_calibration_error(probabilities, truth) or 0.0 for probabilities in (before, after)]
    by_chance = np.sqrt(15 / n) / 2  # of 15 bins; what calibration may seem to cost by the luck of the draw
    assert errors[1] <= max(errors[0], by_chance)
    assert (found.reason is None) == (found.temperature != 1)
    assert found.offsets is None or (found.reason is None and weights is not None)


def _biased(n: int, offsets: np.ndarray, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose probabilities are right at a temperature and with offsets."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=3.0, size=(n, len(offsets)))
    cumulated = softmax(logits, temperature, offsets).cumsum(axis=1)
    return logits, (generator.random((n, 1)) > cumulated).sum(axis=1).clip(0, len(offsets) - 1)


def test_the_offsets_that_made_the_labels_are_found() -> None:
    true = np.array([0.9, 0.4, -1.3])
    logits, truth = _biased(20_000, true, 1.6)
    temperature, offsets = fit_offsets(logits, truth, np.ones(3))
    assert temperature == pytest.approx(1.6, rel=0.03)
    assert offsets == pytest.approx(true, abs=0.06)
    found = calibrate(logits, truth, class_weights=np.ones(3))
    assert found.offsets == pytest.approx(offsets)
    # Then each class is as frequent as its probabilities say: the score equation of an offset.
    calibrated = softmax(logits, temperature, offsets)
    assert calibrated.mean(axis=0) == pytest.approx(np.bincount(truth) / 20_000, abs=2e-3)
    # Without an offset the rare class is promised far more often than it is there.
    alone = softmax(logits, fit_temperature(logits, truth)).mean(axis=0)
    assert alone[2] > 1.5 * (truth == 2).mean()


@pytest.mark.parametrize("seed", range(6))
def test_the_fit_of_offsets_is_the_least_of_the_plain_formula(seed: int) -> None:
    """Powell's search goes down the formula as it is written, without gradient or scaling."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    random = np.random.default_rng(seed)
    n, weights = 120, np.array([0.4, 0.9, 8.0])
    logits, truth = _biased(n, np.array([0.6, 0.3, -0.9]), float(random.choice([0.5, 1.0, 2.0])), seed)
    lacking = random.random(n) < 0.3  # their model never saw the last class; it is not theirs
    truth = np.where(lacking & (truth == 2), 0, truth)
    logits[lacking, 2] = ABSENT

    left = np.where(lacking[:, None] & (np.arange(3) == 2), 0.0, 1.0)
    right = np.eye(3)[truth]
    wrong = (left - right) / (left - right).sum(axis=1, keepdims=True)
    shares = right * (n + 1) / (n + 2) + wrong / (n + 2)

    def loss(parameters: np.ndarray) -> float:
        log_t, undone, *rest = parameters
        moved = np.where(left > 0, logits / np.exp(log_t) - undone * np.log(weights) + rest, -1e30)
        told = -(shares * np.where(left > 0, log_softmax(moved, axis=1), 0.0)).sum()
        return float(told) + ((undone - 1.0) / 0.5) ** 2 / 2 + sum((e / 0.2) ** 2 for e in rest) / 2

    start, bounds = np.array([0.0, 0.5, 0.0, 0.0, 0.0]), [(-3, 3), (0, 1), *[(-5, 5)] * 3]
    best = minimize(loss, start, method="Powell", bounds=bounds, options={"xtol": 1e-8, "ftol": 1e-13}).x
    expected = -best[1] * np.log(weights) + best[2:]
    temperature, offsets = fit_offsets(logits, truth, weights)
    assert temperature == pytest.approx(np.exp(best[0]), rel=2e-3)
    assert offsets == pytest.approx(expected - expected.mean(), abs=3e-3)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_class_of_few_photos_is_neither_driven_away_nor_made_likely(count: int) -> None:
    random = np.random.default_rng(count)
    truth = np.r_[np.zeros(150, int), np.ones(150, int), np.full(count, 2)]
    logits = 4.0 * np.eye(3)[truth] + random.normal(scale=1.5, size=(len(truth), 3))
    temperature, offsets = fit_offsets(logits, truth, np.ones(3))
    assert 0.2 < temperature < 3
    assert np.abs(offsets).max() < 1.0


def test_calibration_photos_of_other_shares_do_not_turn_the_weights_round() -> None:
    """A small val split may show the rare classes more often than training did; nobody promised its shares."""
    random = np.random.default_rng(0)
    shares = np.array([0.02] * 10 + [0.08] * 10)
    truth = random.choice(20, p=np.full(20, 0.05), size=300)
    logits = 3.0 * np.eye(20)[truth] + random.normal(scale=1.2, size=(300, 20)) + np.log(shares)
    _temperature, offsets = fit_offsets(logits, truth, 1 / shares)
    # All of it could be undone only by adding -log(share), which would favour the rare above the weights.
    assert offsets[:10].mean() - offsets[10:].mean() < 0.5 * np.log(4)


def test_offsets_that_nothing_asks_for_do_no_harm() -> None:
    """Few photos of each of many classes: free offsets would follow the noise of each."""
    worse = []
    for seed in range(20):
        logits, truth = _sample(100, 20, 2.0, seed)
        others, shown = _sample(4000, 20, 2.0, seed + 100)
        found = calibrate(logits, truth, class_weights=np.ones(20))
        plain = calibrate(logits, truth)
        assert plain.offsets is None  # nothing was to be undone
        losses = [
            -np.log(softmax(others, scale.temperature, scale.offsets)[np.arange(4000), shown]).mean()
            for scale in (found, plain)
        ]
        worse.append(losses[0] - losses[1])
    assert np.mean(worse) < 0.01
    assert max(worse) < 0.04


def test_what_was_calibrated_can_be_undone() -> None:
    logits, _truth = _sample(50, 4, 1.0)
    offsets = np.array([0.5, -1.0, 0.25, 0.25])
    assert uncalibrated(softmax(logits, 1.7, offsets), 1.7, offsets) == pytest.approx(softmax(logits), abs=1e-9)


def test_a_temperature_that_fails_on_units_held_out_of_it_is_not_used() -> None:
    """Photos of one unit repeat each other: what sharpens nine units rightly would have made the tenth far worse."""
    logits = np.tile([4.0, 0.0], (100, 1))
    truth = np.r_[np.zeros(90, int), np.ones(10, int)]
    units = np.arange(100) // 10
    assert fit_temperature(logits, truth) != pytest.approx(1, abs=0.2)
    assert calibrate(logits, truth, units).temperature == 1
    assert calibrate(logits, truth, np.arange(100)).temperature == pytest.approx(fit_temperature(logits, truth))


@pytest.mark.parametrize("logits", [np.zeros((0, 3)), np.zeros((5, 1)), np.full((5, 2), np.nan)])
def test_logits_that_cannot_be_calibrated_are_refused(logits: np.ndarray) -> None:
    with pytest.raises(DataError, match="calibration needs"):
        fit_temperature(logits, np.zeros(len(logits), dtype=int))
