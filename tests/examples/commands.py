"""Commands as users give them, and the smallest data that they take."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

#: A command that must be refused, and its line on standard error.
Mistake = Callable[..., str]
#: A command that takes longer hangs.
SECONDS = 120


def photo_of(path: Path, seed: int, grey: int = 128) -> Path:
    """A photo that is like no other: smooth random blotches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blotches = np.random.default_rng(seed).integers(0, 80, (6, 6, 3)) + grey - 40
    Image.fromarray(blotches.astype(np.uint8)).resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return path


def classes_of(folder: Path, **counts: int) -> Path:
    """One folder a class, each class of its own grey."""
    for order, (label, count) in enumerate(counts.items()):
        for number in range(count):
            photo_of(folder / label / f"{number}.png", 1000 * order + number, 70 + 60 * order)
    return folder


def manifest_of(folder: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = ("path", "label")) -> Path:
    """A manifest of these rows beside six photos."""
    for number in range(6):
        photo_of(folder / "photos" / f"{number}.png", number)
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "list.csv"


def run_command(*arguments: object, cwd: Path, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "certero", *map(str, arguments)],
        cwd=cwd,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
