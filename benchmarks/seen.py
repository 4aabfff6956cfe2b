"""What a model knows again, and how much a random split flatters: on real photos; the time of 100,000 fingerprints.

Its own training photos are renamed and saved again at JPEG quality 70; new ones are the publisher's test photos, and a
barn's afternoon to a model of its morning.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import bench
import numpy as np
from PIL import Image

from certero.engine.threads import Threads
from certero.likeness.recognition import Prints, find_copies_seen, find_near
from certero.pipelines.evaluate import evaluate
from certero.pipelines.train import train
from certero.stats.intervals import proportion

Rows = list[dict[str, str]]


def main() -> None:
    """Parses the command line, trains, asks, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--barn", type=Path, help="folder of the barn photos, with beds.csv")
    parser.add_argument("--grocery", type=Path, help="folder of the grocery photos, with grocery36.csv")
    arguments = parser.parse_args()
    bench.print_machine()
    asked = ("model", "asked about", "photos", "exact", "near", "seen, %", "why not near")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if arguments.grocery:
            bench.print_table(asked, _shop(arguments.grocery, place))
        if arguments.barn:
            bench.print_table(asked, _barn(arguments.barn, place))
            names = ("what is never split apart", "honest", "random split", "optimism, points")
            bench.print_table(names, _three_figures(arguments.barn, place))
    bench.print_table(("fingerprints", "photos asked about", "near, s", "copies, s"), _many())


def _shop(grocery: Path, place: Path) -> list[list[object]]:
    listed = _read(grocery / "grocery36.csv")
    run = train(grocery / "grocery36.csv", output=place / "grocery36", random_splits=0)
    own = _saved_again(grocery, [row for row in listed if row["split"] == "train"], place / "own")
    return [
        _asked("grocery36", "its training photos, saved again", evaluate(run.path, own)),
        _asked("grocery36", "the test photos", evaluate(run.path, grocery / "grocery36.csv", split="test")),
    ]


def _barn(barn: Path, place: Path) -> list[list[object]]:
    # The morning has a single standing cow, of which nothing can be learnt.
    listed = [row for row in _read(barn / "beds.csv") if row["label"] != "standing"]
    clock = {row["path"]: row["captured_at"][11:13] for row in listed}
    morning = [row for row in listed if clock[row["path"]] < "12"]
    afternoon = [row for row in listed if clock[row["path"]] >= "13"]
    run = train(_manifest(barn, morning, place / "morning"), output=place / "before-noon", random_splits=0)
    timeless = [{"path": row["path"], "label": row["label"]} for row in afternoon]
    return [
        _asked(
            "beds before noon", "the same, saved again", evaluate(run.path, _saved_again(barn, morning, place / "am"))
        ),
        _asked("beds before noon", "after 13:00", evaluate(run.path, _manifest(barn, afternoon, place / "pm"))),
        _asked(
            "beds before noon",
            "after 13:00, renamed and saved again",
            evaluate(run.path, _saved_again(barn, timeless, place / "pm-again")),
        ),
    ]


def _three_figures(barn: Path, place: Path) -> list[list[object]]:
    listed = _read(barn / "beds.csv")
    hours = {row["path"]: row["captured_at"][:13] for row in listed}
    rows: list[list[object]] = []
    for name, words in (("blocks of time", {}), ("beds", {"group_by": "group", "cv": 3})):
        run = train(barn / "beds.csv", output=place / name, **words)  # type: ignore[arg-type]
        honest = run.metrics["test"]["accuracy"]
        if honest["low"] is None:
            answers = _read(run.path / "predictions.csv")
            right = [row["label"] == row["predicted"] for row in answers]
            honest = proportion(right, [hours[row["path"]] for row in answers]).to_json()
            name += " (interval over the hours of these three)"
        gain = run.metrics["optimism_of_random_split"]
        points = {key: None if gain[key] is None else 100 * gain[key] for key in ("value", "low", "high")}
        rows.append([name, _share(honest), _share(run.metrics["random_split_accuracy"]), _figure(points)])
    return rows


def _many() -> list[list[object]]:
    rng = np.random.default_rng(0)
    rows: list[list[object]] = []
    for stored, asked in ((10_000, 10_000), (100_000, 1_000), (100_000, 10_000)):
        one, two = _drawn(asked, rng), _drawn(stored, rng)
        near = bench.seconds_of(lambda: find_near(one, two, 200, Threads().map), 1)  # noqa: B023
        start = time.perf_counter()
        find_copies_seen(one, two, lambda _row: None, Threads().map)
        rows.append([stored, asked, near, time.perf_counter() - start])
    return rows


def _drawn(n: int, rng: np.random.Generator) -> Prints:
    hashes, signs, sketches = (rng.integers(0, 256, (n, width), dtype=np.uint8) for width in (16, 40, 16))
    return Prints(hashes, signs, None, sketches)


def _read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _manifest(root: Path, rows: Rows, folder: Path) -> Path:
    folder.mkdir()
    for name in {row["path"].split("/")[0] for row in rows}:
        (folder / name).symlink_to((root / name).resolve(), target_is_directory=True)
    with (folder / "photos.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "photos.csv"


def _saved_again(root: Path, rows: Rows, folder: Path) -> Path:
    for number, row in enumerate(rows):
        (folder / row["label"]).mkdir(parents=True, exist_ok=True)
        with Image.open(root / row["path"]) as photo:
            photo.convert("RGB").save(folder / row["label"] / f"photo {number}.jpg", quality=70)
    return folder


def _asked(model: str, what: str, metrics: dict[str, Any]) -> list[object]:
    seen, n = metrics["seen"], metrics["test"]["n"]
    share = 100 * len(seen["paths"]) / n
    return [model, what, n, seen["exact"], seen["near"] if seen["near"] is not None else "null", share, seen["reason"]]


def _share(quantity: dict[str, Any]) -> str:
    return _figure({key: None if quantity[key] is None else 100 * quantity[key] for key in ("value", "low", "high")})


def _figure(quantity: dict[str, Any]) -> str:
    between = "no interval" if quantity["low"] is None else f"{quantity['low']:.1f} to {quantity['high']:.1f}"
    return f"{quantity['value']:.1f} ({between})"


if __name__ == "__main__":
    main()
