"""From a folder or a manifest to the table of photos: first the listing, then one look at every file."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from certero.data.files import PHOTO_SUFFIXES, first_and_count, printable, walk_photos
from certero.data.first_look import Seen
from certero.data.manifest import MANIFEST_SUFFIXES, SPLIT_WORDS, classes_missing, list_manifest, time_in_name
from certero.data.table import SCHEMA, Photos, conform
from certero.errors import DataError
from certero.language import message, sentence
from certero.records import Progress, no_progress

LabelLevel = int | Literal["leaf"]

_FORMAT_OF_SUFFIX = {".jpg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg", ".tif": "tiff"}
_ROWS_A_CHUNK = 4096
# What one look gives: fields of `PhotoFacts`, then the size of the file.
_SEEN = (
    *("status", "problem", "format", "width", "height", "content_hash", "pixel_hash", "perceptual_hash"),
    *("descriptor", "brightness", "captured_at", "bytes"),
)


def list_photos(data: Path, *, label_level: LabelLevel | None = None, single_label: str | None = None) -> Photos:
    """The photos of a folder or manifest with their labels and given splits, without opening any.

    Args:
        data: `root/<class>/**`, `root/{train,val,test}/<class>/**`, or a CSV, TSV or Parquet manifest with the
            columns path, label and perhaps split, group, captured_at and others; paths relative to it.
        label_level: which folder names the class: 1 is the first below the root (or below the split's folder),
            `leaf` the one that holds the photo. Default 1. Folders only.
        single_label: every photo below the folder has this label, whatever the folders are called.

    Raises:
        DataError: nothing to list, or a manifest that does not hold together.
    """
    data = Path(data)
    if data.is_dir():
        return _list_folder(data, 1 if label_level is None else label_level, single_label)
    if not data.exists():
        raise DataError(
            f"DATA must be a folder of photos or a manifest; {printable(str(data))} does not exist. Check the path."
        )
    if data.suffix.lower() not in MANIFEST_SUFFIXES:
        raise DataError(
            f"DATA must be a folder of photos or a {', '.join(MANIFEST_SUFFIXES)} manifest; found the file "
            f"{printable(str(data))}. Give the folder that holds one folder a class."
        )
    if label_level is not None or single_label is not None:
        raise DataError(
            f"--label-level and --label are for folders; {printable(data.name)} is a manifest. Name the "
            "classes in its label column."
        )
    return list_manifest(data)


def scan(
    photos: Photos, *, look: Callable[[Sequence[Path]], Iterable[Seen]], progress: Progress = no_progress
) -> Photos:
    """The photos with every column that one look at the files fills.

    A file that cannot be opened (permission, vanished, a folder) becomes `unreadable` with the reason. The
    capture time is the manifest's, else EXIF's, else the file name's.

    Args:
        photos: from `list_photos`.
        look: what the files tell, in order.
        progress: called with the stage `scan`.
    """
    table = photos.table
    schema = {name: SCHEMA[name] for name in _SEEN}
    chunks: list[pl.DataFrame] = [pl.DataFrame(schema=schema)]
    rows: list[tuple[Any, ...]] = []
    for done, seen in enumerate(look(photos.paths()), start=1):
        rows.append((*(getattr(seen.facts, name) for name in _SEEN[:-1]), seen.size))
        if len(rows) == _ROWS_A_CHUNK or done == table.height:
            chunks.append(pl.DataFrame(rows, schema=schema, orient="row"))
            rows.clear()
        progress("scan", done, table.height)
    facts = pl.concat(chunks).with_columns(pl.col("content_hash").replace("", None))
    times, sources = _capture_times(table, facts["captured_at"].to_list())
    problems, misnamed = _wrong_suffixes(table["path"].to_list(), facts)
    scanned = photos.with_columns(
        *(facts[name] for name in _SEEN if name not in ("captured_at", "problem")),
        pl.Series("captured_at", times, dtype=pl.Datetime("us")),
        pl.Series("captured_from", sources, dtype=pl.String),
        pl.Series("problem", problems, dtype=pl.String),
    )
    if not misnamed:
        return scanned
    return scanned.noted([f"names that do not match the content: {first_and_count(misnamed, 'photo')}"])


def _capture_times(
    table: pl.DataFrame, exif: Sequence[datetime | None]
) -> tuple[list[datetime | None], list[str | None]]:
    times: list[datetime | None] = []
    sources: list[str | None] = []
    listed = zip(table["captured_at"], table["path"], exif, strict=True)
    for given, path, from_exif in listed:
        from_name = None if given or from_exif else time_in_name(posixpath.basename(path))
        times.append(given or from_exif or from_name)
        sources.append("manifest" if given else "exif" if from_exif else "name" if from_name else None)
    return times, sources


def _wrong_suffixes(paths: list[str], seen: pl.DataFrame) -> tuple[list[str | None], list[str]]:
    """Each photo's problem, wrong suffix included, and the photos that have one."""
    problems: list[str | None] = []
    misnamed: list[str] = []
    for path, found, problem in zip(paths, seen["format"], seen["problem"], strict=True):
        suffix = posixpath.splitext(path)[1].lower()
        if found is not None and found != _FORMAT_OF_SUFFIX.get(suffix, suffix[1:]):
            misnamed.append(path)
            wrong = f"named {suffix or 'without suffix'}, holds {found}"
            problem = f"{problem}; {wrong}" if problem else wrong
        problems.append(problem)
    return problems, misnamed


def _list_folder(root: Path, label_level: LabelLevel, single_label: str | None) -> Photos:
    walk = walk_photos(root)
    notes = [sentence("folder could not be opened: %(folder)s", folder=folder) for folder in walk.unreadable_folders]
    shown = printable(str(root))
    if not walk.photos:
        others = ", ".join(f"{count} {suffix}" for suffix, count in walk.passed_over.items())
        reason = "; ".join(notes) or (f"only {others}" if others else "the folder is empty")
        raise DataError(
            f"DATA must hold photos ({' '.join(sorted(PHOTO_SUFFIXES))}); found none in {shown}: {reason}. "
            "Check the path."
        )
    presplit = single_label is None and _is_presplit(root)
    rows: list[tuple[str, str, str | None]] = []
    passed_over = Counter(walk.passed_over)
    for name in map(printable, walk.photos):
        folders = name.split("/")[:-1]
        split = SPLIT_WORDS.get(folders[0].lower()) if presplit and folders else None
        label = single_label or _label(folders[1:] if presplit else folders, label_level)
        if presplit and split is None:
            passed_over["(photo outside the split folders)"] += 1
        elif label is None:
            passed_over["(photo without a class folder)"] += 1
        else:
            rows.append((name, unicodedata.normalize("NFC", label), split))
    if not rows:
        level = "" if label_level == 1 else f" at --label-level {label_level}"
        raise DataError(
            f"photos must lie in one folder a class (DATA/<class>/photo.jpg); none of the {len(walk.photos)} in "
            f"{shown} has a class folder{level}. Move them into folders named after their class."
        )
    if walk.unreadable_folders:
        passed_over["(folder that could not be opened)"] += len(walk.unreadable_folders)
    notes += [
        sentence(text, count=passed_over[reason])
        for reason, text in (
            ("(photo outside the split folders)", message("%(count)d photo outside the split folders, not used")),
            ("(photo without a class folder)", message("%(count)d photo without a class folder, not used")),
        )
        if passed_over[reason]
    ]
    table = conform(pl.DataFrame(rows, schema=["path", "label", "split"], orient="row"))
    source: Literal["presplit", "folders"] = "presplit" if presplit else "folders"
    return Photos(root, table, source, +passed_over, (*notes, *classes_missing(table)))


def _is_presplit(root: Path) -> bool:
    words = {SPLIT_WORDS.get(entry.name.lower()) for entry in root.iterdir() if entry.is_dir()}
    return "train" in words and bool(words & {"val", "test"})


def _label(folders: list[str], level: LabelLevel) -> str | None:
    if level == "leaf":
        return folders[-1] if folders else None
    return folders[level - 1] if 1 <= level <= len(folders) else None
