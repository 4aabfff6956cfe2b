"""Accuracy on slices of the test photos: by lighting, by hour, by camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.records.scores import Part, Slice, WorstSlice
from certero.stats.intervals import FEWEST_RESAMPLED, LEVEL, degrees_of_freedom, group_codes, proportion

#: A column with more values than hours in a day names photos rather than slices.
MOST_VALUES = 24

# Mean luma of a real barn camera's bed crops (caetec, 429 crops of one day): at most 0.21 by lamp light
# before dawn, 0.26 to 0.65 from nine to dusk, up to 0.98 while the low sun glares on the sand; shop photos:
# 0.29 to 0.58.
NIGHT_BELOW = 0.24
GLARE_ABOVE = 0.68


def lighting(brightness: ArrayLike) -> list[str | None]:
    """`night`, `day` or `glare` of each photo, by how bright it is, not by the clock; None if unknown.

    Args:
        brightness: float [n], mean luma 0 to 1; NaN or None if unknown.

    >>> lighting([0.1, 0.4, 0.9, float("nan")])
    ['night', 'day', 'glare', None]
    """
    luma = np.asarray(brightness, dtype=np.float64)
    return [
        None if np.isnan(x) else "night" if x < NIGHT_BELOW else "glare" if x > GLARE_ABOVE else "day" for x in luma
    ]


def hour(captured_at: Sequence[datetime | None] | NDArray[np.datetime64]) -> list[str | None]:
    """The hour of the day of each photo, `00:00` to `23:00`, by the camera's clock; None if unknown.

    Args:
        captured_at: naive datetimes or datetime64 [n]; None or NaT if unknown.

    >>> hour([datetime(2024, 1, 12, 5, 40), None])
    ['05:00', None]
    """
    hours = np.asarray(captured_at, dtype="datetime64[h]")
    return [None if np.isnat(when) else f"{when.astype(int) % 24:02d}:00" for when in hours]


def slice_rows(
    correct: ArrayLike, groups: ArrayLike | None, columns: Mapping[str, Sequence[str | None]]
) -> tuple[Slice, ...]:
    """Accuracy for each value of each column that divides the test photos into 2 to 24 parts.

    Small slices are kept and shown with their wide intervals. Photos without a value form a slice of their own, so the
    slices of a column always add up to all photos.

    Args:
        correct: bool [n], whether the predicted label is the true one.
        groups: int or str [n], the group of each photo; None for independent photos.
        columns: by name of the slice, the value of each photo: str or None [n].

    Returns:
        By column, values sorted.
    """
    hits = np.asarray(correct, dtype=bool)
    codes = group_codes(groups, len(hits))
    count = None if codes is None else int(codes.max()) + 1
    return tuple(
        Slice(
            name,
            value,
            int(inside.sum()),
            proportion(hits[inside], None if codes is None else codes[inside], all_groups=count),
        )
        for name, value, inside in _parts(columns)
    )


def worst_slice(
    correct: ArrayLike, groups: ArrayLike | None, columns: Mapping[str, Sequence[str | None]]
) -> WorstSlice | None:
    """The slice of the photos that is most surely worse than the rest, given how many slices were compared.

    Each slice is compared with all other photos, one-sided: independent photos by Fisher's exact test, dependent ones
    by a score test whose variance is that between groups, Student's t on the `degrees_of_freedom`. Holm's correction
    over all slices.

    Args:
        correct: bool [n], whether the predicted label is the true one.
        groups: int or str [n], the group of each photo; None for independent photos.
        columns: as for `slice_rows`; photos without a value form no slice.

    Returns:
        The slice; its p is an upper bound, and it is worse if that is below 0.05. Nobody can tell whether a slice of a
        single group is worse or its group is low by chance: the lowest such slice is `untested` if it is even lower.
        None without slices, or with too few groups to compare.

    Source: R. A. Fisher, Journal of the Royal Statistical Society 98 (1935), 39-82; J. N. K. Rao, A. J. Scott,
    Biometrics 48 (1992), 577-585 (a test of shares with the variance between clusters); S. Holm, Scandinavian
    Journal of Statistics 6 (1979), 65-70.
    """
    from scipy.special import stdtr  # imported here, because it takes a while

    hits = np.asarray(correct, dtype=np.float64)
    n = len(hits)
    codes = group_codes(groups, n)
    count = n if codes is None else int(codes.max()) + 1
    if count < FEWEST_RESAMPLED or not 0 < hits.mean() < 1:
        return None
    residuals = hits - hits.mean()
    looked: list[tuple[float, str, str, NDArray[np.bool_]]] = []
    alone: list[tuple[float, str, str, NDArray[np.bool_]]] = []
    for name, value, inside in _parts(columns):
        if value is None:
            continue
        size = int(inside.sum())
        if codes is None:
            chance = _fisher(int(hits[inside].sum()), size, int(hits.sum()), n)
        elif min(len(np.unique(codes[inside])), len(np.unique(codes[~inside]))) < 2:
            if (share := float(hits[inside].mean())) < float(hits[~inside].mean()):
                alone.append((share, name, value, inside))
            continue
        else:
            sums = np.bincount(codes, weights=residuals * np.where(inside, 1 / size, -1 / (n - size)))
            spread = float(np.sqrt(count / (count - 1) * (sums**2).sum()))
            chance = float(stdtr(degrees_of_freedom(sums), sums.sum() / spread)) if spread > 0 else 0.5
        looked.append((chance, name, value, inside))

    def describe(name: str, value: str, inside: NDArray[np.bool_]) -> Part:
        part = None if codes is None else codes[inside]
        accuracy = proportion(hits[inside], part, all_groups=None if codes is None else count)
        return Part(name, value, int(inside.sum()), accuracy, float(hits[~inside].mean()))

    lowest = min(alone, key=lambda part: part[:3])[1:] if alone else None
    if not looked:
        if lowest is None:
            return None
        return WorstSlice(describe(*lowest), looked_at=0, p=None, worse=False, untested=describe(*lowest))
    chance, name, value, inside = min(looked, key=lambda part: part[:3])
    p = min(1.0, chance * len(looked))
    found = describe(name, value, inside)
    share = float(hits[inside].mean())
    lower = lowest is not None and float(hits[lowest[2]].mean()) < share
    untested = describe(*lowest) if lowest is not None and lower else None
    return WorstSlice(found, looked_at=len(looked), p=p, worse=p < 1 - LEVEL, untested=untested)


def _fisher(hits_inside: int, inside: int, hits: int, n: int) -> float:
    """The probability of so few hits or fewer in a part, if hits were spread at random."""
    from scipy.special import gammaln

    def ways(total: int, chosen: NDArray[np.int64] | int) -> NDArray[np.float64]:
        logs: NDArray[np.float64] = gammaln(total + 1) - gammaln(np.add(chosen, 1)) - gammaln(total - chosen + 1)
        return logs

    few = np.arange(max(0, inside + hits - n), hits_inside + 1)
    return min(1.0, float(np.exp(ways(hits, few) + ways(n - hits, inside - few) - ways(n, inside)).sum()))


def _parts(columns: Mapping[str, Sequence[str | None]]) -> Iterator[tuple[str, str | None, NDArray[np.bool_]]]:
    """Each slice of each column with 2 to 24 of them: its name, value and bool [n]."""
    for name, values in columns.items():
        distinct = sorted(set(values), key=lambda value: (value is None, value or ""))
        if not 2 <= len(distinct) <= MOST_VALUES:
            continue
        numbers = {value: number for number, value in enumerate(distinct)}
        cells = np.array([numbers[value] for value in values])
        for value, number in numbers.items():
            yield name, value, cells == number
