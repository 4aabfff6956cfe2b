"""What a finished run left in its folder, read back: it may be of another run by now, cut short, or edited."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from certero.machine.files import read_file
from certero.errors import ModelFileError
from certero.interchange import class_columns
from certero.records import Json

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
            f"{file} must have a column for each of the model's {len(classes)} classes ({', '.join(classes)}); found "
            f"{', '.join(str(name) for name in header) or 'none'}. Model and predictions are of different runs: train "
            "again."
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
            f"{file} must hold a label and probabilities that sum to 1 in each row; row {spoiled[0] + 2} does not. "
            "It was edited or damaged: train again."
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
            f"{file} must be as the run wrote it; it lacks the column {min(missing)}. It was edited: train again."
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
        return ModelFileError(f"{file} must be readable; {error.strerror}. Check the path.")
    if isinstance(error, pl.exceptions.PolarsError) or type(error).__name__ == "PanicException":
        return ModelFileError(f"{file} must be as the run wrote it; it is no whole table any more. Train again.")
    return error
