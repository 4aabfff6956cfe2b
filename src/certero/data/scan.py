"""From a folder or a manifest to the table of photos: first the listing, then one look at every file."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import polars as pl

from certero.data.archives import look_inside
from certero.data.files import (
    ARCHIVE_SUFFIXES,
    CLOSED_FOLDER,
    FOREIGN_FORMATS,
    NO_CLASS,
    NO_SPLIT,
    PHOTO_SUFFIXES,
    Walk,
    describe_passed_over,
    first_and_count,
    printable,
    typed,
    walk_photos,
    why_foreign,
)
from certero.data.first_look import Seen
from certero.data.layout import LabelLevel, Layout, read_layout, some, where_classes_are
from certero.data.manifest import MANIFEST_SUFFIXES, classes_missing, list_manifest, time_in_name
from certero.data.spellings import settle_classes
from certero.data.table import SCHEMA, Photos, conform
from certero.errors import DataError
from certero.language import sentence
from certero.names import class_name, find_class
from certero.records import Progress, no_progress

_FORMAT_OF_SUFFIX = {".jpg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg", ".tif": "tiff"}
_ROWS_A_CHUNK = 4096
# A note each for so many classes, one for the others.
_MOST_LOST = 5
# What one look gives: fields of `PhotoFacts`, then the size of the file.
_SEEN = (
    *("status", "problem", "format", "width", "height", "content_hash", "pixel_hash", "perceptual_hash"),
    *("descriptor", "brightness", "captured_at", "bytes"),
)


def list_photos(
    data: Path,
    *,
    label_level: LabelLevel | None = None,
    single_label: str | None = None,
    classes: Sequence[str] = (),
) -> Photos:
    """The photos of a folder or manifest with their labels and given splits, without opening any.

    Args:
        data: `root/<class>/**`, `root/{train,val,test}/<class>/**`, or a CSV, TSV or Parquet manifest with the
            columns path, label and perhaps split, group, captured_at and others; paths relative to it.
        label_level: which folder names the class: 1 is the first below the root (or below the split's folder),
            `leaf` the one that holds the photo. Default 1. Folders only.
        single_label: every photo below the folder has this label, whatever the folders are called.
        classes: those of the model that is to judge the photos, where there is one.

    Raises:
        DataError: nothing to list, or a manifest that does not hold together.
    """
    data = typed(data)
    if data.is_dir():
        return _list_folder(data, label_level, single_label, classes)
    shown = printable(str(data))
    if not data.exists():
        raise DataError(f"DATA must be a folder of photos or a manifest; {shown} does not exist. Check the path.")
    if data.suffix.lower() in ARCHIVE_SUFFIXES:
        raise DataError(f"DATA must be a folder of photos or a manifest; {shown} is an archive. {look_inside(data)}")
    if data.suffix.lower() not in MANIFEST_SUFFIXES:
        raise DataError(
            f"DATA must be a folder of photos or a {', '.join(MANIFEST_SUFFIXES)} manifest; found the file {shown}. "
            "Give the folder that holds one folder a class."
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
    capture time is the manifest's, else EXIF's, else the file name's. Pictures of a kind that is not read are
    `unreadable` as listed. Classes that lost all or most of their photos are noted.

    Args:
        photos: from `list_photos`.
        look: what the files tell, in order.
        progress: called with the stage `scan`.
    """
    table = photos.table
    schema = {name: SCHEMA[name] for name in _SEEN}
    chunks: list[pl.DataFrame] = [pl.DataFrame(schema=schema)]
    rows: list[tuple[Any, ...]] = []
    known = table.select("status", "problem", "format").rows()
    looks = iter(look(photos.paths(table.filter(pl.col("status").is_null()))))
    for done, given in enumerate(known, start=1):
        if given[0] is not None:
            rows.append((*given, *[None] * (len(_SEEN) - len(given))))
        else:
            seen = next(looks)
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
    notes = [f"names that do not match the content: {first_and_count(misnamed, 'photo')}"] if misnamed else []
    return scanned.noted([*notes, *_lost(scanned.table)])


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
        if found is not None and found not in {*FOREIGN_FORMATS, _FORMAT_OF_SUFFIX.get(suffix, suffix[1:])}:
            misnamed.append(path)
            wrong = f"named {suffix or 'without suffix'}, holds {found}"
            problem = f"{problem}; {wrong}" if problem else wrong
        problems.append(problem)
    return problems, misnamed


def _lost(table: pl.DataFrame) -> list[str]:
    """A note for each class that lost half of its photos or more, those that lost most first."""
    unreadable = pl.col("status") == "unreadable"
    counts = table.group_by("label").agg(
        pl.len().alias("all"),
        unreadable.sum().alias("lost"),
        pl.col("problem").filter(unreadable).mode().sort().first().alias("why"),
    )
    worst = counts.filter(2 * pl.col("lost") >= pl.col("all")).sort(
        (pl.col("all") - pl.col("lost")) / pl.col("all"), pl.col("label")
    )
    notes: list[str] = []
    for row in worst.iter_rows(named=True):
        if row["lost"] == row["all"]:
            notes.append(sentence("class %(label)s: none of %(all)d photos can be read (%(why)s)", **row))
        else:
            notes.append(sentence("class %(label)s: %(lost)d of %(all)d photos cannot be read (%(why)s)", **row))
    if len(notes) > _MOST_LOST:
        further = worst["label"].to_list()[_MOST_LOST:]
        told = sentence(
            "%(count)d further classes lost half of their photos or more: %(labels)s",
            count=len(further),
            labels=", ".join(further),
        )
        notes = [*notes[:_MOST_LOST], told]
    return notes


def _list_folder(
    root: Path, label_level: LabelLevel | None, single_label: str | None, classes: Sequence[str]
) -> Photos:
    walk = walk_photos(root)
    notes: list[str] = [
        sentence("folder could not be opened: %(folder)s", folder=folder) for folder in walk.unreadable_folders
    ]
    shown = printable(str(root))
    files = sorted(map(printable, [*walk.photos, *walk.foreign]))
    if not files:
        others = ", ".join(describe_passed_over(walk.passed_over))
        reason = "; ".join(notes) or (f"only {others}" if others else "the folder is empty")
        unpack = any(kind in ARCHIVE_SUFFIXES for kind in walk.passed_over)
        raise DataError(
            f"DATA must hold photos ({' '.join(sorted(PHOTO_SUFFIXES))}); found none in {shown}: {reason}. "
            + ("Unpack the archive, and point to the folder that it becomes." if unpack else "Check the path.")
        )
    if single_label is not None:
        layout = Layout(False, lambda _folders: (None, class_name(single_label)))
    else:
        inside = [name for name in walk.folders if "/" not in name]
        layout = read_layout([_folders(name) for name in files], list(map(printable, inside)), label_level, classes)
    rows: list[tuple[str, str, str | None]] = []
    passed_over = Counter(walk.passed_over)
    outside: Counter[str] = Counter()
    for name in files:
        split, label = layout.read(_folders(name))
        if layout.splits and split is None:
            passed_over[NO_SPLIT] += 1
            outside[name.split("/")[0] if "/" in name else "."] += 1
        elif label is None:
            passed_over[NO_CLASS] += 1
        else:
            rows.append((name, label, split))
    if not rows:
        level = "" if label_level in (None, 1) else f" at --label-level {label_level}"
        raise DataError(
            f"photos must lie in one folder a class (DATA/<class>/photo.jpg); none of the {len(files)} in "
            f"{shown} has a class folder{level}. Move them into folders named after their class."
        )
    if walk.unreadable_folders:
        passed_over[CLOSED_FOLDER] += len(walk.unreadable_folders)
    if outside:
        notes.append(
            sentence(
                "%(count)d photos outside the split folders, not used (%(folders)s)",
                count=sum(outside.values()),
                folders=some(outside),
            )
        )
    if passed_over[NO_CLASS]:
        notes.append(sentence("%(count)d photo without a class folder, not used", count=passed_over[NO_CLASS]))
    table = conform(_with_foreign(pl.DataFrame(rows, schema=["path", "label", "split"], orient="row"), walk))
    empty = _empty_classes(walk, layout, set(table["label"])) if single_label is None else {}
    notes += [*layout.notes, *_describe_empty(empty), *_alone(root, table, single_label, classes)]
    source: Literal["presplit", "folders"] = "presplit" if layout.splits else "folders"
    listed = Photos(root, table, source, dict(+passed_over), tuple(notes), empty_classes=empty)
    settled = settle_classes(listed)
    return settled.noted(classes_missing(settled.table))


def _folders(name: str) -> tuple[str, ...]:
    return tuple(name.split("/")[:-1])


def _with_foreign(table: pl.DataFrame, walk: Walk) -> pl.DataFrame:
    """The rows, those of pictures that are not read with their status and why."""
    if not walk.foreign:
        return table
    kinds = {printable(name): what for name, what in walk.foreign.items()}
    found = [(path, kinds.get(path)) for path in table["path"]]
    return table.with_columns(
        pl.Series("status", [what and "unreadable" for _path, what in found], dtype=pl.String),
        pl.Series("problem", [what and why_foreign(path, what) for path, what in found], dtype=pl.String),
        pl.Series("format", [what for _path, what in found], dtype=pl.String),
    )


def _empty_classes(walk: Walk, layout: Layout, labels: set[str]) -> dict[str, dict[str, int]]:
    """Class folders without photos, and what they hold instead, by kind."""
    found: dict[str, Counter[str]] = {}
    for folder in map(printable, walk.folders):
        parts = tuple(folder.split("/"))
        label = layout.read(parts)[1]
        if label is not None and label not in labels and layout.read(parts[:-1])[1] is None:
            inside = [kind for name, kind in walk.others if printable(name).startswith(f"{folder}/")]
            found[label] = found.get(label, Counter()) + Counter(inside)
    return {label: dict(sorted(kinds.items())) for label, kinds in sorted(found.items())}


def _describe_empty(empty: Mapping[str, Mapping[str, int]]) -> list[str]:
    notes: list[str] = []
    for label, kinds in list(empty.items())[:_MOST_LOST]:
        what = ", ".join(describe_passed_over(kinds))
        notes.append(
            sentence("class folder %(label)s holds no photo: only %(what)s", label=label, what=what)
            if what
            else sentence("class folder %(label)s is empty", label=label)
        )
    if further := list(empty)[_MOST_LOST:]:
        text = sentence(
            "%(count)d further class folders hold no photo: %(labels)s", count=len(further), labels=", ".join(further)
        )
        notes.append(text)
    return notes


def _alone(root: Path, table: pl.DataFrame, single_label: str | None, classes: Sequence[str]) -> list[str]:
    """A note where the only class folder holds what may be the class folders."""
    labels = table["label"].unique().to_list()
    place = where_classes_are(table["path"].to_list())
    if single_label is not None or len(labels) > 1 or place is None or find_class(labels[0], classes) is not None:
        return []
    folder, inside = place
    return [
        sentence(
            "all photos lie in %(folder)s, which holds %(count)d folders with photos (%(names)s): if these are the "
            "classes, point to that folder",
            folder=printable(str(root / folder)),
            count=len(inside),
            names=some(inside),
        )
    ]
