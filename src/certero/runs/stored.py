"""What a finished run left in its folder, read back. It may have been cut short, edited or mixed with another run."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.business.outcomes import Outcomes, outcomes_of_photos
from certero.data.labels import encode
from certero.errors import DataError, ModelFileError, reason_of
from certero.interchange import class_columns
from certero.machine.files import read_file
from certero.records.dependence import is_unknown
from certero.records.metrics import Metrics
from certero.runs.model import find_model
from certero.runtime.card import Card
from certero.runtime.model_file import read_model
from certero.sentences import Sentence, message, sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How far from 1 a sum can be after rounding to the digits of the file, with many classes.
_ROUNDING = 1e-3


def read_answers(file: Path, classes: Sequence[str]) -> pl.DataFrame:
    """predictions.csv or held_out.csv: path, split, label and the probabilities of the classes p0, p1, ... by position.

    Raises:
        ModelFileError: if the file is not what a run with these classes writes.
    """
    # By position: in runs of older versions two columns may have the same name.
    try:
        table = pl.read_csv(io.BytesIO(read_file(file)), infer_schema=False, has_header=False)
    except BaseException as error:
        raise _unreadable(file, error) from error
    header, table = table.row(0)[5:], table[1:]
    if list(header) not in (class_columns(classes), list(classes)):
        raise ModelFileError(
            "%(file)s must have a column for each of the model's %(n_classes)s classes "
            "(%(classes)s); found %(header)s. Model and predictions are of different runs: train "
            "again.",
            file=file,
            n_classes=len(classes),
            classes=", ".join(classes),
            header=", ".join(str(name) for name in header) or message("none"),
        )
    columns = table.columns  # numbered from 0 or 1, depending on the version of Polars
    names = [f"p{k}" for k in range(len(classes))]
    answers = table.select(
        *(pl.col(columns[k]).fill_null("").alias(name) for k, name in enumerate(("path", "split", "label"))),
        *(pl.col(columns[5 + k]).cast(pl.Float64, strict=False).alias(name) for k, name in enumerate(names)),
    )
    sums = pl.sum_horizontal(names, ignore_nulls=False)
    sound = pl.all_horizontal(pl.col(names).is_between(0, 1)) & ((sums - 1).abs() <= _ROUNDING)
    known = pl.col("label").is_in(list(classes))
    spoiled = answers.select((sound & known).fill_null(False).not_().arg_true()).to_series()
    if len(spoiled):
        raise ModelFileError(
            "%(file)s must hold a label and probabilities that sum to 1 in each row; row "
            "%(spoiled)s does not. It was edited or damaged: train again.",
            file=file,
            spoiled=spoiled[0] + 2,
        )
    return answers


def read_table(run: Path) -> pl.DataFrame:
    """data.parquet of a run.

    Raises:
        ModelFileError: if it cannot be read, or is not a run's.
    """
    file = run / "data.parquet"
    try:
        # From memory: a memory-mapped file that changes under the reader would crash the process.
        table = pl.read_parquet(io.BytesIO(read_file(file)))
    except BaseException as error:
        raise _unreadable(file, error) from error
    missing = {"path", "label", "unit", "pixel_hash", "brightness", "captured_at", "group"} - set(table.columns)
    if missing:
        raise ModelFileError(
            "%(file)s must be as the run wrote it; it lacks the column %(missing)s. It was edited: train again.",
            file=file,
            missing=min(missing),
        )
    return table


def read_metrics(run: Path) -> Metrics:
    """metrics.json of a run; nothing is known if there is none that can be read, or of keys that it lacks."""
    try:
        metrics = json.loads(read_file(run / "metrics.json"))
    except (OSError, ValueError, RecursionError):
        metrics = None
    return Metrics.from_json(metrics)


def _unreadable(file: Path, error: BaseException) -> BaseException:
    """What to raise if a table could not be read: Polars panics on some damage, besides its own kinds of error."""
    if isinstance(error, OSError):
        return ModelFileError(
            "%(file)s must be readable; %(reason)s. Check the path.", file=file, reason=reason_of(error)
        )
    if isinstance(error, pl.exceptions.PolarsError) or type(error).__name__ == "PanicException":
        return ModelFileError(
            "%(file)s must be as the run wrote it; it is no whole table any more. Train again.", file=file
        )
    return error


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model and its outputs on photos that it was not trained on.

    Args:
        name: as given.
        model: its file.
        card: of that file.
        judged: its outputs on held-out photos.
        photos: rows of the same photos, in the same order, with the columns of `data.parquet`.
        held_out: outputs to choose a threshold on; None if the run stored none.
        evaluation: how the photos were held back: `test`, `cv` or `data`.
        known_apart: whether anything tells which of the photos depend on each other.
    """

    name: str
    model: Path
    card: Card
    judged: Outcomes
    photos: pl.DataFrame
    held_out: Outcomes | None
    evaluation: str
    known_apart: bool


