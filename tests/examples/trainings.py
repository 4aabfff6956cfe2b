"""Quick trainings, and what their files say."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import polars as pl
from barns import Row

from certero.config.recipes import resolve
from certero.pipelines.train import Run
from certero.stages.prepare import SplitPhotos, split_photos
from certero.stages.tools import open_tools

#: The smallest input and one strength: what the tests show depends on neither.
QUICK: dict[str, Any] = {"image_size": 64, "strengths": (0.03,)}
#: One honest split, drawn by certero.
OWN_SPLIT: dict[str, Any] = {**QUICK, "cv": 0, "block": "1h"}
#: The keys of a figure with its interval in metrics.json.
QUANTITY = {"value", "low", "high", "method", "n"}


def read_predictions(run: Path) -> list[Row]:
    """predictions.csv."""
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def used(run: Path) -> pl.DataFrame:
    """The used rows of data.parquet."""
    return pl.read_parquet(run / "data.parquet").filter(pl.col("status").is_in(["ok", "damaged"]))


def split_up(data: Path, **settings: Any) -> SplitPhotos:
    """Everything up to the seal."""
    with open_tools() as tools:
        return split_photos(data, resolve("probe", **settings), tools)


def judged(run: Run) -> list[Row]:
    """The rows of predictions.csv that the figures of the test come from."""
    return [row for row in read_predictions(run.path) if row["split"] == "test" or row["split"].startswith("cv-")]
