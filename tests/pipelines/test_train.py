"""Training can be repeated, and what a setting promises shows in the result."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from barns import barn_rows, lay_out
from PIL import Image
from sklearn.metrics import precision_recall_fscore_support
from trainings import OWN_SPLIT, QUANTITY, QUICK, judged, read_predictions, split_up, used

from certero.errors import ConfigError
from certero.interchange import Json
from certero.pipelines.train import Run, train
from certero.runtime.model_file import read_model

pytest.importorskip("onnx", reason="training needs the [train] extra")


def _lasting(metrics: Json) -> Json:
    return {key: value for key, value in metrics.items() if key != "seconds"}


@pytest.mark.slow
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


def test_small_data_are_cross_validated_with_a_reason_and_every_photo_is_judged_once(small_run: Run) -> None:
    metrics = small_run.metrics
    assert metrics["evaluation"] == "cv"
    assert metrics["cv"]["folds"] == 5
    assert "fewer than 20 test photos, or test photos from fewer than 3 separate" in metrics["cv"]["reason"]
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    rows = judged(run)
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
