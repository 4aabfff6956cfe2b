"""Labels that are probably wrong: predictions of models fitted without the photo, compared with its label.

The classifier is ridge regression on the indicators of the classes, solved for all folds from one matrix of products,
so that time grows in step with the photos. How likely a label is wrong depends on how often labels are wrong at all:
unsure models explain hard photos, however many, but not wrong labels (docs/decisions/0031).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from certero.records.protocols import Map
from certero.stats.calibration import ABSENT

Floats = npt.NDArray[np.float64]

# Ridge penalties to try, as shares of the mean square of the features, up to the first that is worse.
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)
_ROWS_AT_ONCE = 4096
# Temperature of the outputs: any lower, a difference of a thirtieth between two classes would be a certainty.
_TEMPERATURES = (0.03, 3.0)
# With more wrong labels than right ones, or models that contradict most labels, no single label can be judged.
_MOST_WRONG = 0.5
# Wrong labels must be so much likelier than none: twice the difference of the log likelihoods.
# Models that contradict many labels need more: drawn classes in several parts stay below that in all but one of a
# hundred sets. With two wrong labels among 130 it is 2.7.
_BEYOND_CHANCE, _FEW_DOUBTED, _FEW_BEYOND_CHANCE = 10.0, 0.1, 2.0
#: Photos of a class that a model must be trained on, as a number and as a share of the class, to judge others of it.
FEWEST_SHOWN, LEAST_SHARE_SHOWN = 4, 0.5


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What models fitted without the photo say about each of n photos.

    Args:
        wrong: float64 [n], probability that the label is wrong; 0 if no model could judge.
        suggested: int64 [n], the likeliest other class.
        own: float64 [n], probability of the photo's own label, if no label were wrong.
        doubted: bool [n], photos for which `suggested` is likelier than their own label.
        judged: bool [n]; False for photos of a class that the fold's model was hardly trained on.
        share: estimated share of wrong labels among the judged photos; 0 if there may be none.
    """

    wrong: Floats
    suggested: npt.NDArray[np.int64]
    own: Floats
    doubted: npt.NDArray[np.bool_]
    judged: npt.NDArray[np.bool_]
    share: float


@dataclass(frozen=True, slots=True)
class _Explained:
    """How sure models are and how many labels are wrong: the pair that makes the labels likeliest.

    Args:
        temperature: that the outputs are divided by.
        share: of wrong labels.
        loss: mean negative log likelihood of the labels.
        loss_without: the smallest possible if no label is wrong, even without looking at the photos.
    """

    temperature: float
    share: float
    loss: float
    loss_without: float


def suspect(
    features: npt.NDArray[np.float32], truth: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], map: Map
) -> Suspicion:
    """How likely each label is wrong, by models fitted without the photo.

    All labels but a share are assumed right; a wrong one may be any other class. The share and the models' sureness are
    those that make the labels of held-out photos likeliest; Bayes' rule gives each label's probability of being wrong.
    If that explains the labels no better than no wrong ones at all, the share is 0.

    Args:
        features: float32 [n, D].
        truth: class index [n]; at least 2 classes.
        folds: [n], the fold that holds each photo out; photos that belong together share one. At least 2.
        map: ordered parallel map, over folds.

    Source: a latent true label behind flips, as in J. Bootkrajang, A. Kabán, Label-noise robust logistic regression and
    its applications, ECML PKDD 2012, section 3, with one rate for all pairs of classes.
    """
    n, classes = len(truth), int(truth.max()) + 1
    rows = np.arange(n)
    judged = _can_be_judged(truth, folds, classes)
    outputs, found = _held_out(features, truth, folds, classes, judged, map)
    probabilities = _softmax(outputs, found.temperature)
    own = probabilities[rows, truth]
    probabilities[rows, truth] = -1.0
    suggested = probabilities.argmax(axis=1)
    doubted = judged & (probabilities[rows, suggested] > own)
    few = doubted.sum() <= _FEW_DOUBTED * judged.sum()
    gain = 2 * int(judged.sum()) * (found.loss_without - found.loss)
    told = gain >= (_FEW_BEYOND_CHANCE if few else _BEYOND_CHANCE) and doubted.sum() <= _MOST_WRONG * judged.sum()
    # The order of the photos is the same with any share; if there may be none, less than one photo is assumed.
    share = found.share if told else 0.5 / (n + 1)
    by_mistake = share * (1 - own) / (classes - 1)
    wrong = np.where(judged, by_mistake / ((1 - share) * own + by_mistake), 0.0)
    return Suspicion(wrong, suggested.astype(np.int64), own, doubted, judged, found.share if told else 0.0)


