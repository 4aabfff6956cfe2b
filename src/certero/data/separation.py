"""Which photos must never be split apart: one rule a run.

Groups if the user names them; else time, if the photos have times: whole calendar days where there are three, else
blocks of hours; else clusters of copies. Whatever the rule, copies of one photo share a unit. What is kept apart
decides what a figure speaks of: other hours of the same days, other days, other places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from certero.config.parsing import FigureFor
from certero.data.days import DAY, day_of, day_start, why_no_given_days, why_not_days
from certero.data.decay import default_block, similarity_decay
from certero.data.groups import columns_that_group, groups_of
from certero.data.table import Mask, Photos
from certero.errors import SplitError
from certero.likeness.clusters import join
from certero.records.coverage import FEWEST_DAYS
from certero.sentences import Sentence, message, sentence

Ints = npt.NDArray[np.int64]
SpeaksOf = Literal["hours", "days", "places", "groups", "unknown"]

#: Share of the used photos that must have a capture time for the time rule.
TIMED_SHARE = 0.9

_EPOCH = datetime(1970, 1, 1)
# Blocks that a split needs: train, val and test, and as many groups as an interval.
_FEWEST_BLOCKS = 3
#: Unit of photos without a time beside whole days: they may be of any day, so they are one, not as many as they are.
NO_TIME = "no time"
_TARGETS = {"hours": message("hours"), "days": message("days"), "places": message("places")}
# Where a given split cuts the time within a block, train and test touch there: so few test photos do not count.
_TOUCHING = 0.1


@dataclass(frozen=True, slots=True)
class Separation:
    """What is never split apart, and why.

    Args:
        rule: `group`, `time` or `copies`.
        description: the rule in words.
        block: length of a block under the time rule, a day where whole days are kept together; else None.
        gap: under the time rule, photos of two splits are further apart than this; zero under the others.
        unit: the unit's name for each row of the table, None for photos that are not used.
        counts: `photos`, `units`, `timed` (photos with a capture time), `joined` (groups merged, or photos moved to
            another day or block, because of copies).
        speaks_of: what a figure speaks of if these units are kept apart: other hours of the same days, other days,
            other places or groups; `unknown` where nothing tells which photos depend on each other.
        decay: under the time rule, (lag in minutes, share of equal descriptor bits of photos so far apart).
        group_by: the user's `--group-by`, else None.
        day_start: what the clock shows when a day begins.
        whole_days: whether calendar days are the units.
    """

    rule: Literal["group", "time", "copies"]
    description: str
    block: timedelta | None
    gap: timedelta
    unit: tuple[str | None, ...]
    counts: dict[str, int]
    speaks_of: SpeaksOf
    decay: list[tuple[float, float]] = field(default_factory=list)
    group_by: str | None = None
    day_start: timedelta = timedelta(0)
    whole_days: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be separated, and what the user asked for; see `separate`."""

    photos: Photos
    used: Mask
    twins: Ints
    counts: dict[str, int]
    group_by: str | None
    block: timedelta | None
    gap: timedelta
    figure_for: FigureFor | None
    judged: bool

    @property
    def splits(self) -> bool:
        """Whether certero cuts the test photos itself."""
        return not self.judged and self.in_test is None

    @property
    def in_test(self) -> Mask | None:
        """Bool [rows], the given test photos; None where none are given, or where all photos are judged."""
        test = self.used & (self.photos.table["split"] == "test").fill_null(False).to_numpy()
        return test if test.any() and not self.judged else None


def separate(
    photos: Photos,
    copies: Iterable[tuple[int, int]],
    *,
    group_by: str | None = None,
    block: timedelta | None = None,
    gap: timedelta = timedelta(minutes=10),
    figure_for: FigureFor | None = None,
    judged: bool = False,
) -> Separation:
    """The rule for these photos, and each photo's unit under it.

    Args:
        photos: scanned photos.
        copies: pairs of rows of the table that are verified copies of each other.
        group_by: a column of the manifest, `parent` for the folder of the photo, or a regular expression over the
            path whose first capture group (or whole match) names the group.
        block: length of the time blocks; default whole days where there are three, else from how fast similarity
            decays, at least 1 h.
        gap: how far photos of two splits must be apart under the time rule.
        figure_for: what the figure must speak of; None takes the most that the photos allow.
        judged: the photos are judged by a finished model: nothing is split, and given splits mean nothing.

    Raises:
        SplitError: the rule cannot be applied to all photos, or the figure cannot speak of what is asked for.
    """
    used = photos.used_mask()
    twins = join(photos.table.height, ((a, b) for a, b in copies if used[a] and used[b]))
    timed = int((used & photos.table["captured_at"].is_not_null().to_numpy()).sum())
    counts = {"photos": int(used.sum()), "timed": timed}
    asked = _Asked(photos, used, twins, counts, group_by, block, gap, figure_for, judged)
    _check_wishes(asked)
    if group_by is not None and figure_for != "days":
        return _by_group(asked, group_by)
    if timed > 0 and timed >= TIMED_SHARE * counts["photos"]:
        return _by_time(asked)
    if block is not None or figure_for is not None:
        raise SplitError(
            "%(flag)s needs a capture time on at least %(share)s of the photos; %(timed)s of "
            "%(photos)s have one. Add a captured_at column, or separate with --group-by.",
            flag="--block" if block is not None else f"--for {figure_for}",
            share=f"{TIMED_SHARE:.0%}",
            timed=timed,
            photos=counts["photos"],
        )
    unit = _named(used, twins, photos.table["path"].to_list())
    counts |= {"units": _count(unit), "joined": 0}
    description = sentence(
        "copies kept together: %(units)d different photos among %(photos)d",
        units=counts["units"],
        photos=counts["photos"],
    )
    return Separation("copies", description, None, timedelta(0), unit, counts, "unknown")


