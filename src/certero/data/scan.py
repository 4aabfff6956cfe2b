"""From a folder or a manifest to the table of photos: first the listing, then one look at every file."""

from __future__ import annotations

import dataclasses
import functools
import posixpath
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import polars as pl

from certero.config.parsing import Times
from certero.data.archives import look_inside
from certero.data.layout import LabelLevel, Layout, read_layout, some, where_classes_are
from certero.data.lost_classes import describe_empty, describe_lost
from certero.data.manifest import MANIFEST_SUFFIXES, SPREADSHEET_SUFFIXES, classes_missing, list_manifest
from certero.data.spellings import settle_classes
from certero.data.table import SCHEMA, Photos, conform
from certero.data.times import Stamp, never_set, shift, stamp_in_name, zones
from certero.errors import DataError
from certero.names import class_name, find_class
from certero.photos.first_look import Seen
from certero.photos.formats import ARCHIVE_SUFFIXES, is_misnamed, say_misnamed, suffix_of
from certero.photos.listing import (
    CLOSED_FOLDER,
    NO_CLASS,
    NO_SPLIT,
    Walk,
    describe_passed_over,
    first_and_count,
    printable,
    typed,
    walk_photos,
    why_foreign,
)
from certero.records.protocols import Progress, no_progress
from certero.sentences import Message, Sentence, in_a_row, message, sentence, sentences, stored

