"""Plausible true values given dependent photos: the bootstrap of Student's t, resampling whole groups.

With few groups, most are nearly all right and some badly wrong, so the mean's distribution is skewed and its
percentiles miss the truth on one side. The t of each resample, which divides by the resample's own standard error, is
skewed too; turned round, it corrects the interval (docs/decisions/0022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certero.records.quantity import Quantity
from certero.stats.intervals import LEVEL
from certero.stats.resampling import (
    RESAMPLES,
    Sample,
    degrees_of_freedom,
    divided,
    draw,
    quantity,
    replicate,
    student_quantiles,
    weighted_mean,
)
from certero.stats.unmet_groups import Grouped, make_room, room

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A resample whose groups happen to be alike would have an unbounded t: its standard error counts as at least this share
# of the sample's.
LEAST_ERROR = 0.2


@dataclass(frozen=True, slots=True)
class Figure:
    """A weighted mean, or a ratio of two, whose interval is wanted.

    Args:
        feature: float64 [n], one number for each row.
        over: float64 [n], what the mean is divided by the mean of; None for a plain mean.
        least: lower bound of the figure.
        most: upper bound of the figure.
        settled: follows from the rule alone, whatever groups come, if it does not vary here.
    """

    feature: NDArray[np.float64]
    over: NDArray[np.float64] | None = None
    least: float = -math.inf
    most: float = math.inf
    settled: bool = False


def plausible(
    sample: Sample, shares: NDArray[np.float64] | None, figures: list[Figure], resamples: int = RESAMPLES
) -> NDArray[np.float64] | None:
    """Plausible true values of each figure, float64 [resamples, figures]; None if nothing can be resampled.

    For independent photos and counts these are the figures of the resamples. For groups they are the figure minus a
    resample's t times the standard error, so that their plain percentiles are the ends of a bootstrap-t interval and
    the share of them on one side of a bar is the probability of being there. Standard errors are those of sums over
    groups, linearised; with expected class shares t is widened by the degrees of freedom that the classes leave.

    Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), section 12.5; A. C. Davison and D. V.
    Hinkley, Bootstrap Methods and their Application (1997), section 5.2.

    Args:
        sample: n rows.
        shares: expected share of each class; None takes the rows' own.
        figures: which.
        resamples: how many.
    """
    if sample.photos is None:
        return None
    if not sample.grouped:
        return _resampled(sample, shares, figures, resamples)
    strata = _strata(sample, shares)
    pivots = [_Pivot.of(sample, shares, strata, figure) for figure in figures]
    ts = [np.stack([pivot.t(counts) for pivot in pivots], axis=1) for counts in draw(sample, resamples)]
    moved = np.concatenate(ts) * [pivot.error * pivot.widening for pivot in pivots]
    value = np.array([pivot.value for pivot in pivots])
    least = np.minimum(value, [figure.least for figure in figures])
    most = np.maximum(value, [figure.most for figure in figures])
    return np.clip(value - moved, least, most)


def _resampled(
    sample: Sample, shares: NDArray[np.float64] | None, figures: list[Figure], resamples: int
) -> NDArray[np.float64] | None:
    over = [figure.over for figure in figures if figure.over is not None]
    drawn = replicate(sample, shares, np.stack([*(figure.feature for figure in figures), *over], axis=1), resamples)
    if drawn is None:
        return None
    place = np.cumsum([figure.over is not None for figure in figures]) + len(figures) - 1
    for column, figure in enumerate(figures):
        if figure.over is not None:
            drawn[:, column] = divided(drawn[:, column], drawn[:, place[column]])
    return drawn[:, : len(figures)]


def measured(
    sample: Sample, shares: NDArray[np.float64] | None, figures: list[Figure], tails: Sequence[float]
) -> tuple[list[Quantity], NDArray[np.float64] | None]:
    """Each figure with its interval, and the plausible values behind it.

    Those of groups leave room for groups that were not met: see `unmet_groups.room`.

    Args:
        sample: n rows.
        shares: expected share of each class.
        figures: which.
        tails: for independent photos, from `resampling.tails`.
    """
    values = plausible(sample, shares, figures)
    found = []
    if sample.grouped and values is not None:
        _allow_for_unmet_groups(sample, shares, figures, values)
    for column, figure in enumerate(figures):
        over = 1.0 if figure.over is None else weighted_mean(sample, shares, figure.over)
        value = weighted_mean(sample, shares, figure.feature) / over if over > 0 else math.nan
        if sample.grouped:
            tail, method = (1 - LEVEL) / 2, "grouped_bootstrap_t"
        else:
            degrees = degrees_of_freedom(sample, shares, figure.feature)
            tail, method = tails[min(degrees, len(tails)) - 1], "bootstrap"
        found.append(quantity(value, None if values is None else values[:, column], sample, tail, method))
    return found, values


def _allow_for_unmet_groups(
    sample: Sample, shares: NDArray[np.float64] | None, figures: list[Figure], values: NDArray[np.float64]
) -> None:
    """Spreads the plausible values [resamples, figures] where bad groups that are rare may not have been met."""
    assert sample.units is not None
    strata = _strata(sample, shares)
    for column, figure in enumerate(figures):
        if figure.settled:
            continue
        over = np.ones(len(sample.truth)) if figure.over is None else figure.over
        below = weighted_mean(sample, shares, over)
        if not below > 0:
            continue
        value = weighted_mean(sample, shares, figure.feature) / below
        down, up = room(
            Grouped(figure.feature, over, sample.units, strata.place, strata.share), figure.least, figure.most
        )
        spread = make_room(values[:, column], value, down, up)
        values[:, column] = np.clip(spread, min(value, figure.least), max(value, figure.most))


@dataclass(frozen=True, slots=True)
class _Strata:
    """The parts in which weights sum to one: each expected class, or all photos together.

    Args:
        share: of each, float64 [S].
        place: stratum of each row, int64 [n]; -1 for a class that is not expected.
        photos: of each group in each stratum, float64 [groups, S].
    """

    share: NDArray[np.float64]
    place: NDArray[np.int64]
    photos: NDArray[np.float64]


def _strata(sample: Sample, shares: NDArray[np.float64] | None) -> _Strata:
    if shares is None:
        share, place = np.ones(1), np.zeros(len(sample.truth), dtype=np.int64)
    else:
        share = shares[shares > 0]
        place = np.where(shares > 0, np.cumsum(shares > 0) - 1, -1)[sample.truth]
    return _Strata(share, place, _sums(sample, place, len(share), np.ones(len(place))))


def _sums(sample: Sample, place: NDArray[np.int64], strata: int, feature: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of a feature in each group and stratum, float64 [groups, S]."""
    assert sample.units is not None
    there = place >= 0
    cell = sample.units[there] * strata + place[there]
    sums = np.bincount(cell, weights=feature[there], minlength=sample.n_units * strata)
    return sums.astype(np.float64).reshape(-1, strata)