def _check_wishes(asked: _Asked) -> None:
    """Raises where options contradict each other."""
    wish = f"--for {asked.figure_for}"
    if asked.group_by is not None and asked.block is not None:
        raise SplitError("one rule separates the photos; found both --group-by and --block. Use one of the two.")
    if asked.figure_for == "places" and asked.group_by is None:
        columns = columns_that_group(asked.photos, asked.used)
        raise SplitError(
            "%(wish)s needs --group-by to tell which photos are of one place; columns that could: %(columns)s. Name "
            "one, or a pattern over the path.",
            wish=wish,
            columns=", ".join(columns) or message("none"),
        )
    if asked.figure_for == "hours" and asked.group_by is not None:
        raise SplitError("%(wish)s separates by time; found --group-by beside it. Use one of the two.", wish=wish)
    if asked.figure_for == "days" and asked.block is not None and asked.block % DAY:
        raise SplitError(
            "%(wish)s keeps whole days together; found --block %(block)s beside it. Leave --block out.",
            wish=wish,
            block=duration(asked.block),
        )


def with_units(photos: Photos, separation: Separation) -> Photos:
    """The photos with `unit` filled."""
    return photos.with_columns(pl.Series("unit", separation.unit, dtype=pl.String))


def duration(length: timedelta) -> str:
    """`1h`, `10m`, `1h30m`: as the command line takes it."""
    hours, seconds = divmod(round(length.total_seconds()), 3600)
    minutes, seconds = divmod(seconds, 60)
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if number]
    return "".join(parts) or "0m"


def _by_group(asked: _Asked, group_by: str) -> Separation:
    counts = asked.counts
    groups = groups_of(asked.photos, asked.used, group_by)
    distinct = sorted({group for group in groups if group is not None})
    number = {name: index for index, name in enumerate(distinct)}
    pairs = ((number[groups[row] or ""], number[groups[twin] or ""]) for row, twin in _copied(asked.used, asked.twins))
    merged = join(len(distinct), pairs)
    unit = tuple(None if group is None else distinct[merged[number[group]]] for group in groups)
    counts |= {"units": _count(unit), "joined": len(distinct) - _count(unit)}
    description = sentence("grouped by %(group_by)s: %(units)d groups", group_by=group_by, units=counts["units"])
    if counts["joined"]:
        description = sentence(
            "%(rule)s (%(before)d before those that share copies were joined)", rule=description, before=len(distinct)
        )
    speaks_of: SpeaksOf = "places" if asked.figure_for == "places" else "groups"
    if shared := _shared(asked, groups, group=True):
        speaks_of, description = "unknown", _saying_shared(description, shared)
    return Separation("group", description, None, timedelta(0), unit, counts, speaks_of, group_by=group_by)


