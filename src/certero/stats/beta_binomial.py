"""A share of photos that come in groups, where groups differ: the posterior of a beta-binomial model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_Tally: TypeAlias = tuple[tuple[int, ...], tuple[float, ...]]

# Correlation within groups, on which the prior is uniform: 0 would be independent photos, 1 groups that repeat one.
_CORRELATIONS = np.r_[0.002, np.linspace(0.02, 0.98, 25)]
# Enough of them to see where the posterior lies.
_SOME_CORRELATIONS = _CORRELATIONS[[0, 1, 2, 4, 7, 12, 18, 25]]
# The share on the logit scale: first over the whole range, closer twice, then where the posterior lies.
_RANGE, _COARSE, _FINE = 16.0, 41, 121
_NEGLIGIBLE = 1e-7
# So many factors of at most some 10,000 are multiplied before a logarithm is taken: far from what overflows.
_FACTORS = 50


def posterior_interval(hits: ArrayLike, sizes: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The central interval of the posterior of the share, (low, high), both strictly between 0 and 1.

    Hits in a group of m photos are beta-binomial: each group has a share of its own, drawn from a beta distribution
    with mean p and correlation rho. The prior is Beta(1/2, 1/2) on p and uniform on rho.

    Args:
        hits: int or float [groups], photos counted in each group; a sum of parts of photos need not be whole.
        sizes: int [groups], photos in each group, all above 0.
        level: posterior probability of the interval, 0 to 1.

    Source: D. A. Williams, Biometrics 31 (1975), 949-952, for the likelihood; H. Jeffreys' prior of a share.

    >>> [round(end, 2) for end in posterior_interval([9, 10, 10], [10, 10, 10])]
    [0.53, 0.99]
    """
    counted, there = np.asarray(hits, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    return _interval(_tally(counted), _tally(there - counted), _tally(there), level)


# Classes, thresholds and slices repeat each other's groups, in whatever order.
@functools.lru_cache(maxsize=1024)
def _interval(hits: _Tally, misses: _Tally, sizes: _Tally, level: float) -> tuple[float, float]:
    counted, missed, there = (
        _Counts(np.array(values, dtype=np.int64), np.array(often)) for values, often in (hits, misses, sizes)
    )
    logits = np.linspace(-_RANGE, _RANGE, _COARSE)
    for points in (_COARSE, _FINE):
        below = _cumulative(logits, (counted, missed, there), _SOME_CORRELATIONS)
        first = max(0, int(np.searchsorted(below, _NEGLIGIBLE)) - 1)
        last = min(len(logits) - 1, int(np.searchsorted(below, 1 - _NEGLIGIBLE)) + 1)
        logits = np.linspace(logits[first], logits[last], points)
    below = _cumulative(logits, (counted, missed, there), _CORRELATIONS)
    tail = (1 - level) / 2
    low, high = (_sigmoid(np.interp([tail, 1 - tail], below, logits))).tolist()
    return low, high


@dataclass(frozen=True, slots=True)
class _Counts:
    """Distinct numbers of photos in groups, rising and above 0, and how many groups have each."""

    values: Integers
    often: Floats


def _tally(counts: Floats) -> _Tally:
    """Distinct numbers and how often each stands; half a hit is a hit that is there half the time, half a miss."""
    whole = np.floor(counts + 1e-9)
    part = np.maximum(counts - whole, 0.0)
    often = np.bincount(whole.astype(np.int64), weights=1 - part, minlength=int(whole.max()) + 2)
    often += np.bincount(whole.astype(np.int64) + 1, weights=part, minlength=len(often))
    values = np.flatnonzero(often[1:] > 1e-9) + 1
    return tuple(values.tolist()), tuple(often[values].tolist())


def _cumulative(logits: Floats, counts: tuple[_Counts, _Counts, _Counts], correlations: Floats) -> Floats:
    """Posterior probability [n] that the logit of the share is at most each of these, in rising order."""
    posterior = _log_likelihood(_sigmoid(logits), counts, correlations)
    # The prior on the scale of the logits: Beta(1/2, 1/2) times the slope p(1 - p).
    posterior += 0.5 * (_log_sigmoid(logits) + _log_sigmoid(-logits))[:, None]
    density = np.exp(posterior - posterior.max()).sum(axis=1)
    steps = (density[1:] + density[:-1]) / 2
    below = np.r_[0.0, np.cumsum(steps)]
    normal: Floats = below / below[-1]
    return normal


def _log_likelihood(shares: Floats, counts: tuple[_Counts, _Counts, _Counts], correlations: Floats) -> Floats:
    """Log likelihood [shares, correlations] but for a constant; hits, misses and sizes of the groups are given.

    B(k + a, m - k + b) / B(a, b) is a product of k factors (a + i), m - k factors (b + i) and, below, m factors
    (a + b + i).
    """
    hits, misses, sizes = counts
    strength = 1 / correlations - 1
    a, b = shares[:, None] * strength, (1 - shares)[:, None] * strength
    total: Floats = _log_rising(a, hits) + _log_rising(b, misses) - _log_rising(strength, sizes)
    return total


def _log_rising(base: Floats, counts: _Counts) -> Floats:
    """Sum over groups of log(base (base + 1) ... (base + count - 1)), of the shape of `base`."""
    values = counts.values
    total = np.zeros_like(base)
    if len(values) and values[-1] > _FACTORS * (1 + len(values)):
        from scipy.special import gammaln

        start = gammaln(base)
        for value, times in zip(values.tolist(), counts.often.tolist(), strict=True):
            total += times * (gammaln(base + value) - start)
        return total
    product, done, log = np.ones_like(base), 0, np.zeros_like(base)
    for value, times in zip(values.tolist(), counts.often.tolist(), strict=True):
        while done < value:
            upto = min(value, done + _FACTORS)
            for number in range(done, upto):
                product *= base + number
            log += np.log(product)
            product.fill(1.0)
            done = upto
        total += times * log
    return total


def _sigmoid(logits: Floats) -> Floats:
    share: Floats = 1 / (1 + np.exp(-logits))
    return share


def _log_sigmoid(logits: Floats) -> Floats:
    log: Floats = -np.logaddexp(0.0, -logits)
    return log
