"""What photos cover, and what nothing is known of: how far a figure reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from certero.records.record import ABSENT, Record

#: From so many calendar days on, a figure can speak of other days.
FEWEST_DAYS = 3


@dataclass(frozen=True, slots=True)
class Covered(Record):
    """What some photos cover.

    Args:
        photos: how many there are.
        timed: how many of them have a capture time; what follows up to `hours` rests on these.
        first: earliest capture time, local, as ISO 8601; None without times.
        last: latest capture time.
        days: days, as the separation counts them; a night belongs to one.
        months: photos by month of the year, `01` to `12`.
        hours: photos by hour of the day, `00` to `23`.
        groups: groups that were kept apart, else values of the manifest's column `group`; None without either.
        lighting: photos by how bright they are: `night`, `day`, `glare`.
        classes: photos by class.
        columns: photos by value, for each further column of a manifest with at most `stats.slices.MOST_VALUES`; None
            in a model file, which keeps no names.
    """

    photos: int
    timed: int
    first: str | None
    last: str | None
    days: int | None
    months: Mapping[str, int]
    hours: Mapping[str, int]
    groups: int | None
    lighting: Mapping[str, int]
    classes: Mapping[str, int]
    columns: Mapping[str, Mapping[str, int]] | None = field(default=None, metadata=ABSENT)


@dataclass(frozen=True, slots=True)
class NotKnown(Record):
    """Something that the figure says nothing about.

    Args:
        what: `other_days`, `other_places`, `dependence`, `times`, `seasons`, `hours`, `darkness`, `class`,
            `unreadable`, `passed_over` or `lost_class`; see docs/reference.md.
        n: the count that matters there; None without one.
        values: what it is about: hours, months, names of classes, kinds of files.
    """

    what: str
    n: int | None
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Covers(Record):
    """What a figure rests on.

    Args:
        judged: the photos that it was measured on; None where they stay sealed.
        training: the photos that the model file learnt from; None where an older model file does not tell.
        unknown: what nothing is known of.
    """

    judged: Covered | None
    training: Covered | None
    unknown: tuple[NotKnown, ...]