def _by_time(asked: _Asked) -> Separation:
    times = asked.photos.table["captured_at"]
    timed = asked.used & times.is_not_null().to_numpy()
    start = day_start(times.to_numpy()[timed])
    days = [day_of(time, start) for time in times.filter(pl.Series(timed)).to_list()]
    why_not = _why_not_days(asked, days, timed)
    if asked.figure_for == "days" and why_not is not None:
        raise SplitError(
            "--for days needs photos of at least %(fewest)d days, and most classes on 2 of them; %(found)s. Bring "
            "photos of more days, or leave --for out.",
            fewest=FEWEST_DAYS,
            found=why_not,
        )
    whole_days = asked.block is None and why_not is None and asked.figure_for != "hours"
    decay, baseline = _decay(asked.photos, timed)
    block, reason = (DAY if whole_days else asked.block), sentence("as asked")
    if block is None:
        block, reason = default_block(decay, baseline, lambda hours: _usable(asked, timed, timedelta(hours=hours)))
    if asked.gap < timedelta(0) or block <= asked.gap:
        raise SplitError(
            "--block must be longer than --gap, and --gap not negative; found --block %(block)s "
            "and --gap %(total_seconds)gm. Use a longer block or a shorter gap.",
            block=duration(block),
            total_seconds=asked.gap.total_seconds() / 60,
        )
    own, unit = _time_units(asked, block, start if whole_days else None)
    counts = asked.counts
    # An own split leaves them out.
    nowhere = {NO_TIME} if asked.splits else set()
    counts |= {
        "units": len(set(unit) - {None} - nowhere),
        "joined": sum(a != b for a, b in zip(own, unit, strict=True)),
    }
    if whole_days and asked.group_by is not None:
        unit = _with_groups(asked, unit)
        counts["units"] = len(set(unit) - {None} - nowhere)
    of_days = asked.figure_for != "hours" and not block % DAY and why_not is None
    speaks_of: SpeaksOf = "days" if of_days else "hours"
    description = _describe_time(asked, block, start if whole_days else None, reason)
    if shared := _shared(asked, own, group=False):
        speaks_of = "unknown"
        description = _saying_shared(description, shared)
    elif speaks_of == "hours" and why_not is not None:
        description = sentence("%(rule)s; other days are not measured: %(why_not)s", rule=description, why_not=why_not)
    return Separation(
        "time",
        description,
        block,
        asked.gap,
        unit,
        asked.counts,
        speaks_of,
        decay,
        asked.group_by,
        day_start=start,
        whole_days=whole_days,
    )


def _time_units(
    asked: _Asked, block: timedelta, day_from: timedelta | None
) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """The name of each used photo's own block or day, and of its unit: copies are of the unit of the earliest.

    Copies far apart in time (an empty bed at night) would chain block to block if they joined them.
    """
    table = asked.photos.table
    times, paths = table["captured_at"].to_list(), table["path"].to_list()
    names: list[str] = []
    for path, time in zip(paths, times, strict=True):
        if day_from is not None:
            names.append(NO_TIME if time is None else day_of(time, day_from))
        else:
            names.append(path if time is None else f"{_EPOCH + (time - _EPOCH) // block * block:%Y-%m-%dT%H:%M:%S}")
    first = _earliest(asked.used, asked.twins, times, paths)
    return (
        tuple(name if use else None for name, use in zip(names, asked.used, strict=True)),
        tuple(names[first[row]] if use else None for row, use in enumerate(asked.used)),
    )


def _why_not_days(asked: _Asked, days: Sequence[str], timed: Mask) -> Sentence | None:
    stamps = asked.photos.table["captured_at"].to_numpy()[timed]
    if asked.in_test is not None:
        return why_no_given_days(days, stamps, asked.in_test[timed])
    labels = () if asked.judged else asked.photos.table.filter(pl.Series(timed))["label"].to_list()
    return why_not_days(days, stamps, labels)


def _decay(photos: Photos, timed: Mask) -> tuple[list[tuple[float, float]], float | None]:
    """See `similarity_decay`."""
    some = photos.table.filter(pl.Series(timed)).filter(pl.col("descriptor").is_not_null())
    if some.is_empty():
        return [], None
    minutes = some["captured_at"].to_physical().to_numpy().astype(np.float64) / 60e6
    bits = np.frombuffer(b"".join(some["descriptor"]), dtype=np.uint8)
    return similarity_decay(minutes, some["group"].to_list(), bits.reshape(some.height, -1))


def _usable(asked: _Asked, timed: Mask, block: timedelta) -> bool:
    """Whether blocks of this length are enough for a split, and hold two classes apart, or enough to judge by."""
    rows = timed if asked.in_test is None else timed & asked.in_test
    table = asked.photos.table.filter(pl.Series(rows))
    # Both count from 1970-01-01T00:00, in microseconds.
    number = table["captured_at"].to_physical() // (block // timedelta(microseconds=1))
    if number.n_unique() < _FEWEST_BLOCKS:
        return False
    if asked.judged or asked.in_test is not None:
        return True
    spread = table.with_columns(number.alias("block")).group_by("label").agg(pl.col("block").n_unique())
    return bool((spread["block"] > 1).sum() >= 2)


def _shared(asked: _Asked, names: Sequence[str | None], *, group: bool) -> tuple[int, int] | None:
    """Units of the given test photos that other photos come from, too, and of how many; None where there are none.

    Raises:
        SplitError: if there are some, and the figure must speak of others.
    """
    if asked.in_test is None:
        return None
    nothing = {None, NO_TIME}
    tested = [name for name, inside in zip(names, asked.in_test, strict=True) if inside]
    test = set(tested) - nothing
    others = {name for name, inside in zip(names, asked.in_test, strict=True) if not inside} - nothing
    if sum(name in others for name in tested) <= (0 if group else _TOUCHING) * len(tested):
        return None
    if asked.figure_for is not None:
        raise SplitError(
            "--for %(target)s needs test photos of other %(target)s than train; %(shared)d of %(units)d have photos in "
            "both. Leave --for out, or leave the splits to certero.",
            target=_TARGETS[asked.figure_for],
            shared=len(test & others),
            units=len(test),
        )
    return len(test & others), len(test)


