"""Which photos of two runs are the same: one rule, for `compare` and for `value`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from value_examples import FARM

import certero
from certero.runs.stored import find_common

if TYPE_CHECKING:
    from certero.pipelines.train import Run


def _photos(*rows: tuple[str, str, str | None, str]) -> pl.DataFrame:
    schema = dict.fromkeys(("path", "label", "pixel_hash", "unit"), pl.String)
    return pl.DataFrame([*rows], schema=schema, orient="row")


def test_a_moved_and_renamed_photo_is_the_same_and_one_in_its_place_is_not() -> None:
    first = _photos(("a/1.jpg", "cow", "p1", "u"), ("a/2.jpg", "cow", "p2", "u"), ("a/3.jpg", "calf", "p3", "v"))
    other = _photos(("b/x.jpg", "calf", "p3", "v"), ("a/2.jpg", "cow", "new", "u"), ("b/y.jpg", "cow", "p1", "u"))
    common = find_common([first, other])
    assert [each.tolist() for each in common.rows] == [[0, 2], [2, 0]]
    assert common.most == 3


def test_a_photo_under_another_label_is_another_photo() -> None:
    first, other = _photos(("1.jpg", "cow", "p1", "u")), _photos(("1.jpg", "calf", "p1", "u"))
    assert len(find_common([first, other]).rows[0]) == 0


def test_copies_meet_one_to_one_and_a_photo_without_pixels_is_known_by_its_path() -> None:
    first = _photos(("2.jpg", "cow", "p", "u"), ("1.jpg", "cow", "p", "u"), ("3.jpg", "cow", None, "u"))
    other = _photos(("9.jpg", "cow", "p", "u"), ("3.jpg", "cow", None, "u"))
    common = find_common([first, other])
    assert [each.tolist() for each in common.rows] == [[1, 2], [0, 1]]
    assert len(find_common([first, first, other]).rows) == 3


def test_units_are_those_of_the_run_that_keeps_most_together() -> None:
    fine = _photos(("1.jpg", "cow", "p1", "a"), ("2.jpg", "cow", "p2", "b"))
    coarse = _photos(("1.jpg", "cow", "p1", "day"), ("2.jpg", "cow", "p2", "day"))
    assert find_common([fine, coarse]).grouped_by == 1
    assert find_common([coarse, fine]).grouped_by == 0


@pytest.fixture
def moved(small_run: Run, tmp_path: Path) -> Path:
    """The same run on photos that were moved and renamed, except for 100 that other photos have replaced."""
    folder = tmp_path / "moved"
    shutil.copytree(small_run.path, folder)
    table = pl.read_parquet(folder / "data.parquet")
    names = {path: f"elsewhere/{number:05d}.jpg" for number, path in enumerate(sorted(table["path"], reverse=True))}
    answers = pl.read_csv(folder / "predictions.csv", infer_schema=False)
    held_back = answers.filter(pl.col("split") != "train")["path"][:100]
    replaced = pl.when(pl.col("path").is_in(held_back.implode())).then(pl.lit("f") + pl.col("pixel_hash"))
    table = table.with_columns(replaced.otherwise(pl.col("pixel_hash")).alias("pixel_hash"))
    table.with_columns(pl.col("path").replace_strict(names)).write_parquet(folder / "data.parquet")
    answers.with_columns(pl.col("path").replace_strict(names)).write_csv(folder / "predictions.csv")
    return folder


def test_both_verbs_find_the_same_photos_however_they_are_called_now(small_run: Run, moved: Path) -> None:
    compared = certero.compare(small_run.path, moved, speed=False)
    valued = certero.value(small_run.path, moved, case=FARM, threshold="none")
    n = small_run.metrics["test"]["n"]
    assert compared["n"] == valued["n"] == valued["models"][0]["n"] == n - 100
    assert compared["groups"] == valued["groups"]
    note = f"compared on the {n - 100} photos that all models were judged on, of {n}"
    assert note in compared["notes"]
    assert note in valued["notes"]
    assert compared["pairs"][0]["verdict"] == "alike"
    assert valued["accuracy"]["value"] == pytest.approx(compared["models"][0]["accuracy"]["value"])
