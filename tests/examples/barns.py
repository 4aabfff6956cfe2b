"""Barns of fewer photos, in folders of their own."""

from __future__ import annotations

import csv
import os
from pathlib import Path


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