_ROWS_A_CHUNK = 4096
# What one look returns: fields of `PhotoFacts`, then the size of the file.
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
        classes: classes of the model that the photos are for, if there is one.

    Raises:
        DataError: there is nothing to list, or the manifest is inconsistent.
    """
    data = typed(data)
    if data.is_dir():
        return _list_folder(data, label_level, single_label, classes)
    shown = printable(str(data))
    if not data.exists():
        raise DataError(
            "DATA must be a folder of photos or a manifest; %(shown)s does not exist. Check the path.", shown=shown
        )
    if data.suffix.lower() in ARCHIVE_SUFFIXES:
        raise DataError(
            "DATA must be a folder of photos or a manifest; %(shown)s is an archive. %(advice)s",
            shown=shown,
            advice=look_inside(data),
        )
    if data.suffix.lower() in SPREADSHEET_SUFFIXES:
        raise DataError(
            "DATA must be a folder of photos or a %(suffixes)s manifest; %(shown)s is a "
            "spreadsheet. Open it and take Save as, CSV UTF-8.",
            suffixes=", ".join(MANIFEST_SUFFIXES),
            shown=shown,
        )
    if data.suffix.lower() not in MANIFEST_SUFFIXES:
        raise DataError(
            "DATA must be a folder of photos or a %(suffixes)s manifest; found the file "
            "%(shown)s. Give the folder that holds one folder a class.",
            suffixes=", ".join(MANIFEST_SUFFIXES),
            shown=shown,
        )
    if label_level is not None or single_label is not None:
        raise DataError(
            "--label-level and --label are for folders; %(name)s is a manifest. Name the classes in its label column.",
            name=printable(data.name),
        )
    return list_manifest(data)


def scan(
    photos: Photos,
    *,
    look: Callable[[Sequence[Path]], Iterable[Seen]],
    times: Times = "auto",
    progress: Progress = no_progress,
) -> Photos:
    """The photos, with every column filled that one look at the files can fill.

    A file that cannot be opened (permission, vanished, a folder) becomes `unreadable` with the reason. The
    capture time is the manifest's, else EXIF's, else the file name's; those of a clock that was never set are left
    out, unless `times` names their source. Pictures of a kind that certero does not read are `unreadable`, as listed.
    Classes that lost all or most of their photos are noted.

    Args:
        photos: from `list_photos`.
        look: looks at the files, in order.
        times: where capture times are taken from.
        progress: called with the stage `scan`.

    Raises:
        DataError: no photo has a time of the source that `times` names.
    """
    table = photos.table
    listed = table["captured_at"].to_list() if times in ("auto", "manifest") else [None] * table.height
    named = [stamp_in_name(posixpath.basename(path)) if times in ("auto", "name") else None for path in table["path"]]
    if times == "manifest" and not any(listed):
        raise DataError("--times manifest needs a column captured_at with times in it; DATA has none. Add one.")
    if times == "name" and not any(named):
        raise DataError(
            "--times name needs names with date and time such as 2024-01-12-05-40-04.jpg; found "
            "none among %(first_and_count)s. Leave --times out.",
            first_and_count=first_and_count(table["path"], "photo"),
        )
    schema = {name: SCHEMA[name] for name in _SEEN}
    chunks: list[pl.DataFrame] = [pl.DataFrame(schema=schema)]
    rows: list[tuple[Any, ...]] = []
    said_of = dict(photos.said)
    known = table.select("status", "problem", "format").rows()
    looks = iter(look(photos.paths(table.filter(pl.col("status").is_null()))))
    for done, given in enumerate(known, start=1):
        if given[0] is not None:
            rows.append((*given, *[None] * (len(_SEEN) - len(given))))
        else:
            seen = next(looks)
            if seen.facts.problem is not None:
                said_of[str(seen.facts.problem)] = seen.facts.problem
            rows.append((*(getattr(seen.facts, name) for name in _SEEN[:-1]), seen.size))
        if len(rows) == _ROWS_A_CHUNK or done == table.height:
            chunks.append(pl.DataFrame(rows, schema=schema, orient="row"))
            rows.clear()
        progress("scan", done, table.height)
    facts = pl.concat(chunks).with_columns(pl.col("content_hash").replace("", None))
    exif = facts["captured_at"].to_list() if times in ("auto", "exif") else [None] * table.height
    if times == "exif" and not any(exif):
        raise DataError(
            "--times exif needs photos with EXIF times; none of %(photos)s has one. Leave --times out.",
            photos=table.height,
        )
    captured, sources, said = _capture_times(listed, exif, named, times)
    problems, misnamed = _wrong_suffixes(table["path"].to_list(), facts, said_of)
    scanned = photos.with_columns(
        *(facts[name] for name in _SEEN if name not in ("captured_at", "problem")),
        pl.Series("captured_at", captured, dtype=pl.Datetime("us")),
        pl.Series("captured_from", sources, dtype=pl.String),
        pl.Series("problem", [None if problem is None else str(problem) for problem in problems], dtype=pl.String),
    )
    said_of |= {str(problem): problem for problem in problems if problem is not None}
    scanned = dataclasses.replace(scanned, said=said_of)
    if misnamed:
        said.append(
            sentences(
                "%(count)d photo has a name that does not match its content (%(first)s)",
                "%(count)d photos have names that do not match their content (first: %(first)s)",
                count=len(misnamed),
                first=misnamed[0],
            )
        )
    return scanned.noted([*describe_lost(scanned), *said])


def _capture_times(
    given: Sequence[datetime | None], exif: Sequence[datetime | None], named: Sequence[Stamp | None], asked: Times
) -> tuple[list[datetime | None], list[str | None], list[Sentence]]:
    """Each photo's naive local time, its source, and notes on the times."""
    stamps = [None if a or b else stamp for a, b, stamp in zip(given, exif, named, strict=True)]
    from_names, zone = shift(stamps)
    times = [a or b or c for a, b, c in zip(given, exif, from_names, strict=True)]
    sources = [
        "manifest" if a else "exif" if b else "name" if c else None
        for a, b, c in zip(given, exif, from_names, strict=True)
    ]
    notes: list[Sentence] = []
    if zone is not None:
        zoned = sum(stamp is not None and stamp.offset is not None for stamp in stamps)
        notes.append(
            sentence("%(count)d names state a time with a zone: shifted to %(zone)s", count=zoned, zone=zone)
            if zones(stamps) > 1
            else sentence("%(count)d names state a time with the zone %(zone)s", count=zoned, zone=zone)
        )
        if others := sum(time is not None for time in times) - zoned:
            notes.append(
                sentence("%(count)d photos state a time without a zone: taken for times of that zone", count=others)
            )
    wrong, told = never_set(times, sources)
    for finding in told:
        notes.append(
            sentence("%(finding)s: not used as times", finding=finding)
            if asked == "auto"
            else sentence("%(finding)s: used as --times asks", finding=finding)
        )
    if asked == "auto":
        times = [None if bad else time for bad, time in zip(wrong, times, strict=True)]
        sources = [None if bad else source for bad, source in zip(wrong, sources, strict=True)]
    # A day's tolerance: the camera's zone may be ahead of this machine's.
    soon = datetime.now() + timedelta(days=1)
    if ahead := [time for time in times if time is not None and time > soon]:
        notes.append(
            sentences(
                "%(count)d photo states a time in the future (%(time)s)",
                "%(count)d photos state a time in the future (the last: %(time)s)",
                count=len(ahead),
                time=max(ahead).isoformat(" "),
            )
        )
    return times, sources, notes


