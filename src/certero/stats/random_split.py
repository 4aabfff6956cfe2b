"""What random splits claim, compared with the honest figure: their optimism, with its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certero.records.quantity import Quantity
from certero.stats.intervals import percentile_interval, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Claims:
    """Predictions of throw-away models on random splits.

    Args:
        tested: bool [splits, n], the test photos of each split; no splits if one would leave none.
        right: bool [splits, n], which of them were labelled correctly.
    """

    tested: NDArray[np.bool_]
    right: NDArray[np.bool_]


def draw_splits(
    truth: NDArray[np.int64], training_counts: Sequence[NDArray[np.int64]], splits: int, seed: int
) -> list[NDArray[np.bool_]]:
    """Boolean [n] of the training photos of each random split; none at all if a split would leave nothing to test on.

    Args:
        truth: class index [n].
        training_counts: photos of each class [K] to draw; one entry for each fold, used in turn.
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


def claims_of(drawn: Sequence[NDArray[np.bool_]], right: Sequence[NDArray[np.bool_]], n: int) -> Claims:
    """The predictions of several splits for all n photos.

    Args:
        drawn: bool [n] of the training photos of each split.
        right: for each split, which of its test photos were labelled correctly.
        n: number of photos.
    """
    tested = np.array([~inside for inside in drawn], dtype=bool).reshape(-1, n)
    answers = np.zeros_like(tested)
    for row, judged, found in zip(answers, tested, right, strict=True):
        row[judged] = found
    return Claims(tested, answers)


def compare_splits(
    claims: Claims, right: NDArray[np.bool_], judged: NDArray[np.bool_], units: Sequence[str]
) -> tuple[Quantity, Quantity]:
    """What a random split would have claimed, and its optimism: that minus the honest accuracy.

    The claim is the mean accuracy of the splits. Both intervals resample whole units with all their photos, and the
    splits; the same units for both accuracies, which pairs them: a hard day is hard for both.

    Args:
        claims: of n photos.
        right: bool [n], whether the honest model labelled the photo correctly; only the judged ones count.
        judged: bool [n], photos that the honest figure is about.
        units: [n] names of what is never split apart.
    """
    splits, n = claims.tested.shape
    if not splits or not judged.any():
        nothing = Quantity(None, None, None, "undefined", 0)
        return nothing, nothing
    tested, named = claims.tested.astype(np.float32), claims.right.astype(np.float32)
    asked, hits = judged.astype(np.float32), (judged & right).astype(np.float32)
    generator = np.random.default_rng(0)

    def accuracies(weights: NDArray[np.float64], chosen: NDArray[np.int64]) -> list[float]:
        with np.errstate(invalid="ignore"):  # a resample without test photos has no accuracy
            each = (named @ weights) / (tested @ weights)
            return [float(each[chosen].mean()), float((hits @ weights) / (asked @ weights))]

    def again(weights: NDArray[np.float64]) -> list[float]:
        return accuracies(weights, np.asarray(generator.integers(0, splits, splits), dtype=np.int64))

    claimed, honest = accuracies(np.ones(n), np.arange(splits))
    replicates = resample(again, n, list(units))
    n_test = round(float(claims.tested.sum(axis=1).mean()))
    random_split = percentile_interval(claimed, replicates[:, 0], n, list(units))
    gain = percentile_interval(claimed - honest, replicates[:, 0] - replicates[:, 1], n, list(units))
    return dataclasses.replace(random_split, n=n_test), dataclasses.replace(gain, n=int(judged.sum()))
