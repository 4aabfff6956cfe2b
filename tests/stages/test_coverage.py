"""What the photos cover is counted, and what they leave out is named: nothing that they lack passes unsaid."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from certero.data.separation import SpeaksOf, separate, with_units
from certero.data.table import Photos, conform
from certero.records.coverage import Covered, Covers
from certero.records.photo_counts import Counts, LostClass
from certero.stages.coverage import cover, describe_coverage, recalled, remembered

START = datetime(2024, 1, 12, 6)
ALL_USED = Counts(photos=48, used=48)


def covers_of(
    times: Sequence[datetime | None] | None = None,
    *,
    group_by: str | None = None,
    speaks_of: SpeaksOf | None = None,
    counts: Counts = ALL_USED,
    classes: Sequence[str] = ("a", "b"),
    **columns: Sequence[object],
) -> Covers:
    """What 48 photos cover, half of them of each class, as a cross-validation would tell it."""
    defaults: dict[str, Sequence[object]] = {
        "path": [f"c/{index:03}.jpg" for index in range(48)],
        "label": ["ab"[index % 2] for index in range(48)],
        "status": ["ok"] * 48,
        "brightness": [0.5] * 48,
        "captured_at": [None] * 48 if times is None else times,
    }
    photos = Photos(Path(), conform(pl.DataFrame({**defaults, **columns}, strict=False)), "manifest")
    separation = separate(photos, [], group_by=group_by)
    if speaks_of is not None:
        separation = dataclasses.replace(separation, speaks_of=speaks_of)
    covered = cover(with_units(photos, separation).used(), classes, separation)
    return describe_coverage(covered, covered, separation, counts)


def every(step: timedelta) -> list[datetime | None]:
    return [START + index * step for index in range(48)]


def codes(covers: Covers) -> set[str]:
    return {item.what for item in covers.unknown}


def judged(covers: Covers) -> Covered:
    assert covers.judged is not None
    return covers.judged


def test_one_day_says_nothing_of_other_days_hours_and_seasons() -> None:
    covers = covers_of(every(timedelta(minutes=10)), brightness=[0.9, *[0.5] * 27, *[0.1] * 20])
    found = judged(covers)
    assert (found.days, found.first, found.last) == (1, "2024-01-12T06:00:00", "2024-01-12T13:50:00")
    assert found.hours == dict.fromkeys(("06", "07", "08", "09", "10", "11", "12", "13"), 6)
    assert found.lighting == {"night": 20, "day": 27, "glare": 1}
    assert codes(covers) == {"other_days", "other_places", "hours", "seasons"}
    hours = next(item for item in covers.unknown if item.what == "hours")
    assert hours.n == 16
    assert set(hours.values) | set(found.hours) == {f"{hour:02d}" for hour in range(24)}


def test_photos_of_a_whole_year_leave_out_places_alone() -> None:
    times = [START + timedelta(days=7 * index, hours=index) for index in range(48)]
    covers = covers_of(times, brightness=[0.1] * 48, speaks_of="days")
    assert judged(covers).days == 48
    assert codes(covers) == {"other_places"}
    # Many days that were not kept apart say nothing of others either.
    assert codes(covers_of(times, brightness=[0.1] * 48, speaks_of="hours")) == {"other_days", "other_places"}


def test_a_night_is_one_day() -> None:
    times = [datetime(2024, 1, 12 + index // 24, 20) + timedelta(minutes=25 * (index % 24)) for index in range(48)]
    assert {time.date().day for time in times} == {12, 13, 14}
    assert judged(covers_of(list(times))).days == 2


@pytest.mark.parametrize(
    ("months", "missed"), [((1, 4, 7, 10), False), ((1, 4, 7), True), ((3, 6, 9, 12), False), ((11, 12, 1, 2), True)]
)
def test_a_gap_of_three_months_is_a_season_the_turn_of_the_year_counted_in(
    months: tuple[int, ...], missed: bool
) -> None:
    times = [datetime(2024, months[index % len(months)], 1 + index // 2, index % 24) for index in range(48)]
    assert ("seasons" in codes(covers_of(times))) is missed


def test_without_times_and_groups_nothing_tells_what_belongs_together() -> None:
    covers = covers_of()
    assert judged(covers).days is None
    assert {"dependence", "times", "other_places", "darkness"} == codes(covers)
    dark = covers_of(brightness=[0.1] * 19 + [0.5] * 29)
    assert next(item.n for item in dark.unknown if item.what == "darkness") == 19


def test_groups_that_were_kept_apart_speak_of_other_places() -> None:
    farms = [f"farm {index % 6}" for index in range(48)]
    covers = covers_of(group_by="group", group=farms)
    assert judged(covers).groups == 6
    assert codes(covers) == {"times", "darkness"}
    # The same column that separated nothing is told, and claims nothing.
    beside = covers_of(group=farms)
    assert judged(beside).groups == 6
    assert "other_places" in codes(beside)


def test_a_class_with_few_photos_or_none_is_named() -> None:
    covers = covers_of(label=["a"] * 29 + ["b"] * 19, classes=("a", "b", "c"))
    few = {item.values: item.n for item in covers.unknown if item.what == "class"}
    assert few == {("b",): 19, ("c",): 0}


def test_further_columns_are_counted_and_names_of_photos_are_not() -> None:
    covers = covers_of(camera=["north", "south"] * 24, number=[str(index) for index in range(48)])
    assert judged(covers).columns == {"camera": {"north": 24, "south": 24}}


def test_photos_that_told_nothing_are_told() -> None:
    counts = Counts(
        photos=60,
        used=48,
        unreadable=12,
        passed_over={".txt": 3, "(photo without a class folder)": 2},
        lost={"c": LostClass(12, 12, {}), "b": LostClass(24, 1, {}), "d": LostClass(0, 0, {".mp4": 1})},
    )
    found = {item.what: (item.n, item.values) for item in covers_of(counts=counts).unknown}
    assert found["unreadable"] == (12, ())
    assert found["passed_over"] == (2, ("(photo without a class folder)",))
    assert found["lost_class"] == (2, ("c", "d"))


def test_a_model_file_remembers_counts_and_no_names_of_columns() -> None:
    covers = covers_of(every(timedelta(hours=1)), camera=["north", "south"] * 24)
    stored = remembered(covers)
    assert stored is not None
    assert "north" not in str(stored)
    back = recalled({"recipe": "probe", "covers": stored})
    assert back is not None
    assert (back.photos, back.hours, back.columns) == (48, judged(covers).hours, None)
    assert recalled({"recipe": "probe"}) is None
