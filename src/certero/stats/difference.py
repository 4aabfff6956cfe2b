"""The difference of two classifiers on the same dependent photos, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certero.records.quantity import Quantity
from certero.stats.beta_binomial import posterior_interval
from certero.stats.intervals import (
    FEWEST_GROUPS,
    FEWEST_TO_SEE_RARE,
    LEVEL,
    degrees_of_freedom,
    expanded_percentiles,
    one_more_group,
    proportion,
    student_quantile,
    undefined,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gains:
    """What the second of two classifiers gains on n photos.

    Args:
        photos: int [n], 1 where it alone is right, -1 where the first alone is, else 0.
        codes: int [n], the group of each photo; None for independent photos.
        groups: of all photos, of which these may be a part.
    """

    photos: Integers
    codes: Integers | None
    groups: int | None = None

    def part(self, inside: NDArray[np.bool_]) -> Gains:
        """Those on some of the photos."""
        return Gains(self.photos[inside], None if self.codes is None else self.codes[inside], self.groups)

    @property
    def numbered(self) -> Integers:
        """Int [n]: the groups among these, numbered from 0 on; each photo is its own where they are independent."""
        if self.codes is None:
            return np.arange(len(self.photos))
        return np.unique(self.codes, return_inverse=True)[1].astype(np.int64)

    @property
    def units(self) -> int:
        """Groups, or independent photos, among these."""
        return len(np.unique(self.numbered))


def difference(value: float, draws: Floats, gains: Gains, scale: Floats | None = None) -> Quantity:
    """The paired interval of a difference of two figures.

    Independent photos: expanded percentiles of the resamples. Groups: Student's t times the standard error of the
    resamples, with the degrees of freedom that the groups' gains leave. Where one classifier fails in groups that are
    rare, many samples hold none of those. So this is joined with what `proportion` leaves open of the two shares that
    make up the difference: photos that only the one has right, and only the other; and below FEWEST_TO_SEE_RARE groups
    it allows for one more group, in which one classifier is right and the other wrong throughout.

    Args:
        value: the difference.
        draws: float [resamples], the same in resamples; NaN where undefined.
        gains: of accuracy, on the photos that the difference is about.
        scale: float [resamples], the difference of accuracies, if this is one of another figure, which moves as much
            more as its resamples do.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), section 12.2; G. Y. Zou, A. Donner,
    Statistics in Medicine 27 (2008), 1693-1702, for the difference of two shares from their intervals.
    """
    n, units = len(gains.photos), gains.units
    if not math.isfinite(value):
        return undefined(n)
    if gains.codes is not None and units < FEWEST_GROUPS:
        return undefined(n, "too_few_groups", value)
    defined = draws[~np.isnan(draws)]
    if 2 * len(defined) < len(draws) or len(defined) == 0 or units < 2:
        return undefined(n, "undefined", value)
    if gains.codes is None:
        low, high = (float(end) for end in np.quantile(defined, expanded_percentiles(units)))
        if high - low < 1e-12:
            return undefined(n, "no_variation", value)
        return Quantity(value, low, high, "bootstrap", n)
    spread = float(defined.std())
    reach = student_quantile(_degrees(gains)) * spread * math.sqrt(units / (units - 1))
    usual = spread if scale is None else float(np.nanstd(scale))
    stretch = max(1.0, spread / usual) if usual > 0 else 1.0
    reach += stretch * _one_more_group(gains)
    fallen, risen = _room(gains)
    down, up = max(reach, stretch * fallen), max(reach, stretch * risen)
    return Quantity(value, max(-1.0, value - down), min(1.0, value + up), "grouped_bootstrap", n)


def _one_more_group(gains: Gains) -> float:
    """By how much a further group, as large as these on average over photos, could move the difference."""
    return 0.0 if gains.units >= FEWEST_TO_SEE_RARE else one_more_group(np.bincount(gains.numbered))


def _room(gains: Gains) -> tuple[float, float]:
    """How far below and above the difference of two shares may lie, by what is known of each."""
    (lost, lost_low, lost_high), (won, won_low, won_high) = (_share(gains, sign) for sign in (-1, 1))
    return math.hypot(won - won_low, lost_high - lost), math.hypot(won_high - won, lost - lost_low)


def _share(gains: Gains, sign: int) -> tuple[float, float, float]:
    """The share of photos with this gain, and its ends."""
    hits = gains.photos == sign
    share = float(hits.mean())
    codes = gains.numbered
    if share in (0.0, 1.0):
        # What happened nowhere would be worth one photo a group by itself, and no difference could be told from a
        # dozen groups; the posterior alone leaves half of that.
        sizes = np.bincount(codes)
        return share, *posterior_interval(share * sizes, sizes, LEVEL)
    found = proportion(hits, codes, all_groups=gains.groups or gains.units)
    return share, float(found.low or 0.0), float(1.0 if found.high is None else found.high)


def _degrees(gains: Gains) -> float:
    """How many independent groups the spread of the groups' gains rests on."""
    return degrees_of_freedom(np.bincount(gains.numbered, weights=gains.photos - gains.photos.mean()))


def design_effect(gains: Gains) -> float:
    """How many of these photos tell as much about the difference as an independent one; at least 1.

    Source: as `intervals.effective_sample_size`, of the photos' differences.
    """
    if gains.codes is None:
        return 1.0
    n = len(gains.photos)
    mean, variance = float(gains.photos.mean()), float(gains.photos.var())
    sizes = np.bincount(gains.codes).astype(np.float64)
    if variance == 0 or len(sizes) < 2:
        return float((sizes**2).sum() / n)
    residuals = np.bincount(gains.codes, weights=gains.photos) - mean * sizes
    between = len(sizes) / (len(sizes) - 1) * float((residuals**2).sum()) / n**2
    return max(1.0, between / (variance / n))
