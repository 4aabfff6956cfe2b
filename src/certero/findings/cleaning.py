"""A cleaned manifest: the data without what an audit found beyond doubt. Photos are never touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from certero.data.table import SCHEMA, Photos
from certero.errors import OutputError
from certero.interchange import csv_text
from certero.likeness.sets import VERIFIED, Link, across, gather, links_by_row
from certero.photos.listing import printable
from certero.records.photos import USED
from certero.sentences import message

UNREADABLE = message("cannot be read")
CONFLICT = message("one photo under two labels")
COPY = message("a copy of another photo")
LEAK = message("an altered copy of a photo in another split")
PARTLY = message("equal in a part to a photo in another split")

# The photo stays in the split that is opened last.
_KEPT_FIRST = {"test": 0, "val": 1, "train": 2}


def choose_rows(photos: Photos, links: Sequence[Link]) -> tuple[list[int], list[tuple[int, str]]]:
    """Rows to keep, and those to leave out with the reason.

    Left out: unreadable photos; of resaved, resized and equal photos all but one (that of test before val before train,
    then the largest); all of them where their labels differ; and training photos that are altered copies of val or test
    photos, or equal to them in a part, and val photos of test ones. Suspicious labels stay: they need a person.

    Args:
        photos: scanned.
        links: between rows of the table.
    """
    table = photos.table
    reasons: dict[int, str] = {}
    used = table["status"].is_in(USED).fill_null(False).to_list()
    for row, use in enumerate(used):
        if not use:
            reasons[row] = UNREADABLE
    splits, labels, paths = table["split"].to_list(), table["label"].to_list(), table["path"].to_list()
    areas = (table["width"].cast(pl.Int64) * table["height"]).fill_null(0).to_list()

    def place(row: int) -> tuple[int, int, str]:
        return _KEPT_FIRST.get(splits[row] or "", 3), -areas[row], paths[row]

    verified = [link for link in links if link[2] in VERIFIED]
    by_row = links_by_row(verified)
    for each in gather(table.height, verified):
        conflict = set(across(each, labels, by_row))
        left = [row for row in each.rows if row not in conflict and row not in reasons]
        kept = min(left, key=place, default=None) if not conflict else None
        for row in each.rows:
            if row != kept:
                reasons.setdefault(row, CONFLICT if conflict else COPY)
    for i, j, how, _score in sorted(links, key=lambda link: link[2] == "partly"):
        reason = PARTLY if how == "partly" else LEAK
        if how not in VERIFIED and splits[i] and splits[j] and splits[i] != splits[j]:
            # The split that is opened earlier loses its photo, as everywhere: train never thins test.
            reasons.setdefault(max((i, j), key=lambda row: _KEPT_FIRST[splits[row] or "train"]), reason)
    return [row for row in range(table.height) if row not in reasons], sorted(reasons.items())


def check_manifest_place(target: Path, root: Path) -> None:
    """Refuses a file that could not name the photos by paths inside its own folder.

    Raises:
        OutputError: saying where it may lie.
    """
    folder, above = target.absolute().parent.resolve(), root.resolve()
    if folder != above and folder not in above.parents:
        raise OutputError(
            "--fix must lie in the folder of the photos or above it, for a manifest names photos "
            "below itself; found %(target)s. Use %(above)s.",
            target=printable(str(target)),
            above=printable(str(above / target.name)),
        )


def cleaned_manifest(photos: Photos, chosen: Sequence[int], target: Path) -> str:
    """The CSV of these rows, with paths relative to the folder of `target`."""
    table = photos.table[list(chosen)]
    folder = os.path.relpath(photos.root.resolve(), target.absolute().parent.resolve())
    prefix = "" if folder == "." else Path(folder).as_posix() + "/"
    columns = ["label"]
    columns += [name for name in ("split", "group") if table[name].null_count() < table.height]
    if "manifest" in set(table["captured_from"]):
        columns.append("captured_at")
    columns += [name for name in table.columns if name not in SCHEMA]
    rows: list[list[object]] = [["path", *columns]]
    for row in table.iter_rows(named=True):
        cells = [row[name] for name in columns]
        shown = [cell.isoformat() if hasattr(cell, "isoformat") else cell for cell in cells]
        rows.append([prefix + row["path"], *shown])
    return csv_text(rows)
