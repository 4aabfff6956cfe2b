"""Several tests made at once: p values and intervals adjusted for how many there are."""

from __future__ import annotations

from collections.abc import Sequence

from certero.records.quantity import Quantity
from certero.stats.intervals import LEVEL, trials_behind


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Each p value adjusted for the number of tests made at once; None stays None and is not counted.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    asked = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(asked):
        highest = max(highest, min(1.0, p * (len(asked) - rank)))
        adjusted[place] = highest
    return adjusted


def widened(quantity: Quantity, tests: int) -> tuple[float, float] | None:
    """The interval of a share that may be the most extreme of so many; None without interval.

    The chance that any of them misses the truth at its end is that of one ordinary interval. The exact binomial
    interval takes the place of Wilson's, which is too narrow this far out where a share is near 0 or 1.

    Args:
        quantity: a share.
        tests: how many are looked at, 1 and more.

    Source: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934), 404-413, with C. E. Bonferroni's correction.

    >>> [round(end, 2) for end in widened(Quantity(0.8, 0.61, 0.91, "wilson", 25), 36)]
    [0.47, 0.97]
    """
    ends, trials = quantity.interval, trials_behind(quantity)
    if ends is None or quantity.value is None:
        return None
    if trials is None or tests < 2:
        return ends
    from scipy.special import betaincinv

    tail, hits = (1 - LEVEL) / 2 / tests, quantity.value * trials
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return min(low, ends[0]), max(high, ends[1])
