"""Promises about days: when they are the unit, and what a figure then speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from certero.data.days import day_start
from certero.data.separation import separate
from certero.data.split import assign, assign_folds, fold_training_mask, needs_cv, units_to_fold
from certero.data.table import Photos, conform
from certero.errors import SplitError

MONDAY = datetime(2024, 1, 8)


def photos_at(times: Sequence[object], **columns: Sequence[object]) -> Photos:
    count = len(times)
    defaults = {
        "path": [f"c/{index:05}.jpg" for index in range(count)],
        "label": ["abc"[index % 3] for index in range(count)],
        "status": ["ok"] * count,
        "captured_at": list(times),
    }
    return Photos(Path(), conform(pl.DataFrame({**defaults, **columns}, strict=False)), "folders")


def daily(days: int, *, first: float = 8, last: float = 17, minutes: float = 15) -> list[datetime]:
    """A photo every so many minutes, from one hour to another, on each day; hours beyond 24 are of the next day."""
    count = int((last - first) * 60 / minutes)
    return [
        MONDAY + timedelta(days=day, hours=first, minutes=minutes * number)
        for day in range(days)
        for number in range(count)
    ]


@pytest.mark.parametrize("days", [3, 4, 5, 10, 400])
def test_from_three_days_on_whole_days_stay_together(days: int) -> None:
    times = daily(days)
    separation = separate(photos_at(times), [])
    assert separation.speaks_of == "days"
    assert separation.block == timedelta(days=1)
    assert separation.counts["units"] == days
    assert list(separation.unit) == [time.date().isoformat() for time in times]


@pytest.mark.parametrize(("days", "said"), [(1, "one day (2024-01-08)"), (2, "two days (2024-01-08 and 2024-01-09)")])
def test_one_or_two_days_claim_nothing_of_others(days: int, said: str) -> None:
    separation = separate(photos_at(daily(days)), [])
    assert separation.speaks_of == "hours"
    assert separation.counts["units"] > 3
    assert f"other days are not measured: all photos come from {said}" in separation.description
    with pytest.raises(SplitError) as refused:
        separate(photos_at(daily(days)), [], figure_for="days")
    assert "at least 3 days" in str(refused.value)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sessions_that_touch_three_dates_are_no_three_days() -> None:
    over_midnights = daily(1, first=23.5, last=48.5, minutes=5)
    assert separate(photos_at(over_midnights), []).speaks_of == "hours"
    thirty_hours = daily(1, first=21, last=51, minutes=5)
    assert "within 30 hours" in separate(photos_at(thirty_hours), []).description
    two_and_a_few = [*daily(2), *daily(3)[-2:]]
    separation = separate(photos_at(two_and_a_few), [])
    assert separation.speaks_of == "hours"
    assert "all but 2 of 74 photos come from two days" in separation.description


def test_a_night_is_one_day_and_midnight_does_not_cut_it() -> None:
    nights = daily(2, first=20, last=30)
    assert len({time.date() for time in nights}) == 3
    assert day_start(np.array(nights, dtype="datetime64[us]")) == timedelta(hours=13)
    assert separate(photos_at(nights), []).speaks_of == "hours"
    separation = separate(photos_at(daily(4, first=20, last=30)), [])
    assert separation.counts["units"] == 4
    assert separation.unit[0] == separation.unit[39] == "2024-01-08"
    assert "whole days from 13:00 on" in separation.description


def test_days_without_a_lull_or_away_from_midnight_begin_at_midnight() -> None:
    for times in (daily(4, first=0, last=24), daily(4, first=6, last=22)):
        assert day_start(np.array(times, dtype="datetime64[us]")) == timedelta(0)


def test_photos_near_midnight_are_left_out_of_training_on_the_next_day() -> None:
    photos = photos_at(daily(3, first=0, last=24, minutes=5))
    separation = separate(photos, [])
    folded = assign_folds(photos, separation, 3)
    table = folded.table
    for fold in range(3):
        training = table.filter(pl.Series(fold_training_mask(table, fold, separation.gap)))["captured_at"].to_numpy()
        judged = table.filter(pl.col("fold") == fold)["captured_at"].to_numpy()
        assert len(set(table.filter(pl.col("fold") == fold)["unit"])) == 1
        assert np.abs(training[:, None] - judged).min() > np.timedelta64(10, "m")
        assert len(training) >= 2 * 288 - 2 * 3


def test_copies_move_to_the_day_of_the_earliest() -> None:
    photos = photos_at(daily(3))
    separation = separate(photos, [(0, 40), (1, 80)])
    assert separation.unit[40] == separation.unit[80] == "2024-01-08"
    assert separation.counts["joined"] == 2
    assert "2 copies moved to the day of the earliest" in separation.description


def test_photos_without_a_time_may_be_of_a_test_day_and_are_left_out() -> None:
    times: list[object] = [*daily(4)]
    times[5] = times[77] = times[78] = None
    photos = photos_at(times)
    separation = separate(photos, [(5, 6)])
    assert separation.unit[5] == "2024-01-08"  # a copy of a photo whose day is known
    assert separation.counts["units"] == 4
    assert "3 photos without a time are left out" in separation.description
    for split in (assign(photos, separation), assign_folds(photos, separation, 4)):
        assert split.table["status"].to_list().count("purged") >= 2
        assert split.table["status"][77] == split.table["status"][78] == "purged"
        assert "2 photos purged: no capture time tells which day they are of" in split.notes
    judged = separate(photos, [], judged=True)
    assert judged.counts["units"] == 5
    assert len({judged.unit[row] for row in (5, 77, 78)}) == 1


def test_three_days_are_three_folds_by_day_and_ten_days_five_of_whole_days() -> None:
    for days in (3, 4, 5, 10):
        photos = photos_at(daily(days))
        separation = separate(photos, [])
        assert needs_cv(assign(photos, separation)) is not None
        table = assign_folds(photos, separation, min(5, days)).table
        assert table.group_by("unit").agg(pl.col("fold").n_unique())["fold"].to_list() == [1] * days


def test_more_folds_than_days_are_refused_in_one_line() -> None:
    photos = photos_at(daily(3))
    with pytest.raises(
        SplitError, match=r"keeping whole days together leaves 3 days; --cv 5 needs at least 5\. Use --cv 3"
    ):
        assign_folds(photos, separate(photos, []), 5)


def test_hours_of_many_days_are_had_for_the_asking() -> None:
    separation = separate(photos_at(daily(6)), [], figure_for="hours")
    assert separation.speaks_of == "hours"
    assert separation.block == timedelta(hours=1)
    assert "not measured" not in separation.description
    assert separate(photos_at(daily(6)), [], block=timedelta(hours=2)).speaks_of == "hours"
    assert separate(photos_at(daily(6)), [], block=timedelta(days=1)).speaks_of == "days"
    assert separate(photos_at(daily(2)), [], block=timedelta(days=1)).speaks_of == "hours"


def test_classes_that_were_photographed_on_a_day_of_their_own_leave_only_hours() -> None:
    photos = photos_at(daily(3), label=["a"] * 36 + ["b"] * 36 + ["c"] * 36)
    separation = separate(photos, [])
    assert separation.speaks_of == "hours"
    assert "seen on one day only (a, b, c)" in separation.description
    with pytest.raises(SplitError, match="seen on one day only"):
        separate(photos, [], figure_for="days")
    rare = photos_at(daily(3), label=["a", "b"] * 53 + ["rare", "rare"])
    assert separate(rare, []).speaks_of == "days"
    notes = assign_folds(rare, separate(rare, []), 3).notes
    assert "class rare lies in one day: never both trained and tested" in notes
    # Photos that a finished model is judged on are not split.
    assert separate(photos, [], judged=True).speaks_of == "days"


def test_places_need_groups_and_the_columns_that_could_name_them_are_told() -> None:
    cameras = ["north", "south", "east"] * 36
    photos = photos_at(daily(3), camera=cameras, serial=[str(number) for number in range(108)])
    with pytest.raises(SplitError, match=r"--for places needs --group-by .* columns that could: camera\."):
        separate(photos, [], figure_for="places")
    separation = separate(photos, [], figure_for="places", group_by="camera")
    assert separation.speaks_of == "places"
    assert separation.counts["units"] == 3
    assert separate(photos, [], group_by="camera").speaks_of == "groups"


def test_contradictory_targets_are_one_clear_line() -> None:
    photos = photos_at(daily(4), cow=[str(number % 5) for number in range(144)])
    for options, said in (
        ({"figure_for": "hours", "group_by": "cow"}, "--for hours separates by time"),
        ({"figure_for": "days", "block": timedelta(hours=4)}, "keeps whole days together"),
        ({"figure_for": "days", "group_by": "cow"}, "of 4 days 1 separate sets are left"),
    ):
        with pytest.raises(SplitError, match=said):
            separate(photos, [], **options)  # type: ignore[arg-type]
    without = photos_at([None] * 20)
    with pytest.raises(SplitError, match="--for days needs a capture time on at least 90% of the photos; 0 of 20"):
        separate(without, [], figure_for="days")


def test_days_that_share_a_group_are_joined() -> None:
    visits = ["a"] * 72 + ["b"] * 36 + ["c"] * 36
    separation = separate(photos_at(daily(4), visit=visits), [], figure_for="days", group_by="visit")
    assert separation.speaks_of == "days"
    assert separation.counts["units"] == 3
    assert separation.unit[0] == separation.unit[71]


@pytest.mark.parametrize(
    ("split", "speaks_of"),
    [
        (["train"] * 108 + ["test"] * 108, "days"),
        (["train"] * 180 + ["test"] * 36, "hours"),
        (["train"] * 126 + ["test"] * 90, "hours"),
        (["train", "test"] * 108, "unknown"),
    ],
)
def test_a_given_split_speaks_of_no_more_than_it_keeps_apart(split: list[str], speaks_of: str) -> None:
    photos = photos_at(daily(6, minutes=15), split=split)
    separation = separate(photos, [])
    assert separation.speaks_of == speaks_of
    if speaks_of == "unknown":
        assert "training photos come from" in separation.description
        with pytest.raises(SplitError, match="--for hours needs test photos of other hours than train"):
            separate(photos, [], figure_for="hours")
    if speaks_of != "days":
        with pytest.raises(SplitError, match="--for days"):
            separate(photos, [], figure_for="days")
    # The groups of a given split that both sides share are no other groups.
    cows = photos_at(daily(6), split=split, cow=["a", "b", "c"] * 72)
    assert separate(cows, [], group_by="cow").speaks_of == "unknown"


def test_cameras_that_never_ran_together_are_still_days() -> None:
    photos = photos_at(daily(4), group=["north"] * 72 + ["south"] * 72)
    assert separate(photos, []).counts["units"] == 4


def test_folds_within_one_day_keep_its_hours_together() -> None:
    day = photos_at(daily(1)).table.with_columns(pl.lit("2024-01-08").alias("unit"))
    assert len(set(units_to_fold(day))) == 9
    two = day.with_columns(pl.Series("unit", ["a", "b"] * 18))
    assert units_to_fold(two) == ["a", "b"] * 18
    untimed = day.with_columns(pl.lit(None, dtype=pl.Datetime("us")).alias("captured_at"))
    assert len(set(units_to_fold(untimed))) == 36
