"""How far probabilities are from what they say: the calibration error, and the table behind the diagram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.records.scores import ReliabilityBin
from certero.stats.intervals import group_codes, proportion

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: The usual number of bins (Guo et al. 2017).
BINS = 15


#: What people say of a probability: the edges of `spoken_levels`.
SPOKEN = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995, 1.0)
# Fewer photos than these share a level with their neighbours.
_FEWEST = 20


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
    bin_of, edges = confidence_bins(confidence, bins)
    return _table(scores, truth, bin_of, edges, groups)


def spoken_levels(
    probabilities: ArrayLike, truth: ArrayLike, groups: ArrayLike | None = None
) -> tuple[ReliabilityBin, ...]:
    """The same over levels that people know (50, 70, 80, 90, 95, 98, 99.5 %), for reading rather than for testing.

    Levels with fewer than 20 photos are joined with the next one above, the last with the one below.

    Args:
        probabilities: float [n, K].
        truth: int [n], index of the class.
        groups: int or str [n], the group of each photo; None for independent photos.
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    if len(scores) == 0:
        return ()
    confidence = scores.max(axis=1)
    edges = [SPOKEN[0]]
    for edge in SPOKEN[1:-1]:
        if np.count_nonzero((confidence >= edges[-1]) & (confidence < edge)) >= _FEWEST:
            edges.append(edge)
    if len(edges) > 1 and np.count_nonzero(confidence >= edges[-1]) < _FEWEST:
        edges.pop()
    bin_of = np.searchsorted(edges, confidence, side="right") - 1
    return _table(scores, truth, bin_of, np.array([*edges, SPOKEN[-1]]), groups)


def _table(
    scores: Floats, truth: ArrayLike, bin_of: NDArray[np.integer[Any]], edges: Floats, groups: ArrayLike | None
) -> tuple[ReliabilityBin, ...]:
    confidence = scores.max(axis=1)
    correct = scores.argmax(axis=1) == np.asarray(truth)
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
