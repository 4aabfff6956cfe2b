"""Manifests: tables that list photos with their labels, and perhaps splits, groups and capture times."""

from __future__ import annotations

import io
import os
import posixpath
import re
from collections import Counter
from datetime import date, datetime
from pathlib import Path

import polars as pl

from certero.data.files import first_and_count, on_disk, printable
from certero.data.layout import split_named
from certero.data.spellings import settle_classes
from certero.data.table import SCHEMA, Photos, conform
from certero.errors import DataError
from certero.language import Sentence, sentence
from certero.names import class_name
from certero.records import SPLITS

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")

_MANIFEST_COLUMNS = ("path", "label", "split", "group", "captured_at")
# Year to second, whatever stands between; milliseconds may follow. Ranges are checked by datetime itself.
_TIME_IN_NAME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)(?:[-_.T ]| at )?(\d\d)[-_.:h]?(\d\d)[-_.:m]?(\d\d)"
    r"(?:[.,]?\d{3})?(?!\d)"
)


def list_manifest(manifest: Path) -> Photos:
    """The photos that a CSV, TSV or Parquet manifest lists.

    Raises:
        DataError: the manifest cannot be read or does not hold together.
    """
    shown = printable(manifest.name)
    table = _read_manifest(manifest)
    names = {name: name.strip().lower() for name in table.columns}
    table = table.rename({old: new for old, new in names.items() if new in _MANIFEST_COLUMNS and old != new})
    missing = [name for name in ("path", "label") if name not in table.columns]
    if missing:
        raise DataError(
            f"a manifest must have the columns path and label; {shown} lacks {' and '.join(missing)} "
            f"(found: {', '.join(table.columns) or 'nothing'}). Add a header line path,label."
        )
    if table.is_empty():
        raise DataError(f"a manifest must list at least one photo; {shown} has no rows. Add rows.")
    table = table.rename({name: f"manifest_{name}" for name in table.columns if _is_ours(name)})
    paths = _manifest_paths(manifest, table["path"].to_list())
    labels = [class_name(label or "") for label in table["label"]]
    _check_rows(shown, paths, labels)
    splits = [word or "" for word in table["split"]] if "split" in table.columns else None
    if splits is not None and (unknown := [word for word in splits if word and split_named(word) is None]):
        raise DataError(
            f"split must be train, val, test, another word for one of them, or empty; {shown} has "
            f"{first_and_count(unknown, 'other word')}. Correct the column."
        )
    columns = [pl.Series("path", paths), pl.Series("label", labels)]
    if splits is not None:
        columns.append(pl.Series("split", [split_named(word) for word in splits], dtype=pl.String))
    if "captured_at" in table.columns:
        columns.append(_manifest_times(shown, paths, table["captured_at"].to_list()))
    listed = conform(table.with_columns(columns))
    settled = settle_classes(Photos(manifest.parent, listed, "manifest"))
    return settled.noted(classes_missing(settled.table))


def time_in_name(name: str) -> datetime | None:
    """The capture time that a file's name states, to the second; a date alone is no time.

    >>> time_in_name("bed1_2024-01-12-05-40-04.jpg")
    datetime.datetime(2024, 1, 12, 5, 40, 4)
    >>> time_in_name("IMG_20240112.jpg") is None
    True
    """
    for match in _TIME_IN_NAME.finditer(name):
        try:
            return datetime(*(int(number) for number in match.groups()))  # type: ignore[arg-type]
        except ValueError:
            continue
    return None


def classes_missing(table: pl.DataFrame) -> list[Sentence]:
    """A note for each given split that lacks classes of the others."""
    classes = set(table["label"])
    notes: list[Sentence] = []
    for split in SPLITS:
        missing = sorted(classes - set(table.filter(pl.col("split") == split)["label"]))
        if missing and len(missing) < len(classes):
            notes.append(
                sentence(
                    "%(split)s lacks %(missing)d of %(classes)d classes: %(names)s",
                    split=split,
                    missing=len(missing),
                    classes=len(classes),
                    names=", ".join(missing),
                )
            )
    return notes


def _is_ours(name: str) -> bool:
    return name in SCHEMA and name not in _MANIFEST_COLUMNS


