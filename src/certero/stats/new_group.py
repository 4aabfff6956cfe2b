"""What one new day, or one new place, may bring: an interval for the accuracy of a group that nobody has seen."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from certero.records.quantity import Quantity
from certero.stats.beta_binomial import posterior_interval
from certero.stats.intervals import group_codes, student_quantile, undefined

# From two groups alone nothing can be said of the next: k - 2 degrees of freedom.
_FEWEST_GROUPS = 3


def predict_new_group(successes: ArrayLike, groups: ArrayLike) -> Quantity:
    """The share of successes to expect of one further group, and the range that 19 of 20 such groups fall into.

    The mean of several days is known better than any one day: this interval does not shrink to nothing as days are
    added. It is about what the day would show with very many photos: on a few, chance adds its own spread. Groups count
    alike, whatever their size. The value is the middle of the range, which is never narrower than what is known of the
    mean: that of the beta-binomial posterior.

    Args:
        successes: bool or float 0 to 1 [n].
        groups: int or str [n], the day or place of each photo.

    Returns:
        `method` is `new_group`, or `too_few_groups` where the spread between groups cannot be estimated.

    Source: J. P. T. Higgins, S. G. Thompson, D. J. Spiegelhalter, Journal of the Royal Statistical Society A 172
    (2009), 137-159, section 4.1, equation 12: mean ± t(k - 2) s sqrt(1 + 1/k), here of the groups' empirical logits
    (D. R. Cox, Analysis of Binary Data (1970), section 3.2: half a photo is added to both sides).

    >>> right = np.repeat([1, 0, 1, 0, 1, 0, 1, 0], [48, 2, 46, 4, 49, 1, 47, 3])
    >>> expected = predict_new_group(right, np.repeat(["mon", "tue", "wed", "thu"], 50))
    >>> [round(end, 2) for end in (expected.low, expected.value, expected.high)]
    [0.61, 0.95, 0.99]
    """
    hits = np.asarray(successes, dtype=np.float64)
    n = len(hits)
    if n == 0:
        return undefined(0)
    codes = group_codes(groups, n)
    if codes is None:
        codes = np.arange(n)
    sizes = np.bincount(codes)
    count = len(sizes)
    if count < _FEWEST_GROUPS:
        return undefined(n, "too_few_groups", float(hits.mean()))
    right = np.bincount(codes, weights=hits)
    logits = np.log((right + 0.5) / (sizes - right + 0.5))
    middle = float(logits.mean())
    half = student_quantile(max(1, count - 2)) * float(logits.std(ddof=1)) * math.sqrt(1 + 1 / count)
    value, low, high = (1 / (1 + math.exp(-logit)) for logit in (middle, middle - half, middle + half))
    # Days that all agree leave no spread, and one day is never known better than their mean.
    lower, higher = posterior_interval(right, sizes)
    return Quantity(value, min(low, lower), max(high, higher), "new_group", n)
