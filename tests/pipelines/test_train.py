"""Training from data to report: what the files say, that it can be repeated, and that nothing neighbouring is split."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_fscore_support

from certero.config.recipes import resolve
from certero.data.split import fold_training_mask
from certero.data.table import SCHEMA
from certero.errors import ConfigError, OutputError, UserError
from certero.interchange import Json
from certero.machine.folders import cache_folder
from certero.pipelines.train import Run, train
from certero.records.photos import SPLITS
from certero.runs.model import load
from certero.runtime.model_file import read_model
from certero.stages.prepare import Prepared, prepare
from certero.stages.tools import resources

pytest.importorskip("onnx", reason="training needs the [train] extra")

# The smallest input and one strength: what is shown here depends on neither.
QUICK: dict[str, Any] = {"image_size": 64, "strengths": (0.03,)}
OWN_SPLIT: dict[str, Any] = {**QUICK, "cv": 0, "block": "1h"}
Row = dict[str, str]


def barn_rows(barn: Path) -> list[Row]:
    """The barn's manifest, by time."""
    with (barn / "beds.csv").open(encoding="utf-8") as file:
        return sorted(csv.DictReader(file), key=lambda row: (row["captured_at"], row["path"]))


def lay_out(source: Path, folder: Path, rows: Sequence[Row], name: Callable[[int, Row], str]) -> Path:
    """A manifest of these photos, hard-linked into a folder of their own under the given names."""
    folder.mkdir()
    manifest = folder / "photos.csv"
    columns = [key for key in rows[0] if key != "path"]
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *columns])
        for number, row in enumerate(rows):
            target = folder / name(number, row)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / row["path"], target)
            writer.writerow([name(number, row), *(row[key] for key in columns)])
    return manifest


def without_times(barn: Path, folder: Path, splits: Callable[[int], str] | None = None, step: int = 1) -> Path:
    """The barn as photos whose capture time nobody knows, in random order, with given splits if wanted."""
    rows = barn_rows(barn)
    random.Random(5).shuffle(rows)
    kept = [
        {"path": row["path"], "label": row["label"], **({"split": splits(number)} if splits else {})}
        for number, row in enumerate(rows[::step])
    ]
    return lay_out(barn, folder, kept, lambda number, _row: f"photos/{number:03d}.jpg")


def read_predictions(run: Path) -> list[Row]:
    """predictions.csv."""
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def used(run: Path) -> pl.DataFrame:
    """The used rows of data.parquet."""
    return pl.read_parquet(run / "data.parquet").filter(pl.col("status").is_in(["ok", "damaged"]))


def split_up(data: Path, **settings: Any) -> Prepared:
    """Everything up to the seal."""
    with resources() as tools:
        return prepare(data, resolve("probe", **settings), tools)


@pytest.fixture(scope="module")
def fresh_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A log without openings."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CERTERO_STATE", str(tmp_path_factory.mktemp("state")))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def own_split(small_barn: Path, tmp_path_factory: pytest.TempPathFactory, fresh_state: None) -> Run:  # noqa: ARG001
    """The barn, split by certero into train, val and test."""
    return train(small_barn / "beds.csv", output=tmp_path_factory.mktemp("own") / "run", **OWN_SPLIT)


