"""What groups that were not met may do to a weighted mean: room beside its bootstrap interval.

The report's page repeats these sums when a slider moves (`report/templates/value.js`), so they are kept plain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certero.stats.beta_binomial import posterior_interval
from certero.stats.intervals import FEWEST_TO_SEE_RARE, LEVEL, one_more_group

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grouped:
    """A feature of n photos in groups, perhaps per unit of another, and the strata in which weights sum to one.

    Args:
        feature: float [n].
        over: float [n], what the mean is divided by the mean of; ones for a plain mean.
        units: int [n], group of each photo.
        place: int [n], stratum of each photo; -1 for one that does not count.
        share: float [strata], expected share of each.
    """

    feature: Floats
    over: Floats
    units: Integers
    place: Integers
    share: Floats


def room(grouped: Grouped, least: float, most: float) -> tuple[float, float]:
    """How far below and above the weighted mean the posteriors of the strata reach.

    In each stratum the feature, between the least and the greatest that was seen, counts as a share of hits; the
    distances to the ends of `posterior_interval` are added as standard errors are, strata that come from the same
    groups as if they failed together. Below FEWEST_TO_SEE_RARE groups there is room for one more group, too, with
    nothing but the least or the greatest in it.

    Args:
        grouped: the photos.
        least: the least that the feature can be, used where all photos have one value.
        most: the greatest.
    """
    inside = (grouped.place >= 0) & (grouped.over > 0)
    if not inside.any():
        return 0.0, 0.0
    seen = grouped.feature[inside] / grouped.over[inside]
    if seen.max() - seen.min() > 1e-12 * max(1.0, abs(float(seen.max()))):
        least, most = float(seen.min()), float(seen.max())
    span = most - least
    if not 0 < span < math.inf:
        return 0.0, 0.0
    groups = int(grouped.units.max()) + 1
    photos, below = _below(grouped)
    fallen, risen, sizes_of, mean = [], [], [], 0.0
    for stratum, share in enumerate(grouped.share.tolist()):
        mine = grouped.place == stratum
        sizes = np.bincount(grouped.units[mine], weights=grouped.over[mine], minlength=groups)
        there = sizes > 0
        if share <= 0 or not there.any():
            continue
        parts = (grouped.feature[mine] - least * grouped.over[mine]) / span
        hits = np.clip(np.bincount(grouped.units[mine], weights=parts, minlength=groups), 0.0, sizes)
        low, high = posterior_interval(hits[there], sizes[there], LEVEL)
        value, weight = hits.sum() / sizes.sum(), share * sizes.sum() / photos[stratum] / below * span
        mean += weight * value
        fallen.append(weight * max(0.0, value - low))
        risen.append(weight * max(0.0, high - value))
        sizes_of.append(sizes / math.sqrt(float((sizes**2).sum())))
    together = np.array(sizes_of) @ np.array(sizes_of).T
    down, up = (math.sqrt(float(np.array(ends) @ together @ np.array(ends))) for ends in (fallen, risen))
    sizes = np.bincount(grouped.units[inside], weights=grouped.over[inside], minlength=groups)
    if (sizes > 0).sum() >= FEWEST_TO_SEE_RARE:
        return down, up
    more = one_more_group(sizes)
    # The mean of hits is that of the feature above its least.
    return down + more * mean, up + more * (span - mean)


def _below(grouped: Grouped) -> tuple[Floats, float]:
    """Photos of each stratum, and the weighted mean of what is divided by."""
    counts = np.bincount(grouped.place[grouped.place >= 0], minlength=len(grouped.share)).astype(np.float64)
    inside = grouped.place >= 0
    sums = np.bincount(grouped.place[inside], weights=grouped.over[inside], minlength=len(grouped.share))
    return counts, float((grouped.share * sums / np.maximum(counts, 1)).sum())


def make_room(values: Floats, value: float, down: float, up: float) -> Floats:
    """Plausible values of a figure, in rising order, spread so that their percentiles reach the room on both sides.

    Args:
        values: float [resamples], NaN where undefined.
        value: the figure.
        down: how far below the 2.5th percentile must lie at least.
        up: how far above the 97.5th.
    """
    defined = np.sort(values[~np.isnan(values)])
    spread = values.copy()
    if len(defined) < 2 or not math.isfinite(value):
        return spread
    rank = (np.arange(len(defined)) / (len(defined) - 1) - 0.5) / (LEVEL / 2)
    defined = np.where(rank < 0, np.minimum(defined, value + down * rank), np.maximum(defined, value + up * rank))
    spread[: len(defined)], spread[len(defined) :] = defined, np.nan
    return spread
