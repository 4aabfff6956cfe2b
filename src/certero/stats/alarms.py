"""How many photos of a class are missed, and how many others get its name, of those that a day brings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.records.quantity import Quantity
from certero.records.scores import Alarms, ClassAlarms
from certero.stats.intervals import group_codes, proportion

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: Where no day can be told, so many photos stand for one.
HUNDRED = 100.0


def count_alarms(
    named: NDArray[np.bool_],
    truth: NDArray[np.int64],
    classes: Sequence[str],
    groups: ArrayLike | None = None,
    photos_a_day: float | None = None,
) -> Alarms:
    """What is missed and what is called by a wrong name among the photos of a day, class by class.

    A day is taken to bring the classes in the shares of these photos. Of a class, the share that did not get its name
    is one less its recall; of all other photos, the share that got it is the false positive rate. Each is multiplied by
    how many such photos a day brings, and so is its interval, see `proportion`.

    Args:
        named: bool [n, K], the labels that each photo got.
        truth: int [n], index of the class that it shows.
        classes: K names.
        groups: int or str [n], the group of each photo; None for independent photos.
        photos_a_day: photos that a day brings; None counts by hundred photos.
    """
    n = len(truth)
    codes = group_codes(groups, n)
    count = None if codes is None else int(codes.max()) + 1
    photos = HUNDRED if photos_a_day is None else photos_a_day

    def expect(wrong: NDArray[np.bool_], among: NDArray[np.bool_]) -> Quantity:
        share = proportion(wrong[among], None if codes is None else codes[among], all_groups=count)
        return _times(share, photos * int(among.sum()) / n)

    per_class = {}
    for index, name in enumerate(classes):
        shows, got = truth == index, named[:, index]
        per_class[name] = ClassAlarms(photos * int(shows.sum()) / n, expect(~got, shows), expect(got, ~shows))
    return Alarms("hundred" if photos_a_day is None else "day", photos, per_class)


def named_by(
    probabilities: NDArray[np.floating[Any]], decide: float | None, accepted: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """The labels that photos get, bool [n, K]; see `stats.scores.score` for the arguments."""
    if decide is not None:
        return np.asarray(probabilities >= decide)
    named = np.zeros(probabilities.shape, dtype=bool)
    named[np.arange(len(named)), probabilities.argmax(axis=1)] = True
    return named if accepted is None else named & accepted[:, None]


def _times(share: Quantity, photos: float) -> Quantity:
    value, low, high = (None if end is None else end * photos for end in (share.value, share.low, share.high))
    return dataclasses.replace(share, value=value, low=low, high=high)