def _read_manifest(manifest: Path) -> pl.DataFrame:
    """The manifest as text columns, stripped, empty cells null, empty lines left out."""
    shown = printable(manifest.name)
    try:
        if manifest.suffix.lower() == ".parquet":
            # From memory: a memory-mapped file that changes under the reader would crash the process.
            table = pl.read_parquet(io.BytesIO(manifest.read_bytes()))
            if isinstance(kind := table.schema.get("captured_at"), pl.Datetime) and kind.time_zone:
                table = table.with_columns(pl.col("captured_at").dt.replace_time_zone(None))
        else:
            text = manifest.read_bytes().decode("utf-8-sig")
            header = text.partition("\n")[0]
            tabs, semicolons = manifest.suffix.lower() == ".tsv" or "\t" in header, ";" in header
            separator = "\t" if tabs else ";" if semicolons and "," not in header else ","
            table = pl.read_csv(text.encode(), separator=separator, infer_schema=False)
        table = table.with_columns(pl.all().cast(pl.String).str.strip_chars().replace("", None))
        return table.filter(~pl.all_horizontal(pl.all().is_null())) if table.width else table
    except OSError as error:
        raise DataError(f"a manifest must be readable; {shown}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"a manifest must be UTF-8; {shown} is not. Save it as CSV UTF-8.") from error
    except pl.exceptions.NoDataError as error:
        raise DataError(f"a manifest must list at least one photo; {shown} is empty. Add rows.") from error
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"a manifest must be a table with one row a photo; {shown}: {reason}") from error


def _manifest_paths(manifest: Path, listed: list[str | None]) -> list[str]:
    """The paths relative to the manifest's folder, each an existing file inside it."""
    shown, root = printable(manifest.name), manifest.parent
    if None in listed:
        raise DataError(f"every row of a manifest needs a path; {shown} has {listed.count(None)} without. Add them.")
    paths = [posixpath.normpath(path or "") for path in listed]
    outside = [path for path in paths if path.startswith("/") or path.split("/")[0] == ".."]
    if outside:
        raise DataError(
            f"paths must be relative to the manifest and stay in its folder; {shown} has "
            f"{first_and_count(outside, 'path')} outside. Move the manifest to the folder above the photos."
        )
    # Manifests written on Windows: the slash is tried only where the name itself is no file.
    paths = [path if "\\" not in path or _is_file(root, path) else path.replace("\\", "/") for path in paths]
    unknown = [path for path in paths if not _is_file(root, path)]
    if unknown:
        raise DataError(
            f"every path of a manifest must be a file; {shown} has {first_and_count(unknown, 'path')} that "
            f"does not exist in {printable(str(root))}. Correct the paths: they are relative to the manifest."
        )
    return paths


def _is_file(root: Path, path: str) -> bool:
    return os.path.lexists(file := on_disk(root, path)) and not file.is_dir()


def _check_rows(shown: str, paths: list[str], labels: list[str]) -> None:
    if "" in labels:
        raise DataError(
            f"every row of a manifest needs a label; {shown} has {labels.count('')} without "
            f"(first: {paths[labels.index('')]}). Add the labels or remove the rows."
        )
    first_label = dict(zip(reversed(paths), reversed(labels), strict=True))
    pairs = zip(paths, labels, strict=True)
    contradicted = [f"{path}: {first_label[path]}, {label}" for path, label in pairs if label != first_label[path]]
    if contradicted:
        raise DataError(
            f"a photo has one label; {shown} gives two to {first_and_count(contradicted, 'photo')}. Keep the right one."
        )
    repeated = [path for path, count in Counter(paths).items() if count > 1]
    if repeated:
        raise DataError(
            f"a photo is listed once; {shown} lists {first_and_count(repeated, 'photo')} again. Remove the "
            "duplicate rows."
        )


def _manifest_times(shown: str, paths: list[str], cells: list[str | None]) -> pl.Series:
    times: list[datetime | None] = []
    wrong: list[str] = []
    for path, cell in zip(paths, cells, strict=True):
        time = None if cell is None else _parse_time(cell)
        if cell is not None and time is None:
            wrong.append(f"{path}: {cell}")
        times.append(time)
    if wrong:
        raise DataError(
            f"captured_at must be a date and a time such as 2024-01-12T05:40:04; {shown} has "
            f"{first_and_count(wrong, 'other value')}. Correct them, leave them empty, or use --group-by."
        )
    return pl.Series("captured_at", times, dtype=pl.Datetime("us"))


def _parse_time(text: str) -> datetime | None:
    """The local wall clock: the zone, if any, is dropped without shifting the time."""
    try:
        date.fromisoformat(text)
        return None  # A date alone.
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        text = text.replace(":", "-")  # As EXIF writes it.
        return time_in_name(text) if _TIME_IN_NAME.fullmatch(text) else None
