"""How well the probability of a class ranks photos: ROC and precision-recall curves, and the areas under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.records.quantity import Quantity
from certero.records.scores import Curve, Points
from certero.stats.class_means import Members, mean_over_classes
from certero.stats.intervals import group_codes, undefined
from certero.stats.linearised import Pulled, linearised

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

# As many points as a small chart can show.
_POINTS = 33


@dataclass(frozen=True, slots=True)
class Ranking:
    """One class against all others, or the mean over classes.

    Args:
        roc_auc: area under the ROC curve.
        average_precision: area under the precision-recall curve, as a sum of steps.
        roc: (false positive rate, true positive rate) float [points, 2], thinned out.
        precision_recall: (recall, precision) float [points, 2], thinned out.
    """

    roc_auc: Quantity
    average_precision: Quantity
    roc: Floats
    precision_recall: Floats

    def curve(self) -> Curve:
        """The points of both curves, rounded to what a chart can show."""
        return Curve(_points(self.roc), _points(self.precision_recall))


@dataclass(frozen=True, slots=True)
class Rankings:
    """Of every class, in their order, and the mean over the classes that can be ranked."""

    macro: Ranking
    classes: Sequence[Ranking]


def rank(probabilities: ArrayLike, truth: ArrayLike, groups: ArrayLike | None = None) -> Rankings:
    """ROC and precision-recall curves of each class against the others, with the areas and their intervals.

    A class without photos, or with all of them, cannot be ranked: its areas are `undefined` and it does not
    count in the mean.

    Args:
        probabilities: float [n, K], n above 0.
        truth: int [n], index of the class.
        groups: int or str [n], the group of each photo; None for independent photos.

    Source: T. Fawcett, Pattern Recognition Letters 27 (2006), 861-874; average precision as in scikit-learn. For
    intervals see `linearised`.
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    labels = np.asarray(truth, dtype=np.int64)
    n, k = scores.shape
    codes = group_codes(groups, n)
    found: list[Ranking] = []
    means = _Means(n, codes)
    roc_grid = np.linspace(0, 1, _POINTS) ** 2  # the corner with few false alarms matters most
    recall_grid = np.linspace(0, 1, _POINTS)[1:]
    roc_mean, precision_mean = np.zeros(_POINTS), np.zeros(_POINTS - 1)
    for index in range(k):
        positive = labels == index
        n_positive = int(positive.sum())
        if not 0 < n_positive < n:
            empty = np.zeros((0, 2))
            found.append(Ranking(undefined(n_positive), undefined(n_positive), empty, empty))
            continue
        one = _rank_one(scores[:, index], positive)
        areas = linearised(one.roc_auc, codes), linearised(one.average_precision, codes)
        means.add(one, areas, positive)
        found.append(Ranking(*areas, _thin(one.roc, 2), _thin(one.precision_recall, 1)))
        roc_mean += np.interp(roc_grid, one.roc[:, 0], one.roc[:, 1])
        reached = np.searchsorted(one.precision_recall[:, 0], recall_grid - 1e-12)
        precision_mean += one.precision_recall[reached, 1]
    count = len(means.classes)
    if not count:
        empty = np.zeros((0, 2))
        return Rankings(Ranking(undefined(n, "single_class"), undefined(n, "single_class"), empty, empty), found)
    macro = Ranking(
        means.area(0),
        means.area(1),
        np.column_stack([roc_grid, roc_mean / count]),
        np.column_stack([recall_grid, precision_mean / count]),
    )
    return Rankings(macro, found)


class _Means:
    """Gathers the areas of classes, ROC first, for their mean."""

    def __init__(self, n: int, codes: Integers | None) -> None:
        self.classes: list[tuple[_One, Sequence[Quantity]]] = []
        self._n, self._codes, self._photos = n, codes, list[Floats]()

    def add(self, one: _One, areas: Sequence[Quantity], positive: Flags) -> None:
        self.classes.append((one, areas))
        if self._codes is not None:
            self._photos.append(np.bincount(self._codes, weights=positive).astype(np.float64))

    def area(self, place: int) -> Quantity:
        pulled = [(one.roc_auc, one.average_precision)[place] for one, _areas in self.classes]
        count = len(pulled)
        if self._codes is None:
            value = float(np.mean([one.value for one in pulled]))
            influence = np.sum([one.influence for one in pulled], axis=0) / count
            return linearised(Pulled(value, influence, min(one.n_rare for one in pulled), influence))
        members = Members(
            [areas[place] for _one, areas in self.classes],
            np.full(count, 1 / count),
            np.stack([np.bincount(self._codes, weights=one.influence) for one in pulled], axis=1),
            np.stack(self._photos, axis=1),
        )
        return mean_over_classes(members, self._n)


@dataclass(frozen=True, slots=True)
class _One:
    """Areas, and curves with every step."""

    roc_auc: Pulled
    average_precision: Pulled
    roc: Floats
    precision_recall: Floats


def _rank_one(scores: Floats, positive: Flags) -> _One:
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hit = scores[order], positive[order]
    # One step covers all photos of equal score.
    ends = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))
    step = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
    true = np.cumsum(hit)[ends].astype(np.float64)
    false = ends + 1 - true
    positives, negatives = float(true[-1]), float(false[-1])
    true_before, false_before = np.append(0, true[:-1]), np.append(0, false[:-1])
    new = true - true_before
    below = 1 - (false + false_before) / (2 * negatives)  # share of the others that a photo of the class outranks
    above = (true + true_before) / (2 * positives)  # share of the class that outranks another photo
    roc_auc = float(new @ below) / positives
    total = true + false
    precision = true / total
    average = float(new @ precision) / positives
    # One more photo at a step lowers the precision at every later step; one of the class also raises it.
    gain = np.cumsum((new * false / total**2)[::-1])[::-1] / positives
    loss = np.cumsum((new * true / total**2)[::-1])[::-1] / positives
    roc_pull, precision_pull = np.empty(len(scores)), np.empty(len(scores))
    roc_pull[order] = np.where(hit, (below[step] - roc_auc) / positives, (above[step] - roc_auc) / negatives)
    precision_pull[order] = np.where(hit, (precision[step] - average) / positives + gain[step], -loss[step])
    # Both areas are means over the photos of the class: of the share of others outranked, and of the precision there.
    outranked, precise = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    outranked[order], precise[order] = np.where(hit, below[step], np.nan), np.where(hit, precision[step], np.nan)
    rare = int(min(positives, negatives))
    return _One(
        Pulled(roc_auc, roc_pull, rare, outranked),
        Pulled(average, precision_pull, rare, precise),
        np.column_stack([np.append(0, false / negatives), np.append(0, true / positives)]),
        np.column_stack([true / positives, precision]),
    )


def _points(curve: Floats) -> Points:
    return tuple(map(tuple, curve.round(5).tolist()))


def _thin(curve: Floats, axes: int) -> Floats:
    """At most 33 of a curve's points, evenly along its first `axes` coordinates, both ends kept."""
    along = curve[:, :axes].sum(axis=1)
    kept = np.searchsorted(along, np.linspace(along[0], along[-1], _POINTS) - 1e-12)
    kept_curve: Floats = curve[np.unique(np.append(kept, len(curve) - 1 if axes == 2 else kept[-1]))]
    return kept_curve
