"""Labels as perfectly calibrated probabilities would give them: what chance alone does to a check of calibration."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from certero.stats.reliability import confidence_bins

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_MOST_ALIKE = 0.95
_DRAWS = 200


def likeness(confidence: Floats, correct: Flags, codes: Integers | None) -> float:
    """How alike photos of one group are in being named rightly beyond what the confidences say: a correlation.

    Confidences that are too high or too low throughout are no likeness: what a straight line through them explains is
    taken out first.

    Args:
        confidence: float [n], probability of the likeliest class.
        correct: bool [n], whether that class is the true one.
        codes: int [n], the group of each photo, 0 to G - 1; None for independent photos.

    Returns:
        0 to 0.95; 0 for independent photos.

    Source: the moment estimator of an intra-class correlation, products of residuals of one group over the most that
    they could be; less what the fitted line takes from them, and (G + 1)/(G - 1), because few groups show less than
    there is. benchmarks/calibration.py measures how often the band that rests on it raises a false alarm.
    """
    if codes is None:
        return 0.0
    sizes = np.bincount(codes).astype(np.float64)
    if len(sizes) < 2:
        return _MOST_ALIKE
    line = np.stack([np.ones(len(confidence)), confidence], axis=1)
    gaps = correct - confidence
    fitted = line @ np.linalg.lstsq(line, gaps, rcond=None)[0]
    rest, straight = gaps - fitted, np.clip(confidence + fitted, 0.0, 1.0)
    products = float((np.bincount(codes, weights=rest) ** 2).sum() - (rest**2).sum())
    by_chance = -1.5 * float((straight * (1 - straight)).mean() * (sizes * (sizes - 1)).sum()) / len(confidence)
    most = _most_alike(straight, codes, sizes)
    if most <= 0:
        return 0.0
    few = (len(sizes) + 1) / (len(sizes) - 1)
    return float(np.clip(few * (products - by_chance) / most, 0.0, _MOST_ALIKE))


def _most_alike(confidence: Floats, codes: Integers, sizes: Floats) -> float:
    """The sum of the covariances of all pairs of one group if all of it shared one luck: min(c, d) - cd for each."""
    order = np.lexsort((confidence, codes))
    rising = confidence[order]
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes.astype(np.int64))
    lesser = 2 * float((rising * (sizes[codes[order]] - 1 - rank)).sum())
    return lesser - float((np.bincount(codes, weights=confidence) ** 2).sum() - (confidence**2).sum())


def errors_by_chance(probabilities: Floats, correct: Flags, codes: Integers | None) -> Floats:
    """Calibration errors that the probabilities would show if they were perfect, float [draws].

    Args:
        probabilities: float [n, K], rows that sum to 1.
        correct: bool [n], whether the likeliest class is the true one.
        codes: int [n], the group of each photo, 0 to G - 1; None for independent photos.
    """
    confidence, top = probabilities.max(axis=1), probabilities.argmax(axis=1)
    bin_of, _ = confidence_bins(confidence)
    drawn = redraw(probabilities, codes, likeness(confidence, correct, codes), _DRAWS)
    gaps = [np.bincount(bin_of, weights=(labels == top) - confidence) for labels in drawn]
    errors: Floats = np.abs(gaps).sum(axis=1) / len(probabilities)
    return errors


def redraw(
    probabilities: Floats, codes: Integers | None, alike: float, draws: int, seed: int = 0
) -> Iterator[Integers]:
    """Yields true classes, int [n], as often as asked, each photo's with exactly its probabilities.

    Photos of one group are right together as often as `alike` says: with probability sqrt(alike) a photo takes the luck
    of its group instead of its own.

    Args:
        probabilities: float [n, K], rows that sum to 1.
        codes: int [n], the group of each photo, 0 to G - 1; None for independent photos.
        alike: from `likeness`.
        draws: how often.
        seed: of the draws.

    Source: J. Bröcker, L. A. Smith, Increasing the reliability of reliability diagrams, Weather and Forecasting 22
    (2007), 651-661, who redraw independent outcomes from the forecasts.
    """
    random = np.random.default_rng(seed)
    n = len(probabilities)
    rows = np.arange(n)
    top = probabilities.argmax(axis=1)
    sure = probabilities[rows, top]
    groups = 0 if codes is None else int(codes.max()) + 1
    for _ in range(draws):
        luck = random.random(n)
        if codes is not None and alike > 0:
            shared = random.random(n) < np.sqrt(alike)
            luck[shared] = random.random(groups)[codes[shared]]
        labels = top.astype(np.int64)
        wrong = np.flatnonzero(luck >= sure)
        if len(wrong):
            others = probabilities[wrong].copy()
            others[np.arange(len(wrong)), top[wrong]] = 0.0
            cumulated = others.cumsum(axis=1)
            left = (luck[wrong] - sure[wrong]) / np.maximum(1 - sure[wrong], 1e-300)
            # Of what is left the same part: above the last class lies nothing.
            reached = cumulated <= (left * cumulated[:, -1])[:, None]
            found = np.minimum(reached.sum(axis=1), probabilities.shape[1] - 1)
            labels[wrong] = np.where(cumulated[:, -1] > 0, found, top[wrong])
        yield labels
