"""Labels that are probably wrong: what models fitted without a photo say of it, against what it is labelled.

Source: C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 70
(2021), ranking by normalised margin, section 3.2. The classifier is ridge regression on the indicators of the classes,
solved for all folds from one matrix of products, so that time grows in step with the photos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from certero.records import Map
from certero.stats.calibration import fit_temperature, softmax

# Ridge penalties to choose from, as parts of the mean square of the features, up to the first that is worse.
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What held-out models say of n photos.

    Args:
        margin: float64 [n], probability of the own label minus that of the likeliest other one, -1 to 1; the least
            first is the ranking.
        suggested: int64 [n], the likeliest other class.
        own: float64 [n], probability of the own label.
        suspicious: bool [n], photos to look at: see `suspect`.
    """

    margin: npt.NDArray[np.float64]
    suggested: npt.NDArray[np.int64]
    own: npt.NDArray[np.float64]
    suspicious: npt.NDArray[np.bool_]


def suspect(
    features: npt.NDArray[np.float32], truth: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], map: Map
) -> Suspicion:
    """Ranks labels by how much models that never saw the photo disagree with them.

    A photo is suspicious where its own class is less likely than that class usually is for its own photos, and another
    one reaches what is usual for that class (the confident joint of the source).

    Args:
        features: float32 [n, D].
        truth: class index [n].
        folds: [n], the fold that holds each photo out; photos that belong together share one.
        map: ordered parallel map, over folds.
    """
    n, classes = len(truth), int(truth.max()) + 1 if len(truth) else 0
    probabilities = _held_out(features, truth, folds, classes, map)
    rows = np.arange(n)
    own = probabilities[rows, truth]
    others = probabilities.copy()
    others[rows, truth] = -1.0
    suggested = others.argmax(axis=1)
    margin = own - others[rows, suggested]
    counts = np.bincount(truth, minlength=classes)
    usual = np.bincount(truth, weights=own, minlength=classes) / np.maximum(counts, 1)
    confident = others >= usual[None, :]
    suspicious = confident.any(axis=1) & (own < usual[truth]) & (margin < 0)
    return Suspicion(margin, suggested.astype(np.int64), own, suspicious)


def _held_out(
    features: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int64],
    folds: npt.NDArray[np.int64],
    classes: int,
    map: Map,
) -> npt.NDArray[np.float64]:
    """Calibrated out-of-fold probabilities [n, K]."""
    from scipy.linalg import solve

    columns = features.shape[1] + 1
    numbers = np.unique(folds)
    mean, deviation = _moments(features)
    products = np.zeros((len(numbers), columns, columns), np.float32)
    sums = np.zeros((len(numbers), columns, classes), np.float32)

    def add_up(place: int) -> None:
        for rows in _slices(np.flatnonzero(folds == numbers[place])):
            part = _prepared(features[rows], mean, deviation)
            products[place] += part.T @ part
            sums[place] += part.T @ np.eye(classes, dtype=np.float32)[truth[rows]]

    def answer(penalty: float, outputs: npt.NDArray[np.float64], place: int) -> None:
        normal = whole - products[place]
        normal[np.diag_indices(columns)] += penalty * (len(truth) + 1)
        weights = solve(normal, total - sums[place], assume_a="pos", overwrite_a=True, check_finite=False)
        weights = weights.astype(np.float32)
        for rows in _slices(np.flatnonzero(folds == numbers[place])):
            outputs[rows] = _prepared(features[rows], mean, deviation) @ weights

    places = range(len(numbers))
    for _done in map(add_up, places):
        pass
    whole, total = products.sum(axis=0, dtype=np.float64), sums.sum(axis=0, dtype=np.float64)
    best, least = np.zeros((len(truth), classes)), np.inf
    for penalty in _PENALTIES:
        outputs = np.empty((len(truth), classes))
        for _done in map(partial(answer, penalty, outputs), places):
            pass
        temperature = fit_temperature(outputs, truth)
        probabilities = softmax(outputs, temperature)
        loss = -float(np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12)).mean())
        if loss >= least:
            break
        best, least = probabilities, loss
    return best


def _moments(features: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    total = np.zeros(features.shape[1])
    squares = np.zeros(features.shape[1])
    for rows in _slices(np.arange(len(features))):
        rooted = np.sign(features[rows]) * np.sqrt(np.abs(features[rows]))
        total += rooted.sum(axis=0, dtype=np.float64)
        squares += np.square(rooted).sum(axis=0, dtype=np.float64)
    mean = total / len(features)
    deviation = np.sqrt(np.maximum(squares / len(features) - mean**2, 0.0))
    deviation[deviation < 1e-6] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


def _prepared(
    features: npt.NDArray[np.float32], mean: npt.NDArray[np.float32], deviation: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Standardised signed roots, as the probe has them, and a column of ones."""
    rooted = (np.sign(features) * np.sqrt(np.abs(features)) - mean) / deviation
    return np.concatenate([rooted, np.ones((len(features), 1), np.float32)], axis=1)


def _slices(rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    return (rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE))
