"""Promises about train, val and test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import SHARED_DATA

from certero.data.left_out import near_in_time
from certero.data.scan import list_photos
from certero.data.separation import separate
from certero.data.split import assign, assign_folds, fold_training_mask, needs_cv
from certero.data.strata import split_units
from certero.data.table import Photos, conform, development, held_out
from certero.errors import DataError, SplitError
from certero.likeness.copies import link_copies
from certero.likeness.sets import Link

START = datetime(2024, 1, 12, 5, 30)
GAP = timedelta(minutes=10)


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


def sizes(photos: Photos) -> dict[str, int]:
    return dict(photos.used().group_by("split").len().iter_rows())


grouped_photos = st.integers(0, 10_000).map(
    lambda seed: (
        lambda rng, count: (
            rng.choice(list("abc"), count, p=[0.6, 0.3, 0.1]).tolist(),
            rng.integers(0, rng.integers(3, 30), count).astype(str).tolist(),
        )
    )(np.random.default_rng(seed), int(np.random.default_rng(seed).integers(30, 200)))
)


@settings(max_examples=30, deadline=None)
@given(grouped_photos, st.sampled_from([(0.7, 0.15, 0.15), (0.8, 0.0, 0.2), 2, 3]), st.integers(0, 5))
def test_no_group_crosses_the_split(
    drawn: tuple[list[str], list[str]], parts: tuple[float, ...] | int, seed: int
) -> None:
    labels, units = drawn
    placed = split_units(labels, units, parts, seed)
    of_unit = defaultdict(set)
    for unit, part in zip(units, placed, strict=True):
        of_unit[unit].add(int(part))
    assert all(len(found) == 1 for found in of_unit.values())
    shares = [1] * parts if isinstance(parts, int) else parts
    assert set(placed.tolist()) == {part for part, share in enumerate(shares) if share}


@settings(max_examples=20, deadline=None)
@given(grouped_photos, st.integers(0, 3))
def test_the_split_does_not_depend_on_the_order_of_the_photos(drawn: tuple[list[str], list[str]], seed: int) -> None:
    labels, units = drawn
    order = np.random.default_rng(9).permutation(len(labels))
    straight = split_units(labels, units, 3, seed)
    shuffled = split_units([labels[i] for i in order], [units[i] for i in order], 3, seed)
    by_unit = dict(zip(units, straight, strict=True))
    assert all(by_unit[units[i]] == part for i, part in zip(order, shuffled, strict=True))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from("aaaaabbc"), min_size=40, max_size=300), st.integers(0, 3))
def test_single_photos_are_split_to_the_wanted_sizes_in_every_class(labels: list[str], seed: int) -> None:
    units = [f"{index:04}" for index in range(len(labels))]
    placed = split_units(labels, units, (0.7, 0.15, 0.15), seed)
    for part, share in enumerate((0.7, 0.15, 0.15)):
        assert abs(int((placed == part).sum()) - share * len(labels)) <= 2
        for label in set(labels):
            rows = np.array([own == label for own in labels])
            assert abs(int((placed[rows] == part).sum()) - share * rows.sum()) <= 1


def test_groups_are_stratified_as_far_as_they_allow() -> None:
    rng = np.random.default_rng(4)
    units = [str(unit) for unit in range(60) for _ in range(20)]
    bias = rng.beta(1, 3, 60)
    labels = ["rare" if rng.random() < bias[int(unit)] else "common" for unit in units]
    placed = split_units(labels, units, (0.7, 0.15, 0.15), 0)
    rare = np.array([label == "rare" for label in labels])
    for part, share in enumerate((0.7, 0.15, 0.15)):
        assert (placed == part).mean() == pytest.approx(share, abs=0.02)
        assert rare[placed == part].sum() / rare.sum() == pytest.approx(share, abs=0.02)


def test_a_class_in_one_unit_is_trained_on() -> None:
    units = [str(unit) for unit in range(10) for _ in range(10)]
    labels = ["alone" if unit == "4" else "ab"[index % 2] for index, unit in enumerate(units)]
    for seed in range(5):
        assert set(split_units(labels, units, (0.7, 0.15, 0.15), seed)[40:50]) == {0}


def test_a_class_in_two_units_is_never_in_one_fold_alone() -> None:
    units = [str(unit) for unit in range(10) for _ in range(10)]
    labels = ["two" if unit in "47" else "ab"[index % 2] for index, unit in enumerate(units)]
    for seed in range(5):
        placed = split_units(labels, units, 5, seed)
        assert placed[40] != placed[70]


def test_a_large_split_takes_seconds_and_stays_stratified() -> None:
    rng = np.random.default_rng(0)
    count = 100_000
    units = [f"{unit:06}" for unit in rng.integers(0, 80_000, count)]
    labels = [f"{label:03}" for label in rng.geometric(0.05, count)]
    placed = split_units(labels, units, (0.7, 0.15, 0.15), 0)
    assert np.bincount(placed) / count == pytest.approx([0.7, 0.15, 0.15], abs=0.002)


def test_the_split_is_the_same_under_any_hash_seed_and_differs_by_its_own() -> None:
    code = (
        "from certero.data.strata import split_units\n"
        "units = [f'u{i // 3}' for i in range(120)]; labels = ['abc'[i % 3 if i % 7 else 0] for i in range(120)]\n"
        "print([split_units(labels, units, 3, seed).tolist() for seed in (0, 1)])"
    )
    path = os.pathsep.join(part for part in sys.path if part)
    found = []
    for seed in ("0", "1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        found.append(subprocess.check_output([sys.executable, "-c", code], env=environment, text=True))
    assert found[0] == found[1] == found[2]
    first, second = eval(found[0])
    assert first != second


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from([0, 5, 10, 30]),
    st.lists(st.tuples(st.integers(0, 199), st.integers(0, 199)), max_size=6),
)
def test_photos_of_different_splits_are_further_apart_than_the_gap(
    seed: int, gap_minutes: int, copies: list[tuple[int, int]]
) -> None:
    rng = np.random.default_rng(seed)
    times = [START + timedelta(minutes=float(minute)) for minute in np.cumsum(rng.exponential(8, 200))]
    gap = timedelta(minutes=gap_minutes)
    photos = photos_of(captured_at=list(times))
    separation = separate(photos, copies, block=timedelta(hours=1), gap=gap)
    done = assign(photos, separation, split_seed=seed)
    used = done.used().sort("captured_at")
    minutes = used["captured_at"].dt.timestamp("ms").to_numpy() / 60000
    splits = used["split"].to_numpy()
    if gap_minutes:
        apart = np.abs(minutes[:, None] - minutes) > gap_minutes
        assert (apart | (splits[:, None] == splits)).all()
    status = done.table["status"].to_list()
    assert "purged" not in [status[row] for row in np.flatnonzero(done.table["split"] == "test")]
    split = done.table["split"].to_list()
    assert all(split[a] == split[b] for a, b in copies)
    assert done.table["unit"].to_list() == list(separation.unit)


def test_near_in_time_agrees_with_all_pairs() -> None:
    rng = np.random.default_rng(0)
    times = np.datetime64("2024-01-01T00:00", "us") + rng.integers(0, 3000, 200) * np.timedelta64(1, "m")
    times[::9] = np.datetime64("NaT")
    others = times[:20]
    expected = [bool((np.abs(others[~np.isnat(others)] - time) <= np.timedelta64(GAP)).any()) for time in times]
    assert near_in_time(times, others, GAP).tolist() == expected
    assert not near_in_time(times, others, timedelta(0)).any()
    assert not near_in_time(times, others[:0], GAP).any()


def test_own_splits_have_the_default_sizes_and_keep_copies_together() -> None:
    photos = photos_of(label=["abc"[index % 3] for index in range(600)])
    copies = [(index, index + 300) for index in range(0, 100, 2)]
    done = assign(photos, separate(photos, copies))
    assert sizes(done) == {"train": 420, "val": 90, "test": 90}
    split = done.table["split"].to_list()
    assert all(split[a] == split[b] for a, b in copies)
    assert done.split_source == "own"
    assert set(development(done)["split"]) == {"train", "val"}
    assert set(held_out(done)["split"]) == {"test"}
    assert development(done).height + held_out(done).height == 600
    assert needs_cv(done) is None


def test_unreadable_photos_are_in_no_split() -> None:
    status: Sequence[object] = ["ok", "damaged", "ok", "unreadable"] * 30
    done = assign(photos := photos_of(status=status, label=list("aabb") * 30), separate(photos, []))
    assert done.table.filter(pl.col("status") == "unreadable")["split"].null_count() == 30
    assert sum(sizes(done).values()) == 90


def test_given_splits_are_respected_and_leaks_are_left_out_of_training() -> None:
    split: Sequence[object] = ["train"] * 60 + ["val"] * 20 + ["test"] * 20
    photos = photos_of(split=split)
    separation = separate(photos, [])
    leaks = link_copies(photos.table, [(0, 80), (0, 1), (2, 61), (62, 81), (83, 84), (3, 4)])
    done = assign(photos, separation, leaks=leaks)
    assert done.table["split"].to_list() == split
    assert [row for row, status in enumerate(done.table["status"]) if status == "leaked"] == [0, 1, 2, 62]
    assert done.split_source == "given"
    assert any("4 photos leaked" in note for note in done.notes)
    assert needs_cv(done) is None
    kept = assign(photos, separation, leaks=leaks, keep_leaks=True)
    assert set(kept.table["status"]) == {"ok"}


def test_altered_copies_of_test_photos_are_left_out_of_training_and_counted_apart() -> None:
    photos = photos_of(split=["train"] * 60 + ["val"] * 20 + ["test"] * 20)
    separation = separate(photos, [])
    altered: list[Link] = [(0, 80, "altered", 0.98), (0, 1, "altered", 0.98), (5, 82, "altered", 0.97)]
    done = assign(photos, separation, leaks=[*link_copies(photos.table, [(2, 81), (90, 91)]), *altered])
    assert [row for row, status in enumerate(done.table["status"]) if status == "leaked"] == [0, 1, 2, 5]
    assert any("1 photo leaked: copies of" in note for note in done.notes)
    assert any("3 photos leaked: altered copies of" in note for note in done.notes)
    assert done.used().filter(pl.col("split") == "test").height == 20, "test is never thinned"
    assert set(assign(photos, separation, leaks=altered, keep_leaks=True).table["status"]) == {"ok"}


def test_of_two_linked_sets_of_altered_copies_only_what_was_laid_on_a_test_photo_is_left_out() -> None:
    photos = photos_of(split=["train"] * 60 + ["val"] * 20 + ["test"] * 20)
    pairs = [(80, 81), (80, 82), (80, 83), (10, 11), (10, 12), (10, 13), (13, 83)]
    done = assign(photos, separate(photos, []), leaks=[(i, j, "altered", 0.98) for i, j in pairs])
    assert [row for row, status in enumerate(done.table["status"]) if status == "leaked"] == [13]


def test_a_missing_split_is_cut_from_train_and_never_aliased() -> None:
    split: Sequence[object] = ["train"] * 160 + ["test"] * 40
    photos = photos_of(split=split)
    separation = separate(photos, [])
    assert sizes(assign(photos, separation)) == {"train": 160, "test": 40}
    assert sizes(assign(photos, separation, needs_val=True)) == {"train": 136, "val": 24, "test": 40}
    no_test = photos_of(split=["train"] * 160 + ["val"] * 40)
    assert sizes(assign(no_test, separate(no_test, []))) == {"train": 136, "val": 40, "test": 24}
    only_train = photos_of(split=["train"] * 200)
    assert sizes(assign(only_train, separate(only_train, []))) == {"train": 140, "val": 30, "test": 30}
    partly = photos_of(split=[None] * 160 + ["test"] * 40)
    done = assign(partly, separate(partly, []))
    assert sizes(done) == {"train": 160, "test": 40}
    assert "160 photos without a given split joined train" in done.notes


def test_a_cut_val_keeps_its_distance_and_given_neighbours_stay() -> None:
    split: Sequence[object] = ["train"] * 200 + ["test"] * 40
    photos = photos_of(split=split, captured_at=every(5, 240))
    separation = separate(photos, [])
    done = assign(photos, separation, needs_val=True)
    assert sizes(done)["test"] == 40
    used = done.used()
    minutes = used["captured_at"].dt.timestamp("ms").to_numpy() / 60000
    train, val = (minutes[(used["split"] == name).to_numpy()] for name in ("train", "val"))
    assert np.abs(train[:, None] - val).min() > 10
    assert set(assign(photos, separation).table["status"]) == {"ok"}


def test_old_test_photos_stay_in_test_when_photos_are_added() -> None:
    hashes: Sequence[object] = [f"{index:032x}" for index in range(300)]
    group: Sequence[object] = [str(index // 5) for index in range(300)]
    old = photos_of(pixel_hash=hashes[:200], group=group[:200])
    before = assign(old, separate(old, [], group_by="group"))
    new = photos_of(pixel_hash=hashes, group=group)
    after = assign(new, separate(new, [], group_by="group"), split_seed=7, split_from=before.table)
    assert set(held_out(before)["pixel_hash"]) <= set(held_out(after)["pixel_hash"])
    assert sizes(after) == pytest.approx({"train": 210, "val": 45, "test": 45}, abs=10)
    given = photos_of(pixel_hash=hashes, split=["train"] * 250 + ["test"] * 50)
    with pytest.raises(SplitError, match="--split-from"):
        assign(given, separate(given, []), split_from=before.table)
    val_given = photos_of(pixel_hash=hashes, split=["train"] * 150 + ["val"] * 150)
    with pytest.raises(SplitError, match="--split-from"):
        assign(val_given, separate(val_given, []), split_from=before.table)
    same = photos_of(pixel_hash=hashes[:200], group=group[:200], split=before.table["split"].to_list())
    again = assign(same, separate(same, [], group_by="group"), split_from=before.table, needs_val=True)
    assert again.table["split"].equals(before.table["split"])
    folds = assign(old, separate(old, [], group_by="group"), cv=5)
    with pytest.raises(SplitError, match="that run has none"):
        assign(new, separate(new, [], group_by="group"), split_from=folds.table)


def test_too_few_groups_say_what_to_do() -> None:
    photos = photos_of(group=["x"] * 20 + ["y"] * 20, captured_at=every(5, 40))
    with pytest.raises(SplitError) as caught:
        assign(photos, separate(photos, [], group_by="group"))
    assert str(caught.value) == (
        "--group-by group leaves 2 groups; a split needs at least 3 (train, val, test). Use --cv 2, or separate by "
        "time with --block 1h."
    )
    with pytest.raises(SplitError, match=r"leaves 2 groups; --cv 5 needs at least 5. Use --cv 2, or"):
        assign(photos, separate(photos, [], group_by="group"), cv=5)
    short = photos_of(captured_at=[START + timedelta(seconds=index) for index in range(40)])
    with pytest.raises(SplitError, match=r"in blocks of 1h, leaves 1 block; .* Use a shorter --block.* --times ignore"):
        assign(short, separate(short, []))


def test_data_that_cannot_be_split_is_one_clear_line() -> None:
    one = photos_of(label=["a"] * 30)
    with pytest.raises(DataError, match="at least 2 classes"):
        assign(one, separate(one, []))
    lonely = photos_of(label=["a"] * 30 + ["b"])
    with pytest.raises(DataError, match=r"1 class has fewer: b \(1\)"):
        assign(lonely, separate(lonely, []))
    given = photos_of(split=["train"] * 20 + ["test"] * 20)
    with pytest.raises(SplitError, match="--cv makes its own folds"):
        assign(given, separate(given, []), cv=5)
    no_train = photos_of(split=["test"] * 20)
    with pytest.raises(SplitError, match="train must hold photos"):
        assign(no_train, separate(no_train, []))
    with pytest.raises(SplitError, match="at least 2 folds"):
        assign(lonely := photos_of(label=list("ab") * 5), separate(lonely, []), cv=1)


def test_a_wide_gap_that_leaves_nothing_is_one_clear_line() -> None:
    photos = photos_of(captured_at=every(5, 120))
    separation = separate(photos, [], block=timedelta(hours=10), gap=timedelta(hours=9))
    with pytest.raises(SplitError):
        assign(photos, separation)


def test_small_data_asks_for_cross_validation() -> None:
    photos = photos_of(label=["a"] * 200 + ["b"] * 60)
    reason = needs_cv(assign(photos, separate(photos, [])))
    assert reason is not None
    assert "1 of 2 classes" in reason
    assert "b would have 9 from 9" in reason


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_no_fold_trains_near_what_it_is_tested_on(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    times = [START + timedelta(minutes=float(minute)) for minute in np.cumsum(rng.exponential(10, 150))]
    photos = photos_of(captured_at=list(times))
    separation = separate(photos, [(0, 149), (3, 80)], block=timedelta(hours=1))
    done = assign_folds(photos, separation, folds, seed)
    held = done.table["fold"].to_numpy()
    assert set(held) == set(range(folds))
    assert held[0] == held[149]
    minutes = done.table["captured_at"].dt.timestamp("ms").to_numpy() / 60000
    for fold in range(folds):
        mask = fold_training_mask(done.table, fold, separation.gap)
        assert not mask[held == fold].any()
        assert mask.any()
        assert np.abs(minutes[mask][:, None] - minutes[held == fold]).min() > 10
    assert set(done.table["split"]) == {"train"}


def test_folds_note_a_class_that_cannot_be_both_trained_and_tested() -> None:
    group: Sequence[object] = [str(index // 10) for index in range(60)]
    label: Sequence[object] = ["alone" if index < 10 else "ab"[index % 2] for index in range(60)]
    photos = photos_of(group=group, label=label)
    done = assign_folds(photos, separate(photos, [], group_by="group"), 3)
    assert "class alone lies in one group: never both trained and tested" in done.notes


def test_the_real_barn_is_split_in_time_with_the_gap() -> None:
    if not SHARED_DATA.exists():
        pytest.skip("the real photos are not here")
    photos = list_photos(SHARED_DATA / "caetec" / "beds.csv").with_columns(pl.lit("ok").alias("status"))
    separation = separate(photos, [])
    done = assign(photos, separation)
    assert needs_cv(done) is not None
    folded = assign(photos, separation, cv=5)
    fold = folded.table["fold"].to_numpy()
    sizes_ = np.bincount(fold)
    assert sizes_.min() >= 0.5 * sizes_.max()
    standing = folded.table.filter(pl.col("label") == "standing")["fold"]
    assert standing.n_unique() >= 2
    assert set(fold[[row for row, unit in enumerate(separation.unit) if unit == separation.unit[0]]]) == {fold[0]}


def test_the_real_grocery_split_is_the_publishers() -> None:
    if not SHARED_DATA.exists():
        pytest.skip("the real photos are not here")
    photos = list_photos(SHARED_DATA / "grocery" / "grocery36.csv").with_columns(pl.lit("ok").alias("status"))
    done = assign(photos, separate(photos, []))
    assert sizes(done) == {"train": 2407, "val": 291, "test": 2266}
    assert done.table["split"].equals(photos.table["split"])


@pytest.mark.parametrize("cv", [None, 2])
def test_one_class_a_group_is_refused_and_one_among_others_is_noted(cv: int | None) -> None:
    labels, days = ["abc"[index % 3] for index in range(60)], [START + timedelta(days=index) for index in range(60)]
    own = photos_of(label=labels, group=labels)
    said = r"each class lies in one group of --group-by group \(a, b, c\). Group by camera, animal or place"
    with pytest.raises(SplitError, match=said):
        assign(own, separate(own, [], group_by="group"), cv=cv)
    at_once = photos_of(label=labels, captured_at=[START + timedelta(days=ord(label)) for label in labels])
    with pytest.raises(SplitError, match=r"each class lies in one block of 1h .* at several times"):
        assign(at_once, separate(at_once, []), cv=cv)
    two = photos_of(label=["ab"[index % 2] for index in range(40)], group=["ab"[index % 2] for index in range(40)])
    with pytest.raises(SplitError, match=r"each class lies in one group"):  # not: use --cv 2
        assign(two, separate(two, [], group_by="group"), cv=cv)
    nearly = photos_of(label=labels, group=[f"{i}" if label == "a" else label for i, label in enumerate(labels)])
    with pytest.raises(SplitError, match=r"2 of 3 classes lie in one group"):
        assign(nearly, separate(nearly, [], group_by="group"), cv=cv)
    mixed = photos_of(label=labels, group=["c" if label == "c" else f"{i}" for i, label in enumerate(labels)])
    notes = assign(mixed, separate(mixed, [], group_by="group"), cv=cv).notes
    assert "class c lies in one group: never both trained and tested" in notes
    timed = photos_of(label=labels, captured_at=days)
    assert assign(timed, separate(timed, []), cv=cv).notes == ()
    in_turn = photos_of(label=sorted(labels), captured_at=days)
    notes = assign(in_turn, separate(in_turn, []), cv=cv).notes
    assert any("each class was photographed at a time of its own" in note for note in notes)


def test_one_class_a_group_is_no_matter_where_the_splits_are_given() -> None:
    labels, splits = ["ab"[index % 2] for index in range(40)], ["train"] * 20 + ["test"] * 20
    photos = photos_of(label=labels, group=labels, split=splits)
    assert sizes(assign(photos, separate(photos, [], group_by="group"))) == {"train": 20, "test": 20}
