"""What a finished run left in its folder, read back: it may be of another run by now, cut short, or edited."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from certero.business.outcomes import Outcomes, outcomes_of_photos
from certero.data.labels import encode
from certero.errors import DataError, ModelFileError
from certero.interchange import Json, class_columns
from certero.machine.files import read_file
from certero.runs.model import find_model
from certero.runtime.card import Card
from certero.runtime.model_file import read_model

# As far from a sum of 1 as rounding to the digits of the file can be, with many classes.
_ROUNDING = 1e-3


def read_answers(file: Path, classes: Sequence[str]) -> pl.DataFrame:
    """predictions.csv or held_out.csv: path, split, label and the probabilities of the classes p0, p1, ... by position.

    Raises:
        ModelFileError: if the file is not as a run of these classes writes it.
    """
    # By position: in the runs of older versions two columns may be called alike.
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
            header=", ".join(str(name) for name in header) or "none",
        )
    columns = table.columns  # numbered from 0 or 1, by the version of Polars
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


def read_metrics(run: Path) -> Json:
    """metrics.json of a run; empty where there is none that can be read."""
    try:
        metrics = json.loads(read_file(run / "metrics.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    return metrics if isinstance(metrics, dict) else {}


def _unreadable(file: Path, error: BaseException) -> BaseException:
    """What to raise where a table could not be read: Polars panics on some damage, beside its own kinds of error."""
    if isinstance(error, OSError):
        return ModelFileError(
            "%(file)s must be readable; %(strerror)s. Check the path.", file=file, strerror=error.strerror
        )
    if isinstance(error, pl.exceptions.PolarsError) or type(error).__name__ == "PanicException":
        return ModelFileError(
            "%(file)s must be as the run wrote it; it is no whole table any more. Train again.", file=file
        )
    return error


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model with what it answered.

    Args:
        name: as given.
        model: its file.
        card: of that file.
        judged: answers on photos that it never saw.
        held_out: answers to choose a threshold on; None where the run stored none.
        evaluation: how the photos were held back: `test`, `cv` or `data`.
    """

    name: str
    model: Path
    card: Card
    judged: Outcomes
    held_out: Outcomes | None
    evaluation: str


def read_run(path: Path) -> Candidate:
    """The stored answers of a finished run.

    Args:
        path: the run's folder, or the model file in it.

    Raises:
        ModelFileError: if there is no model file.
        DataError: if the folder holds no answers on photos that the model had not seen.
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
    units = dict(read_table(folder).select("path", "unit").iter_rows())
    table = read_answers(folder / "predictions.csv", card.classes)
    if strange := next((path for path in table["path"] if path not in units), None):
        raise DataError(
            "predictions.csv and data.parquet of a run must be of the same photos; in %(folder)s "
            "the second lacks %(strange)s. They are of different runs: train again.",
            folder=folder,
            strange=strange,
        )
    judged = table.filter((pl.col("split") == "test") | pl.col("split").str.starts_with("cv-"))
    if judged.is_empty():
        raise DataError(
            "MODEL must have answers on test photos; the run %(folder)s never opened them "
            "(--no-test). Train without --no-test, or name labelled photos with --data.",
            folder=folder,
        )
    held_out = None
    if (folder / "held_out.csv").is_file():
        rows = read_answers(folder / "held_out.csv", card.classes)
        held_out = None if rows.is_empty() else tabled_outcomes(rows, card.classes, units)
    evaluation = "cv" if judged["split"][0].startswith("cv-") else "test"
    return Candidate(str(path), model, card, tabled_outcomes(judged, card.classes, units), held_out, evaluation)


def tabled_outcomes(rows: pl.DataFrame, classes: Sequence[str], units: Mapping[str, str | None]) -> Outcomes:
    truth = encode(rows["label"], classes)
    probabilities = rows.select(pl.col("^p[0-9]+$")).to_numpy()
    paths = rows["path"].to_list()
    return outcomes_of_photos(classes, truth, probabilities, [str(units.get(path, path)) for path in paths], paths)
