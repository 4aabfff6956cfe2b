"""Families of names held against the photos: evidence to look at, and the `--group-by` that acts on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from certero.data.families import Named, in_blocks, natural_key, read_names
from certero.data.patterns import match_all
from certero.errors import SplitError
from certero.records.names import NameFamily
from certero.stats.families import along_rows, lift, within_families

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Chance does as well in at most so many cases, and belonging together makes up so much of what is missing to equality:
# of names in no order 1 % and fewer pass.
_CHANCE, _LEAST_LIFT = 0.01, 0.1
# A row has faded where so much of the likeness of neighbours is left.
_FADED = 0.2
# A proposal must leave so many groups.
_FEWEST_GROUPS = 10
_EXAMPLES = 6


def look_at_names(
    paths: Sequence[str], labels: Sequence[str | None], splits: Sequence[str | None], features: NDArray[np.float32]
) -> tuple[NameFamily, ...]:
    """The ways in which the names tell families, each with what the photos say to it.

    Args:
        paths: of n photos, as the data name them.
        labels: of the same photos.
        splits: given ones.
        features: float32 [n, d] of length 1, as `neighbours.reduced` gives them.
    """
    classes = _numbered(labels)
    ranked = sorted(range(len(paths)), key=lambda row: natural_key(paths[row]))
    places = np.empty(len(paths), np.int64)
    places[ranked] = np.arange(len(paths))
    found = [_judge(named, paths, splits, features, classes, places) for named in read_names(paths)]
    return tuple(each for each in found if each is not None)


def _judge(
    named: Named,
    paths: Sequence[str],
    splits: Sequence[str | None],
    features: NDArray[np.float32],
    classes: NDArray[np.int64],
    places: NDArray[np.int64],
) -> NameFamily | None:
    groups = _numbered(named.group)
    curve: list[tuple[int, float]] = []
    if named.scheme == "sequence":
        row = along_rows(features, groups, classes, places)
        if row is None or not row[0]:
            return None
        curve, shuffled, p = row
        alike = curve[0][1]
    else:
        # Of one face with and without a mask the names cross classes; of other families, hardly any does.
        inside = np.zeros_like(classes) if named.scheme == "versions" and _crosses(groups, classes) else classes
        held = within_families(features, groups, inside)
        if held is None:
            return None
        alike, shuffled, p = held
    related = p <= _CHANCE and lift(alike, shuffled) >= _LEAST_LIFT
    group_by = _proposal(named, paths, groups, curve, shuffled) if related else None
    return NameFamily(
        scheme=named.scheme,
        photos=int((groups >= 0).sum()),
        families=int(groups.max()) + 1,
        alike=round(alike, 4),
        shuffled=round(shuffled, 4),
        p=round(p, 4),
        related=related,
        curve=tuple((float(distance), round(value, 4)) for distance, value in curve),
        group_by=group_by,
        groups=None if group_by is None else len(set(_grouped(group_by, paths) or [])),
        parted=None if named.scheme == "sequence" or not any(splits) else _parted(groups, splits),
        examples=_examples(named, paths, groups, places),
    )


def _numbered(values: Sequence[str | None]) -> NDArray[np.int64]:
    """A number for each value, -1 for None."""
    known = {value: number for number, value in enumerate(dict.fromkeys(v for v in values if v is not None))}
    return np.array([-1 if value is None else known[value] for value in values], np.int64)


def _crosses(groups: NDArray[np.int64], classes: NDArray[np.int64]) -> bool:
    """Whether most families hold photos of several classes."""
    pairs = {(group, label) for group, label in zip(groups.tolist(), classes.tolist(), strict=True) if group >= 0}
    return len(pairs) > 1.5 * (int(groups.max()) + 1)


def _parted(groups: NDArray[np.int64], splits: Sequence[str | None]) -> int:
    of_group: dict[int, set[str]] = {}
    for group, split in zip(groups.tolist(), splits, strict=True):
        if group >= 0 and split:
            of_group.setdefault(group, set()).add(split)
    return sum(len(names) > 1 for names in of_group.values())


def _examples(
    named: Named, paths: Sequence[str], groups: NDArray[np.int64], places: NDArray[np.int64]
) -> tuple[str, ...]:
    """Photos of the largest family, or the first in the longest row."""
    largest = int(np.bincount(groups[groups >= 0]).argmax())
    rows = np.flatnonzero(groups == largest)
    rows = rows[np.argsort(places[rows])]
    return tuple(paths[row] for row in rows[: 3 if named.scheme == "sequence" else _EXAMPLES])


def _proposal(
    named: Named, paths: Sequence[str], groups: NDArray[np.int64], curve: list[tuple[int, float]], shuffled: float
) -> str | None:
    """`--group-by` that gives these families to photos that have one, and every other photo a group; None without."""
    if named.scheme == "sequence":
        return _blocks(paths, curve, shuffled)
    assert named.group_by is not None
    made = _grouped(named.group_by, paths)
    if made is None:
        return None
    rows = np.flatnonzero(groups >= 0)
    pairs = {(int(groups[row]), made[row]) for row in rows}
    return named.group_by if len(pairs) == len({first for first, _second in pairs}) else None


def _blocks(paths: Sequence[str], curve: list[tuple[int, float]], shuffled: float) -> str | None:
    """Blocks of 10, 100, ... numbers: the smallest that outlast likeness, or the largest that leave enough groups."""
    first = curve[0][1] - shuffled
    faded = [distance for distance, value in curve if value - shuffled <= _FADED * first]
    wanted = faded[0] if faded else curve[-1][0]
    best = None
    for digits in range(1, 9):
        plain, whole = in_blocks(digits)
        made = _grouped(plain, paths)
        group_by = whole if made is None else plain
        made = _grouped(whole, paths) if made is None else made
        if made is None or len(set(made)) < _FEWEST_GROUPS:
            break
        if len(set(made)) < len(made):
            best = group_by
        if len(made) / len(set(made)) >= wanted:
            break
    return best


def _grouped(group_by: str, paths: Sequence[str]) -> list[str] | None:
    """The group of each photo, as `--group-by` gives it; None where it gives one of them none."""
    try:
        found = match_all(group_by, list(paths))
    except SplitError:
        return None
    return None if not all(found) else [group or "" for group in found]