@dataclass(frozen=True, slots=True)
class _Spread:
    """A feature summed by group and stratum, minus the stratum's mean.

    Args:
        strata: shares and photos.
        sums: float64 [groups, S]; each column sums to 0.
    """

    strata: _Strata
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, sample: Sample, strata: _Strata, feature: NDArray[np.float64]) -> _Spread:
        sums = _sums(sample, strata.place, len(strata.share), feature)
        return cls(strata, sums - strata.photos * (sums.sum(axis=0) / strata.photos.sum(axis=0)))

    def plain(self) -> NDArray[np.float64]:
        """What each group adds to the weighted mean beyond its share, float64 [groups]."""
        weighed: NDArray[np.float64] = self.sums @ (self.strata.share / self.strata.photos.sum(axis=0))
        return weighed

    def drawn(self, counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same in resamples: how far the weighted mean moves, [b], and what each group adds, [b, groups].

        NaN if a stratum is missing.
        """
        photos = counts @ self.strata.photos
        means, factor = divided(counts @ self.sums, photos), divided(self.strata.share, photos)
        linear = factor @ self.sums.T - (factor * means) @ self.strata.photos.T
        return means @ self.strata.share, linear


@dataclass(frozen=True, slots=True)
class _Pivot:
    """A figure, its standard error, and Student's t of it in resamples.

    Args:
        value: the figure in the photos; NaN if undefined.
        error: its standard error; 0 if the groups do not differ.
        below: the mean that it is divided by.
        of_rest: what it is off by comes from the mean of this, which is 0 in the photos.
        of_over: what that is divided by; None for a plain mean.
        widening: factor on t.
    """

    value: float
    error: float
    below: float
    of_rest: _Spread
    of_over: _Spread | None
    widening: float

    @classmethod
    def of(cls, sample: Sample, shares: NDArray[np.float64] | None, strata: _Strata, figure: Figure) -> _Pivot:
        over = np.ones(len(sample.truth)) if figure.over is None else figure.over
        below = weighted_mean(sample, shares, over)
        value = weighted_mean(sample, shares, figure.feature) / below if below > 0 else math.nan
        rest = figure.feature - value * over
        of_rest = _Spread.of(sample, strata, rest)
        of_over = None if figure.over is None else _Spread.of(sample, strata, over)
        error = math.sqrt(float((of_rest.plain() ** 2).sum())) / below if below > 0 else math.nan
        if error <= 1e-12 * max(1.0, abs(value)):
            error = 0.0
        widening = 1.0 if shares is None or not error > 0 else _widening(sample, shares, rest)
        return cls(value, error, below, of_rest, of_over, widening)

    def t(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """For resamples that drew each group so often, float64 [b]."""
        if not self.error > 0:
            return np.full(len(counts), self.error)
        above, linear = self.of_rest.drawn(counts)
        divisor = np.ones(len(counts))
        if self.of_over is not None:
            change, over_linear = self.of_over.drawn(counts)
            divisor = self.below + change
            linear = linear - divided(above, divisor)[:, None] * over_linear
        errors = divided(np.sqrt((counts * linear**2).sum(axis=1)), divisor)
        t: NDArray[np.float64] = divided(above, divisor) / np.maximum(errors, LEAST_ERROR * self.error)
        return t


def _widening(sample: Sample, shares: NDArray[np.float64], feature: NDArray[np.float64]) -> float:
    """By how much Student's quantile grows when an expected class rests on few groups."""
    quantiles = student_quantiles()
    here, all_groups = (
        quantiles[min(degrees, len(quantiles)) - 1]
        for degrees in (degrees_of_freedom(sample, shares, feature), sample.n_units - 1)
    )
    return here / all_groups
