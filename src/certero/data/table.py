"""The table of photos: one row a photo, the columns of `data.parquet`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from certero.data.files import on_disk
from certero.errors import DataError
from certero.records import USED

Mask = npt.NDArray[np.bool_]

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


@dataclass(frozen=True)
class Photos:
    """The photos of one data set and where they came from.

    Args:
        root: folder that the table's paths are relative to.
        table: the columns of `SCHEMA` in order, then any others of a manifest; row numbers are the photos'
            indices everywhere else (copies, masks).
        source: `folders`, `presplit` or `manifest`.
        passed_over: files that are no photos of the data set, counted by suffix or reason.
        notes: sentences for people about what was found or done.
        split_source: `given` when the data named val or test photos, `own` when certero cut them, None before.
    """

    root: Path
    table: pl.DataFrame
    source: Literal["folders", "presplit", "manifest"]
    passed_over: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    split_source: Literal["given", "own"] | None = None

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
        """Where the photos of the table, or of some of its rows, are on disk."""
        return [on_disk(self.root, name) for name in (self.table if table is None else table)["path"]]

    def noted(self, notes: Iterable[str]) -> Photos:
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
            f"DATA must hold readable photos; none of {photos.table.height} can be used "
            f"(first: {first['path']}: {first['problem']}). Check that the files are complete photos."
        )
    labels = sorted(photos.table["label"].drop_nulls().unique().to_list())
    if len(labels) < 2:
        raise DataError(
            f"DATA must hold at least 2 classes, one folder or label each; found {len(labels)} "
            f"({', '.join(labels)}). Add photos of another class, or point to the folder above."
        )
    counts = dict(used.group_by("label").len().iter_rows())
    for label in labels:
        if counts.get(label, 0) < 2:
            raise DataError(
                f"every class needs at least 2 readable photos; class {label} has {counts.get(label, 0)}. "
                "Add photos of it, or leave the class out."
            )


def development(photos: Photos) -> pl.DataFrame:
    """The used rows of train and val: all that selection, fitting and calibration may see."""
    return photos.used().filter(pl.col("split").is_in(["train", "val"]))


def held_out(photos: Photos) -> pl.DataFrame:
    """The used rows of test, for the one opening at the end."""
    return photos.used().filter(pl.col("split") == "test")
