"""Stratified placement of whole units into parts, with sizes and classes as near the wanted shares as units allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from certero.data.table import Mask
from certero.errors import SplitError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_UNITS_ALL_TRIALS = 20_000
_MAX_TRIALS = 64
_MISSING_IN_TRAIN = 1000.0
_MISSING = 10.0


def split_units(
    labels: Sequence[str] | Ints,
    units: Sequence[str],
    parts: Sequence[float] | int,
    seed: int,
    fixed: Mapping[str, int] | None = None,
) -> Ints:
    """The part of each photo, with whole units, and sizes and classes as near the wanted shares as the units allow.

    Units of several photos are placed one by one, those that hold most of a class first, where they fit best (least
    increase of the chi-square distance to the wanted counts); the best of several orders is kept. Single photos
    then fill what is missing, class by class. The result does not depend on the order of the photos.

    Args:
        labels: [photos] class names, or int64 class indices.
        units: [photos] unit names.
        parts: the share of each part, or the number of equal folds. A part of share 0 stays empty.
        seed: of the random draws.
        fixed: parts decided beforehand, by unit.

    Returns:
        int64 [photos], the part's position.

    Raises:
        SplitError: fewer units than parts.
    """
    shares = np.full(parts, 1 / parts) if isinstance(parts, int) else np.asarray(parts, dtype=np.float64)
    active = np.flatnonzero(shares > 0)
    shares = shares[active] / shares[active].sum()
    unit_names, unit_of = _codes(units)
    if len(unit_names) < len(active):
        raise SplitError(
            "a split needs at least %(parts)s units; found %(units)s. Use fewer parts or smaller units.",
            parts=len(active),
            units=len(unit_names),
        )
    _, class_of = _codes(labels)
    place = {int(part): position for position, part in enumerate(active)}
    start = np.full(len(unit_names), -1, dtype=np.int64)
    for index, name in enumerate(unit_names):
        if fixed and name in fixed:
            start[index] = place[fixed[name]]
    counts = _UnitCounts(unit_of, class_of)
    weights = np.where(np.arange(len(active)) == 0, _MISSING_IN_TRAIN, _MISSING)
    if isinstance(parts, int):
        weights[:] = _MISSING
    placed = _place(counts, shares, weights, start, np.random.default_rng([seed, len(unit_names)]))
    return active[placed[unit_of]].astype(np.int64)


def _codes(names: Sequence[str] | Ints) -> tuple[list[Any], Ints]:
    """The sorted distinct names (or numbers), and each one's position among them."""
    names = names.tolist() if isinstance(names, np.ndarray) else names
    distinct = sorted(set(names))
    number = {name: index for index, name in enumerate(distinct)}
    return distinct, np.fromiter((number[name] for name in names), dtype=np.int64, count=len(names))


class _UnitCounts:
    """Photos of each class in each unit, sparse: entries `start[u]` to `start[u + 1]`."""

    def __init__(self, unit_of: Ints, class_of: Ints) -> None:
        self.units = int(unit_of.max()) + 1
        self.classes = int(class_of.max()) + 1
        pairs, self.count = np.unique(unit_of * self.classes + class_of, return_counts=True)
        self.unit, self.label = pairs // self.classes, pairs % self.classes
        self.start = np.searchsorted(self.unit, np.arange(self.units + 1))
        self.size = np.bincount(unit_of, minlength=self.units)
        self.total = np.bincount(class_of, minlength=self.classes).astype(np.float64)
        self.units_of_class = np.bincount(self.label, minlength=self.classes)

    def table(self, part_of: Ints, parts: int) -> Floats:
        """Photos by part and class; units of part -1 are left out."""
        part = part_of[self.unit]
        placed = part >= 0
        flat = np.bincount(part[placed] * self.classes + self.label[placed], self.count[placed], parts * self.classes)
        return np.asarray(flat.reshape(parts, self.classes), dtype=np.float64)


