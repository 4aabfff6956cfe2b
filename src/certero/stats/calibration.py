"""Whether probabilities mean what they say, and how to make them do so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.errors import DataError
from certero.records.scores import ReliabilityBin
from certero.sentences import Sentence, sentence
from certero.stats.intervals import LEVEL, group_codes, proportion

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Sharpening or softening beyond this is a fault of the data, not of the network's confidence.
TEMPERATURES = (0.05, 20.0)
#: The logit of a class that a model was not trained on: finite, because a network's file must hold it.
ABSENT = -1e4
#: A temperature fitted on fewer photos harms about as often as it helps (docs/decisions/0030).
FEWEST_PHOTOS = 50
#: The usual number of bins (Guo et al. 2017).
BINS = 15
_FOLDS = 5


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Probabilities [n, K] of logits [n, K] divided by a temperature (above 0; above 1 softens).

    >>> softmax([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """
    probabilities: Floats = np.exp(_log_softmax(np.asarray(logits, dtype=np.float64) / temperature))
    return probabilities


def _log_softmax(scaled: Floats) -> Floats:
    shifted = scaled - scaled.max(axis=-1, keepdims=True)  # exp must not overflow
    logs: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


@dataclass(frozen=True, slots=True)
class Calibration:
    """How logits become probabilities, and whether the calibration helps.

    Args:
        temperature: what the logits are divided by; 1 leaves them as they are.
        log_loss_before: mean log loss of the photos without it; None if no photo's model was trained on its class.
        log_loss_after: with temperatures fitted without the photo's unit; never above `log_loss_before`.
        reason: why the temperature is 1; None if it was fitted.
    """

    temperature: float
    log_loss_before: float | None
    log_loss_after: float | None
    reason: Sentence | None


def calibrate(
    logits: ArrayLike, truth: ArrayLike, units: ArrayLike | None = None, *, fewest_units: int = 1
) -> Calibration:
    """The temperature of `fit_temperature`, or 1 if that would not bring the probabilities nearer the truth.

    It must lower the log loss of the photos that it is fitted on, and that of held-out photos: temperatures fitted
    without some of the units are tested on those units.

    Args:
        logits: float [n, K] of photos that the classifier was not fitted on, K at least 2; see `ABSENT`.
        truth: int [n], index of the class.
        units: int or str [n], photos that depend on each other share one; None for independent photos.
        fewest_units: number of units from which a temperature is fitted.

    Raises:
        DataError: no photos, fewer than 2 classes, or logits that are not finite.
    """
    scores, labels = _checked(logits), np.asarray(truth, dtype=np.int64)
    told = _told(scores, labels)
    n = int(told.sum())
    before = _log_loss(scores[told], labels[told], 1.0) if n else None
    if n < FEWEST_PHOTOS:
        few = sentence(
            "too few photos to calibrate the probabilities: %(photos)d of the %(least)d that it takes",
            photos=n,
            least=FEWEST_PHOTOS,
        )
        return Calibration(1.0, before, before, few)
    assert before is not None
    scores, labels = scores[told], labels[told]
    codes = group_codes(None if units is None else np.asarray(units)[told], n)
    if codes is not None and codes.max() + 1 < fewest_units:
        alike = sentence(
            "too few separate times or groups to calibrate the probabilities: %(units)d of the %(least)d that it takes",
            units=int(codes.max()) + 1,
            least=fewest_units,
        )
        return Calibration(1.0, before, before, alike)
    temperature = fit_temperature(scores, labels)
    folds = _deal(codes, n)
    after = 0.0
    for fold in range(int(folds.max()) + 1):
        outside = folds == fold
        without = fit_temperature(scores[~outside], labels[~outside])
        after += float(outside.mean()) * _log_loss(scores[outside], labels[outside], without)
    if after < before and _log_loss(scores, labels, temperature) < before:
        return Calibration(temperature, before, after, None)
    useless = sentence(
        "the probabilities are left as they are: calibrated, they would be no nearer the truth on photos held out of it"
    )
    return Calibration(1.0, before, before, useless)


