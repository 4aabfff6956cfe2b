"""Manifests: tables that list photos with their labels, and perhaps splits, groups and capture times."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from certero.data.cells import Cells, name_columns, read_cells
from certero.data.layout import split_named
from certero.data.spellings import settle_classes
from certero.data.table import SCHEMA, WORKING_COLUMNS, Photos, conform
from certero.data.times import Stamp, shift, stamp_in_cell, zones
from certero.errors import DataError
from certero.interchange import apart
from certero.names import class_name
from certero.photos.listing import first_and_count, on_disk, printable
from certero.records.photos import SPLITS
from certero.sentences import Sentence, both, message, sentence

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")
SPREADSHEET_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")

_MANIFEST_COLUMNS = ("path", "label", "split", "group", "captured_at")
#: Names that no column of a manifest may have, because certero's own tables use them.
_TAKEN = ({*SCHEMA} | {*WORKING_COLUMNS}) - {*_MANIFEST_COLUMNS}
# Other names for the two columns that every manifest needs, as tools and spreadsheets write them.
_SYNONYMS = {
    "path": frozenset(
        {
            *(
                "file",
                "filename",
                "file_name",
                "file_path",
                "filepath",
                "image",
                "image_path",
                "image_file",
                "image_name",
            ),
            *("image_filename", "img", "img_path", "photo", "photo_path", "archivo", "ruta", "imagen", "foto"),
        }
    ),
    "label": frozenset(
        {
            *("class", "class_name", "classname", "label_name", "labels", "category", "category_name"),
            *("etiqueta", "clase", "categoria", "categoría"),
        }
    ),
}
_KNOWN = frozenset({*_MANIFEST_COLUMNS}).union(*_SYNONYMS.values())


def list_manifest(manifest: Path) -> Photos:
    """The photos that a CSV, TSV or Parquet manifest lists.

    Raises:
        DataError: the manifest cannot be read or is inconsistent.
    """
    shown = printable(manifest.name)
    cells = read_cells(manifest, _KNOWN)
    columns, notes = _name_columns(shown, cells)
    if not cells.lines:
        raise DataError("a manifest must list at least one photo; %(shown)s has no rows. Add rows.", shown=shown)
    paths = _manifest_paths(manifest, cells, columns.pop("path"))
    labels = [class_name(label or "") for label in columns.pop("label")]
    _check_rows(shown, cells, paths, labels)
    table: dict[str, pl.Series] = {
        "path": pl.Series("path", paths, dtype=pl.String),
        "label": pl.Series("label", labels, dtype=pl.String),
    }
    if "split" in columns:
        splits = [word or "" for word in columns.pop("split")]
        if unknown := [cells.at(row, word) for row, word in enumerate(splits) if word and split_named(word) is None]:
            raise DataError(
                "split must be train, val, test, another word for one of them, or empty; %(shown)s "
                "has %(first_and_count)s. Correct the column.",
                shown=shown,
                first_and_count=first_and_count(unknown, "other word"),
            )
        table["split"] = pl.Series("split", [split_named(word) for word in splits], dtype=pl.String)
    if "captured_at" in columns:
        times, zone_notes = _manifest_times(shown, cells, columns.pop("captured_at"))
        table["captured_at"] = pl.Series("captured_at", times, dtype=pl.Datetime("us"))
        notes += zone_notes
    names = list(columns)
    for name, column in zip(apart(names, _TAKEN, "manifest_"), columns.values(), strict=True):
        table[name] = pl.Series(name, column, dtype=pl.String)
    listed = conform(pl.DataFrame(table))
    settled = settle_classes(Photos(manifest.parent, listed, "manifest", {}, tuple(notes)))
    return settled.noted(classes_missing(settled.table))


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
                    split=message(split),
                    missing=len(missing),
                    classes=len(classes),
                    names=", ".join(missing),
                )
            )
    return notes


def _name_columns(shown: str, cells: Cells) -> tuple[dict[str, list[str | None]], list[Sentence]]:
    """The columns under their standard names, and a note for each that had another one.

    Raises:
        DataError: there is no path or no label, or it is not certain which column holds them.
    """
    plain = {name: re.sub(r"[\s_-]+", "_", name.lower()) for name in cells.columns}
    chosen = {name: word for name, word in plain.items() if word in _MANIFEST_COLUMNS}
    if doubled := [word for word, count in Counter(chosen.values()).items() if count > 1]:
        both = ", ".join(name for name, word in chosen.items() if word == doubled[0])
        raise DataError(
            "every column of a manifest needs a name of its own; %(shown)s has %(both)s, which are one. Rename one.",
            shown=shown,
            both=both,
        )
    notes: list[Sentence] = [
        *cells.notes,
        *(
            sentence(_NESTED_NOTES[kind], name=name)
            for name, kind in cells.nested.items()
            if name.lower() not in ("path", "label")
        ),
    ]
    others = {
        wanted: [name for name, word in plain.items() if word in _SYNONYMS[wanted]]
        for wanted in ("path", "label")
        if wanted not in chosen.values()
    }
    if lacking := [wanted for wanted, names in others.items() if len(names) != 1]:
        raise _missing(shown, cells, lacking, others[lacking[0]])
    for wanted, (name,) in others.items():
        chosen[name] = wanted
        notes.append(sentence("column %(name)s of the manifest is read as %(meant)s", name=name, meant=wanted))
    columns = {chosen.get(name, name): column for name, column in cells.columns.items()}
    return columns, notes


# What a column of a Parquet file may hold other than text (`Cells.nested`).
_NESTED = {"lists": message("lists"), "tables": message("tables"), "bytes": message("bytes")}
_NESTED_NOTES = {
    "lists": message("column %(name)s of the manifest holds lists and is not used"),
    "tables": message("column %(name)s of the manifest holds tables and is not used"),
    "bytes": message("column %(name)s of the manifest holds bytes and is not used"),
}


def _missing(shown: str, cells: Cells, lacking: Sequence[str], others: Sequence[str]) -> DataError:
    wanted = lacking[0]
    nested = {name.lower(): kind for name, kind in cells.nested.items()}
    kinds = [nested[name] for name in (wanted, *_SYNONYMS[wanted]) if name in nested]
    if kinds:
        return DataError(
            "a photo has one %(wanted)s, written as text; the column of %(shown)s holds "
            "%(kinds)s. certero knows one label a photo: write a column with one text in each row.",
            wanted=wanted,
            shown=shown,
            kinds=_NESTED[kinds[0]],
        )
    advice = (
        sentence("Rename one of %(columns)s to %(wanted)s.", columns=", ".join(others), wanted=wanted)
        if others
        else _ADVICE[wanted]
    )
    return DataError(
        "a manifest must have the columns path and label; %(shown)s lacks %(lacking)s (found: %(columns)s). %(advice)s",
        shown=shown,
        lacking=both(lacking),
        columns=name_columns([*cells.columns, *cells.nested]),
        advice=advice,
    )


_ADVICE = {
    "path": message("Call the column with the photos' files path, or add a header line path,label."),
    "label": message("Call the column with the classes label, or add a header line path,label."),
}


def _manifest_paths(manifest: Path, cells: Cells, listed: Sequence[str | None]) -> list[str]:
    """The paths relative to the manifest's folder, each an existing file inside it."""
    shown, root = printable(manifest.name), manifest.parent
    if without := [row for row, path in enumerate(listed) if path is None]:
        raise DataError(
            "every row of a manifest needs a path; %(shown)s has %(n_without)s without (first: "
            "%(counted)s %(lines)s). Add them.",
            shown=shown,
            n_without=len(without),
            counted=cells.counted,
            lines=cells.lines[without[0]],
        )
    roots = [root.absolute(), root.resolve()]
    paths = [_inside(roots, path or "") for path in listed]
    if outside := [cells.at(row, listed[row]) for row, path in enumerate(paths) if path is None]:
        raise DataError(
            "paths must lie in the folder of the manifest, %(roots)s, or below; %(shown)s has "
            "%(first_and_count)s elsewhere. Move the manifest to a folder above the photos.",
            roots=printable(str(roots[0])),
            shown=shown,
            first_and_count=first_and_count(outside, "path"),
        )
    found = [_spelled(root, path or "") for path in paths]
    if missing := [row for row, path in enumerate(found) if path is None]:
        unknown = [cells.at(row, paths[row]) for row in missing]
        whole = [f"{paths[missing[0]]}{suffix}" for suffix in (".jpg", ".jpeg", ".png", ".JPG")]
        there = next((path for path in whole if _is_file(root, path)), None)
        advice = (
            sentence("%(path)s is there: write whole names", path=there)
            if there
            else message("Correct the paths: they are relative to the manifest")
        )
        raise DataError(
            "every path of a manifest must be a file; %(shown)s has %(first_and_count)s without a "
            "file in %(root)s. %(advice)s.",
            shown=shown,
            first_and_count=first_and_count(unknown, "path"),
            root=printable(str(root)),
            advice=advice,
        )
    return [path for path in found if path is not None]


