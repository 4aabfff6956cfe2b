"""Promises about one or two days: what one half of the time says of the other stands beside the headline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from certero.data.separation import separate, with_units
from certero.data.table import Photos, conform
from certero.stages.other_half import cut_in_halves, measure_other_half

START = datetime(2024, 1, 8, 6)
CLASSES = ("a", "b")


def photos_at(times: Sequence[object], labels: Sequence[str] | None = None) -> Photos:
    columns = {
        "path": [f"c/{index:05}.jpg" for index in range(len(times))],
        "label": labels or ["ab"[index % 2] for index in range(len(times))],
        "status": ["ok"] * len(times),
        "captured_at": list(times),
    }
    return Photos(Path(), conform(pl.DataFrame(columns, strict=False)), "folders")


def every(minutes: int, count: int, start: datetime = START) -> list[datetime]:
    return [start + timedelta(minutes=minutes * number) for number in range(count)]


def halves_of(photos: Photos, copies: Sequence[tuple[int, int]] = ()):  # type: ignore[no-untyped-def]
    separation = separate(photos, copies)
    return cut_in_halves(with_units(photos, separation).table, separation)


def test_one_day_is_cut_at_the_round_hour_nearest_to_its_middle_and_nothing_near_the_cut_is_learnt() -> None:
    times = every(10, 73)  # 06:00 to 18:00
    halves = halves_of(photos_at(times))
    assert halves.cut == datetime(2024, 1, 8, 12)
    assert halves.between == "hours"
    stamps = np.array(times, dtype="datetime64[us]")
    for train, judge in zip(halves.train, halves.judge, strict=True):
        assert not (train & judge).any()
        assert np.abs(stamps[train][:, None] - stamps[judge]).min() > np.timedelta64(10, "m")
    assert [int(mask.sum()) for mask in halves.judge] == [37, 36]
    assert stamps[halves.train[0]].max() < stamps[halves.judge[0]].min()


def test_two_days_are_cut_between_them() -> None:
    times = [*every(10, 50), *every(10, 90, START + timedelta(days=1))]
    halves = halves_of(photos_at(times))
    assert halves.cut == datetime(2024, 1, 9)
    assert halves.between == "days"
    assert [int(mask.sum()) for mask in halves.train] == [50, 90]


def test_a_copy_is_learnt_with_the_earliest_of_its_kind_alone() -> None:
    times = every(10, 73)
    halves = halves_of(photos_at(times), [(3, 60)])
    assert not halves.judge[0][60]
    assert not halves.train[1][60]
    assert not (halves.judge[1][3] and halves.train[1][60])


@pytest.mark.parametrize(
    "photos",
    [
        photos_at([None] * 40),
        photos_at([time for day in range(4) for time in every(20, 30, START + timedelta(days=day))]),
        # Half of the later half is of a class that the earlier half does not know.
        photos_at(every(10, 72), ["a", "b"] * 18 + ["a", "c"] * 18),
    ],
    ids=["no times", "four days", "another class"],
)
def test_without_times_from_three_days_on_and_without_the_classes_there_are_no_halves(photos: Photos) -> None:
    assert halves_of(photos) is None


def test_the_figures_are_those_of_models_that_know_one_half_alone() -> None:
    times = every(10, 73)
    separation = separate(photos_at(times), [])
    table = with_units(photos_at(times), separation).table
    truth = np.arange(73) % 2
    asked: list[Sequence[npt.NDArray[np.bool_]]] = []

    def ask(parts: Sequence[npt.NDArray[np.bool_]]) -> list[npt.NDArray[np.int64]]:
        asked.append(parts)
        # The model of the morning is right all day, that of the afternoon names everything a.
        return [truth.copy(), np.zeros(73, dtype=np.int64)]

    found = measure_other_half(table, truth, CLASSES, separation, ask)
    assert found is not None
    assert (found.later.accuracy.value, found.later.n) == (1.0, 37)
    assert found.earlier.accuracy.value == 0.5
    assert found.earlier.per_class["a"].recall.value == 1.0
    assert found.earlier.per_class["b"].recall.value == 0.0
    assert [int(part.sum()) for part in asked[0]] == [found.later.n_train, found.earlier.n_train]
    assert measure_other_half(table, truth, CLASSES, separation, lambda _parts: None) is None
