"""What a random split would have claimed: the same number of photos, neighbours on both sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from certero.learn.probe import fit_head, one_blas_thread, room_for_copies
from certero.records import Map, Progress, Quantity, no_progress
from certero.stats.intervals import proportion

if TYPE_CHECKING:
    from numpy.typing import NDArray


def random_split_accuracy(
    features: Sequence[NDArray[np.float32]],
    truth: NDArray[np.int64],
    training_counts: Sequence[NDArray[np.int64]],
    strength: float,
    weights: NDArray[np.float64],
    seed: int,
    map: Map,
    progress: Progress = no_progress,
    splits: int = 5,
) -> Quantity:
    """Mean accuracy of throw-away probes on random splits of all the photos.

    Each split draws as many training photos of every class as the honest one had, at random; the rest is its test set.
    The interval is Student's t over the splits; it speaks of the drawing alone.

    Args:
        features: float32 [n, D] of every used photo, as arrays of some of the rows each, one after another.
        truth: class index [n], in the order of the features.
        training_counts: photos of each class [K] that the honest training set had; one entry a fold, used in turn.
        strength: the C that the honest run chose.
        weights: weight of each class [K].
        seed: of the drawing.
        map: ordered parallel map; a split is one item.
        progress: told how many splits are done.
        splits: how many.
    """
    drawn = draw_splits(truth, training_counts, splits, seed)
    room = room_for_copies(max((int(inside.sum()) for inside in drawn), default=0), features[0].shape[1])

    def judge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        with room:
            rows, weighed = _take(features, inside), weights[truth[inside]]
            head = fit_head(rows, truth[inside], len(weights), strength, weighed, overwrite=True)
            del rows
        return np.asarray(head.logits(_take(features, ~inside)).argmax(axis=1) == truth[~inside])

    right: list[NDArray[np.bool_]] = []
    with one_blas_thread():
        for answers in map(judge, drawn):
            right.append(answers)
            progress("random split", len(right), len(drawn))
    return mean_of_splits(right)


def draw_splits(
    truth: NDArray[np.int64], training_counts: Sequence[NDArray[np.int64]], splits: int, seed: int
) -> list[NDArray[np.bool_]]:
    """Boolean [n] of the training photos of each random split; none at all where a split would leave nothing to judge.

    Args:
        truth: class index [n].
        training_counts: photos of each class [K] to draw; one entry a fold, used in turn.
        splits: how many.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    drawn: list[NDArray[np.bool_]] = []
    for number in range(splits):
        inside = np.zeros(len(truth), dtype=bool)
        for label, count in enumerate(training_counts[number % len(training_counts)]):
            inside[rng.permutation(np.flatnonzero(truth == label))[:count]] = True
        drawn.append(inside)
    return [] if any(inside.all() for inside in drawn) else drawn


def mean_of_splits(right: Sequence[NDArray[np.bool_]]) -> Quantity:
    """Mean accuracy over random splits; one split alone has the interval of independent photos, as it would be claimed.

    Args:
        right: of each split, which of its test photos were named rightly.
    """
    if not right:
        return Quantity(None, None, None, "undefined", 0)
    if len(right) == 1:
        return proportion(right[0])
    from scipy.special import stdtrit  # not scipy.stats, which takes half a second to import

    accuracies = [float(answers.mean()) for answers in right]
    mean = float(np.mean(accuracies))
    half = float(stdtrit(len(right) - 1, 0.975) * np.std(accuracies, ddof=1) / math.sqrt(len(right)))
    n_test = round(float(np.mean([len(answers) for answers in right])))
    return Quantity(mean, max(0.0, mean - half), min(1.0, mean + half), "t_over_splits", n_test)


def _take(parts: Sequence[NDArray[np.float32]], chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A copy of the chosen rows, without one of all rows."""
    taken = np.empty((int(chosen.sum()), parts[0].shape[1]), np.float32)
    start = place = 0
    for part in parts:
        rows = part[chosen[start : start + len(part)]]
        taken[place : place + len(rows)] = rows
        start, place = start + len(part), place + len(rows)
    return taken


def optimism(random_split: Quantity, honest: Quantity) -> Quantity:
    """Random-split accuracy minus the honest one.

    The interval adds the half-widths of both in quadrature, as for a difference of independent figures.
    Source: Newcombe, "Interval estimation for the difference between independent proportions", Stat. Med. 1998,
    method 10.
    """
    if random_split.value is None or honest.value is None:
        return Quantity(None, None, None, "undefined", 0)
    value = random_split.value - honest.value
    if None in (random_split.low, random_split.high, honest.low, honest.high):
        return Quantity(value, None, None, honest.method, honest.n)
    assert random_split.low is not None
    assert random_split.high is not None
    assert honest.low is not None
    assert honest.high is not None
    low = value - math.hypot(random_split.value - random_split.low, honest.high - honest.value)
    high = value + math.hypot(random_split.high - random_split.value, honest.value - honest.low)
    return Quantity(value, low, high, "difference", honest.n)