def read_run(path: Path) -> Candidate:
    """The stored predictions of a finished run.

    Args:
        path: the run's folder, or the model file in it.

    Raises:
        ModelFileError: if there is no model file.
        DataError: if the folder holds no predictions for held-out photos.
    """
    model = find_model(path)
    _bytes, card = read_model(model)
    folder = model.parent
    if not (folder / "predictions.csv").is_file() or not (folder / "data.parquet").is_file():
        raise DataError(
            "MODEL must lie in the folder of its run, with predictions.csv and data.parquet; "
            "%(folder)s lacks them. Name labelled photos with --data.",
            folder=folder,
        )
    photos = read_table(folder)
    place = {name: row for row, name in enumerate(photos["path"])}
    table = read_answers(folder / "predictions.csv", card.classes)
    if strange := next((name for name in table["path"] if name not in place), None):
        raise DataError(
            "predictions.csv and data.parquet of a run must be of the same photos; in %(folder)s "
            "the second lacks %(missing)s. They are of different runs: train again.",
            folder=folder,
            missing=strange,
        )
    rows = table.filter((pl.col("split") == "test") | pl.col("split").str.starts_with("cv-"))
    if rows.is_empty():
        raise DataError(
            "MODEL must have answers on test photos; the run %(folder)s never opened them "
            "(--no-test). Train without --no-test, or name labelled photos with --data.",
            folder=folder,
        )
    units = dict(photos.select("path", "unit").iter_rows())
    held_out = None
    if (folder / "held_out.csv").is_file():
        held = read_answers(folder / "held_out.csv", card.classes)
        held_out = None if held.is_empty() else tabled_outcomes(held, card.classes, units)
    judged = tabled_outcomes(rows, card.classes, units)
    evaluation = "cv" if rows["split"][0].startswith("cv-") else "test"
    shown = photos[[place[name] for name in rows["path"]]].with_columns(rows["label"])
    known_apart = not is_unknown(read_metrics(folder).separation)
    return Candidate(str(path), model, card, judged, shown, held_out, evaluation, known_apart)


def tabled_outcomes(rows: pl.DataFrame, classes: Sequence[str], units: Mapping[str, str | None]) -> Outcomes:
    """The outcomes that these rows of `read_answers` tell.

    Args:
        rows: path, label and the probabilities.
        classes: of the model.
        units: by path, which photos are not independent.
    """
    truth = encode(rows["label"], classes)
    probabilities = rows.select(pl.col("^p[0-9]+$")).to_numpy()
    paths = rows["path"].to_list()
    return outcomes_of_photos(classes, truth, probabilities, [str(units.get(path, path)) for path in paths], paths)


@dataclass(frozen=True, slots=True)
class Common:
    """The photos that several models were judged on.

    Args:
        rows: for each model the rows of its own photos, int64 [n]: row i is the same photo for all.
        grouped_by: the model whose units are used for all: the one that keeps the most photos together, so that
            no two photos count as independent that any of the runs keeps together.
        most: number of photos of the model that was judged on the most.
    """

    rows: list[NDArray[np.int64]]
    grouped_by: int
    most: int


def find_common(tables: Sequence[pl.DataFrame]) -> Common:
    """Which photos of several runs are the same, in the order of the first run.

    A photo is identified by its decoded pixels, wherever its file is and whatever its name; without a pixel hash, by
    its path. Under another label it is another photo, since the runs judged it against different truths. Several copies
    with one label are paired in the order of their paths.

    Args:
        tables: the photos of each run, with the columns path, label, pixel_hash and unit.
    """
    keys = [_keys(table) for table in tables]
    places = [{key: row for row, key in enumerate(each)} for each in keys]
    common = [key for key in keys[0] if all(key in place for place in places[1:])]
    rows = [np.array([place[key] for key in common], dtype=np.int64) for place in places]
    units = [table["unit"][each].n_unique() if len(each) else 0 for table, each in zip(tables, rows, strict=True)]
    return Common(rows, units.index(min(units)), max(table.height for table in tables))


def _keys(table: pl.DataFrame) -> list[tuple[str, str, int]]:
    """What identifies the photo of each row: pixels or path, label, number among its copies."""
    same = pl.coalesce("pixel_hash", pl.lit("path ") + pl.col("path")).alias("same")
    known = table.select("path", "label", same).with_row_index("row").sort("path")
    numbered = known.with_columns(pl.int_range(pl.len()).over("same", "label").alias("copy")).sort("row")
    return list(numbered.select("same", "label", "copy").iter_rows())


def note_common(common: int, most: int) -> Sentence:
    """A note if only a part of the photos was compared."""
    return sentence(
        "compared on the %(common)d photos that all models were judged on, of %(most)d", common=common, most=most
    )
