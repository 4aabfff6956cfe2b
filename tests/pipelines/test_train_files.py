"""What the files of a run say: every key, every row, and the same figures everywhere."""

from __future__ import annotations

import csv
import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from trainings import QUANTITY, judged, read_predictions, used

from certero.config.recipes import resolve
from certero.data.table import SCHEMA
from certero.interchange import Json
from certero.pipelines.train import Run
from certero.records.photos import SPLITS
from certero.runs.model import load
from certero.runtime.model_file import read_model

pytest.importorskip("onnx", reason="training needs the [train] extra")


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
    truth = [sum(row["label"] == label for row in judged(run)) for label in classes]
    left_out = test["confusion"].get("no_label", [0, 0, 0])
    assert (confusion.sum(axis=1) + left_out).tolist() == truth
    assert all(
        set(row) == {"slice", "value", "n", "accuracy", "p", "worse"} and set(row["accuracy"]) == QUANTITY
        for row in test["slices"]
    )
    assert {"scan", "features", "fit", "evaluate", "total"} <= set(metrics["seconds"])
    assert metrics["parameters"] > 3_000_000
    assert metrics["counts"]["photos"] == pl.read_parquet(run.path / "data.parquet").height
    total = sum(sum(counts.values()) for counts in metrics["splits"].values() if counts)
    assert total == metrics["counts"]["used"]


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
    rows = judged(own_split)
    right = [row["label"] == row["predicted"] for row in rows]
    assert own_split.metrics["test"]["accuracy"]["value"] == pytest.approx(np.mean(right))
    assert own_split.metrics["test"]["n"] == len(rows)
    assert all(float(row["probability"]) == float(row[row["predicted"]]) for row in rows)
