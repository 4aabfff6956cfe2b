"""Photos and answers into the tables and counts that files and reports show; shared by train and evaluate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from certero.data.lost_classes import count_lost
from certero.data.separation import Separation
from certero.data.table import SCHEMA, Photos
from certero.interchange import class_columns, csv_text
from certero.machine.files import write_whole
from certero.photos.listing import printable
from certero.records.photo_counts import Counts, Data, Described, ListedPhoto, SeparationFacts
from certero.records.photos import SPLITS
from certero.records.scores import Scores
from certero.sentences import stored
from certero.stats.alarms import count_alarms, named_by
from certero.stats.new_group import predict_new_group
from certero.stats.scores import NOTHING_SET, Beforehand, score
from certero.stats.slices import hour, lighting, slice_rows, worst_slice

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OF_OTHERS = ("days", "places", "groups")
# Fewer times than this share of the photos do not tell what a day brings.
_TIMED = 0.9
_LISTED = ("unreadable", "damaged", "leaked", "purged")


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of judged photos beside themselves.

    Args:
        speaks_of: what kept them apart; days, places and groups have a range for one new of them.
        photos_a_day: how many a day brings, see `photos_a_day`; None where that is not known.
    """

    speaks_of: str | None = None
    photos_a_day: float | None = None


NOTHING_AROUND = Around()


def score_photos(
    table: pl.DataFrame,
    truth: NDArray[np.int64],
    probabilities: NDArray[np.floating[Any]],
    classes: Sequence[str],
    decide: float | None,
    accepted: NDArray[np.bool_] | None = None,
    beforehand: Beforehand = NOTHING_SET,
    around: Around = NOTHING_AROUND,
) -> Scores:
    """The figures on held-out photos, slices included.

    Args:
        table: rows of the judged photos; `unit` tells which of them are not independent.
        truth: class index [n].
        probabilities: [n, K].
        classes: names in the order of the columns.
        decide: see `TrainSettings`.
        accepted: bool [n], photos that the model's own threshold gives their likeliest label.
        beforehand: temperature and thresholds of the calibration.
        around: what is known of the photos beside themselves.
    """
    units = table["unit"].to_list()
    scores = score(probabilities, truth, classes, units, decide=decide, accepted=accepted, beforehand=beforehand)
    best = probabilities.argmax(axis=1)
    correct = best == truth
    if decide is not None:
        correct &= probabilities.max(axis=1) >= decide
    if accepted is not None:
        correct &= accepted
    columns: dict[str, Sequence[str | None]] = {
        "lighting": lighting(table["brightness"].to_numpy()),
        "hour": hour(table["captured_at"].to_numpy()),
        "group": table["group"].to_list(),
    }
    # Further columns of a manifest are slices too.
    columns |= {name: table[name].cast(pl.String).to_list() for name in table.columns if name not in SCHEMA}
    return dataclasses.replace(
        scores,
        slices=slice_rows(correct, units, columns),
        worst_slice=worst_slice(correct, units, columns),
        new_unit=predict_new_group(correct, units) if around.speaks_of in _OF_OTHERS else None,
        alarms=count_alarms(named_by(probabilities, decide, accepted), truth, classes, units, around.photos_a_day),
    )


def photos_a_day(table: pl.DataFrame, day_start: timedelta) -> float | None:
    """Photos of a calendar day on average, of the days that photos were taken on; None where times are missing.

    Args:
        table: rows of all used photos, whatever their split: a test split of some hours is no day.
        day_start: time of day at which a day begins.
    """
    times = table["captured_at"].drop_nulls()
    if len(times) < _TIMED * table.height or times.is_empty():
        return None
    return table.height / (times - day_start).dt.date().n_unique()


def describe_photos(photos: Photos, data: Path, classes: Sequence[str]) -> Described:
    """What the photos are, how many of them are used in which split, and which are not."""
    table = photos.table
    status = dict(table["status"].value_counts().iter_rows())
    sources = table["captured_from"].drop_nulls().value_counts()
    splits: dict[str, dict[str, int] | None] = {}
    used = photos.used()
    for name in SPLITS:
        counts = dict(used.filter(pl.col("split") == name)["label"].value_counts().iter_rows())
        splits[name] = {label: counts.get(label, 0) for label in classes} if counts else None
    return Described(
        Data(
            name=printable(data.resolve().stem if data.is_file() else data.resolve().name),
            layout=photos.source,
            classes=tuple(classes),
            time_source=dict(sources.iter_rows()),
        ),
        Counts(
            photos=table.height,
            used=used.height,
            unreadable=int(status.get("unreadable", 0)),
            damaged=int(status.get("damaged", 0)),
            leaked=int(status.get("leaked", 0)),
            purged=int(status.get("purged", 0)),
            passed_over=photos.passed_over,
            lost=count_lost(photos),
        ),
        {
            name: tuple(
                ListedPhoto(path, None if problem is None else photos.problem(problem))
                for path, problem in table.filter(pl.col("status") == name).select("path", "problem").iter_rows()
            )
            for name in _LISTED
        },
        splits,
    )


def describe_units(separation: Separation) -> SeparationFacts:
    """What counts as independent, where no photo was split from another one."""
    return SeparationFacts(
        rule=separation.rule,
        description=stored(separation.description),
        block_minutes=minutes(separation.block),
        units=separation.counts["units"],
        speaks_of=separation.speaks_of,
    )


def describe_separation(separation: Separation) -> SeparationFacts:
    """What kept the splits apart."""
    return dataclasses.replace(
        describe_units(separation),
        gap_minutes=minutes(separation.gap),
        group_by=separation.group_by,
        decay=tuple((lag, alike) for lag, alike in separation.decay),
    )


def write_predictions(
    path: Path,
    parts: Sequence[tuple[pl.DataFrame, NDArray[np.floating[Any]]]],
    classes: Sequence[str],
    decide: float | None,
) -> None:
    """predictions.csv: path, split, label, predicted, probability, one column a class (`class_columns`).

    The split of a cross-validated photo is the fold that judged it: `cv-1`, `cv-2`, ...
    """
    rows: list[list[object]] = [["path", "split", "label", "predicted", "probability", *class_columns(classes)]]
    for table, probabilities in parts:
        columns = zip(table["path"], table["split"], table["fold"], table["label"], probabilities, strict=True)
        for photo, split, fold, label, row in columns:
            best = int(row.argmax())
            predicted = classes[best] if decide is None or row[best] >= decide else ""
            where = split if fold is None else f"cv-{fold + 1}"
            rows.append([photo, where, label, predicted, f"{row[best]:.8g}", *(f"{p:.8g}" for p in row)])
    write_whole(path, csv_text(rows).encode("utf-8", "surrogateescape"))


def minutes(length: timedelta | None) -> float | None:
    """A duration in the unit of metrics.json."""
    return None if length is None else length.total_seconds() / 60
