"""Promises about what is never split apart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import SHARED_DATA

from certero.data.decay import default_block, similarity_decay
from certero.data.separation import duration, separate
from certero.data.table import Photos, conform
from certero.errors import SplitError
from certero.likeness.clusters import join
from certero.stages.look import scan

START = datetime(2024, 1, 12, 5, 30)


def photos_of(**columns: Sequence[object]) -> Photos:
    count = len(next(iter(columns.values())))
    defaults = {
        "path": [f"c/{index:05}.jpg" for index in range(count)],
        "label": ["ab"[index % 2] for index in range(count)],
        "status": ["ok"] * count,
    }
    return Photos(Path(), conform(pl.DataFrame({**defaults, **columns}, strict=False)), "folders")


def every(minutes: float, count: int) -> list[object]:
    return [START + timedelta(minutes=minutes * index) for index in range(count)]


@given(st.integers(1, 30), st.data())
def test_join_agrees_with_a_search_through_the_links(count: int, data: st.DataObject) -> None:
    item = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(item, item), max_size=40))
    linked = {index: {index} for index in range(count)}
    for _ in range(count):
        for a, b in pairs:
            linked[a] = linked[b] = linked[a] | linked[b]
            for other in linked[a]:
                linked[other] = linked[a]
    assert join(count, pairs).tolist() == [min(linked[index]) for index in range(count)]


def test_copies_share_a_unit_and_other_photos_stand_alone() -> None:
    photos = photos_of(status=["ok", "ok", "damaged", "unreadable", "ok"])
    separation = separate(photos, [(4, 2), (2, 0)])
    assert separation.rule == "copies"
    assert separation.unit == ("c/00000.jpg", "c/00001.jpg", "c/00000.jpg", None, "c/00000.jpg")
    assert separation.counts == {"photos": 4, "timed": 0, "units": 2, "joined": 0}
    assert separation.gap == timedelta(0)


def test_groups_that_share_a_copy_become_one() -> None:
    photos = photos_of(group=["x", "x", "y", "y", "z", "z"])
    separation = separate(photos, [(1, 2)], group_by="group")
    assert separation.rule == "group"
    assert separation.unit == ("x", "x", "x", "x", "z", "z")
    assert separation.counts["joined"] == 1


def test_groups_come_from_the_folder_a_pattern_or_a_manifest_column() -> None:
    paths: Sequence[object] = ["n/cow1_1.jpg", "n/cow2_1.jpg", "s/cow1_2.jpg"]
    photos = photos_of(path=paths, camera=["A", "B", "B"])
    assert separate(photos, [], group_by="parent").unit == ("n", "n", "s")
    assert separate(photos, [], group_by=r"(cow\d)_").unit == ("cow1", "cow2", "cow1")
    assert separate(photos, [], group_by=r"cow\d").unit == ("cow1", "cow2", "cow1")
    assert separate(photos, [], group_by="camera").unit == ("A", "B", "B")


@pytest.mark.parametrize(
    ("group_by", "said"),
    [
        (r"(cow1)_", r"gives none to 1 photo \(first: n/cow2_1.jpg\) of 3"),
        ("bed", r"found 'bed' \(columns: camera\)"),
        ("group", "found 'group'"),
        ("(", "valid regular expression"),
    ],
)
def test_a_group_rule_that_misses_photos_is_one_clear_line(group_by: str, said: str) -> None:
    paths: Sequence[object] = ["n/cow1_1.jpg", "n/cow2_1.jpg", "s/cow1_2.jpg"]
    with pytest.raises(SplitError, match=said):
        separate(photos_of(path=paths, camera=["A", "B", "B"]), [], group_by=group_by)


def test_time_separates_only_where_nine_of_ten_photos_have_one() -> None:
    times = every(30, 20)
    times[3] = times[7] = None
    assert separate(photos_of(captured_at=times), []).rule == "time"
    times[9] = None
    photos = photos_of(captured_at=times)
    assert separate(photos, []).rule == "copies"
    with pytest.raises(SplitError, match="17 of 20"):
        separate(photos, [], block=timedelta(hours=2))


def test_all_cameras_of_one_moment_fall_in_one_block() -> None:
    times = every(5, 100)
    photos = photos_of(captured_at=times + times, group=["a"] * 100 + ["b"] * 100)
    unit = separate(photos, [], block=timedelta(hours=2)).unit
    assert unit[:100] == unit[100:]
    assert unit[0] == "2024-01-12T04:00:00"
    assert unit[6] == "2024-01-12T06:00:00"


def test_copies_in_distant_blocks_move_and_do_not_chain_the_blocks() -> None:
    times = every(60, 12)
    times[11] = None
    separation = separate(photos_of(captured_at=times), [(0, 5), (5, 9), (9, 11), (3, 4)], block=timedelta(hours=1))
    assert separation.unit[0] == separation.unit[5] == separation.unit[9] == separation.unit[11]
    assert separation.unit[3] == separation.unit[4]
    assert separation.counts["units"] == 8
    assert separation.counts["joined"] == 4


def test_contradictory_wishes_are_one_clear_line() -> None:
    photos = photos_of(captured_at=every(5, 50), group=["a"] * 50)
    with pytest.raises(SplitError, match="both --group-by and --block"):
        separate(photos, [], group_by="group", block=timedelta(hours=1))
    with pytest.raises(SplitError, match=r"--block 5m and --gap 10m"):
        separate(photos, [], block=timedelta(minutes=5))
    with pytest.raises(SplitError, match="not negative"):
        separate(photos, [], gap=timedelta(minutes=-1))


def _drifting(count: int, flip_per_step: float) -> npt.NDArray[np.uint8]:
    """Descriptors in which each bit flips with a chance a step: likeness decays as (1 + (1 - 2p)^n) / 2."""
    rng = np.random.default_rng(1)
    flips = np.cumsum(rng.random((count, 256)) < flip_per_step, axis=0) % 2
    return np.packbits(flips.astype(np.uint8), axis=1)


@pytest.mark.parametrize("flip", [0.003, 0.01, 0.05])
def test_decay_and_default_block_follow_a_known_process(flip: float) -> None:
    count = 3000
    minutes = np.arange(count, dtype=np.float64) * 5
    curve, baseline = similarity_decay(minutes, [None] * count, _drifting(count, flip))
    assert baseline == pytest.approx(0.5, abs=0.03)
    for lag, likeness in curve[:8]:
        assert likeness == pytest.approx((1 + (1 - 2 * flip) ** (lag / 5)) / 2, abs=0.03)
    block, _ = default_block(curve, baseline, lambda _hours: True)
    hours = np.array([1, 2, 3, 4, 6, 8, 12])
    faded = (1 - 2 * flip) ** (12 * hours - 1) < 0.2
    expected = hours[np.argmax(faded) if faded.any() else -1]
    assert abs(list(hours).index(block.total_seconds() / 3600) - list(hours).index(expected)) <= 1


def test_a_default_block_is_never_shortened_for_an_interval_and_says_so_where_a_split_needs_it() -> None:
    slow = [(5.0, 1.0), (60.0, 0.9), (120.0, 0.8), (180.0, 0.75), (240.0, 0.55)]
    block, reason = default_block(slow, 0.5, lambda _hours: True)
    assert block == timedelta(hours=4)
    assert reason == "similarity fades within 4h"
    block, reason = default_block(slow, 0.5, lambda hours: hours <= 2)
    assert block == timedelta(hours=2)
    assert "flatters the figure" in reason
    assert default_block([], None, lambda _hours: True)[0] == timedelta(hours=1)
    assert default_block(slow, 0.5, lambda _hours: False)[0] == timedelta(hours=1)


def test_blocks_of_one_day_are_as_long_as_it_takes_photos_to_differ_though_few_are_left() -> None:
    count = 24 * 12
    descriptors = [bytes(row) for row in _drifting(count, 0.0035)]
    separation = separate(photos_of(captured_at=every(5, count), descriptor=descriptors), [])
    assert separation.block is not None
    assert separation.block >= timedelta(hours=6)
    assert 3 <= separation.counts["units"] < 10
    assert separation.speaks_of == "hours"


def test_the_units_do_not_depend_on_the_order_of_the_rows() -> None:
    times = every(17, 60)
    photos = photos_of(captured_at=times, label=["a"] * 60)
    copies = [(0, 30), (30, 45), (10, 11)]
    unit = separate(photos, copies).unit
    order = np.random.default_rng(0).permutation(60)
    new_row = {int(old): new for new, old in enumerate(order)}
    shuffled = Photos(Path(), photos.table[order], "folders")
    again = separate(shuffled, [(new_row[b], new_row[a]) for a, b in copies]).unit
    assert [again[new_row[row]] for row in range(60)] == list(unit)


@pytest.mark.parametrize(("seconds", "text"), [(3600, "1h"), (600, "10m"), (5400, "1h30m"), (0, "0m"), (90, "1m30s")])
def test_durations_read_as_the_command_line_takes_them(seconds: int, text: str) -> None:
    assert duration(timedelta(seconds=seconds)) == text


def test_the_real_barn_is_one_day_in_blocks_of_four_hours() -> None:
    if not SHARED_DATA.exists():
        pytest.skip("the real photos are not here")
    photos = scan(SHARED_DATA / "caetec" / "beds.csv")
    separation = separate(Photos(Path(), photos, "manifest"), [])
    assert separation.rule == "time"
    assert separation.block == timedelta(hours=4)
    assert separation.speaks_of == "hours"
    assert "all photos come from one day (2024-01-12)" in separation.description
