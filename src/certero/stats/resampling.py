"""How far a weighted mean may be off, by resampling photos or whole groups.

The draws come from a small counter-based generator, because the report's page repeats them when a slider moves and must
arrive at the same interval (docs/decisions/0014).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from certero.records.quantity import Quantity
from certero.stats.intervals import FEWEST_GROUPS, LEVEL, NORMAL_QUANTILE

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
# Resamples handled at once: enough for fast products, few enough for memory.
_CHUNK_CELLS = 4_000_000
_GOLDEN = 0x9E3779B9
#: More degrees of freedom than this are as good as a normal distribution.
MOST_DEGREES = 200


class Sample(Protocol):
    """Rows that can be resampled: one for each photo, or one for each cell of a table of counts."""

    @property
    def truth(self) -> NDArray[np.int64]:
        """The stratum of each row, [n]: its class."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """Photos behind each row, [n]; 1 for a photo."""

    @property
    def units(self) -> NDArray[np.int64] | None:
        """Which rows are drawn together, [n]; None for independent rows."""

    @property
    def photos(self) -> float | None:
        """Number of photos; None if unknown, in which case there is no interval."""

    @property
    def counted(self) -> bool:
        """Whether the rows are cells of counts, not single photos."""

    @property
    def grouped(self) -> bool:
        """Whether these are photos that are resampled by group."""

    @property
    def n_units(self) -> int:
        """Number of units that are resampled: groups, photos or cells."""


def row_weights(
    sample: Sample, shares: NDArray[np.float64] | None, counts: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """How much each row counts, summing to 1; NaN if an expected class is missing.

    Args:
        sample: n rows.
        shares: expected share of each class; None takes the rows' own.
        counts: how often each unit was drawn, [b, units]; None for the rows as they are.

    Returns:
        float64 [n], or [b, n].
    """
    if counts is None:
        drawn = sample.weights[None]
    elif sample.counted:
        drawn = counts
    else:
        drawn = counts if sample.units is None else counts[:, sample.units]
    if shares is None:
        weighed = drawn / drawn.sum(axis=1, keepdims=True)
    else:
        members = np.equal.outer(sample.truth, np.arange(len(shares))).astype(np.float64)
        photos = drawn @ members
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(shares > 0, shares / photos, 0.0)
        factor[~np.isfinite(factor)] = np.nan
        weighed = drawn * factor[:, sample.truth]
        weighed[np.isnan(factor).any(axis=1)] = np.nan
    one: NDArray[np.float64] = weighed if counts is not None else weighed[0]
    return one


def weighted_mean(sample: Sample, shares: NDArray[np.float64] | None, feature: NDArray[np.float64]) -> float:
    """The mean of a feature [n]. Sums come before divisions, as in the page, so that shares are rounded alike."""
    weighed = sample.weights * feature
    if shares is None:
        return float(weighed.sum() / sample.weights.sum())
    mean = 0.0
    for label, share in enumerate(shares.tolist()):
        if share > 0:
            mine = sample.truth == label
            mean += share * float(weighed[mine].sum()) / float(sample.weights[mine].sum())
    return mean


def replicate(
    sample: Sample, shares: NDArray[np.float64] | None, features: NDArray[np.float64], resamples: int = RESAMPLES
) -> NDArray[np.float64] | None:
    """Weighted means of features in resampled photos, float64 [resamples, F]; None if nothing can be resampled.

    Args:
        sample: n rows.
        shares: expected share of each class.
        features: [n, F].
        resamples: how many.
    """
    if sample.photos is None:
        return None
    parts = [row_weights(sample, shares, counts) @ features for counts in draw(sample, resamples)]
    return np.concatenate(parts)


def draw(sample: Sample, resamples: int = RESAMPLES) -> Iterator[NDArray[np.float64]]:
    """How often each unit was drawn, a few resamples at a time: float64 [b, units].

    Photos and groups are drawn with equal chances, as many as there are; cells of counts by their share, as many
    as photos.
    """
    assert sample.photos is not None
    n_units = sample.n_units
    draws = max(1, round(sample.photos)) if sample.counted else n_units
    bounds = np.cumsum(sample.weights / sample.weights.sum())[:-1] if sample.counted else None
    rows = max(1, min(resamples, _CHUNK_CELLS // max(draws, len(sample.truth))))
    for start in range(0, resamples, rows):
        numbers = np.arange(start, min(start + rows, resamples), dtype=np.uint32)
        random = random_numbers(numbers, draws)
        if bounds is None:
            chosen = ((random.astype(np.uint64) * np.uint64(n_units)) >> np.uint64(32)).astype(np.int64)
        else:
            chosen = np.searchsorted(bounds, random / 2**32, side="right").astype(np.int64)
        flat = chosen + np.arange(len(numbers))[:, None] * n_units
        counts = np.bincount(flat.ravel(), minlength=len(numbers) * n_units)
        yield counts.reshape(len(numbers), n_units).astype(np.float64)


def random_numbers(resamples: NDArray[np.uint32], draws: int) -> NDArray[np.uint32]:
    """Uniform 32-bit numbers [resamples, draws], each a function of its position, which other languages can repeat.

    Source: the finaliser of MurmurHash3 (A. Appleby) on a Weyl sequence, as in SplitMix (G. Steele and others, OOPSLA
    2014).
    """
    with np.errstate(over="ignore"):
        start = _mix(resamples + np.uint32(1))
        return _mix(start[:, None] + np.arange(draws, dtype=np.uint32)[None] * np.uint32(_GOLDEN))


def _mix(number: NDArray[np.uint32]) -> NDArray[np.uint32]:
    number = (number ^ (number >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    number = (number ^ (number >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return number ^ (number >> np.uint32(16))


def tails() -> list[float]:
    """The lower quantile to take for 1, 2, ... degrees of freedom; the last applies to all above.

    Plain percentiles of resamples are too narrow for few units, by the factor sqrt(1 - 1/G) and by the normal in place
    of Student's distribution. Source: T. Hesterberg, The American Statistician 69 (2015), 371-386, "expanded
    percentile".
    """
    from scipy.special import ndtr, stdtrit

    degrees = np.arange(1, MOST_DEGREES + 1)
    quantiles = stdtrit(degrees, (1 + LEVEL) / 2) * np.sqrt((degrees + 1) / degrees)
    return [*ndtr(-quantiles).tolist(), float(ndtr(-NORMAL_QUANTILE))]


@functools.cache
def student_quantiles() -> list[float]:
    """Student's 97.5 % quantile for 1, 2, ... degrees of freedom; the last applies to all above."""
    from scipy.special import stdtrit

    return [*stdtrit(np.arange(1, MOST_DEGREES + 1), (1 + LEVEL) / 2).tolist(), NORMAL_QUANTILE]


