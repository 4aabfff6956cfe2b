"""Figures averaged over classes, of dependent photos: the classes' own intervals, combined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certero.records.quantity import Quantity
from certero.stats.intervals import FEWEST_GROUPS, proportion, student_quantile, transformed, undefined

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Members:
    """One figure of each of K classes, and how the groups move it.

    Args:
        figures: K of them; one without an interval may lie anywhere between 0 and 1, one without a value counts as 0.
        weights: float [K], of each class in the mean.
        pulls: float [groups, K], by how much each group moves the figure of a class.
        photos: float [groups, K], photos of each group behind it.
    """

    figures: Sequence[Quantity]
    weights: Floats
    pulls: Floats
    photos: Floats

    def together(self) -> Floats:
        """Correlation [K, K] of the classes' figures over the groups.

        Where no group moves a figure (no error yet), what might move it is a bad group: classes that come from the same
        groups would move together.
        """
        moves = np.sqrt((self.pulls**2).sum(axis=0))
        still = moves <= 1e-12
        seen = self.pulls / np.where(still, 1.0, moves)
        size = np.sqrt((self.photos**2).sum(axis=0))
        shared = self.photos / np.where(size > 0, size, 1.0)
        unknown = still[:, None] | still[None]
        correlation: Floats = np.where(unknown, shared.T @ shared, seen.T @ seen)
        np.fill_diagonal(correlation, 1.0)
        return correlation


def mean_over_classes(members: Members, n: int, composition: Floats | None = None) -> Quantity:
    """The weighted mean of the classes' figures with an interval from theirs, method `class_intervals`.

    A resample of few groups often holds a rare class in one or two of them, or not at all, and knows little of how far
    its figure may be off; the class's own interval knows how few groups it rests on. The distances to the ends of those
    intervals are added as standard errors are, with the correlation that the groups show, never less than if the
    classes were independent.

    Args:
        members: the classes.
        n: number of photos.
        composition: float [groups], by how much each group moves the mean through the weights; None for fixed weights.

    Source: G. Y. Zou, A. Donner, Statistics in Medicine 27 (2008), 1693-1702 (recovering variances from intervals),
    with the correlation of G. Y. Zou, American Journal of Epidemiology 168 (2008), 212-224.
    """
    groups = len(members.pulls)
    figures = members.figures
    value = float(members.weights @ np.array([figure.value or 0.0 for figure in figures]))
    if groups < FEWEST_GROUPS:
        return undefined(n, "too_few_groups", value)
    below = np.array([(f.value or 0.0) - (0.0 if f.low is None else f.low) for f in figures]) * members.weights
    above = np.array([(1.0 if f.high is None else f.high) - (f.value or 0.0) for f in figures]) * members.weights
    together = members.together()
    extra = 0.0
    if composition is not None:
        variance = groups / (groups - 1) * float((composition**2).sum())
        extra = student_quantile(groups - 1) ** 2 * variance
    down, up = (math.sqrt(max(float(ends @ together @ ends), float(ends @ ends)) + extra) for ends in (below, above))
    return Quantity(value, max(0.0, value - down), min(1.0, value + up), "class_intervals", n)


def counts_by_group(codes: Integers, columns: Integers, shape: tuple[int, int]) -> Floats:
    """How often each column stands in each group, float [groups, K]."""
    groups, k = shape
    return np.bincount(codes * k + columns, minlength=groups * k).astype(np.float64).reshape(shape)


def class_f1(is_class: Flags, is_called: Flags, codes: Integers | None, count: int | None) -> Quantity:
    """F1 of one class.

    F1 = 2J/(1 + J) rises with J = hits / (photos that are, or were called, this class), a share of photos, so
    the ends of J's interval give F1's, also where F1 is 1 and a bootstrap would see no variation.

    Args:
        is_class: bool [n].
        is_called: bool [n].
        codes: int [n], the group of each photo; None for independent photos.
        count: number of groups.
    """
    either = is_class | is_called
    jaccard = proportion((is_class & is_called)[either], None if codes is None else codes[either], all_groups=count)
    return transformed(jaccard, lambda share: 2 * share / (1 + share))


def grouped_macro_f1(truth: Integers, label: Integers, codes: Integers, k: int) -> Quantity:
    """Mean F1 of the classes that occur, of dependent photos with one label each.

    Args:
        truth: int [n], index of the class.
        label: int [n], index of the one predicted.
        codes: int [n], the group of each photo.
        k: number of classes.
    """
    shape = int(codes.max()) + 1, k
    figures = [class_f1(truth == index, label == index, codes, shape[0]) for index in range(k)]
    photos = counts_by_group(codes, truth, shape) + counts_by_group(codes, label, shape)
    hits = counts_by_group(codes[truth == label], truth[truth == label], shape)
    occurs = photos.sum(axis=0)
    value = np.array([figure.value or 0.0 for figure in figures])
    pulls = (2 * hits - value * photos) / np.maximum(occurs, 1)
    return mean_over_classes(Members(figures, (occurs > 0) / (occurs > 0).sum(), pulls, photos), len(truth))
