"""Training never splits what belongs together: neighbours in time, copies, splits that were given."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from barns import lay_out, without_times
from PIL import Image
from trainings import OWN_SPLIT, QUICK, read_predictions, split_up, used

import certero
from certero.cli.terminal.summary import summarise
from certero.data.split import fold_training_mask
from certero.errors import ConfigError
from certero.pipelines.train import Run, train
from certero.records.metrics import Metrics
from certero.records.photos import SPLITS
from certero.runtime.model_file import read_model

pytest.importorskip("onnx", reason="training needs the [train] extra")


def _least_distance(left: pl.Series, right: pl.Series) -> timedelta:
    one, two = left.to_numpy()[:, None], right.to_numpy()[None]
    return timedelta(microseconds=int(np.abs((one - two).astype("timedelta64[us]").astype(np.int64)).min()))


def test_photos_of_two_splits_are_more_than_the_gap_apart(own_split: Run) -> None:
    table = used(own_split.path)
    parts = {name: table.filter(pl.col("split") == name)["captured_at"] for name in SPLITS}
    assert all(len(part) >= 10 for part in parts.values())
    for one, two in (("train", "val"), ("train", "test"), ("val", "test")):
        assert _least_distance(parts[one], parts[two]) > timedelta(minutes=10)
    assert own_split.metrics["separation"]["rule"] == "time"
    assert own_split.metrics["separation"]["gap_minutes"] == 10


def test_photos_near_another_split_are_listed_as_purged(small_barn: Path, tmp_path: Path) -> None:
    run = train(small_barn / "beds.csv", output=tmp_path / "run", gap="31m", **OWN_SPLIT)
    table = pl.read_parquet(run.path / "data.parquet")
    purged = table.filter(pl.col("status") == "purged")
    assert run.metrics["counts"]["purged"] == purged.height > 0
    assert [row["path"] for row in run.metrics["listed"]["purged"]] == purged["path"].to_list()
    assert run.metrics["counts"]["used"] + purged.height == run.metrics["counts"]["photos"] == table.height
    assert not set(purged["path"]) & {row["path"] for row in read_predictions(run.path)}
    # Test is never thinned, and what is kept is far enough away.
    kept = used(run.path)
    test = kept.filter(pl.col("split") == "test")["captured_at"]
    assert _least_distance(kept.filter(pl.col("split") != "test")["captured_at"], test) > timedelta(minutes=31)


def test_no_fold_trains_on_a_photo_within_the_gap_of_one_it_is_judged_on(small_barn: Path) -> None:
    prepared = split_up(small_barn / "beds.csv", cv=4, block="1h", gap="31m")
    table = prepared.photos.table
    for fold in range(4):
        inside = table.filter(pl.Series(fold_training_mask(table, fold, prepared.separation.gap)))
        outside = table.filter(pl.col("fold") == fold)
        assert inside.height > 0
        assert outside.height > 0
        assert _least_distance(inside["captured_at"], outside["captured_at"]) > timedelta(minutes=31)


def _reencode(source: Path, target: Path, quality: int = 60, scale: float = 1.0) -> None:
    picture = Image.open(source)
    size = (round(picture.width * scale), round(picture.height * scale))
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.resize(size, Image.Resampling.LANCZOS).save(target, quality=quality)


def _append(manifest: Path, rows: Sequence[Sequence[str]]) -> None:
    with manifest.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def test_copies_planted_in_other_classes_stay_with_their_original(small_barn: Path, tmp_path: Path) -> None:
    manifest = without_times(small_barn, tmp_path / "data")
    rows = list(csv.DictReader(manifest.open(encoding="utf-8")))
    planted = []
    for number in range(0, 120, 6):
        other = {"empty": "lying", "lying": "standing", "standing": "empty"}[rows[number]["label"]]
        copy = f"copies/{number:03d}.jpg"
        quality, scale = ((60, 1.0), (90, 0.75))[number % 4 // 2]
        _reencode(tmp_path / "data" / rows[number]["path"], tmp_path / "data" / copy, quality, scale)
        planted.append((rows[number]["path"], copy, other))
    _append(manifest, [(copy, label) for _original, copy, label in planted])
    for settings, column in (({"cv": 0}, "split"), ({"cv": 5}, "fold")):
        prepared = split_up(manifest, **settings)
        assert prepared.separation.rule == "copies"
        place = dict(zip(prepared.photos.table["path"], prepared.photos.table[column], strict=True))
        assert len(set(place.values())) > 1
        assert [place[original] for original, _copy, _label in planted] == [place[copy] for _o, copy, _label in planted]


def test_copies_of_test_photos_are_left_out_of_training_and_never_in_the_model(
    given_data: Path, tmp_path: Path
) -> None:
    rows = list(csv.DictReader(given_data.open(encoding="utf-8")))
    folder = tmp_path / "data"
    manifest = lay_out(given_data.parent, folder, rows, lambda _number, row: row["path"])
    test = [row for row in rows if row["split"] == "test"][:6]
    planted = [f"copies/{number}.jpg" for number in range(len(test))]
    for row, copy in zip(test, planted, strict=True):
        _reencode(folder / row["path"], folder / copy)
    _append(manifest, [(copy, row["label"], "train") for row, copy in zip(test, planted, strict=True)])
    run = train(manifest, output=tmp_path / "run", open_test=False, **QUICK)
    table = pl.read_parquet(run.path / "data.parquet")
    leaked = table.filter(pl.col("status") == "leaked")
    assert set(planted) <= set(leaked["path"])
    assert run.metrics["counts"]["leaked"] == leaked.height
    assert {row["path"] for row in run.metrics["listed"]["leaked"]} == set(leaked["path"])
    known = {row.tobytes().hex() for row in read_model(run.model)[1].fingerprints.pixel_hashes}
    assert not known & set(leaked["pixel_hash"])
    assert not known & set(table.filter(pl.col("split") == "test")["pixel_hash"])
    # Test is never thinned.
    assert table.filter(pl.col("split") == "test")["status"].unique().to_list() == ["ok"]
    kept = train(manifest, output=tmp_path / "kept", open_test=False, keep_leaks=True, **QUICK)
    assert kept.metrics["counts"]["leaked"] == 0
    known = {row.tobytes().hex() for row in read_model(kept.model)[1].fingerprints.pixel_hashes}
    assert set(table.filter(pl.col("path").is_in(planted))["pixel_hash"]) <= known


def test_old_test_photos_stay_in_test_when_photos_are_added(small_barn: Path, tmp_path: Path) -> None:
    everything = without_times(small_barn, tmp_path / "all")
    some = tmp_path / "all" / "some.csv"
    some.write_text("".join(everything.read_text().splitlines(keepends=True)[:120]))
    old = train(some, output=tmp_path / "old", cv=0, **QUICK)
    was = {row["path"]: row["split"] for row in read_predictions(old.path)}
    new = split_up(everything, split_from=str(old.path), split_seed=3)
    now = dict(zip(new.photos.table["path"], new.photos.table["split"], strict=True))
    tested = [path for path, split in was.items() if split == "test"]
    assert len(tested) >= 10
    assert {now[path] for path in tested} == {"test"}
    assert sum(split == "test" for split in now.values()) > len(tested)
    without = split_up(everything, cv=0, split_seed=3).photos.table
    moved = dict(zip(without["path"], without["split"], strict=True))
    assert {moved[path] for path in tested} != {"test"}, "or the draw shows nothing"
    with pytest.raises(ConfigError, match="--split-from must be the folder of a run"):
        split_up(everything, split_from=str(tmp_path))


def test_given_splits_of_real_photos_are_respected(grocery: Path, tmp_path: Path) -> None:
    with (grocery / "grocery36.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in ("Banana", "Ginger", "Lemon", "Leek")][::3]
    run = train(
        lay_out(grocery, tmp_path / "data", rows, lambda _n, row: row["path"]), output=tmp_path / "run", **QUICK
    )
    assert run.metrics["evaluation"] == "given"
    table = pl.read_parquet(run.path / "data.parquet")
    assert dict(zip(table["path"], table["split"], strict=True)) == {row["path"]: row["split"] for row in rows}
    counts = {name: sum(row["split"] == name for row in rows) for name in SPLITS}
    assert run.metrics["test"]["n"] == counts["test"]
    assert run.metrics["counts"]["photos"] == len(rows)
    assert {row["split"] for row in read_predictions(run.path)} == set(SPLITS)
    assert run.metrics["test"]["accuracy"]["method"] == "dependence_unknown"
    assert run.metrics["test"]["accuracy"]["value"] > 0.6  # even at 64 pixels
    assert run.metrics["calibration"]["source"] == "oof"  # a val split this small decides nothing


def test_without_times_and_groups_every_verb_says_that_ranges_rest_on_a_guess(
    given_split: Run, given_data: Path
) -> None:
    assert given_split.metrics["separation"]["speaks_of"] == "unknown"
    accuracy = given_split.metrics["test"]["accuracy"]
    assert accuracy["method"] == "dependence_unknown"
    assert accuracy["low"] is not None
    assert not {"wilson", "wilson_effective_n", "bootstrap", "grouped_bootstrap"} & methods_in(given_split.metrics)
    _bytes, card = read_model(given_split.model)
    assert card.metrics is not None
    assert card.metrics["accuracy"]["method"] == "dependence_unknown"
    page = given_split.report.read_text("utf-8")
    assert "separate times or groups" not in page
    assert "no sign that it would flatter" not in page
    judged = certero.evaluate(given_split.path, given_data, split="test", require=["accuracy>=0.05"])
    compared = certero.compare(given_split.path, given_split.path, speed=False)
    worth = certero.value(given_split.path, case="farm")
    assert judged["test"]["accuracy"]["method"] == "dependence_unknown"
    assert judged["requirements"][0]["verdict"] == "met"
    assert compared["models"][0]["accuracy"]["method"] == worth["accuracy"]["method"] == "dependence_unknown"
    for answer in (compared, worth):
        assert any("only if no two photos show the same scene" in note for note in answer["notes"])
    summary = " ".join(summarise(Metrics.from_json(given_split.metrics)))
    assert f"{100 * accuracy['high']:.1f}*)" in summary
    assert "met, if no two photos show the same scene" in summary


def methods_in(value: object) -> set[str]:
    """How every figure inside JSON that has an interval got it."""
    if isinstance(value, dict):
        own = {value["method"]} if {"method", "low"} <= value.keys() and value["low"] is not None else set()
        return own.union(*map(methods_in, value.values()))
    return set().union(*map(methods_in, value)) if isinstance(value, list) else set()