def degrees_of_freedom(sample: Sample, shares: NDArray[np.float64] | None, feature: NDArray[np.float64]) -> int:
    """How many units the spread of a weighted mean is known from, minus 1.

    With expected class shares each class is a stratum of its own: Welch's and Satterthwaite's degrees of freedom of
    the sum over classes, so that a rare class with a large weight makes the interval wide.

    Source: W. G. Cochran, Sampling Techniques, 3rd edition (1977), section 5.4.
    """
    n_units = int(sample.photos or 1) if sample.counted else sample.n_units
    if shares is None or sample.counted:
        return max(1, n_units - 1)
    codes = np.arange(len(sample.truth)) if sample.units is None else sample.units
    total = squares = 0.0
    for label, share in enumerate(shares):
        mine = sample.truth == label
        if share <= 0 or not mine.any():
            continue
        values = feature[mine] - feature[mine].mean()
        sums = np.bincount(codes[mine], weights=values, minlength=n_units)
        groups = len(np.unique(codes[mine]))
        variance = (share / mine.sum()) ** 2 * float((sums**2).sum())
        total += variance
        squares += variance**2 / max(1, groups - 1)
    return max(1, min(n_units - 1, math.floor(total**2 / squares + 1e-9))) if squares > 0 else max(1, n_units - 1)


def why_no_interval(sample: Sample) -> str | None:
    """The method of a figure that can have no interval; None if it can."""
    if sample.photos is None:
        return "photos_unknown"
    if sample.grouped and sample.n_units < FEWEST_GROUPS:
        return "too_few_groups"
    return None


def ends(replicates: NDArray[np.float64], tail: float) -> tuple[float, float] | None:
    """The quantiles `tail` and 1 - `tail` of the defined replicates; None if most are undefined."""
    defined = replicates[~np.isnan(replicates)]
    if len(defined) == 0 or 2 * len(defined) < len(replicates):
        return None
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def quantity(value: float, values: NDArray[np.float64] | None, sample: Sample, tail: float, method: str) -> Quantity:
    """A figure with its interval, null if there is none.

    Args:
        value: the figure.
        values: its values in resamples, or its plausible true values.
        sample: the photos.
        tail: the share of `values` beyond each end.
        method: how `values` were obtained.
    """
    n = round(sample.photos or 0)
    reason = why_no_interval(sample)
    if not math.isfinite(value):
        return Quantity(None, None, None, "undefined", n)
    if reason is not None or values is None:
        return Quantity(value, None, None, reason or "photos_unknown", n)
    found = ends(values, tail)
    if found is None:
        return Quantity(value, None, None, "undefined", n)
    if found[1] - found[0] <= 1e-12 * max(1.0, abs(value)):
        return Quantity(value, None, None, "no_variation", n)
    return Quantity(value, min(found[0], value), max(found[1], value), method, n)


def divided(above: NDArray[np.float64], below: NDArray[np.float64], otherwise: float = math.nan) -> NDArray[np.float64]:
    """`above` / `below`, or `otherwise` if there is nothing to divide by."""
    small = np.abs(below) < 1e-15
    return np.where(small, otherwise, above / np.where(small, 1.0, below))
