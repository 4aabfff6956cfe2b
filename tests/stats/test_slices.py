"""Slices: every photo is in one part, and the parts know about groups."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import numpy as np
import pytest

from certero.report.figures import worst_slice_sentence
from certero.stats.slices import hour, lighting, slice_rows, worst_slice


def test_the_parts_of_a_slice_add_up_to_all_photos() -> None:
    correct = np.arange(12) % 3 > 0
    camera = ["north"] * 5 + ["south"] * 4 + [None] * 3
    rows = slice_rows(correct, None, {"camera": camera})
    assert [(row.slice, row.value, row.n) for row in rows] == [
        ("camera", "north", 5),
        ("camera", "south", 4),
        ("camera", None, 3),
    ]
    assert sum(row.n * row.accuracy.value for row in rows) == correct.sum()
    assert rows[0].accuracy.method == "wilson"


def test_columns_that_divide_nothing_or_name_photos_are_left_out() -> None:
    columns = {"same": ["a"] * 30, "unknown": [None] * 30, "path": [str(i) for i in range(30)]}
    assert slice_rows(np.ones(30), None, columns) == ()


def test_slices_keep_the_number_of_groups_of_the_test_set() -> None:
    groups = np.repeat(np.arange(12), 5)
    light = ["night"] * 15 + ["day"] * 45
    night = next(row for row in slice_rows(np.arange(60) % 4 > 0, groups, {"lighting": light}) if row.n == 15)
    assert night.accuracy.method == "wilson_effective_n"
    few = slice_rows(np.arange(60) % 4 > 0, groups // 40, {"lighting": light})
    assert {row.accuracy.method for row in few} == {"too_few_groups"}


def test_lighting_follows_brightness_and_admits_what_it_does_not_know() -> None:
    assert lighting([0.05, 0.3, 0.6, 0.95, None]) == ["night", "day", "day", "glare", None]


def test_hours_come_from_the_cameras_clock() -> None:
    times = [datetime(2024, 1, 12, 5, 40, 4), None, datetime(1969, 12, 31, 23, 59)]
    assert hour(times) == ["05:00", None, "23:00"]
    assert hour(np.array(times, dtype="datetime64[us]")) == ["05:00", None, "23:00"]


def test_a_part_that_is_worse_than_the_rest_is_named() -> None:
    light = ["night"] * 80 + ["day"] * 320
    correct = np.array(([True, False] * 40) + ([True] * 9 + [False]) * 32)
    camera = ["north", "north", "south", "south"] * 100
    worst = worst_slice(correct, None, {"camera": camera, "lighting": light})
    assert worst is not None
    assert (worst.part.slice, worst.part.value, worst.part.n, worst.looked_at) == ("lighting", "night", 80, 4)
    assert (worst.part.accuracy.value, worst.part.rest_accuracy, worst.worse) == (0.5, 0.9, True)


def test_a_part_of_independent_photos_is_judged_as_by_fishers_exact_test() -> None:
    from scipy.stats import fisher_exact

    light = ["night"] * 80 + ["day"] * 320
    correct = np.array(([True] * 4 + [False]) * 16 + ([True] * 9 + [False]) * 32)
    worst = worst_slice(correct, None, {"lighting": light})
    assert worst is not None
    exact = fisher_exact([[64, 16], [288, 32]], alternative="less").pvalue
    assert worst.p == pytest.approx(2 * exact, rel=1e-9)  # two parts were looked at


def test_a_worst_part_of_photos_that_are_all_alike_is_seldom_called_worse() -> None:
    generator = np.random.default_rng(0)
    for groups in (None, np.repeat(np.arange(40), 10)):
        called = 0
        for _ in range(400):
            chance = 0.85 if groups is None else generator.beta(8.5, 1.5, 40)[groups]
            correct = generator.random(400) < chance
            parts = generator.integers(0, 8, 400 if groups is None else 40)
            columns = {"camera": [f"{part}" for part in (parts if groups is None else parts[groups])]}
            worst = worst_slice(correct, groups, columns)
            called += worst is not None and worst.worse
        assert called / 400 < 0.08  # 5 % and the chance of 400 runs


def test_one_bad_hour_does_not_condemn_a_camera() -> None:
    groups = np.repeat(np.arange(20), 10)
    camera = ["a"] * 100 + ["b"] * 100
    correct = groups != 3  # every photo of one hour of camera a is wrong, all others are right
    worst = worst_slice(correct, groups, {"camera": camera})
    assert worst is not None
    assert (worst.part.value, worst.worse) == ("a", False)
    naive = worst_slice(correct, None, {"camera": camera})
    assert naive is not None
    assert naive.worse


def test_too_few_groups_name_no_worst_part() -> None:
    assert worst_slice(np.arange(90) % 4 > 0, np.arange(90) // 45, {"lighting": ["night"] * 40 + ["day"] * 50}) is None
    assert worst_slice(np.ones(90), None, {"lighting": ["night"] * 40 + ["day"] * 50}) is None


def test_one_photo_at_night_is_no_finding() -> None:
    light = ["night"] + ["day"] * 1999
    rows = slice_rows(np.arange(2000) > 0, None, {"lighting": light})
    night = next(row for row in rows if row.value == "night")
    assert (night.accuracy.value, night.p, night.worse) == (0.0, None, False)
    # Nor is the day compared with that one photo.
    assert worst_slice(np.arange(2000) > 0, None, {"lighting": light}) is None
    many = slice_rows(np.arange(2000) > 9, None, {"lighting": ["night"] * 10 + ["day"] * 1990})
    assert [row.worse for row in many] == [False, True]


def test_every_part_that_is_worse_is_marked_and_the_worst_carries_the_same_p() -> None:
    generator = np.random.default_rng(4)
    camera = generator.choice(["a", "b", "c", "d"], 1200)
    correct = generator.random(1200) < np.where(np.isin(camera, ["a", "b"]), 0.6, 0.95)
    columns = {"camera": camera.tolist()}
    rows = slice_rows(correct, None, columns)
    assert [row.worse for row in rows] == [True, True, False, False]
    worst = worst_slice(correct, None, columns)
    assert worst is not None
    assert worst.p == min(row.p for row in rows if row.p is not None)


def test_nights_that_are_worse_on_each_of_a_few_days_are_found() -> None:
    """Days hold both nights and days: what the days have in common falls out of their differences."""
    generator = np.random.default_rng(8)
    day = np.repeat(np.arange(8), 60)
    night = np.arange(480) % 60 < 20
    columns = {
        "lighting": np.where(night, "night", "day").tolist(),
        "camera": generator.choice(["a", "b"], 480).tolist(),
    }
    easy = generator.random(8)[day] * 0.1
    found = worst_slice(generator.random(480) < np.where(night, 0.55, 0.9) + easy, day, columns)
    assert found is not None
    assert (found.part.value, found.worse) == ("night", True)
    called = 0
    for _ in range(200):
        days_differ = generator.beta(17, 3, 8)[day]
        worst = worst_slice(generator.random(480) < days_differ, day, columns)
        called += worst is not None and worst.worse
    assert called / 200 < 0.09


def test_a_part_that_is_one_group_is_named_and_not_tested() -> None:
    """All photos of one farm wrong, all others right: a bound cut at 1 was shown as "in 100 % of cases"."""
    farm = [f"farm{number}" for number in range(13) for _ in range(12)]
    correct = np.array([name != "farm12" for name in farm])
    light = ["night", "day"] * 78
    alone = worst_slice(correct, farm, {"farm": farm})
    assert alone is not None
    assert (alone.p, alone.worse, alone.looked_at) == (None, False, 0)
    assert alone.untested.value == "farm12"
    both = worst_slice(correct, farm, {"farm": farm, "lighting": light})
    assert both is not None
    assert (both.part.slice, both.looked_at) == ("lighting", 2)
    assert (both.untested.value, both.untested.accuracy.value) == ("farm12", 0.0)
    assert both.untested.rest_accuracy == 1.0
    for worst in (alone, both):
        said = worst_slice_sentence(worst)
        assert said is not None
        assert "farm: farm12 is one group" in said
        assert said.endswith("whether it is worse or chance, nobody can tell.")
        assert "of cases" not in said


def test_a_bound_cut_at_one_is_no_chance() -> None:
    correct = np.random.default_rng(3).random(200) > 0.2
    worst = worst_slice(correct, None, {"camera": [f"c{number % 20}" for number in range(200)]})
    assert worst is not None
    for p in (1.0, 0.7):
        said = worst_slice_sentence(dataclasses.replace(worst, p=p, worse=False))
        assert said is not None
        assert "chance makes one look that bad easily" in said
        assert "of cases" not in said
    assert "in at most 20" in str(worst_slice_sentence(dataclasses.replace(worst, p=0.2, worse=False)))
