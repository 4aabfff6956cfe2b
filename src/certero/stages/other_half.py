"""One or two days say nothing of others: what a model trained on one half of the time says of the other half."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.data.days import day_of
from certero.data.left_out import near_in_time
from certero.data.separation import Separation
from certero.records.comparison import ClassRecall
from certero.records.other_half import Half, OtherHalf
from certero.stats.intervals import proportion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

# So much of a half must be of classes that the other half has, or the figure would be about what was never learnt.
_KNOWN_SHARE = 0.9
# A round hour is as good a cut as the very middle while each side keeps this share.
_SMALLER_SIDE = 0.4

#: What models fitted on each of these training sets, bool [n], name all photos: a class index int64 [n] for each; None
#: where no model could be fitted.
Asker = Callable[[Sequence["Mask"]], "list[NDArray[np.int64]] | None"]


@dataclass(frozen=True, slots=True)
class Halves:
    """Two halves of the time.

    Args:
        cut: where they meet.
        between: `days` where the cut lies between two days, `hours` within one.
        train: bool [n] each, photos of the earlier and of the later half to fit on, none close to the other half.
        judge: bool [n] each, photos of the later and of the earlier half to ask about.
    """

    cut: datetime
    between: str
    train: tuple[Mask, Mask]
    judge: tuple[Mask, Mask]


def may_ask_other_half(separation: Separation) -> bool:
    """Whether the figure speaks of other hours of the same days alone, so that another one must stand beside it."""
    return separation.rule == "time" and separation.speaks_of == "hours"


def cut_in_halves(table: pl.DataFrame, separation: Separation) -> Halves | None:
    """The halves of the time of these photos; None where hours do not separate, or where a half lacks classes.

    Args:
        table: rows of all used photos.
        separation: of these photos.
    """
    if not may_ask_other_half(separation) or separation.block is None:
        return None
    own = table["captured_at"].to_list()
    times = [_time_of(unit, time, separation.block) for unit, time in zip(table["unit"], own, strict=True)]
    known = sorted(time for time in times if time is not None)
    days = sorted({day_of(time, separation.day_start) for time in known})
    if not known:
        return None
    cut = _between_days(known, days, separation.day_start) if len(days) > 1 else _middle(known)
    later = np.array([time is not None and time >= cut for time in times], dtype=bool)
    earlier = np.array([time is not None and time < cut for time in times], dtype=bool)
    # A copy counts with the earliest of its kind: it may be learnt there, and is not asked about elsewhere.
    itself = np.array([time is not None and time == when for time, when in zip(times, own, strict=True)], dtype=bool)
    stamps = table["captured_at"].to_numpy()
    sides = []
    for train, judge in ((earlier, later & itself), (later, earlier & itself)):
        fitted = train & ~near_in_time(stamps, stamps[judge], separation.gap)
        if not _can_be_asked(table["label"].to_numpy(), fitted, judge):
            return None
        sides.append((fitted, judge))
    (first, asked_first), (second, asked_second) = sides
    return Halves(cut, "days" if len(days) > 1 else "hours", (first, second), (asked_first, asked_second))


def measure_other_half(
    table: pl.DataFrame, truth: NDArray[np.int64], classes: Sequence[str], separation: Separation, ask: Asker
) -> OtherHalf | None:
    """What throw-away models, each fitted on one half of the time, say of the other half; None where there is no such.

    Args:
        table: rows of all used photos, once the headline is known.
        truth: class index [n].
        classes: names in the order of the outputs.
        separation: of these photos.
        ask: fits a model on each of the two halves, and asks it about every photo.
    """
    halves = cut_in_halves(table, separation)
    named = None if halves is None else ask(halves.train)
    if halves is None or named is None:
        return None
    units = np.array(table["unit"].to_list(), dtype=object)

    def judge(number: int) -> Half:
        judged = halves.judge[number]
        right, label, unit = (named[number] == truth)[judged], truth[judged], units[judged].tolist()
        groups = len(set(unit))
        recalls = {}
        for index, name in enumerate(classes):
            of_class = label == index
            own = [u for u, inside in zip(unit, of_class, strict=True) if inside]
            recalls[name] = ClassRecall(int(of_class.sum()), proportion(right[of_class], own, all_groups=groups))
        return Half(int(halves.train[number].sum()), int(judged.sum()), proportion(right, unit), recalls)

    return OtherHalf(halves.cut.isoformat(), halves.between, "probe", judge(0), judge(1))


def _time_of(unit: str, time: datetime | None, block: timedelta) -> datetime | None:
    """When a photo counts as taken: a copy that was moved to the block of the earliest, in that block."""
    try:
        start = datetime.fromisoformat(unit)
    except ValueError:
        return time
    return start if time is None or not start <= time < start + block else time


def _middle(known: Sequence[datetime]) -> datetime:
    """The time that half of the photos lie before, or the round hour nearest to it if that serves as well."""
    middle = known[len(known) // 2]
    hour = (middle + timedelta(minutes=30)).replace(minute=0, second=0, microsecond=0)
    share = sum(time < hour for time in known) / len(known)
    return hour if _SMALLER_SIDE <= share <= 1 - _SMALLER_SIDE else middle


def _between_days(known: Sequence[datetime], days: Sequence[str], start: timedelta) -> datetime:
    """The beginning of the day that parts the photos most evenly."""
    begins = [datetime.fromisoformat(day) + start for day in days[1:]]
    return min(begins, key=lambda begin: abs(2 * sum(time < begin for time in known) - len(known)))


def _can_be_asked(labels: NDArray[np.object_], fitted: Mask, judge: Mask) -> bool:
    learnt = set(labels[fitted].tolist())
    return (
        len(learnt) >= 2
        and bool(judge.any())
        and sum(label in learnt for label in labels[judge].tolist()) >= _KNOWN_SHARE * int(judge.sum())
    )