def _inside(roots: Sequence[Path], path: str) -> str | None:
    """The path relative to the manifest's folder; None if it leads out of it."""
    if Path(path).is_absolute() or re.match(r"[A-Za-z]:[\\/]", path):
        whole = Path(os.path.normpath(path))
        return next((whole.relative_to(root).as_posix() for root in roots if whole.is_relative_to(root)), None)
    path = posixpath.normpath(path)
    return None if path.replace("\\", "/").split("/")[0] == ".." else path


def _spelled(root: Path, path: str) -> str | None:
    """The path as `on_disk` finds it; None if there is no such file."""
    # Manifests from Windows: the slash is tried only if no file has the name as it stands.
    return next((each for each in dict.fromkeys((path, path.replace("\\", "/"))) if _is_file(root, each)), None)


def _is_file(root: Path, path: str) -> bool:
    try:
        return os.path.lexists(file := on_disk(root, path)) and not file.is_dir()
    except OSError:  # longer than any file name can be
        return False


def _check_rows(shown: str, cells: Cells, paths: list[str], labels: list[str]) -> None:
    if "" in labels:
        first = labels.index("")
        raise DataError(
            "every row of a manifest needs a label; %(shown)s has %(count)s without (first: "
            "%(at)s). Add the labels or remove the rows.",
            shown=shown,
            count=labels.count(""),
            at=cells.at(first, paths[first]),
        )
    if several := [cells.at(row, labels[row]) for row in _rows_of_several(labels)]:
        raise DataError(
            "certero knows one label a photo; %(shown)s has %(first_and_count)s with several. Keep "
            "the one that matters, or train once for each kind of label; if it is the name of one "
            "class, rename it.",
            shown=shown,
            first_and_count=first_and_count(several, "row"),
        )
    first_row: dict[str, int] = {}
    contradicted: list[str] = []
    for row, (path, label) in enumerate(zip(paths, labels, strict=True)):
        earlier = labels[first_row.setdefault(path, row)]
        if label != earlier:
            contradicted.append(cells.at(row, f"{path}: {earlier}, {label}"))
    if contradicted:
        raise DataError(
            "a photo has one label; %(shown)s gives two to %(first_and_count)s. Keep the right one.",
            shown=shown,
            first_and_count=first_and_count(contradicted, "photo"),
        )
    repeated = [cells.at(row, path) for row, path in enumerate(paths) if first_row[path] != row]
    if repeated:
        raise DataError(
            "a photo is listed once; %(shown)s lists %(first_and_count)s again. Remove the duplicate rows.",
            shown=shown,
            first_and_count=first_and_count(repeated, "photo"),
        )