def _wrong_suffixes(
    paths: list[str], seen: pl.DataFrame, said_of: Mapping[str, Message]
) -> tuple[list[Message | None], list[str]]:
    """Each photo's problem, wrong suffix included, and the photos that have one."""
    problems: list[Message | None] = []
    misnamed: list[str] = []
    for path, found, text in zip(paths, seen["format"], seen["problem"], strict=True):
        problem = None if text is None else said_of.get(text) or stored(text)
        if is_misnamed(path, found):
            misnamed.append(path)
            wrong = say_misnamed(suffix_of(path), found)
            problem = in_a_row([problem, wrong], "; ") if problem else wrong
        problems.append(problem)
    return problems, misnamed


def _list_folder(
    root: Path, label_level: LabelLevel | None, single_label: str | None, classes: Sequence[str]
) -> Photos:
    walk = walk_photos(root)
    notes: list[Sentence] = [
        sentence("folder could not be opened: %(folder)s", folder=folder) for folder in walk.unreadable_folders
    ]
    files = sorted(map(printable, [*walk.photos, *walk.foreign]))
    if not files:
        raise _no_photos(printable(str(root)), walk, notes)
    if single_label is not None:
        layout = Layout(False, lambda _folders: (None, class_name(single_label)))
    else:
        inside = [name for name in walk.folders if "/" not in name]
        layout = read_layout([_folders(name) for name in files], list(map(printable, inside)), label_level, classes)
    rows: list[tuple[str, str, str | None]] = []
    passed_over = Counter(walk.passed_over)
    outside: Counter[str] = Counter()
    read = functools.cache(layout.read)
    spelled: dict[str, set[str]] = defaultdict(set)
    for name in files:
        split, label = read(folders := _folders(name))
        if layout.splits and split is None and label is None:
            passed_over[NO_SPLIT] += 1
            outside[name.split("/")[0] if "/" in name else "."] += 1
        elif label is None:
            passed_over[NO_CLASS] += 1
        else:
            rows.append((name, label, split))
            spelled[label].update(folders)
    if not rows:
        raise _no_class_folders(root, walk, len(files), label_level)
    if walk.unreadable_folders:
        passed_over[CLOSED_FOLDER] += len(walk.unreadable_folders)
    if outside:
        notes.append(
            sentences(
                "%(count)d photo outside the split folders, not used (%(folders)s)",
                "%(count)d photos outside the split folders, not used (%(folders)s)",
                count=sum(outside.values()),
                folders=some(outside),
            )
        )
    if passed_over[NO_CLASS]:
        notes.append(sentence("%(count)d photo without a class folder, not used", count=passed_over[NO_CLASS]))
    bare = pl.DataFrame(rows, schema=["path", "label", "split"], orient="row")
    marked, said = _with_foreign(bare, walk)
    table = conform(marked)
    empty = _empty_classes(walk, layout, set(table["label"])) if single_label is None else {}
    notes += [*layout.notes, *_joined(spelled), *describe_empty(empty), *_alone(root, table, single_label, classes)]
    source: Literal["presplit", "folders"] = "presplit" if layout.splits else "folders"
    listed = Photos(root, table, source, dict(+passed_over), tuple(notes), empty_classes=empty, said=said)
    settled = settle_classes(listed)
    return settled.noted(classes_missing(settled.table))