def _deal(codes: Integers | None, n: int) -> Integers:
    """The fold of each photo, int [n]: whole units, the largest first, each to the fold with the fewest photos."""
    if codes is None or codes.max() == 0:
        # Independent photos, or one unit: folds within a unit are too easy, but all there is.
        codes = np.arange(n)
    sizes = np.bincount(codes)
    held = np.zeros(min(_FOLDS, len(sizes)))
    fold_of = np.zeros(len(sizes), dtype=np.int64)
    for unit in np.argsort(-sizes, kind="stable"):
        fold_of[unit] = held.argmin()
        held[fold_of[unit]] += sizes[unit]
    return fold_of[codes]


def _checked(logits: ArrayLike) -> Floats:
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[0] == 0 or scores.shape[1] < 2:
        raise DataError(
            "calibration needs logits of at least 1 photo and 2 classes; found shape %(shape)s", shape=scores.shape
        )
    if not np.isfinite(scores).all():
        raise DataError("calibration needs finite logits; found NaN or infinity, so check the features")
    return scores


def _told(scores: Floats, labels: Integers) -> NDArray[np.bool_]:
    """Photos of a class that their model was trained on, bool [n]."""
    told: NDArray[np.bool_] = scores[np.arange(len(labels)), labels] > ABSENT / 2
    return told


