"""A share of photos that come in groups, where groups differ: the posterior of a beta-binomial model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

# Correlation within groups, on which the prior is uniform: 0 would be independent photos, 1 groups that repeat one.
_CORRELATIONS = np.r_[0.002, np.linspace(0.02, 0.98, 25)]
# The share on the logit scale: first over the whole range, then where the posterior lies.
_RANGE, _COARSE, _FINE = 16.0, 161, 181
_NEGLIGIBLE = 1e-7


def posterior_interval(hits: ArrayLike, sizes: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The central interval of the posterior of the share, (low, high), both strictly between 0 and 1.

    Hits in a group of m photos are beta-binomial: each group has a share of its own, drawn from a beta distribution
    with mean p and correlation rho. The prior is Beta(1/2, 1/2) on p and uniform on rho.

    Args:
        hits: int [groups], photos counted in each group.
        sizes: int [groups], photos in each group, all above 0.
        level: posterior probability of the interval, 0 to 1.

    Source: D. A. Williams, Biometrics 31 (1975), 949-952, for the likelihood; H. Jeffreys' prior of a share.

    >>> [round(end, 3) for end in posterior_interval([9, 10, 10], [10, 10, 10])]
    [0.533, 0.993]
    """
    counted, there = np.asarray(hits, dtype=np.int64), np.asarray(sizes, dtype=np.int64)
    logits = np.linspace(-_RANGE, _RANGE, _COARSE)
    below = _cumulative(logits, counted, there)
    first = max(0, int(np.searchsorted(below, _NEGLIGIBLE)) - 1)
    last = min(len(logits) - 1, int(np.searchsorted(below, 1 - _NEGLIGIBLE)) + 1)
    logits = np.linspace(logits[first], logits[last], _FINE)
    below = _cumulative(logits, counted, there)
    tail = (1 - level) / 2
    low, high = (_sigmoid(np.interp([tail, 1 - tail], below, logits))).tolist()
    return low, high


def _cumulative(logits: Floats, hits: Integers, sizes: Integers) -> Floats:
    """Posterior probability [n] that the logit of the share is at most each of these, in rising order."""
    posterior = _log_likelihood(_sigmoid(logits), hits, sizes)
    # The prior on the scale of the logits: Beta(1/2, 1/2) times the slope p(1 - p).
    posterior += 0.5 * (_log_sigmoid(logits) + _log_sigmoid(-logits))[:, None]
    density = np.exp(posterior - posterior.max()).sum(axis=1)
    steps = (density[1:] + density[:-1]) / 2
    below = np.r_[0.0, np.cumsum(steps)]
    normal: Floats = below / below[-1]
    return normal


def _log_likelihood(shares: Floats, hits: Integers, sizes: Integers) -> Floats:
    """Log likelihood [shares, correlations] but for a constant.

    B(k + a, m - k + b) / B(a, b) is a product of k factors (a + i), m - k factors (b + i) and, below, m factors
    (a + b + i). Over all groups the factor (a + i) stands as often as groups have more than i hits.
    """
    strength = 1 / _CORRELATIONS - 1
    a, b = shares[:, None] * strength, (1 - shares)[:, None] * strength
    total: Floats = _log_rising(a, hits) + _log_rising(b, sizes - hits) - _log_rising(strength, sizes)
    return total


def _log_rising(base: Floats, counts: Integers) -> Floats:
    """Sum over groups of log(base (base + 1) ... (base + count - 1)), of the shape of `base`."""
    most = int(counts.max(initial=0))
    values, often = np.unique(counts[counts > 0], return_counts=True)
    total = np.zeros_like(base)
    if most > 8 * len(values):
        from scipy.special import gammaln

        for value, times in zip(values.tolist(), often.tolist(), strict=True):
            total += times * (gammaln(base + value) - gammaln(base))
        return total
    beyond = len(counts) - np.cumsum(np.bincount(counts, minlength=most + 1))
    for number, times in enumerate(beyond[:most].tolist()):
        total += times * np.log(base + number)
    return total


def _sigmoid(logits: Floats) -> Floats:
    share: Floats = 1 / (1 + np.exp(-logits))
    return share


def _log_sigmoid(logits: Floats) -> Floats:
    log: Floats = -np.logaddexp(0.0, -logits)
    return log
