"""Whether photos whose names belong together are more alike than others of their class: permutation tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

#: Distances in a row at which likeness is shown.
DISTANCES = (1, 2, 3, 5, 10, 20, 50)
# Those that are held against chance.
_NEAR = (1, 2, 3)
_PERMUTATIONS, _ENOUGH = 199, 10
# Photos of a long row that are looked at, the first so many, without gaps; and in all rows.
_LONGEST, _MOST = 600, 3000


def within_families(
    features: Floats, families: Integers, classes: Integers, seed: int = 0
) -> tuple[float, float, float] | None:
    """Mean likeness within families, that of photos of one class shuffled over the families, and how often chance does
    as well.

    Args:
        features: [n, d] of length 1; likeness is the cosine.
        families: of each photo, -1 for none.
        classes: of each photo; only photos of one class are shuffled among each other.
        seed: of the shuffling.

    Returns:
        (within, shuffled, p); None where no two photos of a class are of one family, or nothing is left to shuffle.
    """
    rows = np.flatnonzero(families >= 0)
    left, right = _pairs_within(families[rows], classes[rows])
    if not len(left):
        return None
    vectors, of_class = features[rows], classes[rows]

    def likeness(order: Integers) -> float:
        return float(np.einsum("pd,pd->p", vectors[order[left]], vectors[order[right]]).mean())

    return _held_against_chance(likeness, of_class, np.random.default_rng(seed))


def along_rows(
    features: Floats, rows: Integers, classes: Integers, places: Integers, seed: int = 0
) -> tuple[list[tuple[int, float]], float, float] | None:
    """Mean likeness at growing distances in a row, that in shuffled rows, and how often chance does as well.

    Args:
        features: [n, d] of length 1.
        rows: the row that each photo stands in, -1 for none.
        classes: of each photo: neighbours are neighbours of one class.
        places: of each photo, where it comes in any order of all.
        seed: of the shuffling.

    Returns:
        ([(distance, likeness)], shuffled, p); None where no row is long enough.
    """
    sequences = _sequences(rows, classes, places)
    if not sequences:
        return None
    order = np.concatenate(sequences)
    vectors, of_row = features[order], np.repeat(np.arange(len(sequences)), [len(each) for each in sequences])
    inside = {
        distance: np.flatnonzero(of_row[distance:] == of_row[:-distance])
        for distance in DISTANCES
        if distance < len(order)
    }

    def at(distance: int, shuffled: Integers) -> npt.NDArray[np.float32]:
        left = inside.get(distance, np.zeros(0, np.int64))
        return np.asarray(np.einsum("pd,pd->p", vectors[shuffled[left]], vectors[shuffled[left + distance]]))

    def near(shuffled: Integers) -> float:
        return float(np.concatenate([at(distance, shuffled) for distance in _NEAR]).mean())

    found = _held_against_chance(near, of_row, np.random.default_rng(seed))
    if found is None:
        return None
    as_named = np.arange(len(order))
    curve = [(d, float(at(d, as_named).mean())) for d in inside if len(inside[d]) >= _LEAST_PAIRS]
    return curve, found[1], found[2]


# A mean of fewer pairs is none, nor is a row of fewer photos.
_LEAST_PAIRS, _SHORTEST = 8, 5


def lift(alike: float, shuffled: float) -> float:
    """The share of what is missing to equal photos that belonging together makes up, 0 to 1."""
    return max(0.0, (alike - shuffled) / max(1 - shuffled, 1e-9))


def _held_against_chance(
    statistic: Callable[[Integers], float], within: Integers, rng: np.random.Generator
) -> tuple[float, float, float] | None:
    observed = statistic(np.arange(len(within)))
    members = [np.flatnonzero(within == code) for code in np.unique(within)]
    if max(map(len, members)) < 3:
        return None
    drawn: list[float] = []
    better = 0
    # Where chance does as well ten times, no more need be drawn (J. Besag, P. Clifford, Biometrika 78 (1991), 301-304).
    while len(drawn) < _PERMUTATIONS and better < _ENOUGH:
        order = np.arange(len(within))
        for rows in members:
            order[rows] = rng.permutation(rows)
        drawn.append(statistic(order))
        better += drawn[-1] >= observed
    p = better / len(drawn) if better == _ENOUGH else (1 + better) / (1 + len(drawn))
    return observed, float(np.mean(drawn)), p


def _pairs_within(families: Integers, classes: Integers) -> tuple[Integers, Integers]:
    """Pairs of one family and class: each photo and the next two, so that large families do not outweigh all."""
    order = np.lexsort((classes, families))
    left, right = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for step in (1, 2):
        one, two = order[:-step], order[step:]
        same = (families[one] == families[two]) & (classes[one] == classes[two])
        left.append(one[same])
        right.append(two[same])
    return np.concatenate(left), np.concatenate(right)


def _sequences(rows: Integers, classes: Integers, places: Integers) -> list[Integers]:
    """Photos of one row and class, in their order."""
    kept = np.flatnonzero(rows >= 0)
    order = kept[np.lexsort((places[kept], classes[kept], rows[kept]))]
    if not len(order):
        return []
    breaks = np.flatnonzero((np.diff(rows[order]) != 0) | (np.diff(classes[order]) != 0)) + 1
    parts: Sequence[Integers] = np.split(order, breaks)
    long = [part[:_LONGEST] for part in parts if len(part) >= _SHORTEST]
    upto = np.cumsum([len(part) for part in long])
    return [part for part, end in zip(long, upto.tolist(), strict=True) if end <= _MOST or end == len(part)]
