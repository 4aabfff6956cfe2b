"""The probe: multinomial logistic regression on standardised features.

Features are first drawn together by a signed square root, which evens out the few large activations of a network with
rectified units. Source: Perronnin, Sánchez, Mensink, "Improving the Fisher kernel", ECCV 2010, section 3.2.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from certero.config.parsing import ClassWeights
from certero.engine.blas import one_blas_thread
from certero.errors import ConfigError
from certero.machine.limits import available_bytes
from certero.names import find_class
from certero.probe.logistic import fit_logistic
from certero.records.protocols import Map, Progress, no_progress
from certero.stats.calibration import ABSENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Boolean [n] of the rows to fit on, and of the rows to hold out.
Fold = tuple["NDArray[np.bool_]", "NDArray[np.bool_]"]

_MAX_STEPS = 1000
_TIMED_STEPS = 50
# On held-out grocery photos 1e-4 is as good as 1e-6 for a fraction of the time; 1e-3 costs up to three points of
# accuracy (docs/decisions/0008).
_TOLERANCE = 1e-4
_ROWS_AT_ONCE = 2048
# Copies of features that fits side by side may hold together: two at 100,000 photos, all of them at 10,000.
_BYTES_OF_COPIES = 800_000_000


@dataclass(frozen=True, slots=True)
class Head:
    """A linear classifier on standardised signed square roots of features.

    Args:
        mean: float64 [D], subtracted from the rooted features.
        deviation: float64 [D], that the difference is divided by; 1 where a feature never varied.
        coefficients: float64 [K, D].
        intercepts: float64 [K].
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]

    def folded(
        self, temperature: float = 1.0, offsets: Sequence[float] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights [K, D] and bias [K] that act on rooted features and give calibrated logits, see `softmax`."""
        weights = self.coefficients / self.deviation
        bias = (self.intercepts - weights @ self.mean) / temperature
        return weights / temperature, bias if offsets is None else bias + np.asarray(offsets)

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Uncalibrated logits float64 [n, K]."""
        weights, bias = self.folded()
        logits = np.empty((len(features), len(bias)))
        for rows in _slices(len(features)):
            logits[rows] = root(features[rows]) @ weights.T + bias
        return logits


@dataclass(frozen=True, slots=True)
class Probe:
    """A fitted probe and what its choice rested on.

    Args:
        head: fitted on all the given rows.
        strength: the chosen C.
        losses: weighted out-of-fold log loss by C, of those that were tried.
        oof_logits: float64 [n, K], each row from a model that the row's fold was held out from.
        held_out: bool [n], rows whose out-of-fold logits count: those of a class that the model was fitted on.
    """

    head: Head
    strength: float
    losses: dict[float, float]
    oof_logits: NDArray[np.float64]
    held_out: NDArray[np.bool_]


def load_solver() -> None:
    """Imports what the fits need, which takes half a second; called beside work that leaves time for it."""
    with contextlib.suppress(ImportError):  # the fit itself says what is missing
        import scipy.optimize
        import scipy.special  # noqa: F401


def fit_probe(
    features: NDArray[np.float32] | tuple[NDArray[np.float32], ...],
    truth: NDArray[np.int64],
    folds: Sequence[Fold],
    strengths: Sequence[float],
    weights: NDArray[np.float64],
    map: Map,
    progress: Progress = no_progress,
    judged: NDArray[np.float32] | None = None,
) -> Probe:
    """Chooses the strength by cross-validated log loss, then fits on every row.

    The strengths are tried up to the first that is worse than the one before.

    Args:
        features: float32 [n, D] of the photos; or, after those, of other views of the same photos too, each as an
            array: all views of a photo together count as one.
        truth: class index [n]; every class must occur.
        folds: which rows to fit on and which to hold out, several times; no row is held out twice.
        strengths: values of C to choose from, tried from the strongest regularisation on.
        weights: weight of each class [K].
        map: ordered parallel map; a fold at one strength is one item.
        progress: told how many fits are done.
        judged: float32 [n, D], the features that the shipped file computes, where those fitted on differ from them.
    """
    looks = features if isinstance(features, tuple) else (features,)
    judged, n_classes, row_weights = looks[0] if judged is None else judged, len(weights), weights[truth]
    heads: list[Head | None] = [None] * len(folds)
    largest = max((int(inside.sum()) for inside, _outside in folds), default=0)
    room = room_for_copies(largest * len(looks), looks[0].shape[1])

    def fit_fold(number: int, strength: float) -> tuple[Head, NDArray[np.float64]]:
        """Head and held-out logits; the fit starts from the one before, which is most of its way."""
        inside, outside = folds[number]
        with room:
            rows, labels, weighed = from_views(looks, truth, row_weights, inside)
            head = fit_head(rows, labels, n_classes, strength, weighed, heads[number], overwrite=True)
            del rows
        return head, head.logits(judged[outside])

    held_out = np.zeros(len(truth), dtype=bool)
    for inside, outside in folds:
        held_out |= outside & np.isin(truth, truth[inside])
    ordered = sorted(strengths)
    fits = len(ordered) * len(folds) + 1
    losses: dict[float, float] = {}
    best, best_oof, start = ordered[0], np.zeros((len(truth), n_classes)), None
    done = 0
    load_solver()  # before its threads are counted
    with one_blas_thread():
        for strength in ordered:
            oof = np.zeros((len(truth), n_classes))
            found = map(partial(fit_fold, strength=strength), range(len(folds)))
            for number, ((_inside, outside), (head, logits)) in enumerate(zip(folds, found, strict=True)):
                heads[number] = head
                oof[outside] = logits
                done += 1
                progress("fit", done, fits)
            losses[strength] = _log_loss(oof[held_out], truth[held_out], row_weights[held_out])
            if losses[strength] > losses[best]:
                # Past the least loss weaker regularisation only fits more noise, and takes longest.
                break
            best, best_oof, start = strength, oof, heads[-1] if heads else None
        rows, labels, weighed = from_views(looks, truth, row_weights, np.ones(len(truth), dtype=bool))
        head = fit_head(rows, labels, n_classes, best, weighed, start, overwrite=True)
    progress("fit", fits, fits)
    return Probe(head, best, losses, best_oof, held_out)


def from_views(
    looks: Sequence[NDArray[np.float32]],
    truth: NDArray[np.int64],
    row_weights: NDArray[np.float64],
    inside: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    """Rows to fit on, a copy: features, classes and weights of every look at the photos inside, bool [n].

    Args:
        looks: features of the photos and of their other views, float32 [n, D] each.
        truth: class index [n].
        row_weights: of each photo [n], which its looks share.
    """
    rows = looks[0][inside] if len(looks) == 1 else np.concatenate([look[inside] for look in looks])
    n = len(looks)
    return rows, np.tile(truth[inside], n), np.tile(row_weights[inside], n) / n


def room_for_copies(rows: int, columns: int) -> AbstractContextManager[object]:
    """Lets only so many threads at once hold a copy of float32 [rows, columns] that all of them fit in memory."""
    room = min(_BYTES_OF_COPIES, available_bytes() // 2)
    return threading.BoundedSemaphore(max(1, room // max(1, 4 * rows * columns)))


def fit_head(
    features: NDArray[np.float32],
    truth: NDArray[np.int64],
    n_classes: int,
    strength: float,
    row_weights: NDArray[np.float64],
    start: Head | None = None,
    *,
    overwrite: bool = False,
    rooted: bool = True,
) -> Head:
    """One weighted multinomial logistic regression; classes absent from `truth` get a logit that never wins.

    Args:
        start: a head fitted on many of the same rows, to start the optimiser from; the optimum is the same.
        overwrite: lets the features be overwritten, which saves a copy of them.
        rooted: whether the head acts on signed square roots, or on the features as they are.
    """
    standardised = features if overwrite else features.copy()
    mean, deviation = _standardise(standardised, rooted)
    present, numbers = np.unique(truth, return_inverse=True)
    coefficients = np.zeros((n_classes, features.shape[1]))
    intercepts = np.full(n_classes, ABSENT)
    if len(present) == 1:
        intercepts[present] = 0.0
        return Head(mean, deviation, coefficients, intercepts)
    coefficients[present], intercepts[present], _steps = fit_logistic(
        standardised,
        numbers,
        len(present),
        strength,
        row_weights,
        tolerance=_TOLERANCE,
        max_steps=_MAX_STEPS,
        start=None if start is None else _begin(start, present),
    )
    return Head(mean, deviation, coefficients, intercepts)


def _begin(start: Head, present: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients and intercepts of the present classes in a head that was fitted before.

    One that the head lacks begins as the rarest of the others: from a logit that never wins the optimiser would end
    before it has found the way, and the class would never be predicted.
    """
    intercepts = start.intercepts[present]
    known = intercepts > ABSENT
    if known.any():
        intercepts[~known] = intercepts[known].min()
    else:
        intercepts[:] = 0.0
    return start.coefficients[present], intercepts


def time_fitting(n_rows: int, n_features: int, n_classes: int, workers: int, map: Map) -> float:
    """Processor time of one step of the optimiser on one row, seconds, while every core has a fit to do.

    Args:
        n_rows: rows to fit on; where they are few and classes many, the seconds of a row depend on them.
        n_features: D.
        n_classes: K.
        workers: fits side by side, as folds are.
        map: ordered parallel map.
    """
    noise = np.random.default_rng(0).standard_normal((n_rows, n_features)).astype(np.float32)
    n_classes = max(2, n_classes)
    truth = np.arange(n_rows) % n_classes

    def fit(_worker: int) -> float:
        start = time.thread_time()
        _coefficients, _intercepts, steps = fit_logistic(
            noise, truth, n_classes, 1.0, np.ones(n_rows), tolerance=0.0, max_steps=_TIMED_STEPS
        )
        return (time.thread_time() - start) / max(1, steps)

    load_solver()
    # Around all threads: what a thread does to the filters, another one may undo.
    with one_blas_thread():
        return float(np.mean(list(map(fit, range(workers))))) / n_rows


def _standardise(features: NDArray[np.float32], rooted: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Takes roots where wanted and standardises, in place; returns mean and deviation [D] before standardising.

    A hundred thousand photos have half a gigabyte of features: no second array of that size is made.
    """
    if rooted:
        for rows in _slices(len(features)):
            features[rows] = root(features[rows])
    # In float64: a feature of one value has deviation 1e-8 in float32, and dividing by it would make noise of it.
    mean = features.mean(axis=0, dtype=np.float64)
    squares = sum(np.square(features[rows] - mean).sum(axis=0) for rows in _slices(len(features)))
    deviation: NDArray[np.float64] = np.sqrt(squares / len(features))
    deviation[deviation < 1e-6] = 1.0
    features -= mean.astype(np.float32)
    features /= deviation.astype(np.float32)
    return mean, deviation


def _slices(rows: int) -> Iterator[slice]:
    """Of so many rows that what is computed of them is small beside all of them."""
    return (slice(start, start + _ROWS_AT_ONCE) for start in range(0, rows, _ROWS_AT_ONCE))


def root(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signed square root, elementwise."""
    rooted: NDArray[np.float32] = np.sign(features) * np.sqrt(np.abs(features))
    return rooted


def weigh_classes(truth: NDArray[np.int64], classes: Sequence[str], class_weights: ClassWeights) -> NDArray[np.float64]:
    """Weight of each class, float64 [K].

    `balanced` is n / (K * count), as scikit-learn defines it.

    Raises:
        ConfigError: if a weight names a class that the data lack.
    """
    if class_weights == "none":
        return np.ones(len(classes))
    if class_weights == "balanced":
        counts = np.bincount(truth, minlength=len(classes))
        return np.asarray(len(truth) / (np.count_nonzero(counts) * np.maximum(counts, 1)), dtype=np.float64)
    check_class_weights(classes, class_weights)
    assert isinstance(class_weights, dict)
    weights = {find_class(name, classes): weight for name, weight in class_weights.items()}
    return np.array([weights.get(name, 1.0) for name in classes])


def check_class_weights(classes: Sequence[str], class_weights: ClassWeights) -> None:
    """Raises unless every weight is of a class of the data.

    Raises:
        ConfigError: naming the unknown ones.
    """
    named = class_weights if isinstance(class_weights, dict) else {}
    unknown = sorted(name for name in named if find_class(name, classes) is None)
    if unknown:
        raise ConfigError(
            "--class-weights must name classes of the data (%(classes)s); found %(unknown)s. Give "
            "CLASS=WEIGHT,... by their names, balanced or none.",
            classes=", ".join(classes),
            unknown=", ".join(unknown),
        )


def _log_loss(logits: NDArray[np.float64], truth: NDArray[np.int64], row_weights: NDArray[np.float64]) -> float:
    from scipy.special import log_softmax

    rows = log_softmax(logits, axis=1)[np.arange(len(truth)), truth]
    return float(-(row_weights * rows).sum() / row_weights.sum())
