"""What photos cover, and what follows from it: on what a figure says nothing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from certero.data.table import SCHEMA, WORKING_COLUMNS
from certero.interchange import Json
from certero.photos.listing import LOST_PHOTOS
from certero.records.coverage import FEWEST_DAYS, Covered, Covers, NotKnown
from certero.records.photo_counts import Counts
from certero.stats.slices import MOST_VALUES, lighting

if TYPE_CHECKING:
    from certero.data.separation import Separation

#: A class with fewer judged photos has too few to say much about it.
FEWEST_PHOTOS = 20
# Photos of a year without a gap of so many months know the seasons.
_GAP_MONTHS = 3


def cover(table: pl.DataFrame, classes: Sequence[str], separation: Separation) -> Covered:
    """What the photos of some rows cover.

    Args:
        table: rows of `Photos`.
        classes: names, in the order of the model's outputs; each is counted, even without a photo.
        separation: under the rule `group` the units are the groups, else the column `group` names them.
    """
    times = table["captured_at"].drop_nulls()
    timed = not times.is_empty()
    groups = table["unit" if separation.rule == "group" else "group"].drop_nulls().n_unique()
    lights = Counter(lighting(table["brightness"].cast(pl.Float64).fill_null(float("nan")).to_numpy()))
    further = [name for name in table.columns if name not in SCHEMA and name not in WORKING_COLUMNS]
    columns = {name: _count(table[name].cast(pl.String)) for name in further}
    return Covered(
        photos=table.height,
        timed=len(times),
        first=times.dt.strftime("%Y-%m-%dT%H:%M:%S").min() if timed else None,  # type: ignore[arg-type]
        last=times.dt.strftime("%Y-%m-%dT%H:%M:%S").max() if timed else None,  # type: ignore[arg-type]
        days=(times - separation.day_start).dt.date().n_unique() if timed else None,
        months=_count(times.dt.strftime("%m")),
        hours=_count(times.dt.strftime("%H")),
        groups=groups or None,
        lighting={name: lights[name] for name in ("night", "day", "glare") if lights[name]},
        classes=dict.fromkeys(classes, 0) | _count(table["label"]),
        columns={name: values for name, values in columns.items() if 0 < len(values) <= MOST_VALUES},
    )


def _count(values: pl.Series) -> dict[str, int]:
    return dict(sorted(Counter(values.drop_nulls().to_list()).items()))


def remembered(covers: Covers | None) -> Json | None:
    """What a model file says of the photos that it learnt from: counts, and no names of a manifest's columns."""
    if covers is None or covers.training is None:
        return None
    return dataclasses.replace(covers.training, columns=None).to_json()


def recalled(training: Json) -> Covered | None:
    """The inverse, from the card's `training`; None where an older file does not tell."""
    found = training.get("covers")
    return Covered.from_json(found) if isinstance(found, Mapping) else None


def describe_coverage(
    judged: Covered | None, training: Covered | None, separation: Separation, counts: Counts
) -> Covers:
    """What a figure rests on, and on what it says nothing.

    Args:
        judged: the photos that were judged; None where they stay sealed.
        training: the photos that the model learnt from; None where nothing tells.
        separation: what kept photos apart.
        counts: of the photos, lost ones among them.
    """
    base = judged or training
    unknown = () if base is None else (*_around(base, separation), *_lost(counts))
    return Covers(judged, training, unknown)


def _around(covered: Covered, separation: Separation) -> list[NotKnown]:
    """Times, places and classes of which these photos tell nothing."""
    found: list[NotKnown] = []
    speaks_of, apart = separation.speaks_of, ("places", "groups")
    if speaks_of == "unknown":
        found.append(NotKnown("dependence", covered.photos, ()))
    if covered.days is not None and speaks_of not in apart and (speaks_of == "hours" or covered.days < FEWEST_DAYS):
        found.append(NotKnown("other_days", covered.days, ()))
    if speaks_of not in apart:
        found.append(NotKnown("other_places", covered.groups, ()))
    if not covered.timed:
        found.append(NotKnown("times", covered.photos, ()))
    else:
        if hours := [hour for hour in _all(range(24)) if hour not in covered.hours]:
            found.append(NotKnown("hours", len(hours), tuple(hours)))
        if _misses_a_season(covered.months):
            found.append(NotKnown("seasons", len(covered.months), tuple(covered.months)))
    if covered.lighting and (dark := covered.lighting.get("night", 0)) < FEWEST_PHOTOS:
        found.append(NotKnown("darkness", dark, ()))
    few = {label: n for label, n in covered.classes.items() if n < FEWEST_PHOTOS}
    return found + [NotKnown("class", n, (label,)) for label, n in sorted(few.items(), key=lambda item: item[::-1])]


def _all(numbers: range) -> list[str]:
    return [f"{number:02d}" for number in numbers]


def _misses_a_season(months: Mapping[str, int]) -> bool:
    """Whether the months leave a gap of a season, the turn of the year counted in."""
    year = _all(range(1, 13))
    return any(not any(month in months for month in (year + year)[start : start + _GAP_MONTHS]) for start in range(12))


def _lost(counts: Counts) -> list[NotKnown]:
    """Photos that were there and told nothing."""
    found: list[NotKnown] = []
    if counts.unreadable:
        found.append(NotKnown("unreadable", counts.unreadable, ()))
    over = {kind: n for kind, n in (counts.passed_over or {}).items() if kind in LOST_PHOTOS}
    if over:
        found.append(NotKnown("passed_over", sum(over.values()), tuple(over)))
    gone = [label for label, lost in (counts.lost or {}).items() if not lost.photos or lost.unreadable >= lost.photos]
    if gone:
        found.append(NotKnown("lost_class", len(gone), tuple(gone)))
    return found