def _log_loss(scores: Floats, labels: Integers, temperature: float) -> float:
    return -float(_log_softmax(scores / temperature)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The temperature, between 0.05 and 20, with the highest likelihood.

    One more wrong photo than there is gets assumed (the truth counts (n + 1)/(n + 2), the rest is spread over
    the other classes that the photo's model knows). Otherwise, if all photos are classified correctly, the likeliest
    temperature would be 0 and every probability 1; elsewhere this has little effect.

    Args:
        logits: float [n, K] of photos that the classifier was not fitted on, K at least 2. `ABSENT` is that of a class
            which the photo's model was not trained on. It gets no part of the wrong photo, which only an infinite
            temperature could explain there. Photos of such a class are skipped.
        truth: int [n], index of the class.
        weights: float [n], how much each photo counts; default 1.

    Raises:
        DataError: no photos, fewer than 2 classes, or logits that are not finite.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2. The smoothed
    target is Laplace's rule of succession, as J. Platt (1999) uses it for two classes.
    """
    from scipy.optimize import minimize_scalar  # imported here, because it takes a quarter of a second

    scores, labels = _checked(logits), np.asarray(truth, dtype=np.int64)
    shares = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    told = _told(scores, labels)
    if not told.any():
        return 1.0
    scores, labels, shares = scores[told], labels[told], shares[told] / shares[told].sum()
    known = scores > ABSENT / 2
    others = np.maximum(known.sum(axis=1) - 1, 1)
    doubt = 1 / (len(labels) + 2)

    def loss(log_temperature: float) -> float:
        log_probabilities = _log_softmax(scores / math.exp(log_temperature))
        right = log_probabilities[np.arange(len(labels)), labels]
        wrong = (np.where(known, log_probabilities, 0.0).sum(axis=1) - right) / others
        return -float(shares @ ((1 - doubt) * right + doubt * wrong))

    # The loss is convex in 1/T, so it has one minimum in log T, which a bounded search cannot miss.
    bounds = (math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))
    return math.exp(float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def uncalibrated(probabilities: ArrayLike, temperature: ArrayLike) -> Floats:
    """The probabilities [n, K] as they were before their logits were divided by a temperature.

    Args:
        probabilities: float [n, K].
        temperature: float, or float [n].

    >>> uncalibrated(softmax([[2.0, 0.0]], 2.0), 2.0).round(4).tolist() == softmax([[2.0, 0.0]]).round(4).tolist()
    True
    """
    given = np.asarray(probabilities, dtype=np.float64)
    temperatures = np.broadcast_to(np.asarray(temperature, dtype=np.float64), len(given))
    return softmax(np.log(np.maximum(given, np.finfo(np.float32).tiny)) * temperatures[:, None])


def confidence_bins(confidence: Floats, bins: int = BINS) -> tuple[Integers, Floats]:
    """The bin of each photo, int [n], and the edges, float [bins + 1 or fewer], of bins of equal mass.

    Equal confidences share a bin, whatever the order of the photos; a bin ends at its upper edge, included.
    """
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)))
    return np.searchsorted(edges[1:-1], confidence).astype(np.int64), edges


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = BINS) -> float | None:
    """Mean difference between confidence and accuracy over photos: 0 is perfect; None without photos.

    For the likeliest class only. Bins of equal mass, because a good classifier puts nearly all photos into the last of
    bins of equal width, and because the estimate has less bias.

    Args:
        probabilities: float [n, K].
        truth: int [n], index of the class.
        bins: number of bins.

    Source: Guo et al., ICML 2017, section 2, with the bins of R. Roelofs et al., Mitigating Bias in
    Calibration Error Estimation, AISTATS 2022 (ECE, equal mass).
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    if len(scores) == 0:
        return None
    confidence = scores.max(axis=1)
    gaps = (scores.argmax(axis=1) == np.asarray(truth)) - confidence
    bin_of, _ = confidence_bins(confidence, bins)
    return float(np.abs(np.bincount(bin_of, weights=gaps)).sum() / len(scores))


def reliability(
    probabilities: ArrayLike, truth: ArrayLike, bins: int = BINS, groups: ArrayLike | None = None
) -> tuple[ReliabilityBin, ...]:
    """The table behind a reliability diagram, over the bins of `expected_calibration_error`.

    Args:
        probabilities: float [n, K].
        truth: int [n], index of the class.
        bins: number of bins.
        groups: int or str [n], the group of each photo; None for independent photos.

    Returns:
        The bins, by rising confidence.
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    if len(scores) == 0:
        return ()
    confidence = scores.max(axis=1)
    correct = scores.argmax(axis=1) == np.asarray(truth)
    bin_of, edges = confidence_bins(confidence, bins)
    codes = group_codes(groups, len(scores))
    count = None if codes is None else int(codes.max()) + 1
    rows = []
    for index in np.unique(bin_of):
        inside = bin_of == index
        accuracy = proportion(correct[inside], None if codes is None else codes[inside], all_groups=count)
        rows.append(
            ReliabilityBin(
                start=float(edges[index]),
                end=float(edges[min(index + 1, len(edges) - 1)]),
                n=int(inside.sum()),
                confidence=float(confidence[inside].mean()),
                accuracy=accuracy,
            )
        )
    return tuple(rows)


def error_by_chance(rows: Sequence[ReliabilityBin], design_effect: float = 1.0) -> float | None:
    """The calibration error that well calibrated probabilities stay below in 19 of 20 such sets of photos.

    Args:
        rows: of `reliability`; `n` and `confidence` count.
        design_effect: number of photos over the number of independent ones that tell as much.

    Returns:
        None without photos.

    Source: resampling what is right from the confidences, J. Bröcker, L. A. Smith, Increasing the reliability of
    reliability diagrams, Weather and Forecasting 22 (2007), 651-661.
    """
    n = np.array([row.n for row in rows], dtype=np.float64)
    if not n.sum():
        return None
    alike = np.maximum(1, np.round(n / max(1.0, design_effect))).astype(np.int64)
    sure = np.clip([row.confidence for row in rows], 0.0, 1.0)
    drawn = np.random.default_rng(0).binomial(alike, sure, size=(2000, len(n))) / alike
    return float(np.quantile((n * np.abs(drawn - sure)).sum(axis=1) / n.sum(), LEVEL))