@pytest.fixture(scope="module")
def given_data(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Independent photos with given splits: about 60 train, 100 val, 32 test."""
    split = lambda number: "val" if number < 104 else "test" if number < 136 else "train"  # noqa: E731
    return without_times(small_barn, tmp_path_factory.mktemp("given") / "data", split)


@pytest.fixture(scope="module")
def given_split(given_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model of the given splits, held against three bars."""
    return train(
        given_data,
        output=tmp_path_factory.mktemp("given") / "run",
        require=["accuracy>=0.05", "accuracy>=0.999", "f1[standing]>=0.001"],
        **QUICK,
    )


# ---- the same again --------------------------------------------------------------------------------------------


def _lasting(metrics: Json) -> Json:
    return {key: value for key, value in metrics.items() if key != "seconds"}


def test_the_same_data_and_seeds_give_the_same_bytes_in_any_process(
    small_barn: Path, own_split: Run, tmp_path: Path
) -> None:
    code = "import certero, sys, json\ncerttrain = certero.train(sys.argv[1], output='run', **json.loads(sys.argv[2]))"
    run = subprocess.run(
        [sys.executable, "-c", code, str(small_barn / "beds.csv"), json.dumps(OWN_SPLIT | {"workers": 1})],
        env=os.environ | {"PYTHONHASHSEED": "1", "CERTERO_STATE": str(tmp_path / "state")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    again = tmp_path / "run"
    assert (again / "model.onnx").read_bytes() == own_split.model.read_bytes()
    assert (again / "predictions.csv").read_bytes() == (own_split.path / "predictions.csv").read_bytes()
    assert (again / "history.csv").read_bytes() == (own_split.path / "history.csv").read_bytes()
    assert _lasting(json.loads((again / "metrics.json").read_text("utf-8"))) == _lasting(own_split.metrics)
    assert pl.read_parquet(again / "data.parquet").equals(pl.read_parquet(own_split.path / "data.parquet"))


def test_the_split_depends_on_its_own_seed_alone(small_barn: Path) -> None:
    def splits(**settings: Any) -> list[str | None]:
        prepared = split_up(small_barn / "beds.csv", **OWN_SPLIT, **settings)
        return prepared.photos.table["split"].to_list()

    assert splits() == splits(seed=7)
    assert splits() != splits(split_seed=7)

    def folds(**settings: Any) -> list[int | None]:
        return split_up(small_barn / "beds.csv", cv=3, block="1h", **settings).photos.table["fold"].to_list()

    assert folds() == folds(seed=7)
    assert folds() != folds(split_seed=7)


# ---- what is never split apart ---------------------------------------------------------------------------------


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
        inside = table.filter(pl.Series(fold_training_mask(prepared.photos, fold, prepared.separation.gap)))
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
    assert run.metrics["test"]["accuracy"]["method"] == "wilson"
    assert run.metrics["test"]["accuracy"]["value"] > 0.6  # even at 64 pixels
    assert run.metrics["calibration"]["source"] == "oof"  # a val split this small decides nothing


# ---- cross-validation ------------------------------------------------------------------------------------------


def test_small_data_are_cross_validated_with_a_reason_and_every_photo_is_judged_once(small_run: Run) -> None:
    metrics = small_run.metrics
    assert metrics["evaluation"] == "cv"
    assert metrics["cv"]["folds"] == 5
    assert "under 20 test photos or under 3 separated units" in metrics["cv"]["reason"]
    table = used(small_run.path)
    rows = read_predictions(small_run.path)
    assert sorted(row["path"] for row in rows) == sorted(table["path"])
    assert metrics["test"]["n"] == table.height
    folds = dict(zip(table["path"], table["fold"], strict=True))
    assert all(row["split"] == f"cv-{folds[row['path']] + 1}" for row in rows)
    assert metrics["model"]["shipped"] == "refitted on all photos"
    card = read_model(small_run.model)[1]
    assert card.training["shipped"] == "refitted on all photos"
    assert {row.tobytes().hex() for row in card.fingerprints.pixel_hashes} == set(table["pixel_hash"])


def test_cross_validation_can_be_forbidden(own_split: Run) -> None:
    assert own_split.metrics["evaluation"] == "split"
    assert own_split.metrics["cv"] is None
    assert own_split.metrics["model"]["shipped"] == "fitted on train and val"


def test_the_real_barn_is_judged_in_pooled_folds_separated_by_time(caetec: Path, tmp_path: Path) -> None:
    metrics = train(caetec / "beds.csv", output=tmp_path / "run", **QUICK).metrics
    assert metrics["separation"]["rule"] == "time"
    assert metrics["evaluation"] == "cv"
    assert metrics["test"]["n"] == metrics["counts"]["used"] == 429
    recall = metrics["test"]["per_class"]["standing"]["recall"]
    assert recall["n"] == 15
    assert 0 <= recall["low"] <= recall["value"] <= recall["high"] <= 1
    assert metrics["optimism_of_random_split"]["value"] is not None
    random_split, honest = metrics["random_split_accuracy"]["value"], metrics["test"]["accuracy"]["value"]
    assert metrics["optimism_of_random_split"]["value"] == pytest.approx(random_split - honest)
    assert random_split > honest


def test_the_real_barn_in_three_blocks_is_not_calibrated_to_something_worse(caetec: Path, tmp_path: Path) -> None:
    """Nearly all standing cows lie in one block: models without them drove the temperature to its bound."""
    metrics = train(caetec / "beds.csv", output=tmp_path / "run", **QUICK | {"block": "6h", "random_splits": 0}).metrics
    test, calibration = metrics["test"], metrics["calibration"]
    assert metrics["cv"]["folds"] == 3
    assert test["ece"]["value"] < 0.1
    assert test["ece"]["value"] <= test["before_calibration"]["ece"] + 0.01
    assert calibration["log_loss_after"] <= calibration["log_loss_before"]


def test_a_tiny_set_is_not_calibrated_and_says_so(tmp_path: Path) -> None:
    data = tmp_path / "tiny"
    for number in range(24):
        colour = ((200, 60, 50), (60, 60, 200))[number % 2]
        noise = np.random.default_rng(number).integers(-50, 50, (64, 64, 3))
        (data / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray((noise + colour).clip(0, 255).astype(np.uint8)).save(data / "ab"[number % 2] / f"{number}.png")
    run = train(data, output=tmp_path / "run", **QUICK | {"random_splits": 0})
    calibration = run.metrics["calibration"]
    assert (calibration["temperature"], calibration["method"]) == (1.0, "none")
    assert "too few photos to calibrate" in calibration["reason"]
    assert any("too few photos to calibrate" in note for note in run.metrics["notes"])
    assert "too few photos to calibrate" in run.report.read_text("utf-8")
    assert run.metrics["test"]["ece"]["value"] == pytest.approx(run.metrics["test"]["before_calibration"]["ece"])


# ---- what the files say ----------------------------------------------------------------------------------------

QUANTITY = {"value", "low", "high", "method", "n"}


def _quantities(node: Any, where: str = "") -> Iterator[tuple[str, Json]]:
    """Every dictionary with an interval, and where it stands."""
    if isinstance(node, dict):
        if {"low", "high"} & set(node):
            yield where, node
        for key, child in node.items():
            yield from _quantities(child, f"{where}/{key}")
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from _quantities(child, f"{where}/{number}")


@pytest.mark.parametrize("name", ["small_run", "own_split", "given_split"])
def test_metrics_json_has_every_key_of_the_contract(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    metrics = json.loads((run.path / "metrics.json").read_text("utf-8"))
    assert metrics == json.loads(json.dumps(run.metrics))
    kinds = {
        "schema": int,
        "evaluation": str,
        "test": dict,
        "random_split_accuracy": dict,
        "optimism_of_random_split": dict,
        "train_accuracy": dict,
        "parameters": int,
        "openings": int,
        "seconds": dict,
        "calibration": dict,
        "separation": dict,
        "data": dict,
        "counts": dict,
        "listed": dict,
        "splits": dict,
        "requirements": list,
        "model": dict,
        "versions": dict,
        "notes": list,
    }
    assert {key: type(metrics[key]) for key in kinds} == kinds
    assert {"cv", "decide"} <= set(metrics)
    assert metrics["schema"] == 1
    test = metrics["test"]
    classes = ["empty", "lying", "standing"]
    assert metrics["data"]["classes"] == classes
    assert set(test["per_class"]) == set(classes)
    for row in [test["micro"], test["macro"], test["weighted"], test["samples"], *test["per_class"].values()]:
        assert {"precision", "recall", "f1"} <= set(row)
    found = dict(_quantities({key: value for key, value in metrics.items() if key != "requirements"}))
    for where, quantity in found.items():
        assert set(quantity) == QUANTITY, where
        assert type(quantity["n"]) is int, where
        assert type(quantity["method"]) is str, where
        if quantity["value"] is None:
            assert quantity["low"] is quantity["high"] is None, where
        elif quantity["low"] is not None:
            assert quantity["low"] <= quantity["value"] <= quantity["high"], where
    assert {
        "/train_accuracy",
        "/random_split_accuracy",
        "/optimism_of_random_split",
        *(f"/test/{figure}" for figure in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "top_3")),
        *(
            f"/test/{row}/{f}"
            for row in ("micro", "macro", "weighted", "samples")
            for f in ("precision", "recall", "f1")
        ),
        *(f"/test/per_class/{c}/{f}" for c in classes for f in ("precision", "recall", "f1")),
    } <= set(found)
    confusion = np.array(test["confusion"]["counts"])
    assert test["confusion"]["classes"] == classes
    truth = [sum(row["label"] == label for row in _judged(run)) for label in classes]
    left_out = test["confusion"].get("no_label", [0, 0, 0])
    assert (confusion.sum(axis=1) + left_out).tolist() == truth
    assert all(
        set(row) == {"slice", "value", "n", "accuracy"} and set(row["accuracy"]) == QUANTITY for row in test["slices"]
    )
    assert {"scan", "features", "fit", "evaluate", "total"} <= set(metrics["seconds"])
    assert metrics["parameters"] > 3_000_000
    assert metrics["counts"]["photos"] == pl.read_parquet(run.path / "data.parquet").height
    total = sum(sum(counts.values()) for counts in metrics["splits"].values() if counts)
    assert total == metrics["counts"]["used"]


def _judged(run: Run) -> list[Row]:
    return [row for row in read_predictions(run.path) if row["split"] == "test" or row["split"].startswith("cv-")]


@pytest.mark.parametrize("name", ["small_run", "own_split", "given_split"])
def test_the_files_of_a_run_are_all_there_and_readable(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    metrics = run.metrics
    assert {file.name for file in run.path.iterdir()} == {
        *("config.toml", "data.parquet", "history.csv", "held_out.csv", "model.onnx", "metrics.json", "openings.jsonl"),
        *("predictions.csv", "report.html"),
    }
    table = pl.read_parquet(run.path / "data.parquet")
    assert list(table.columns[: len(SCHEMA)]) == list(SCHEMA)
    assert dict(table.schema.items()) == {key: table.schema[key] for key in table.columns} | dict(SCHEMA)
    rows = read_predictions(run.path)
    assert list(rows[0]) == ["path", "split", "label", "predicted", "probability", "empty", "lying", "standing"]
    assert sorted(row["path"] for row in rows) == sorted(used(run.path)["path"])
    config = tomllib.loads((run.path / "config.toml").read_text("utf-8"))
    again = resolve(str(run.path / "config.toml"))
    assert tomllib.loads(again.to_toml()) | {"recipe": "probe"} == config
    opening = json.loads((run.path / "openings.jsonl").read_text("utf-8"))
    assert opening["n"] == metrics["test"]["n"]
    history = list(csv.DictReader((run.path / "history.csv").open(encoding="utf-8")))
    # Strengths are tried up to the first that is worse than the one before.
    tried = [float(row["strength"]) for row in history]
    assert tried == sorted(config["strengths"])[: len(tried)]
    losses = [float(row["log_loss"]) for row in history]
    assert losses[:-1] == sorted(losses[:-1], reverse=True)
    assert all(math.isfinite(float(row["log_loss"])) for row in history)
    page = (run.path / "report.html").read_text("utf-8")
    accuracy = 100 * metrics["test"]["accuracy"]["value"]
    assert f"{accuracy:.1f}" in page or f"{accuracy:.0f}" in page
    assert "<script src" not in page


@pytest.mark.parametrize("name", ["small_run", "own_split", "given_split"])
def test_the_model_file_remembers_its_training_photos_and_names_none(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    data, card = read_model(run.model)
    table = used(run.path)
    trained = table if name == "small_run" else table.filter(pl.col("split").is_in(["train", "val"]))
    assert len(card.fingerprints) == card.training["photos"] == trained.height
    assert {row.tobytes().hex() for row in card.fingerprints.pixel_hashes} == set(trained["pixel_hash"])
    assert not any(Path(path).name.encode() in data for path in table["path"])
    assert str(run.path.parent).encode() not in data
    assert card.classes == ("empty", "lying", "standing")
    assert card.metrics is not None
    assert card.metrics["accuracy"] == run.metrics["test"]["accuracy"]
    # The tables behind its diagrams are in metrics.json alone.
    calibration = run.metrics["calibration"]
    assert card.calibration == {key: value for key, value in calibration.items() if not key.startswith("reliability")}


@pytest.mark.parametrize("name", ["own_split", "given_split"])
def test_predictions_csv_holds_what_the_model_file_answers(
    name: str, request: pytest.FixtureRequest, small_barn: Path, given_data: Path
) -> None:
    run: Run = request.getfixturevalue(name)
    root = small_barn if name == "own_split" else given_data.parent
    rows = read_predictions(run.path)
    assert {row["split"] for row in rows} == set(SPLITS)
    written = np.array([[float(row[label]) for label in ("empty", "lying", "standing")] for row in rows])
    answers = load(run.path).predict_proba([root / row["path"] for row in rows])
    for split in SPLITS:
        some = np.array([row["split"] == split for row in rows])
        assert np.abs(answers - written)[some].max() < 1e-5, split
    assert np.abs(written.sum(axis=1) - 1).max() < 1e-5


def test_the_headline_is_what_predictions_csv_says(own_split: Run) -> None:
    rows = _judged(own_split)
    right = [row["label"] == row["predicted"] for row in rows]
    assert own_split.metrics["test"]["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert own_split.metrics["test"]["n"] == len(rows)
    assert all(float(row["probability"]) == float(row[row["predicted"]]) for row in rows)


# ---- settings that change the answer ---------------------------------------------------------------------------


def test_a_decision_threshold_leaves_photos_without_label_and_agrees_with_scikit_learn(
    given_data: Path, tmp_path: Path
) -> None:
    classes = ["empty", "lying", "standing"]
    # Half of the labels are drawn by lot, so that an honest model is often unsure.
    lot = random.Random(3)
    rows = list(csv.DictReader(given_data.open(encoding="utf-8")))
    rows = [row | {"label": lot.choice([row["label"], lot.choice(classes)])} for row in rows]
    manifest = lay_out(given_data.parent, tmp_path / "data", rows, lambda _number, row: row["path"])
    run = train(manifest, output=tmp_path / "run", decide=0.5, **QUICK)
    rows = _judged(run)
    given = np.array([[float(row[label]) >= 0.5 for label in classes] for row in rows])
    truth = np.array([[row["label"] == label for label in classes] for row in rows])
    without = [row for row in rows if row["predicted"] == ""]
    assert 0 < len(without) < len(rows)
    assert [row["predicted"] for row in rows] == [classes[labels.argmax()] if labels.any() else "" for labels in given]
    test = run.metrics["test"]
    for average in ("micro", "macro", "weighted", "samples"):
        figures = precision_recall_fscore_support(truth, given, average=average, zero_division=0)
        for figure, value in zip(("precision", "recall", "f1"), figures[:3], strict=True):
            assert test[average][figure]["value"] == pytest.approx(value, abs=1e-9), (average, figure)
    assert test["micro"]["precision"]["value"] != test["micro"]["recall"]["value"]
    assert sum(test["confusion"]["no_label"]) == len(without)
    assert run.metrics["decide"] == 0.5


def test_bars_are_judged_by_intervals(given_split: Run) -> None:
    verdicts = {row["require"]: row["verdict"] for row in given_split.metrics["requirements"]}
    accuracy = given_split.metrics["test"]["accuracy"]
    assert accuracy["low"] > 0.05
    assert accuracy["high"] < 0.999
    assert verdicts["accuracy>=0.05"] == "met"
    assert verdicts["accuracy>=0.999"] == "not met"
    assert verdicts["f1[standing]>=0.001"] in ("met", "cannot tell")
    assert all(
        {"figure", "class", "verdict", *QUANTITY} == set(f)
        for r in given_split.metrics["requirements"]
        for f in r["figures"]
    )


def test_a_given_val_of_a_hundred_photos_with_every_class_calibrates(given_split: Run) -> None:
    calibration = given_split.metrics["calibration"]
    assert calibration["source"] == "val"
    assert calibration["n"] == sum(given_split.metrics["splits"]["val"].values()) >= 100


@pytest.mark.parametrize("lack", ["photos", "a class"])
def test_a_given_val_that_is_too_small_or_lacks_a_class_leaves_calibration_to_folds(
    small_barn: Path, tmp_path: Path, lack: str
) -> None:
    rows = barn_rows(small_barn)
    random.Random(5).shuffle(rows)
    kept = []
    for number, row in enumerate(rows):
        split = "test" if number < 30 else "val" if number < (150 if lack == "a class" else 100) else "train"
        if lack == "a class" and split == "val" and row["label"] == "standing":
            split = "train"
        kept.append({"path": row["path"], "label": row["label"], "split": split})
    manifest = lay_out(small_barn, tmp_path / "data", kept, lambda number, _row: f"{number}.jpg")
    metrics = train(manifest, output=tmp_path / "run", open_test=False, **QUICK).metrics
    assert metrics["calibration"]["source"] == "oof"
    assert metrics["calibration"]["n"] == metrics["counts"]["used"] - 30


def test_class_weights_by_name_change_the_model_and_a_wrong_name_is_one_clear_line(
    given_data: Path, given_split: Run, tmp_path: Path
) -> None:
    run = train(given_data, output=tmp_path / "run", class_weights="standing=50", open_test=False, **QUICK)
    config = tomllib.loads((run.path / "config.toml").read_text("utf-8"))
    assert config["class_weights"] == {"standing": 50.0}

    def standing(run: Run) -> int:
        return sum(
            float(row["standing"]) > max(float(row["empty"]), float(row["lying"]))
            for row in read_predictions(run.path)
            if row["split"] == "train"
        )

    assert standing(run) >= standing(given_split)
    assert run.model.read_bytes() != given_split.model.read_bytes()
    with pytest.raises(ConfigError, match="--class-weights must name classes of the data"):
        train(given_data, output=tmp_path / "wrong", class_weights="sitting=2", **QUICK)
    assert not (tmp_path / "wrong").exists()


def test_a_bar_for_an_unknown_class_is_refused_before_the_test_set_is_opened(
    given_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "state"))
    with pytest.raises(ConfigError, match="unknown class 'sitting'"):
        train(given_data, output=tmp_path / "run", require=["recall[sitting]>=0.5"], **QUICK)
    assert not (tmp_path / "state" / "openings.jsonl").exists()


# ---- places and accidents --------------------------------------------------------------------------------------


def test_an_existing_output_is_refused_before_any_work(given_data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    start = time.perf_counter()
    with pytest.raises(OutputError, match="must not exist yet"):
        train(given_data, output=tmp_path / "run", **QUICK)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "name",
    [
        "two\nlines",
        'quote"\\back',
        "ñandú 牛",
        os.fsdecode(b"caf\xe9"),
    ],
)
def test_data_in_a_folder_with_an_odd_name_give_a_whole_run(given_data: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    rows = list(csv.DictReader(given_data.open(encoding="utf-8")))[104:190]
    manifest = lay_out(given_data.parent, folder, rows, lambda _number, row: row["path"])
    run = train(manifest, output=tmp_path / "run", **QUICK, command=["certero", "train", str(manifest)])
    assert tomllib.loads((run.path / "config.toml").read_text("utf-8"))["recipe"] == "probe"
    assert json.loads((run.path / "metrics.json").read_text("utf-8"))["test"]["n"] > 0
    assert json.loads((run.path / "openings.jsonl").read_text("utf-8"))["n"] > 0
    assert (run.path / "report.html").read_text("utf-8")


def _cache_with_networks_alone(folder: Path) -> str:
    """A cache that remembers the exported backbone, which takes long, but no photo."""
    folder.mkdir()
    source, target = sqlite3.connect(cache_folder() / "networks.sqlite"), sqlite3.connect(folder / "networks.sqlite")
    source.backup(target)
    source.close()
    target.close()
    return str(folder)


def test_a_run_killed_at_any_moment_leaves_no_half_run_and_the_next_one_gives_the_same_model(
    small_barn: Path,
    own_split: Run,  # noqa: ARG001, its network is in the cache
    tmp_path: Path,
) -> None:
    manifest = without_times(small_barn, tmp_path / "data", lambda number: ("train", "test")[number % 4 == 0], step=4)
    code = "import certero, sys, json\ncertero.train(sys.argv[1], output=sys.argv[2], **json.loads(sys.argv[3]))"
    caches = {name: _cache_with_networks_alone(tmp_path / f"{name} cache") for name in ("clean", "torn")}

    def start(place: Path, cache: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(manifest), str(place), json.dumps(QUICK)],
            # A log a run: the number of earlier openings is part of the model file.
            env=os.environ | {"CERTERO_CACHE": caches[cache], "CERTERO_STATE": str(tmp_path / f"state{next(number)}")},
        )

    number = itertools.count()
    reference, place = tmp_path / "reference", tmp_path / "runs" / "run"
    begin = time.perf_counter()
    assert start(reference, "clean").wait(120) == 0
    whole_seconds = time.perf_counter() - begin
    lot = random.Random(11)
    killed = 0
    for sixth in range(6):
        process = start(place, "torn")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(whole_seconds * (sixth + lot.random()) / 6)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if place.exists():
            break  # it was faster than the reference; that it is whole is checked below
        killed += 1
    assert killed >= 3
    if not place.exists():
        assert start(place, "torn").wait(120) == 0
    assert {file.name for file in place.iterdir()} == {file.name for file in reference.iterdir()}
    for name in ("model.onnx", "predictions.csv", "data.parquet"):
        assert (place / name).read_bytes() == (reference / name).read_bytes()


def test_a_photo_that_vanishes_between_scan_and_features_is_one_clear_line_and_leaves_no_run(
    given_data: Path, tmp_path: Path
) -> None:
    rows = list(csv.DictReader(given_data.open(encoding="utf-8")))[104:190]
    manifest = lay_out(given_data.parent, tmp_path / "data", rows, lambda _number, row: row["path"])

    def unlink(stage: str, done: int, _total: int) -> None:
        if stage == "features" and done == 0:
            for photo in (tmp_path / "data" / "photos").iterdir():
                photo.unlink(missing_ok=True)

    (tmp_path / "runs").mkdir()
    # An input that no other test uses: nothing is remembered.
    with pytest.raises(UserError, match="must stay as it was scanned") as raised:
        train(manifest, output=tmp_path / "runs" / "run", fit="stretch", progress=unlink, **QUICK)
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "runs").iterdir()) == []
