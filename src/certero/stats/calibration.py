"""How to make probabilities mean what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.errors import DataError
from certero.sentences import Sentence, sentence
from certero.stats.intervals import LEVEL, group_codes
from certero.stats.redrawn_labels import errors_by_chance
from certero.stats.reliability import expected_calibration_error

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Sharpening or softening beyond this is a fault of the data, not of the network's confidence.
TEMPERATURES = (0.05, 20.0)
#: The logit of a class that a model was not trained on: finite, because a network's file must hold it.
ABSENT = -1e4
#: A temperature fitted on fewer photos harms about as often as it helps (docs/decisions/0030).
FEWEST_PHOTOS = 50
_FOLDS = 5
# What is known of the offsets before a photo is seen. Class weights move the logits by the logarithm of the weights
# where classes overlap and many photos tell, and by less where the training photos lie apart: by all of it, or up to
# half less. What is left of a class's offset is of the size 0.2 (docs/decisions/0069).
_PART_UNDONE, _PART_DEVIATION, _OFFSET_DEVIATION = 1.0, 0.5, 0.2
_USELESS = sentence(
    "the probabilities are left as they are: calibrated, they would be no nearer the truth on photos held out of it"
)


def softmax(logits: ArrayLike, temperature: float = 1.0, offsets: ArrayLike | None = None) -> Floats:
    """Probabilities [n, K] of logits [n, K] divided by a temperature (above 0; above 1 softens), then moved by offsets.

    Args:
        logits: float [n, K].
        temperature: what they are divided by.
        offsets: float [K], added to the quotient; None for none.

    >>> softmax([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    probabilities: Floats = np.exp(_log_softmax(scaled if offsets is None else scaled + np.asarray(offsets)))
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
        offsets: float [K], what is then added to them; None where a temperature alone is at least as good.
        log_loss_before: mean log loss of the photos without either; None if no photo's model was trained on its class.
        log_loss_after: with both fitted without the photo's unit; never above `log_loss_before`.
        reason: why the logits are left as they are; None if a temperature was fitted.
    """

    temperature: float
    offsets: Floats | None
    log_loss_before: float | None
    log_loss_after: float | None
    reason: Sentence | None


def calibrate(
    logits: ArrayLike,
    truth: ArrayLike,
    units: ArrayLike | None = None,
    *,
    class_weights: ArrayLike | None = None,
    fewest_units: int = 1,
) -> Calibration:
    """A temperature, with an offset a class or without; neither if that brings the probabilities no nearer the truth.

    Either must lower the log loss of the photos that it is fitted on, and that of held-out photos: what is fitted
    without some of the units is tested on those units. The calibration error of the photos may not rise by more than
    chance explains. Of the two, the better on held-out photos is taken.

    Args:
        logits: float [n, K] of photos that the classifier was not fitted on, K at least 2; see `ABSENT`.
        truth: int [n], index of the class.
        units: int or str [n], photos that depend on each other share one; None for independent photos.
        class_weights: float [K], how much the classifier's training made a photo of each class count, which offsets
            undo; None where they are to stay in the probabilities, so that no offsets are fitted.
        fewest_units: number of units from which a calibration is fitted.

    Raises:
        DataError: no photos, fewer than 2 classes, or logits that are not finite.
    """
    scores, labels = _checked(logits), np.asarray(truth, dtype=np.int64)
    told = _told(scores, labels)
    n = int(told.sum())
    before = _log_loss(softmax(scores[told]), labels[told]) if n else None
    if n < FEWEST_PHOTOS:
        few = sentence(
            "too few photos to calibrate the probabilities: %(photos)d of the %(least)d that it takes",
            photos=n,
            least=FEWEST_PHOTOS,
        )
        return Calibration(1.0, None, before, before, few)
    assert before is not None
    scores, labels = scores[told], labels[told]
    codes = group_codes(None if units is None else np.asarray(units)[told], n)
    if codes is not None and codes.max() + 1 < fewest_units:
        alike = sentence(
            "too few separate times or groups to calibrate the probabilities: %(units)d of the %(least)d that it takes",
            units=int(codes.max()) + 1,
            least=fewest_units,
        )
        return Calibration(1.0, None, before, before, alike)
    given = softmax(scores)
    best, least = Calibration(1.0, None, before, before, _USELESS), _losses(given, labels)
    for weights in (None,) if class_weights is None else (None, class_weights):
        whole = _fit(scores, labels, weights)
        calibrated, losses = softmax(scores, *whole), _held_out_losses(scores, labels, codes, weights)
        helps = losses.mean() < least.mean() and _log_loss(calibrated, labels) < before
        if helps and not _further_off(calibrated, given, labels, codes):
            best, least = Calibration(*whole, before, float(losses.mean()), None), losses
    return best


def _held_out_losses(
    scores: Floats, labels: Integers, codes: Integers | None, class_weights: ArrayLike | None
) -> Floats:
    """The log loss of each photo, float [n], by calibrations that were fitted without its unit."""
    folds = _deal(codes, len(labels))
    losses = np.empty(len(labels))
    for fold in range(int(folds.max()) + 1):
        outside = folds == fold
        without = _fit(scores[~outside], labels[~outside], class_weights)
        losses[outside] = _losses(softmax(scores[outside], *without), labels[outside])
    return losses


def _further_off(calibrated: Floats, given: Floats, labels: Integers, codes: Integers | None) -> bool:
    """Whether the calibration error rises above both what it was and what perfect calibration would show."""
    error, earlier = (expected_calibration_error(found, labels) or 0.0 for found in (calibrated, given))
    if error <= earlier:
        return False
    top = calibrated.argmax(axis=1)
    return error > float(np.quantile(errors_by_chance(calibrated, top == labels, codes), LEVEL))


def _fit(scores: Floats, labels: Integers, class_weights: ArrayLike | None) -> tuple[float, Floats | None]:
    return (
        (fit_temperature(scores, labels), None) if class_weights is None else fit_offsets(scores, labels, class_weights)
    )


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


def _log_loss(probabilities: Floats, labels: Integers) -> float:
    return float(_losses(probabilities, labels).mean())


def _losses(probabilities: Floats, labels: Integers) -> Floats:
    right = probabilities[np.arange(len(labels)), labels]
    losses: Floats = -np.log(np.maximum(right, np.finfo(np.float64).tiny))
    return losses


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


def fit_offsets(logits: ArrayLike, truth: ArrayLike, class_weights: ArrayLike) -> tuple[float, Floats]:
    """The temperature and the offset of each class [K] that are likeliest, a little drawn to what is known beforehand.

    An offset is -u log(weight) + e: u, from 0 to 1 and drawn to 1, is how much of the class weights the logits really
    hold; e is drawn to 0. Photos that happen to show other shares of the classes than the training move it little. The
    smoothed truth is that of `fit_temperature`. A class that none of the photos shows has the e of 0, and
    nothing else depends on its outputs. Offsets of the classes that are shown have the mean 0.

    Args:
        logits: float [n, K], see `fit_temperature`; photos of a class that their model was not trained on are skipped.
        truth: int [n], index of the class.
        class_weights: float [K], above 0: how much the training made a photo of each class count.

    Raises:
        DataError: no photos, fewer than 2 classes, or logits that are not finite.

    Source: bias-corrected temperature scaling, A. Alexandari, A. Kundaje, A. Shrikumar, Maximum likelihood with
    bias-corrected calibration is hard-to-beat at label shift adaptation, ICML 2020, section 3; the normal priors and
    their sizes are docs/decisions/0069.
    """
    from scipy.optimize import minimize  # imported here, because it takes a quarter of a second

    scores, labels = _checked(logits), np.asarray(truth, dtype=np.int64)
    k = scores.shape[1]
    told = _told(scores, labels)
    shown = np.bincount(labels[told], minlength=k) > 0
    if shown.sum() < 2:
        return fit_temperature(scores, labels), np.zeros(k)
    known = (scores[told] > ABSENT / 2) & shown
    target = np.zeros(known.shape)
    doubt = 1 / (len(known) + 2)
    others = np.maximum(known.sum(axis=1, keepdims=True) - 1, 1)
    target[known] = np.broadcast_to(doubt / others, known.shape)[known]
    target[np.arange(len(known)), labels[told]] = 1 - doubt
    target /= target.sum(axis=1, keepdims=True)  # a model that knows no other class has nothing to doubt
    given = np.where(known, scores[told], 0.0)
    size = max(float(given[known].std()), 1e-9)  # steps of one size for all parameters
    weighed = -np.log(np.asarray(class_weights, dtype=np.float64))
    weighed -= weighed[shown].mean()
    n = len(known)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        inverse, undone, rest = parameters[0] / size, parameters[1], parameters[2:]
        moved = np.where(known, given * inverse + undone * weighed + rest, -np.inf)
        logs = _log_softmax(moved)
        off = np.exp(logs) - target
        part, own = (undone - _PART_UNDONE) / _PART_DEVIATION, rest / _OFFSET_DEVIATION
        value = -float((target * np.where(known, logs, 0.0)).sum()) + (part**2 + float(own @ own)) / 2
        classes = off.sum(axis=0)
        slopes = np.concatenate(
            [
                [float((off * given).sum()) / size, float(classes @ weighed) + part / _PART_DEVIATION],
                classes + own / _OFFSET_DEVIATION,
            ]
        )
        return value / n, slopes / n

    # Convex in 1/T, u and e together, so there is one minimum.
    start = np.concatenate([[size, _PART_UNDONE], np.zeros(k)])
    bounds = [(size / TEMPERATURES[1], size / TEMPERATURES[0]), (0.0, 1.0), *[(None, None)] * k]
    options = {"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    offsets: Floats = found[1] * weighed + found[2:]
    return size / float(found[0]), offsets - offsets[shown].mean()


def uncalibrated(probabilities: ArrayLike, temperature: ArrayLike, offsets: ArrayLike | None = None) -> Floats:
    """The probabilities [n, K] as they were before they were calibrated, see `softmax`.

    Args:
        probabilities: float [n, K].
        temperature: float, or float [n].
        offsets: float [K], or float [n, K]; None for none.

    >>> before, after = softmax([[2.0, 0.0]]), softmax([[2.0, 0.0]], 2.0, [0.5, -0.5])
    >>> uncalibrated(after, 2.0, [0.5, -0.5]).round(4).tolist() == before.round(4).tolist()
    True
    """
    given = np.asarray(probabilities, dtype=np.float64)
    temperatures = np.broadcast_to(np.asarray(temperature, dtype=np.float64), len(given))
    moved = np.log(np.maximum(given, np.finfo(np.float32).tiny)) - (0.0 if offsets is None else np.asarray(offsets))
    return softmax(moved * temperatures[:, None])