def _place(counts: _UnitCounts, shares: Floats, missing: Floats, start: Ints, rng: np.random.Generator) -> Ints:
    """The part of each unit; `missing` is the cost of a class that a part lacks."""
    wanted = shares[:, None] * counts.total
    single = (counts.size == 1) & (start < 0)
    whole = np.flatnonzero((counts.size > 1) & (start < 0))
    # Units that hold much of a class fit in the fewest places.
    weight = np.maximum.reduceat(counts.count / counts.total[counts.label], counts.start[:-1])
    singles = np.bincount(counts.label[single[counts.unit]], minlength=counts.classes)
    best, best_cost = start, np.inf
    trials = int(np.clip(_UNITS_ALL_TRIALS // max(len(whole), 1), 1, _MAX_TRIALS)) if len(whole) else 1
    for _ in range(trials):
        order = whole[np.argsort(-weight[whole] * rng.uniform(0.5, 1.0, len(whole)), kind="stable")]
        placed = _greedy(counts, wanted, start.copy(), order)
        table = counts.table(placed, len(shares))
        room = np.clip(wanted - table, 0, None)
        table += room * (singles / np.maximum(room.sum(axis=0), 1e-12))
        lacking = (table < 0.5) & (counts.units_of_class >= 2)
        cost = float(((table - wanted) ** 2 / wanted).sum() + (lacking * missing[:, None]).sum())
        if cost < best_cost:
            best, best_cost = placed, cost
    best = _fill(counts, wanted, best, np.flatnonzero(single), rng)
    return _no_part_empty(counts, shares, best, start >= 0)


def _greedy(counts: _UnitCounts, wanted: Floats, part_of: Ints, order: Ints) -> Ints:
    """Places each unit, in order, where it increases the chi-square distance least; single photos come later."""
    table = counts.table(part_of, len(wanted))
    sizes, wanted_sizes = table.sum(axis=1), wanted.sum(axis=1)
    for unit in order.tolist():
        entries = slice(counts.start[unit], counts.start[unit + 1])
        label, count, size = counts.label[entries], counts.count[entries], counts.size[unit]
        # (n + c - w)^2 - (n - w)^2 = c (2 (n - w) + c)
        cost = (count * (2 * (table[:, label] - wanted[:, label]) + count) / wanted[:, label]).sum(axis=1)
        cost += size * (2 * (sizes - wanted_sizes) + size) / wanted_sizes
        part = int(np.argmin(cost))
        part_of[unit] = part
        table[part, label] += count
        sizes[part] += size
    return part_of


def _fill(counts: _UnitCounts, wanted: Floats, part_of: Ints, singles: Ints, rng: np.random.Generator) -> Ints:
    """Shares out the units of one photo, class by class, by largest remainder."""
    part_of = part_of.copy()
    table = counts.table(part_of, len(wanted))
    label = counts.label[counts.start[singles]]
    by_class = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[by_class], np.arange(counts.classes + 1))
    # Rare classes last: their rounding can then even out the sizes of the parts.
    for number in np.argsort(-counts.total, kind="stable"):
        rows = rng.permutation(singles[by_class[bounds[number] : bounds[number + 1]]])
        if not len(rows):
            continue
        room = np.clip(wanted[:, number] - table[:, number], 0, None)
        exact = (
            room * (len(rows) / room.sum()) if room.sum() else wanted[:, number] / wanted[:, number].sum() * len(rows)
        )
        take = np.floor(exact + 1e-9).astype(np.int64)
        deficit = (wanted - table).sum(axis=1) - take
        first = np.lexsort((rng.random(len(take)), -deficit, -np.round(exact - take, 9)))
        take[first[: len(rows) - int(take.sum())]] += 1
        part_of[rows] = np.repeat(np.arange(len(take)), take)
        table[:, number] += take
    return part_of


def _no_part_empty(counts: _UnitCounts, shares: Floats, part_of: Ints, fixed: Mask) -> Ints:
    """Gives each empty part the smallest unit of the part that has the most units to spare."""
    for part in range(len(shares)):
        if (part_of == part).any():
            continue
        free = np.bincount(part_of[~fixed], minlength=len(shares))
        held = np.bincount(part_of, minlength=len(shares))
        donor = int(np.argmax(np.where((free > 0) & (held > 1), held / shares, -1)))
        units = np.flatnonzero((part_of == donor) & ~fixed)
        part_of[units[np.argmin(counts.size[units])]] = part
    return part_of
