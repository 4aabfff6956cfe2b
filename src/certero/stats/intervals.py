"""95 % intervals, for independent and for dependent photos."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.errors import DataError
from certero.records.quantity import Quantity
from certero.stats.beta_binomial import posterior_interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Every interval contains the true figure 19 times in 20.
LEVEL = 0.95
#: With fewer groups the spread between groups cannot be estimated; an interval would be a guess.
FEWEST_GROUPS = 3
#: Figures that are no plain shares need more: below, their intervals miss the truth too often.
FEWEST_RESAMPLED = 10
#: Of 29 groups, 95 of 100 samples hold one of those that come once in ten: 0.9^29 is 0.05.
FEWEST_TO_SEE_RARE = 30
#: The z quantile of an interval of LEVEL, 1.96.
NORMAL_QUANTILE = NormalDist().inv_cdf((1 + LEVEL) / 2)


def undefined(n: int, method: str = "undefined", value: float | None = None) -> Quantity:
    """A figure without an interval, and usually without a value: `method` says why."""
    return Quantity(value, None, None, method, n)


def group_codes(groups: ArrayLike | None, n: int) -> Integers | None:
    """Numbers the groups 0, 1, ... in sorted order; None if every photo is a group of its own.

    Args:
        groups: int or str [n], the group of each photo; None for independent photos.
        n: number of photos.

    Raises:
        DataError: there is not exactly one group for each photo.
    """
    if groups is None:
        return None
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise DataError(
            "groups need one entry a photo; found shape %(shape)s for %(n)s photos", shape=labels.shape, n=n
        )
    names, codes = np.unique(labels, return_inverse=True)
    return None if len(names) == n else codes.astype(np.int64)


def wilson(share: float, n: float, quantile: float = NORMAL_QUANTILE) -> tuple[float, float]:
    """The score interval of a proportion: (low, high), within 0 and 1.

    Args:
        share: observed proportion, 0 to 1.
        n: number of trials, above 0; an effective sample size need not be whole.
        quantile: of the normal distribution, or of Student's t where n is itself an estimate.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212.

    >>> [round(end, 3) for end in wilson(0.5, 10)]
    [0.237, 0.763]
    """
    square = quantile**2
    center = (share + square / (2 * n)) / (1 + square / n)
    half = quantile / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    # At 0 and 1 the end equals the share; rounding must not push it past the value.
    return min(share, max(0.0, center - half)), max(share, min(1.0, center + half))


def photos_to_halve(share: float | None, low: float | None, high: float | None, n: int) -> int | None:
    """How many more photos, like the ones given, would halve the interval of a share.

    New photos are assumed to repeat each other as much as the old ones do: the interval counts as Wilson's for the
    number of independent photos that would give it.

    Args:
        share: observed proportion, 0 to 1; None if undefined.
        low: lower end of its interval; None if it has none.
        high: upper end; None if it has none.
        n: number of photos behind it.

    Returns:
        The number; None if there is no interval, or one without width.

    >>> photos_to_halve(0.5, 0.404, 0.596, 100)
    312
    """
    if share is None or low is None or high is None or n < 1 or high <= low:
        return None
    width = high - low
    now, wanted = _trials_of_width(share, width), _trials_of_width(share, width / 2)
    return math.ceil(n * (wanted / now - 1) - 1e-6)


def trials_behind(quantity: Quantity) -> float | None:
    """The number of independent photos that would tell a share as well as its interval says; None without interval."""
    ends = quantity.interval
    if quantity.value is None or ends is None or ends[1] <= ends[0]:
        return None
    return _trials_of_width(quantity.value, ends[1] - ends[0])


def _trials_of_width(share: float, width: float) -> float:
    """The number of independent trials whose Wilson interval has this width."""
    low, high = 1e-6, 1e12
    for _step in range(64):
        middle = math.sqrt(low * high)
        ends = wilson(share, middle)
        low, high = (middle, high) if ends[1] - ends[0] > width else (low, middle)
    return math.sqrt(low * high)


def effective_sample_size(successes: ArrayLike, groups: ArrayLike | None) -> float:
    """How many independent photos would determine the share of successes as well as these grouped ones; at most n.

    Args:
        successes: bool or float 0 to 1 [n], n above 0.
        groups: int or str [n], the group of each photo; None for independent photos.

    Source: variance of a ratio estimator over clusters (W. G. Cochran, Sampling Techniques, 3rd edition 1977,
    section 3.12, with the factor G/(G - 1)), divided by the binomial variance: L. Kish's design effect.
    """
    hits = np.asarray(successes, dtype=np.float64)
    n = len(hits)
    codes = group_codes(groups, n)
    if codes is None:
        return float(n)
    share = float(hits.mean())
    sizes = np.bincount(codes).astype(np.float64)
    count = len(sizes)
    if count == 1 or not 0 < share < 1:
        # Nothing varies, so the variance between groups cannot be estimated. The conservative reading: photos
        # of one group repeat each other (intra-group correlation 1) and count as little as they possibly can.
        return float(n * n / (sizes**2).sum())
    residuals = np.bincount(codes, weights=hits) - share * sizes
    variance = count / (count - 1) * float((residuals**2).sum()) / n**2
    design_effect = max(1.0, variance / (share * (1 - share) / n))
    return n / design_effect


def one_more_group(sizes: ArrayLike) -> float:
    """The share of all photos that one further group would have, as large as these are for an average photo.

    Args:
        sizes: int [groups], photos in each.

    >>> one_more_group([10, 10, 10])
    0.25
    """
    photos = np.asarray(sizes, dtype=np.float64)
    return 1 / (1 + float(photos.sum() ** 2 / (photos**2).sum()))


def degrees_of_freedom(residuals: ArrayLike) -> float:
    """How many independent pieces an estimate of variance, the sum of squares of residuals, rests on.

    Groups - 1 if all groups weigh about the same. If errors are in a few groups, the variance is known no better than
    from those few, at worst 2: a share near 0 or 1, or one large group. See docs/decisions/0019.

    Args:
        residuals: float [groups], of each group.

    Source: the degrees of freedom that give a chi-squared variable the mean and variance of the estimate
    (F. E. Satterthwaite, Biometrics Bulletin 2 (1946), 110-114), the variance of a sample variance being
    (kurtosis - 1) / groups times its square (H. Cramér, Mathematical Methods of Statistics (1946), section 27.4).

    >>> degrees_of_freedom([1.0, -1.0] * 10)
    19.0
    >>> round(degrees_of_freedom([19.0] + [-1.0] * 19), 1)
    2.3
    """
    squares = np.asarray(residuals, dtype=np.float64) ** 2
    count = len(squares)
    total = float(squares.sum())
    if total <= 0:
        return float(max(1, count - 1))
    excess = count * float((squares**2).sum()) / total**2 - 1
    return float(max(1, count - 1)) if excess <= 0 else min(float(max(1, count - 1)), 2 * count / excess)


def proportion(successes: ArrayLike, groups: ArrayLike | None = None, *, all_groups: int | None = None) -> Quantity:
    """A share of photos with its interval.

    Independent photos: Wilson. Dependent photos: the union of two intervals, since each fails where the other holds.
    Wilson on the effective sample size, with Student's t on the `degrees_of_freedom` of the spread between groups, at
    most groups - 1, misses groups that are rare and very bad, or large; the posterior of a beta-binomial model allows
    for those, but not for many bad groups. `benchmarks/interval_coverage.py` simulates how often it contains the truth.

    Args:
        successes: bool or float 0 to 1 [n]: what is counted, over the photos that it applies to.
        groups: int or str [n], the group of each of these photos; None for independent photos.
        all_groups: number of groups in the whole test set, if these photos are a part of it (one class);
            below FEWEST_GROUPS there is no interval. Default: the groups seen here.

    Source: Wilson on the effective size for clustered samples: E. L. Korn, B. I. Graubard, Survey Methodology
    24 (1998), 193-201; N. Dean, M. Pagano, Journal of Survey Statistics and Methodology 3 (2015), 484-503. For the
    posterior see `beta_binomial`; docs/decisions/0064.

    >>> proportion([True] * 9 + [False]).method
    'wilson'
    """
    hits = np.asarray(successes, dtype=np.float64)
    n = len(hits)
    if n == 0:
        return undefined(0)
    share = float(hits.mean())
    codes = group_codes(groups, n)
    if codes is None and (groups is None or all_groups is None or all_groups == n):
        return Quantity(share, *wilson(share, n), "wilson", n)
    # Each photo of this class may come from another group while the test set as a whole is dependent.
    codes = np.arange(n) if codes is None else codes
    here = int(codes.max()) + 1
    # Within a single group nothing shows how much groups differ.
    if here < 2 or (here if all_groups is None else all_groups) < FEWEST_GROUPS:
        return undefined(n, "too_few_groups", share)
    sizes = np.bincount(codes)
    counted = np.bincount(codes, weights=hits)
    residuals = counted - share * sizes
    # A share of 0 or 1 leaves no residual; its effective size is already the smallest possible.
    degrees = degrees_of_freedom(residuals) if 0 < share < 1 else max(1, here - 1)
    low, high = wilson(share, effective_sample_size(hits, codes), student_quantile(degrees))
    lower, higher = posterior_interval(counted, sizes, LEVEL)
    return Quantity(share, min(low, lower), max(high, higher), "wilson_effective_n", n)


def transformed(base: Quantity, change: Callable[[float], float]) -> Quantity:
    """A figure that is a rising function of another, with its interval."""

    def at(value: float | None) -> float | None:
        return None if value is None else change(value)

    return Quantity(at(base.value), at(base.low), at(base.high), base.method, base.n)


def student_quantile(degrees: float) -> float:
    """The quantile of Student's t of an interval of LEVEL."""
    from scipy.special import stdtrit  # imported here, because only dependent photos need SciPy

    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def resample(
    sums: Callable[[Floats], ArrayLike],
    n: int,
    groups: ArrayLike | None = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Floats:
    """Bootstrap replicates [n_resamples, ...] of weighted sums; one set of resamples serves all figures.

    Groups are drawn with replacement, with all their photos; independent photos are drawn one by one.

    Args:
        sums: maps weights (how often each photo was drawn, float [n]) to sums or figures of a fixed shape.
        n: number of photos, above 0.
        groups: int or str [n], the group of each photo; None for independent photos.
        n_resamples: number of bootstrap samples.
        seed: the same seed gives the same replicates.

    Source: A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
    """
    codes = group_codes(groups, n)
    count = n if codes is None else int(codes.max()) + 1
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(n_resamples):
        drawn = np.bincount(generator.integers(0, count, count), minlength=count).astype(np.float64)
        rows.append(np.asarray(sums(drawn if codes is None else drawn[codes]), dtype=np.float64))
    return np.stack(rows)


def percentile_interval(
    value: float, replicates: ArrayLike, n: int, groups: ArrayLike | None = None, *, mirrored: bool = False
) -> Quantity:
    """The bootstrap interval of a figure, from its replicates: the percentiles of `expanded_percentiles`.

    Replicates that are NaN (undefined in that resample) are ignored. There is no interval when more than half
    are (`undefined`), below FEWEST_RESAMPLED groups (`too_few_groups`), or when all replicates are equal
    (`no_variation`: a perfect score repeats itself in every resample, which says nothing about the next photo).

    Args:
        value: the figure on the photos as they are; NaN if undefined.
        replicates: float [n_resamples], from `resample`.
        n: number of photos.
        groups: int or str [n], as given to `resample`.
        mirrored: use the basic interval, 2 value - quantile: for a figure that noise can only raise
            (calibration error), which resampling raises once more. It is cut at 0 and widened to hold the
            value. It takes out part of the rise, so perfect calibration still does not reach 0.

    Source: Davison and Hinkley (1997), sections 5.2 (basic) and 5.3 (percentile).
    """
    if not math.isfinite(value):
        return undefined(n)
    codes = group_codes(groups, n)
    if codes is not None and codes.max() + 1 < FEWEST_RESAMPLED:
        return undefined(n, "too_few_groups", value)
    draws = np.asarray(replicates, dtype=np.float64)
    defined = draws[~np.isnan(draws)]
    if 2 * len(defined) < len(draws) or len(defined) == 0:
        return undefined(n, "undefined", value)
    units = n if codes is None else int(codes.max()) + 1
    low, high = (float(end) for end in np.quantile(defined, expanded_percentiles(units)))
    if high - low < 1e-12:
        return undefined(n, "no_variation", value)
    if mirrored:
        low, high = max(0.0, min(value, 2 * value - high)), max(value, 2 * value - low)
    return Quantity(value, low, high, "bootstrap" if codes is None else "grouped_bootstrap", n)


def expanded_percentiles(units: int) -> tuple[float, float]:
    """Which percentiles of bootstrap replicates end a 95 % interval when this many groups or photos were drawn.

    Plain percentiles are too narrow for few units, by the factor sqrt(1 - 1/units) and by the normal in place of
    Student's distribution.

    Source: T. C. Hesterberg, The American Statistician 69 (2015), 371-386, expanded percentiles.

    >>> [round(100 * end, 2) for end in expanded_percentiles(10)]
    [0.86, 99.14]
    """
    if units < 2:
        return (1 - LEVEL) / 2, (1 + LEVEL) / 2
    outer = NormalDist().cdf(-math.sqrt(units / (units - 1)) * student_quantile(units - 1))
    return outer, 1 - outer


def bootstrap(
    statistic: Callable[[Floats], Any],
    n: int,
    groups: ArrayLike | None = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Quantity:
    """Any figure of the photos, with its percentile interval; see `resample` and `percentile_interval`.

    Args:
        statistic: maps weights (how often each photo counts, float [n]) to the figure, NaN if undefined.
        n: number of photos.
        groups: int or str [n], the group of each photo; None for independent photos.
        n_resamples: number of bootstrap samples.
        seed: the same seed gives the same interval.
    """
    if n == 0:
        return undefined(0)
    replicates = resample(statistic, n, groups, n_resamples=n_resamples, seed=seed)
    return percentile_interval(float(statistic(np.ones(n))), replicates, n, groups)


def spread(values: Sequence[float], n: int) -> Quantity:
    """The mean of repeated measurements, with the smallest and the largest as ends."""
    if not values:
        return Quantity(None, None, None, "undefined", 0)
    return Quantity(statistics.fmean(values), min(values), max(values), "range", n)