def _saying_shared(rule: Sentence, shared: tuple[int, int]) -> Sentence:
    return sentence(
        "%(rule)s; training photos come from %(shared)d of the %(units)d blocks or groups of the test photos",
        rule=rule,
        shared=shared[0],
        units=shared[1],
    )


def _with_groups(asked: _Asked, unit: Sequence[str | None]) -> tuple[str | None, ...]:
    """Days joined where photos of one group lie on both.

    Raises:
        SplitError: if fewer than three sets of days are left.
    """
    group_by = asked.group_by or ""
    groups = groups_of(asked.photos, asked.used, group_by)
    first: dict[str, int] = {}
    pairs = []
    seen: dict[str, int] = {}
    for row, (day, group) in enumerate(zip(unit, groups, strict=True)):
        if day is None or group is None:
            continue
        pairs += [(row, first.setdefault(day, row)), (row, seen.setdefault(group, row))]
    joined = _named(asked.used, join(len(unit), pairs), [day or "" for day in unit])
    if _count(joined) < FEWEST_DAYS:
        raise SplitError(
            "--for days with --group-by %(group_by)s keeps days together that share a group: of %(days)d days %(left)d "
            "separate sets are left, and %(fewest)d are needed. Leave --group-by out, or take --for places.",
            group_by=group_by,
            days=_count(unit),
            left=_count(joined),
            fewest=FEWEST_DAYS,
        )
    return joined


def _describe_time(asked: _Asked, block: timedelta, day_from: timedelta | None, reason: Sentence) -> Sentence:
    """The time rule in words."""
    counts, gap, whole_days = asked.counts, duration(asked.gap), day_from is not None
    if whole_days:
        description = sentence("whole days, %(gap)s apart: %(units)d days", gap=gap, units=counts["units"])
        if day_from:
            description = sentence(
                "whole days from %(clock)s on, %(gap)s apart: %(units)d days",
                clock=f"{day_from // timedelta(hours=1)}:00",
                gap=gap,
                units=counts["units"],
            )
        if asked.group_by is not None:
            description = sentence(
                "%(rule)s, those that share a group (%(group_by)s) as one", rule=description, group_by=asked.group_by
            )
    else:
        description = sentence(
            "blocks of %(block)s (%(reason)s), %(gap)s apart: %(units)d blocks",
            block=duration(block),
            reason=reason,
            gap=gap,
            units=counts["units"],
        )
    if untimed := counts["photos"] - counts["timed"]:
        alone = sentence("%(rule)s; %(untimed)d photos without a time stand alone", rule=description, untimed=untimed)
        one = sentence("%(rule)s; %(untimed)d photos without a time are one of them", rule=description, untimed=untimed)
        out = sentence("%(rule)s; %(untimed)d photos without a time are left out", rule=description, untimed=untimed)
        description = alone if not whole_days else out if asked.splits else one
    if moved := counts["joined"]:
        to_day = sentence("%(rule)s; %(moved)d copies moved to the day of the earliest", rule=description, moved=moved)
        to_block = sentence(
            "%(rule)s; %(moved)d copies moved to the block of the earliest", rule=description, moved=moved
        )
        description = to_day if whole_days else to_block
    return description


def _earliest(used: Mask, twins: Ints, times: list[datetime | None], paths: list[str]) -> dict[int, int]:
    """For each used row, the earliest row that is a copy of it; with equal times, the first path."""
    first: dict[int, tuple[datetime, str, int]] = {}
    rows = np.flatnonzero(used).tolist()
    for row in rows:
        key = (times[row] or datetime.max, paths[row], row)
        root = int(twins[row])
        first[root] = min(first.get(root, key), key)
    return {row: first[int(twins[row])][2] for row in rows}


def _copied(used: Mask, twins: Ints) -> list[tuple[int, int]]:
    rows = np.flatnonzero(used & (twins != np.arange(len(twins))))
    return [(int(row), int(twins[row])) for row in rows]


def _named(used: Mask, twins: Ints, names: list[str]) -> tuple[str | None, ...]:
    """Each cluster, named after its first name in sorted order, so that the order of rows does not matter."""
    first: dict[int, str] = {}
    for row in np.flatnonzero(used).tolist():
        root = int(twins[row])
        first[root] = min(first.get(root, names[row]), names[row])
    return tuple(first[int(root)] if use else None for root, use in zip(twins, used, strict=True))


def _count(unit: Sequence[str | None]) -> int:
    return len(set(unit) - {None})
