"""What a random split would have claimed: the same number of photos, neighbours on both sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from certero.learn.probe import fit_head
from certero.records import Progress, Quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPLITS = 5


def random_split_accuracy(
    features: NDArray[np.float32],
    truth: NDArray[np.int64],
    training_counts: Sequence[NDArray[np.int64]],
    strength: float,
    weights: NDArray[np.float64],
    seed: int,
    progress: Progress,
) -> Quantity:
    """Mean accuracy of throw-away probes on random splits of all the photos.

    Each split draws as many training photos of every class as the honest one had, at random; the rest is its test set.
    The interval is Student's t over the splits; it speaks of the drawing alone.

    Args:
        features: float32 [n, D] of every used photo.
        truth: class index [n].
        training_counts: photos of each class [K] that the honest training set had; one entry a fold, used in turn.
        strength: the C that the honest run chose.
        weights: weight of each class [K].
        seed: of the drawing.
        progress: told how many splits are done.
    """
    rng = np.random.default_rng(seed)
    accuracies: list[float] = []
    n_test = 0
    for number in range(_SPLITS):
        counts = training_counts[number % len(training_counts)]
        inside = np.zeros(len(truth), dtype=bool)
        for label, count in enumerate(counts):
            inside[rng.permutation(np.flatnonzero(truth == label))[:count]] = True
        if inside.all():
            return Quantity(None, None, None, "undefined", 0)
        head = fit_head(features[inside], truth[inside], len(weights), strength, weights[truth[inside]])
        predicted = head.logits(features[~inside]).argmax(axis=1)
        accuracies.append(float((predicted == truth[~inside]).mean()))
        n_test += int((~inside).sum())
        progress("random split", number + 1, _SPLITS)
    from scipy.stats import t

    mean = float(np.mean(accuracies))
    half = float(t.ppf(0.975, _SPLITS - 1) * np.std(accuracies, ddof=1) / math.sqrt(_SPLITS))
    return Quantity(mean, max(0.0, mean - half), min(1.0, mean + half), "t_over_splits", n_test // _SPLITS)


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