def _rows_of_several(labels: Sequence[str]) -> list[int]:
    """Rows whose cell names several classes: `red|round`, a list, or names that also occur alone or in other lists."""
    found = {
        row
        for row, label in enumerate(labels)
        if "|" in label or (label[0] in "[({" and label[-1] in "])}" and not {",", ";"}.isdisjoint(label))
    }
    for sign in (";", ","):
        parts = {label: frozenset(part.strip() for part in label.split(sign)) for label in set(labels)}
        seen = Counter(part for split in parts.values() for part in split)
        found |= {
            row
            for row, label in enumerate(labels)
            if len(parts[label]) > 1 and all(parts[label]) and all(seen[part] > 1 for part in parts[label])
        }
    return sorted(found)


def _manifest_times(
    shown: str, cells: Cells, written: Sequence[str | None]
) -> tuple[list[datetime | None], list[Sentence]]:
    """Naive local times, and how zones were read.

    Raises:
        DataError: a cell is not a date and time, or only some have a zone.
    """
    stamps = [None if cell is None else stamp_in_cell(cell) for cell in written]
    if wrong := [cells.at(row, cell) for row, cell in enumerate(written) if cell is not None and stamps[row] is None]:
        raise DataError(
            "captured_at must be a date and a time such as 2024-01-12T05:40:04; %(shown)s has "
            "%(first_and_count)s. Correct them, leave them empty, or use --group-by.",
            shown=shown,
            first_and_count=first_and_count(wrong, "other value"),
        )
    known: Mapping[int, Stamp] = {row: stamp for row, stamp in enumerate(stamps) if stamp is not None}
    naive = [row for row, stamp in known.items() if stamp.offset is None]
    if naive and len(naive) < len(known):
        zoned = next(row for row, stamp in known.items() if stamp.offset is not None)
        raise DataError(
            "captured_at must state a zone for every time or for none; %(shown)s has %(n_naive)s "
            "without (first: %(without)s) and %(n_known)s with (first: %(with_zone)s). Write all of them as "
            "local times.",
            shown=shown,
            n_naive=len(naive),
            without=cells.at(naive[0], written[naive[0]]),
            n_known=len(known) - len(naive),
            with_zone=cells.at(zoned, written[zoned]),
        )
    times, zone = shift(stamps)
    if zone is None:
        return times, []
    if (count := zones(stamps)) > 1:
        return times, [
            sentence(
                "capture times of %(zones)d zones were shifted to %(zone)s, the commonest: hours and days are its own",
                zones=count,
                zone=zone,
            )
        ]
    return times, [sentence("capture times are those of the zone %(zone)s: hours and days are its own", zone=zone)]
