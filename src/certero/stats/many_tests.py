"""Several tests made at once: p values adjusted for how many there are."""

from __future__ import annotations

from collections.abc import Sequence


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
