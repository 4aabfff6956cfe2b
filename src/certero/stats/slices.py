"""Accuracy on slices of the test photos: by lighting, by hour, by camera."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.records.quantity import Quantity
from certero.records.scores import Part, Slice, WorstSlice
from certero.stats.intervals import FEWEST_GROUPS, LEVEL, degrees_of_freedom, group_codes, proportion
from certero.stats.many_tests import holm

Flags = NDArray[np.bool_]

#: A column with more values than hours in a day names photos rather than slices.
MOST_VALUES = 24
#: One photo at night, named wrongly, is no finding: parts of fewer photos are counted, not drawn and not compared.
FEWEST_PHOTOS = 10

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
    """Accuracy for each value of each column that divides the test photos into 2 to 24 parts, and whether it is worse.

    Small slices are kept and shown with their wide intervals. Photos without a value form a slice of their own, so the
    slices of a column always add up to all photos. See `worst_slice` for how they are compared.

    Args:
        correct: bool [n], whether the predicted label is the true one.
        groups: int or str [n], the group of each photo; None for independent photos.
        columns: by name of the slice, the value of each photo: str or None [n].

    Returns:
        By column, values sorted.
    """
    photos = _Photos.of(correct, groups)
    return tuple(
        Slice(
            part.name,
            part.value,
            part.n,
            photos.accuracy(part.inside),
            p,
            p is not None and p < 1 - LEVEL,
        )
        for part, p in _compared(photos, columns)
    )


def worst_slice(
    correct: ArrayLike, groups: ArrayLike | None, columns: Mapping[str, Sequence[str | None]]
) -> WorstSlice | None:
    """The slice of the photos that is most surely worse than the rest, given how many slices were compared.

    Each slice is compared with all other photos, one-sided: independent photos by Fisher's exact test, dependent ones
    by Student's t on the `degrees_of_freedom` of the differences between groups; where groups lie on one side each, by
    a score test, whose variance is that between all groups. Holm's correction over all slices. Neither side may have
    fewer than `FEWEST_PHOTOS`. `benchmarks/selection.py` simulates how often it names a part where none is worse.

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
    photos = _Photos.of(correct, groups)
    found = _compared(photos, columns)
    looked = [(p, part) for part, p in found if p is not None]
    alone = [part for part, _p in found if part.chance is None and part.lone and photos.share(part) < photos.rest(part)]
    lowest = min(alone, key=lambda part: (photos.share(part), part.name, str(part.value))) if alone else None
    if not looked:
        if lowest is None:
            return None
        return WorstSlice(photos.describe(lowest), looked_at=0, p=None, worse=False, untested=photos.describe(lowest))
    p, worst = min(looked, key=lambda item: (item[1].chance, item[1].name, str(item[1].value)))
    lower = lowest is not None and photos.share(lowest) < photos.share(worst)
    untested = photos.describe(lowest) if lowest is not None and lower else None
    return WorstSlice(photos.describe(worst), looked_at=len(looked), p=p, worse=p < 1 - LEVEL, untested=untested)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the photos.

    Args:
        name: of the slice.
        value: of the part.
        inside: bool [n].
        chance: how often a part that is like the rest would look so bad; None where that cannot be told.
        lone: it is photos enough, but of one group, or all others are.
    """

    name: str
    value: str | None
    inside: Flags
    chance: float | None = None
    lone: bool = False

    @property
    def n(self) -> int:
        """Photos in it."""
        return int(self.inside.sum())


@dataclass(frozen=True, slots=True)
class _Photos:
    """All photos: 1 where the label is right [n], the group of each as 0, 1, ... (None: independent), and how many."""

    hits: NDArray[np.float64]
    codes: NDArray[np.int64] | None
    groups: int

    @classmethod
    def of(cls, correct: ArrayLike, groups: ArrayLike | None) -> _Photos:
        hits = np.asarray(correct, dtype=np.float64)
        codes = group_codes(groups, len(hits))
        return cls(hits, codes, len(hits) if codes is None else int(codes.max()) + 1)

    @property
    def comparable(self) -> bool:
        """Whether parts of these photos can differ by more than chance at all."""
        return self.groups >= FEWEST_GROUPS and 0 < self.hits.mean() < 1

    def share(self, part: _Part) -> float:
        """The share of the part that is right."""
        return float(self.hits[part.inside].mean())

    def rest(self, part: _Part) -> float:
        """The share of all other photos that is right."""
        return float(self.hits[~part.inside].mean())

    def accuracy(self, inside: Flags) -> Quantity:
        """The share with its interval."""
        codes = None if self.codes is None else self.codes[inside]
        return proportion(self.hits[inside], codes, all_groups=None if self.codes is None else self.groups)

    def describe(self, part: _Part) -> Part:
        """The part beside the rest."""
        return Part(part.name, part.value, part.n, self.accuracy(part.inside), self.rest(part))

    def test(self, part: _Part) -> _Part:
        """The part with its chance, or whether it is alone."""
        hits, codes, size, n = self.hits, self.codes, part.n, len(self.hits)
        if part.value is None or min(size, n - size) < FEWEST_PHOTOS or not self.comparable:
            return part
        if codes is None:
            chance = _fisher(int(hits[part.inside].sum()), size, int(hits.sum()), n)
            return dataclasses.replace(part, chance=chance)
        within, beside = np.unique(codes[part.inside]), np.unique(codes[~part.inside])
        if min(len(within), len(beside)) < 2:
            return dataclasses.replace(part, lone=True)
        weights = np.where(part.inside, 1 / size, -1 / (n - size))
        difference = self.share(part) - self.rest(part)
        both = len(np.intersect1d(within, beside))
        crossed = both == len(within) and both >= FEWEST_GROUPS
        # Where each group of the part has other photos too, what groups have in common falls out of their differences.
        about = np.where(part.inside, self.share(part), self.rest(part)) if crossed else hits.mean()
        sums = np.bincount(codes, weights=(hits - about) * weights)
        count = both if crossed else self.groups
        variance = count / (count - 1) * float((sums**2).sum())
        # Photos of a group are never more unlike than independent ones.
        variance = max(variance, float(hits.var()) * (1 / size + 1 / (n - size)))
        return dataclasses.replace(part, chance=_tail(min(count - 1.0, degrees_of_freedom(sums)), difference, variance))


def _tail(degrees: float, difference: float, variance: float) -> float:
    from scipy.special import stdtr  # imported here, because it takes a while

    return float(stdtr(degrees, difference / np.sqrt(variance)))


def _compared(photos: _Photos, columns: Mapping[str, Sequence[str | None]]) -> list[tuple[_Part, float | None]]:
    """Every part, and how often one of so many would look so bad by chance, at most; None where it is not compared."""
    parts = [photos.test(_Part(*found)) for found in _parts(columns)]
    return list(zip(parts, holm([part.chance for part in parts]), strict=True))


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
