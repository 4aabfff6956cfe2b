"""Barns of fewer photos, in folders of their own."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

#: A row of a manifest or of predictions.csv.
Row = dict[str, str]


def copy_barn(barn: Path, folder: Path, given: bool, step: int = 2) -> Path:
    """A manifest of every step-th photo of the barn in a folder of its own; its last hours are test, if given."""
    with (barn / "beds.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["captured_at"])[::step]
    folder.mkdir()
    manifest = folder / "beds.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "captured_at", *(["split"] if given else [])])
        for number, row in enumerate(rows):
            target = folder / row["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(barn / row["path"], target)
            split = "train" if number < 0.75 * len(rows) else "test"
            writer.writerow([row["path"], row["label"], row["captured_at"], *([split] if given else [])])
    return manifest


def barn_rows(barn: Path) -> list[Row]:
    """The barn's manifest, by time."""
    with (barn / "beds.csv").open(encoding="utf-8") as file:
        return sorted(csv.DictReader(file), key=lambda row: (row["captured_at"], row["path"]))


def lay_out(source: Path, folder: Path, rows: Sequence[Row], name: Callable[[int, Row], str]) -> Path:
    """A manifest of these photos, hard-linked into a folder of their own under the given names."""
    folder.mkdir()
    manifest = folder / "photos.csv"
    columns = [key for key in rows[0] if key != "path"]
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *columns])
        for number, row in enumerate(rows):
            target = folder / name(number, row)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / row["path"], target)
            writer.writerow([name(number, row), *(row[key] for key in columns)])
    return manifest


def without_times(barn: Path, folder: Path, splits: Callable[[int], str] | None = None, step: int = 1) -> Path:
    """The barn as photos whose capture time nobody knows, in random order, with given splits if wanted."""
    rows = barn_rows(barn)
    random.Random(5).shuffle(rows)
    kept = [
        {"path": row["path"], "label": row["label"], **({"split": splits(number)} if splits else {})}
        for number, row in enumerate(rows[::step])
    ]
    return lay_out(barn, folder, kept, lambda number, _row: f"photos/{number:03d}.jpg")
