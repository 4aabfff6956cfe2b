"""Calendar days: when one begins, and whether the photos can speak of other days than those they come from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from certero.records.coverage import FEWEST_DAYS
from certero.sentences import Sentence, first_names, sentence

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]
    Times = npt.NDArray[np.datetime64]

DAY = timedelta(days=1)

_DAY_MINUTES = 24 * 60
# Photos on both sides of midnight that are no further apart belong to one night.
_THROUGH_MIDNIGHT = 60
# A stretch of the clock in which no photo was ever taken, minutes.
_LULL = 4 * 60
# What the third day and all after it must hold, and how long it must be from the first photo to the last: a session
# from just before one midnight to just after the next is no three days.
_REST_SHARE, _LEAST_SPAN = 0.05, timedelta(hours=36)
# With more photos of classes that were seen on a single day, most could only be judged wrong.
_MOST_CONFINED = 0.5


def day_start(times: Times) -> timedelta:
    """What the clock shows when a day begins: midnight, unless photos are taken through it.

    If they are, and some hours of the clock hold no photo on any day, as with a camera that runs at night, a day begins
    in the middle of those hours.

    Args:
        times: datetime64 [photos], all known.
    """
    minutes = np.unique(times.astype("datetime64[m]").astype(np.int64))
    gaps, days = np.diff(minutes), np.diff(minutes // _DAY_MINUTES)
    if not np.any((gaps <= _THROUGH_MIDNIGHT) & (days > 0)):
        return timedelta(0)
    clock = np.unique(minutes % _DAY_MINUTES)
    lulls = np.diff(np.r_[clock, clock[0] + _DAY_MINUTES])
    longest = int(lulls.argmax())
    if lulls[longest] < _LULL:
        return timedelta(0)
    middle = int(clock[longest] + lulls[longest] // 2) % _DAY_MINUTES
    return timedelta(hours=round(middle / 60) % 24)


def day_of(time: datetime, start: timedelta) -> str:
    """The day that a photo belongs to: the date on which it began."""
    return (time - start).date().isoformat()


def why_not_days(days: Sequence[str], times: Times, labels: Sequence[str]) -> Sentence | None:
    """Why a figure on these photos cannot speak of other days; None if it can.

    Args:
        days: [photos] day of each, see `day_of`.
        times: datetime64 [photos].
        labels: [photos] classes, where the photos are still to be split; empty where they are only judged.
    """
    names, codes, sizes = np.unique(np.asarray(days, dtype=str), return_inverse=True, return_counts=True)
    if len(names) < FEWEST_DAYS:
        return _too_few(names.tolist())
    rest = int(np.sort(sizes)[:-2].sum())
    if rest < _REST_SHARE * sizes.sum():
        return sentence("all but %(rest)d of %(photos)d photos come from two days", rest=rest, photos=int(sizes.sum()))
    hours = float((times.max() - times.min()) / np.timedelta64(1, "h"))
    if hours < _LEAST_SPAN / timedelta(hours=1):
        return sentence("all photos were taken within %(hours).0f hours", hours=hours)
    return _confined(codes, labels) if len(labels) else None


def why_no_given_days(days: Sequence[str], times: Times, in_test: Mask) -> Sentence | None:
    """The same where the test photos are given: they must be of days of their own, and of enough of them.

    Args:
        days: [photos] day of each.
        times: datetime64 [photos].
        in_test: bool [photos].
    """
    named = np.asarray(days, dtype=str)
    test, others = set(named[in_test].tolist()), set(named[~in_test].tolist())
    if not test:
        return sentence("no test photo has a time")
    if shared := len(test & others):
        return sentence(
            "training photos come from %(shared)d of the %(days)d days of the test photos",
            shared=shared,
            days=len(test),
        )
    found = why_not_days(named[in_test].tolist(), times[in_test], ())
    return None if found is None else sentence("of the test photos: %(found)s", found=found)


def _too_few(names: Sequence[str]) -> Sentence:
    if len(names) == 1:
        return sentence("all photos come from one day (%(day)s)", day=names[0])
    return sentence("all photos come from two days (%(first)s and %(last)s)", first=names[0], last=names[1])


def _confined(codes: Ints, labels: Sequence[str]) -> Sentence | None:
    """Why photos of classes that were seen on one day only leave no figure to speak of."""
    on: dict[str, set[int]] = {}
    for label, day in zip(labels, codes.tolist(), strict=True):
        on.setdefault(label, set()).add(day)
    alone = sorted(label for label, seen in on.items() if len(seen) < 2)
    confined = sum(label in set(alone) for label in labels)
    if len(on) - len(alone) >= 2 and confined <= _MOST_CONFINED * len(labels):
        return None
    return sentence("most photos are of classes seen on one day only (%(named)s)", named=first_names(alone, 5))