def _can_be_judged(truth: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.bool_]:
    """Whether the model fitted without a photo's fold was trained on enough of the photo's class, bool [n]."""
    held = np.zeros((int(folds.max()) + 1, classes), np.int64)
    np.add.at(held, (folds, truth), 1)
    counts = held.sum(axis=0)
    shown = counts - held
    enough = shown >= np.maximum(FEWEST_SHOWN, LEAST_SHARE_SHOWN * counts)
    judged: npt.NDArray[np.bool_] = enough[folds, truth]
    return judged


def _held_out(
    features: npt.NDArray[np.float32],
    truth: npt.NDArray[np.int64],
    folds: npt.NDArray[np.int64],
    classes: int,
    judged: npt.NDArray[np.bool_],
    map: Map,
) -> tuple[Floats, _Explained]:
    """Out-of-fold outputs [n, K], which sum to 1 but for `ABSENT` ones, and what explains the judged labels."""
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

    def answer(penalty: float, outputs: Floats, place: int) -> None:
        normal, right = whole - products[place], total - sums[place]
        # The last column is ones. Its weight is free, or the outputs would not sum to 1 and, with more features than
        # photos, lean towards the classes that the other folds have fewer of.
        features_alone = np.arange(columns - 1)
        normal[features_alone, features_alone] += penalty * (len(truth) + 1)
        weights = solve(normal, right, assume_a="pos", overwrite_a=True, check_finite=False).astype(np.float32)
        absent = np.flatnonzero(right[-1] < 0.5)  # the products with ones are the counts of the classes
        for rows in _slices(np.flatnonzero(folds == numbers[place])):
            outputs[rows] = _prepared(features[rows], mean, deviation) @ weights
            outputs[np.ix_(rows, absent)] = ABSENT

    places = range(len(numbers))
    for _done in map(add_up, places):
        pass
    whole, total = products.sum(axis=0, dtype=np.float64), sums.sum(axis=0, dtype=np.float64)
    best: tuple[Floats, _Explained] | None = None
    for penalty in _PENALTIES:
        outputs = np.empty((len(truth), classes))
        for _done in map(partial(answer, penalty, outputs), places):
            pass
        found = _explain(outputs[judged], truth[judged])
        if best is not None and found.loss >= best[1].loss:
            break
        best = outputs, found
    assert best is not None
    return best


def _explain(outputs: Floats, truth: npt.NDArray[np.int64]) -> _Explained:
    """The temperature and the share of wrong labels that make the labels likeliest."""
    from scipy.optimize import minimize_scalar

    if len(truth) == 0:
        return _Explained(1.0, 0.0, 0.0, 0.0)
    ahead = outputs - outputs[np.arange(len(truth)), truth][:, None]

    def right(log_temperature: float) -> Floats:
        """Probability of the label, if none were wrong, float [n]."""
        probability: Floats = 1 / np.exp(np.minimum(ahead / np.exp(log_temperature), 700.0)).sum(axis=1)
        return probability

    def without(log_temperature: float) -> float:
        return float(-np.log(right(log_temperature)).mean())

    def with_some(log_temperature: float) -> float:
        return _wrong_share(right(log_temperature), outputs.shape[1])[1]

    def least(loss: Callable[[float], float]) -> tuple[float, float]:
        # With wrong labels there may be two minima: unsure models, or sure ones and more wrong labels.
        steps = np.linspace(np.log(_TEMPERATURES[0]), np.log(_TEMPERATURES[1]), 12)
        start = int(np.argmin([loss(step) for step in steps]))
        bounds = (steps[max(0, start - 1)], steps[min(len(steps) - 1, start + 1)])
        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
        return float(found.x), float(found.fun)

    place, loss = least(with_some)
    share = _wrong_share(right(place), outputs.shape[1])[0]
    shares = np.bincount(truth, minlength=outputs.shape[1]) / len(truth)
    blind = -float((shares * np.log(np.where(shares > 0, shares, 1.0))).sum())
    return _Explained(float(np.exp(place)), share, loss, min(least(without)[1], blind))


def _wrong_share(right: Floats, classes: int) -> tuple[float, float]:
    """The likeliest share of wrong labels, and the mean negative log likelihood with it.

    Args:
        right: float [n], probability of each label if it is right.
        classes: K; a wrong label is any of the others.
    """
    by_mistake = (1 - right) / (classes - 1)

    def slope(share: float) -> float:
        return float(((by_mistake - right) / ((1 - share) * right + share * by_mistake)).mean())

    low, high = 0.0, _MOST_WRONG
    # The likelihood is concave in the share: its slope falls.
    if slope(1e-12) <= 0:
        share = 0.0
    else:
        for _step in range(40):
            share = (low + high) / 2
            low, high = (share, high) if slope(share) > 0 else (low, share)
    return share, float(-np.log((1 - share) * right + share * by_mistake).mean())


def _softmax(outputs: Floats, temperature: float) -> Floats:
    scaled = outputs / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


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
