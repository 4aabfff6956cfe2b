"""How good a classifier is if it labels only the photos it is sure of."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.records.quantity import Quantity
from certero.records.scores import Abstention, Answered, Points
from certero.stats.intervals import group_codes, proportion

#: Shares of photos that get a label, for which figures are given.
COVERAGES = (0.8, 0.9, 0.95)
# As many points as a small chart can show.
_POINTS = 41


def answer_threshold(confidence: ArrayLike, coverage: float) -> float | None:
    """The threshold at which at least this share of the photos gets a label; None without photos.

    Args:
        confidence: float [n], probability of the likeliest class, of photos that the model was not fitted on.
        coverage: share of photos to label, above 0.

    >>> answer_threshold([0.9, 0.5, 0.8, 0.7], 0.75)
    0.7
    """
    falling = np.sort(np.asarray(confidence, dtype=np.float64))[::-1]
    return float(falling[_count(coverage, len(falling)) - 1]) if len(falling) else None


def answer_thresholds(confidence: ArrayLike) -> dict[str, float]:
    """`answer_threshold` for each of COVERAGES, by the coverage as text; empty without photos."""
    found = {f"{coverage:g}": answer_threshold(confidence, coverage) for coverage in COVERAGES}
    return {coverage: threshold for coverage, threshold in found.items() if threshold is not None}


def measure_abstention(
    confidence: ArrayLike,
    correct: ArrayLike,
    groups: ArrayLike | None = None,
    thresholds: Mapping[str, ArrayLike] | None = None,
) -> Abstention:
    """The risk-coverage curve, and the accuracy with 80, 90 and 95 % of the photos labelled.

    Args:
        confidence: float [n], probability of the likeliest class; n above 0.
        correct: bool [n], whether that class is the true one.
        groups: int or str [n], the group of each photo; None for independent photos.
        thresholds: from `answer_thresholds` of held-out photos; their effect on these photos is measured too. Float, or
            float [n] where folds have thresholds of their own, each set without the photos that it is measured on.

    Returns:
        The curve has up to 41 points: share labelled, accuracy and threshold, rising.

    Source: R. El-Yaniv, Y. Wiener, Journal of Machine Learning Research 11 (2010), 1605-1641 (risk and coverage);
    Y. Geifman, R. El-Yaniv, NIPS 2017 (by the likeliest class's probability).
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    n = len(sure)
    codes = group_codes(groups, n)
    count = None if codes is None else int(codes.max()) + 1

    def accuracy(answered: NDArray[np.bool_]) -> Quantity:
        inside = None if codes is None else codes[answered]
        return proportion(right[answered], inside, all_groups=count)

    rows: list[Answered] = []
    for coverage in COVERAGES:
        threshold = answer_threshold(sure, coverage)
        answered = sure >= (threshold or 0.0)
        given = (thresholds or {}).get(f"{coverage:g}")
        beforehand = None if given is None else np.asarray(given, dtype=np.float64)
        reached = None if beforehand is None else sure >= beforehand
        rows.append(
            Answered(
                coverage=coverage,
                threshold=threshold,
                n=int(answered.sum()),
                accuracy=accuracy(answered),
                set_threshold=None if beforehand is None else float(beforehand.mean()),
                answered=None if reached is None else proportion(reached, codes, all_groups=count),
                accuracy_answered=None if reached is None else accuracy(reached),
            )
        )
    return Abstention(_curve(sure, right), tuple(rows))


def _curve(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> Points:
    order = np.argsort(-sure, kind="stable")
    # Photos of equal probability are labelled together or not at all.
    ends = np.flatnonzero(np.append(np.diff(sure[order]) != 0, True))
    accuracy = np.cumsum(right[order])[ends] / (ends + 1)
    shares = (ends + 1) / len(sure)
    kept = np.unique(np.searchsorted(shares, np.linspace(1 / len(sure), 1, _POINTS) - 1e-12))
    points = np.column_stack([shares, accuracy, sure[order][ends]])[kept]
    return tuple(map(tuple, points.round(5).tolist()))


def _count(coverage: float, n: int) -> int:
    return max(1, math.ceil(coverage * n - 1e-9))
