"""Intervals of figures that are no plain shares of photos, as areas under curves, from the influence of each photo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.records.quantity import Quantity
from certero.stats.beta_binomial import posterior_interval
from certero.stats.intervals import (
    FEWEST_GROUPS,
    LEVEL,
    degrees_of_freedom,
    group_codes,
    student_quantile,
    undefined,
    wilson,
)

Floats = NDArray[np.float64]

#: The loss of a photo whose true class gets a probability of 1 in 1,000.
SURE_AND_WRONG = math.log(1000)


@dataclass(frozen=True, slots=True)
class Pulled:
    """A figure between 0 and 1 that is no plain share of photos.

    Args:
        value: the figure; NaN if undefined.
        influence: float [n], derivative of the figure with respect to each photo's weight; sums to 0.
        n_rare: photos of the rarer of the kinds compared.
        parts: float [n], between 0 and 1, of the photos whose mean the figure is; NaN for the others.
    """

    value: float
    influence: Floats
    n_rare: int
    parts: Floats


def linearised(figure: Pulled, groups: ArrayLike | None = None) -> Quantity:
    """The interval of a figure that is not a plain share of photos, from the influence of each photo.

    The variance between groups (or photos) of the summed influences gives the effective sample size, the number of
    independent trials from which a share would be known as well; Wilson's interval on it stays within 0 and 1. A figure
    of 0 or 1, which no photo influences, counts as if it rested on the photos of the rarer kind alone, or on as many
    groups. For groups it is joined, as in `proportion`, with the posterior of the parts, which knows in how few groups
    a rare class is.

    Args:
        figure: of n photos.
        groups: int or str [n], the group of each photo; None for independent photos.

    Source: linearisation, D. A. Binder, International Statistical Review 51 (1983), 279-292. For the area under a
    ROC curve it is the variance of N. A. Obuchowski, Biometrics 53 (1997), 567-578, for independent photos that of
    E. R. DeLong et al., Biometrics 44 (1988), 837-845.
    """
    value, n = figure.value, len(figure.influence)
    if not math.isfinite(value):
        return undefined(n)
    codes = group_codes(groups, n)
    residuals = figure.influence if codes is None else np.bincount(codes, weights=figure.influence)
    count = len(residuals)
    counts = ~np.isnan(figure.parts)
    sizes = None if codes is None else np.bincount(codes[counts], minlength=count)
    if sizes is not None and (count < FEWEST_GROUPS or (sizes > 0).sum() < 2):
        return undefined(n, "too_few_groups", value)
    variance = count / max(1, count - 1) * float((residuals**2).sum())
    if 1e-9 < value < 1 - 1e-9 and variance > 0:
        trials = value * (1 - value) / variance
        degrees = degrees_of_freedom(residuals)
    else:
        trials = float(min(figure.n_rare, count))
        degrees = max(1.0, trials - 1)
    if trials <= 0:
        return undefined(n, "undefined", value)
    low, high = wilson(value, trials, student_quantile(degrees))
    if codes is None or sizes is None:
        return Quantity(value, low, high, "linearised", n)
    there = sizes > 0
    hits = np.bincount(codes[counts], weights=figure.parts[counts], minlength=count)
    lower, higher = posterior_interval(hits[there], sizes[there], LEVEL)
    return Quantity(value, min(low, lower), max(high, higher), "grouped_linearised", n)


def mean_loss(losses: Floats, groups: ArrayLike) -> Quantity:
    """The mean of losses of dependent photos: numbers of 0 and more, most of them small.

    Student's t on the scale of logarithms, since losses are skewed, with the variance between groups; joined, as a
    share of SURE_AND_WRONG, with the posterior, which allows for bad groups that are rare.

    Args:
        losses: float [n], n above 0.
        groups: int or str [n].
    """
    n, value = len(losses), float(losses.mean())
    codes = group_codes(groups, n)
    codes = np.arange(n) if codes is None else codes
    sizes = np.bincount(codes)
    count = len(sizes)
    if count < FEWEST_GROUPS:
        return undefined(n, "too_few_groups", value)
    residuals = (np.bincount(codes, weights=losses) - value * sizes) / n
    error = math.sqrt(count / (count - 1) * float((residuals**2).sum()))
    reach = student_quantile(degrees_of_freedom(residuals)) * error / value if value > 0 else 0.0
    parts = np.bincount(codes, weights=np.minimum(losses / SURE_AND_WRONG, 1.0))
    lower, higher = (SURE_AND_WRONG * end for end in posterior_interval(parts, sizes, LEVEL))
    low, high = min(value * math.exp(-reach), lower), max(value * math.exp(min(reach, 700.0)), higher)
    return Quantity(value, low, high, "grouped_linearised", n)
