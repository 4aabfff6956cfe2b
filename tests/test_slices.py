"""Slices: every photo is in one part, and the parts know about groups."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from certero.stats.slices import hour, lighting, slice_rows


def test_the_parts_of_a_slice_add_up_to_all_photos() -> None:
    correct = np.arange(12) % 3 > 0
    camera = ["north"] * 5 + ["south"] * 4 + [None] * 3
    rows = slice_rows(correct, None, {"camera": camera})
    assert [(row["slice"], row["value"], row["n"]) for row in rows] == [
        ("camera", "north", 5),
        ("camera", "south", 4),
        ("camera", None, 3),
    ]
    assert sum(row["n"] * row["accuracy"]["value"] for row in rows) == correct.sum()
    assert rows[0]["accuracy"]["method"] == "wilson"


def test_columns_that_divide_nothing_or_name_photos_are_left_out() -> None:
    columns = {"same": ["a"] * 30, "unknown": [None] * 30, "path": [str(i) for i in range(30)]}
    assert slice_rows(np.ones(30), None, columns) == []


def test_slices_keep_the_number_of_groups_of_the_test_set() -> None:
    groups = np.repeat(np.arange(12), 5)
    light = ["night"] * 15 + ["day"] * 45
    night = next(row for row in slice_rows(np.arange(60) % 4 > 0, groups, {"lighting": light}) if row["n"] == 15)
    assert night["accuracy"]["method"] == "wilson_effective_n"
    few = slice_rows(np.arange(60) % 4 > 0, groups // 2, {"lighting": light})
    assert {row["accuracy"]["method"] for row in few} == {"too_few_groups"}


def test_lighting_follows_brightness_and_admits_what_it_does_not_know() -> None:
    assert lighting([0.05, 0.3, 0.6, 0.95, None]) == ["night", "day", "day", "glare", None]


def test_hours_come_from_the_cameras_clock() -> None:
    times = [datetime(2024, 1, 12, 5, 40, 4), None, datetime(1969, 12, 31, 23, 59)]
    assert hour(times) == ["05:00", None, "23:00"]
    assert hour(np.array(times, dtype="datetime64[us]")) == ["05:00", None, "23:00"]