def _no_photos(shown: str, walk: Walk, notes: Sequence[Sentence]) -> DataError:
    others = describe_passed_over(walk.passed_over)
    unpack = any(kind in ARCHIVE_SUFFIXES for kind in walk.passed_over)
    if notes:
        reason = in_a_row(notes, "; ")
    elif others:
        reason = sentence("only %(kinds)s", kinds=in_a_row(others))
    else:
        reason = sentence("the folder is empty")
    return DataError(
        "DATA must hold photos (JPEG, PNG, HEIC, WebP, TIFF and others); found none in %(shown)s: %(reason)s. "
        "%(advice)s",
        shown=shown,
        reason=reason,
        advice=message("Unpack the archive, and point to the folder that it becomes.")
        if unpack
        else message("Check the path."),
    )


def _no_class_folders(root: Path, walk: Walk, files: int, label_level: LabelLevel | None) -> DataError:
    wanted = (
        message("a class folder")
        if label_level in (None, 1)
        else sentence("a class folder at --label-level %(level)s", level=label_level)
    )
    tables = [name for name, kind in walk.others if "/" not in name and kind in MANIFEST_SUFFIXES]
    advice = (
        sentence(
            "Move them into folders named after their class, or give the table that names them: %(table)s.",
            table=printable(str(root / tables[0])),
        )
        if tables
        else message("Move them into folders named after their class.")
    )
    return DataError(
        "photos must lie in one folder a class (DATA/<class>/photo.jpg); none of the "
        "%(files)s in %(shown)s has %(wanted)s. %(advice)s",
        files=files,
        shown=printable(str(root)),
        wanted=wanted,
        advice=advice,
    )


def _folders(name: str) -> tuple[str, ...]:
    return tuple(name.split("/")[:-1])


def _joined(spelled: Mapping[str, set[str]]) -> list[Sentence]:
    """A note for each class whose folders differ in spaces; differently stored accents are invisible and not noted.

    Args:
        spelled: for each class, the folders of its photos.
    """
    notes: list[Sentence] = []
    for label, folders in spelled.items():
        names = {unicodedata.normalize("NFC", folder) for folder in folders if class_name(folder) == label}
        if len(names) > 1:
            listed = ", ".join(f"'{name}'" for name in sorted(names))
            notes.append(sentence("%(labels)s are taken as one class, %(chosen)s", labels=listed, chosen=label))
    return notes


def _with_foreign(table: pl.DataFrame, walk: Walk) -> tuple[pl.DataFrame, dict[str, Message]]:
    """The rows; pictures of a kind that is not read get their status and the reason."""
    if not walk.foreign:
        return table, {}
    kinds = {printable(name): what for name, what in walk.foreign.items()}
    found = [(path, kinds.get(path)) for path in table["path"]]
    why = [None if what is None else why_foreign(path, what) for path, what in found]
    marked = table.with_columns(
        pl.Series("status", [what and "unreadable" for _path, what in found], dtype=pl.String),
        pl.Series("problem", [None if each is None else str(each) for each in why], dtype=pl.String),
        pl.Series("format", [what for _path, what in found], dtype=pl.String),
    )
    return marked, {str(each): each for each in why if each is not None}


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


def _alone(root: Path, table: pl.DataFrame, single_label: str | None, classes: Sequence[str]) -> list[Sentence]:
    """A note if the only class folder holds what may be the class folders."""
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
