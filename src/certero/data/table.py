"""The table of photos: one row a photo, the columns of `data.parquet`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from certero.data.layout import some, where_classes_are
from certero.errors import DataError
from certero.photos.formats import FOREIGN_FORMATS
from certero.photos.listing import RARE_CLASS, on_disk, printable
from certero.records.photos import USED
from certero.sentences import Message, Sentence, in_a_row, sentence, sentences, stored

Mask = npt.NDArray[np.bool_]

_MOST_RARE = 20

#: Columns of `data.parquet`. Further columns of a manifest follow them, as text.
#:
#: path: POSIX, relative to the root. split: train, val, test or null. captured_at: naive local time.
#: captured_from: manifest, exif, name or null. status: `records.Status`; null before the scan. bytes: size of the
#: file. unit: what is never split. fold: outer fold of cross-validation, from 0.
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "path": pl.String,
    "label": pl.String,
    "split": pl.String,
    "group": pl.String,
    "captured_at": pl.Datetime("us"),
    "captured_from": pl.String,
    "status": pl.String,
    "problem": pl.String,
    "format": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "bytes": pl.Int64,
    "content_hash": pl.String,
    "pixel_hash": pl.String,
    "perceptual_hash": pl.UInt64,
    "descriptor": pl.Binary,
    "brightness": pl.Float32,
    "unit": pl.String,
    "fold": pl.Int8,
}

#: Columns that stages add for themselves: `prepare`, `recognition` and `compare`.
WORKING_COLUMNS = ("row", "used", "copy", "named", *(f"named_{number}" for number in range(26)))


@dataclass(frozen=True)
class Photos:
    """The photos of one data set and where they came from.

    Args:
        root: folder that the table's paths are relative to.
        table: the columns of `SCHEMA` in order, then any others of a manifest; row numbers are the photos'
            indices everywhere else (copies, masks).
        source: `folders`, `presplit` or `manifest`.
        passed_over: files that are not photos of the data set, counted by suffix or reason.
        notes: sentences about what was found or done.
        split_source: `given` if the data named val or test photos, `own` if certero cut them, None before that.
        empty_classes: class folders without a photo: what they hold instead, as `passed_over`.
        said: what the column `problem` holds in English, as it can be said in other languages.
    """

    root: Path
    table: pl.DataFrame
    source: Literal["folders", "presplit", "manifest"]
    passed_over: dict[str, int] = field(default_factory=dict)
    notes: tuple[Sentence, ...] = ()
    split_source: Literal["given", "own"] | None = None
    empty_classes: dict[str, dict[str, int]] = field(default_factory=dict)
    said: Mapping[str, Message] = field(default_factory=dict)

    def used_mask(self) -> Mask:
        """Boolean [rows]: photos that may be trained on or tested with."""
        return self.table["status"].is_in(USED).fill_null(False).to_numpy()

    def used(self) -> pl.DataFrame:
        """The rows of the photos that are used."""
        return self.table.filter(pl.col("status").is_in(USED))

    def classes(self) -> list[str]:
        """Labels of the used photos (of all photos before the scan), sorted by code point."""
        kept = self.table.filter(pl.col("status").is_null() | pl.col("status").is_in(USED))
        # Python's sort, not Polars': code points are the contract whatever a library's collation does.
        return sorted(kept["label"].drop_nulls().unique().to_list())

    def paths(self, table: pl.DataFrame | None = None) -> list[Path]:
        """Paths on disk of the photos of the table, or of some of its rows."""
        return [on_disk(self.root, name) for name in (self.table if table is None else table)["path"]]

    def problem(self, text: str) -> Message:
        """A text of the column `problem`, for people."""
        return self.said.get(text) or stored(text)

    def noted(self, notes: Iterable[Sentence]) -> Photos:
        """The same photos with further notes."""
        return dataclasses.replace(self, notes=(*self.notes, *notes))

    def with_columns(self, *columns: pl.Series | pl.Expr) -> Photos:
        """The same photos with columns replaced; types and order stay those of `SCHEMA`."""
        table = self.table.with_columns(*columns)
        return dataclasses.replace(self, table=conform(table))


def conform(table: pl.DataFrame) -> pl.DataFrame:
    """The table with every column of `SCHEMA`, typed and in order, missing ones null, others after them."""
    fixed = [
        pl.col(name).cast(kind) if name in table.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in SCHEMA.items()
    ]
    return table.select(*fixed, *[name for name in table.columns if name not in SCHEMA])


def check_classes(photos: Photos) -> None:
    """Raise unless a classifier can be trained on the photos.

    Raises:
        DataError: no readable photo, fewer than 2 classes, or a class with fewer than 2 readable photos.
    """
    used = photos.used()
    if used.is_empty():
        first = photos.table.row(0, named=True)
        raise DataError(
            "DATA must hold readable photos; none of %(photos)s can be used (first: %(path)s: "
            "%(problem)s). Check that the files are complete photos.",
            photos=photos.table.height,
            path=first["path"],
            problem=photos.problem(first["problem"]),
        )
    # A folder that holds only pictures of a kind that is not read makes no class; a note says so.
    read = photos.table.filter(~pl.col("format").is_in(FOREIGN_FORMATS).fill_null(False))
    labels = sorted(read["label"].drop_nulls().unique().to_list())
    if len(labels) < 2:
        raise DataError(_too_few_classes(photos, labels))
    counts = dict(used.group_by("label").len().iter_rows())
    if rare := [label for label in labels if counts.get(label, 0) < 2]:
        raise DataError(_rare_classes(photos, rare, counts))


def leave_out_rare(photos: Photos, least: int) -> Photos:
    """The photos without the classes that have fewer readable photos; a note names these."""
    counts = dict(photos.used().group_by("label").len().iter_rows())
    rare = sorted(label for label in photos.table["label"].drop_nulls().unique() if counts.get(label, 0) < least)
    if not rare:
        return photos
    gone = photos.table["label"].is_in(rare).fill_null(False)
    note = sentence(
        "classes with fewer than %(least)d readable photos were left out: %(labels)s",
        least=least,
        labels=", ".join(f"{label} ({counts.get(label, 0)})" for label in rare),
    )
    passed_over = photos.passed_over | {RARE_CLASS: int(gone.sum())}
    kept = dataclasses.replace(photos, table=photos.table.filter(~gone), passed_over=passed_over)
    return kept.noted([note])


def _too_few_classes(photos: Photos, labels: Sequence[str]) -> Sentence:
    lost = sorted(set(photos.table["label"].drop_nulls()) - set(labels))
    place = where_classes_are(photos.table["path"].to_list()) if photos.source != "manifest" and not lost else None
    found = {"count": len(labels), "labels": ", ".join(labels)}
    if lost:
        return sentence(
            "DATA must hold at least 2 classes, one folder or label each; found %(count)d (%(labels)s); no photo can "
            "be read of %(lost)s. Convert the photos to JPEG, or add photos of another class.",
            lost=some(lost),
            **found,
        )
    if any(name.lower() in ("labels", "annotations") for name in photos.empty_classes):
        return sentence(
            "DATA must hold at least 2 classes, one folder or label each; found %(count)d (%(labels)s). It looks like "
            "data for finding objects in photos; certero needs one label for each whole photo.",
            **found,
        )
    if place is None:
        return sentence(
            "DATA must hold at least 2 classes, one folder or label each; found %(count)d (%(labels)s). Add photos of "
            "another class, or point to the folder above.",
            **found,
        )
    folder, inside = place
    return sentence(
        "DATA must hold at least 2 classes, one folder or label each; found %(count)d (%(labels)s). Add photos of "
        "another class, or point to the folder below: %(folder)s holds %(n_inside)d folders with photos (%(inside)s).",
        folder=printable(str(photos.root / folder)),
        n_inside=len(inside),
        inside=some(inside),
        **found,
    )


def _rare_classes(photos: Photos, rare: Sequence[str], counts: Mapping[str, int]) -> Sentence:
    """Every class with too few readable photos, and why."""
    told: list[Sentence] = []
    for label in rare[:_MOST_RARE]:
        rows = photos.table.filter(pl.col("label") == label)
        problems = rows.filter(pl.col("status") == "unreadable")["problem"].drop_nulls()
        if len(problems):
            told.append(
                sentence(
                    "%(label)s (%(read)d of %(there)d readable: %(problem)s)",
                    label=label,
                    read=counts.get(label, 0),
                    there=rows.height,
                    problem=photos.problem(problems.mode().sort()[0]),
                )
            )
        else:
            told.append(in_a_row([f"{label} ({counts.get(label, 0)})"]))
    named = in_a_row(told)
    if len(rare) > _MOST_RARE:
        named = sentence("%(named)s and %(more)d more", named=named, more=len(rare) - _MOST_RARE)
    return sentences(
        "every class needs at least 2 readable photos; %(count)d class has fewer: %(named)s. Add photos of it, or "
        "leave classes out with --min-photos 2.",
        "every class needs at least 2 readable photos; %(count)d classes have fewer: %(named)s. Add photos of them, or "
        "leave classes out with --min-photos 2.",
        count=len(rare),
        named=named,
    )


def development(photos: Photos) -> pl.DataFrame:
    """The used rows of train and val: all that selection, fitting and calibration may see."""
    return photos.used().filter(pl.col("split").is_in(["train", "val"]))


def held_out(photos: Photos) -> pl.DataFrame:
    """The used rows of test, for the one opening at the end."""
    return photos.used().filter(pl.col("split") == "test")
