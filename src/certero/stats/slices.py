"""Accuracy on parts of the test photos: by lighting, by hour, by camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.records import Json
from certero.stats.intervals import group_codes, proportion

#: A column with more values than hours in a day names photos rather than parts of them.
MOST_VALUES = 24

# Mean luma of a real barn camera's bed crops (caetec, 429 crops of one day): at most 0.21 by lamp light
# before dawn, 0.26 to 0.65 from nine to dusk, up to 0.98 while the low sun glares on the sand; shop photos:
# 0.29 to 0.58.
NIGHT_BELOW = 0.24
GLARE_ABOVE = 0.68


def lighting(brightness: ArrayLike) -> list[str | None]:
    """`night`, `day` or `glare` of each photo, by how bright it is, not by the clock; None where unknown.

    Args:
        brightness: float [n], mean luma 0 to 1; NaN or None where unknown.

    >>> lighting([0.1, 0.4, 0.9, float("nan")])
    ['night', 'day', 'glare', None]
    """
    luma = np.asarray(brightness, dtype=np.float64)
    return [
        None if np.isnan(x) else "night" if x < NIGHT_BELOW else "glare" if x > GLARE_ABOVE else "day" for x in luma
    ]


def hour(captured_at: Sequence[datetime | None] | NDArray[np.datetime64]) -> list[str | None]:
    """The hour of the day of each photo, `00:00` to `23:00`, by the camera's clock; None where unknown.

    Args:
        captured_at: naive datetimes or datetime64 [n]; None or NaT where unknown.

    >>> hour([datetime(2024, 1, 12, 5, 40), None])
    ['05:00', None]
    """
    hours = np.asarray(captured_at, dtype="datetime64[h]")
    return [None if np.isnat(when) else f"{when.astype(int) % 24:02d}:00" for when in hours]


def slice_rows(correct: ArrayLike, groups: ArrayLike | None, columns: Mapping[str, Sequence[str | None]]) -> list[Json]:
    """Accuracy for each value of each column that divides the test photos into 2 to 24 parts.

    Small parts are shown with the width of their interval rather than left out; photos without a value form
    a part of their own, so the parts of a column always add up to all photos.

    Args:
        correct: bool [n], whether the label given is the true one.
        groups: int or str [n], the group of each photo; None for independent photos.
        columns: by name of the slice, the value of each photo: str or None [n].

    Returns:
        Rows of `slice`, `value` (None: unknown), `n` and `accuracy` (a quantity), by column, values sorted.
    """
    hits = np.asarray(correct, dtype=bool)
    codes = group_codes(groups, len(hits))
    count = None if codes is None else int(codes.max()) + 1
    rows: list[Json] = []
    for name, values in columns.items():
        cells = np.asarray(values, dtype=object)
        distinct = sorted(set(values), key=lambda value: (value is None, value or ""))
        if not 2 <= len(distinct) <= MOST_VALUES:
            continue
        for value in distinct:
            inside = np.array([cell == value for cell in cells], dtype=bool)
            part = None if codes is None else codes[inside]
            accuracy = proportion(hits[inside], part, all_groups=count)
            row = {"slice": name, "value": value, "n": int(inside.sum()), "accuracy": accuracy.to_json()}
            rows.append(row)
    return rows
