"""Their number beside the honest one: what the source systems' procedures would have claimed, and what holds.

The claim is the accuracy on the photos that the network was fitted on, which is what both reports rest on; the random
split is what a careful reader would have asked for; the honest figure keeps photos taken minutes apart on one side.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import bench

from certero.runs.folder import unfinished


def main() -> None:
    """Parses the command line, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--barn", type=Path, help="folder of the barn photos, with beds.csv (lying and standing are used)"
    )
    parser.add_argument("--grocery", type=Path, help="folder of the grocery photos, with grocery36.csv")
    parser.add_argument("--epochs", help="epochs of both, for a quick look; default: the recipes'")
    parser.add_argument(
        "--keep",
        type=Path,
        help="folder to keep the runs in: a run that was cut off there goes on, one that is done is read",
    )
    parser.add_argument("--seed", default="0", help="seed of the networks (%(default)s)")
    arguments = parser.parse_args()
    if not arguments.barn and not arguments.grocery:
        parser.error("give --barn, --grocery or both")
    bench.print_machine()
    more = ["--seed", arguments.seed, *(["--epochs", arguments.epochs] if arguments.epochs else [])]
    rows, weakest = [], []
    with contextlib.ExitStack() as stack:
        place = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(parents=True, exist_ok=True)
        if arguments.barn:
            data = _two_postures(arguments.barn, place)
            words = ["--recipe", "cow-cnn", "--class-weights", "standing=3,lying=2"]
            rows.append(_row("cow-cnn, lying and standing", metrics := _train(data, place, [*words, *more])))
            weakest.append(metrics)
        if arguments.grocery:
            data = arguments.grocery / "grocery36.csv"
            words = ["--recipe", "grocery-cnn-2", "--random-splits", "1"]
            rows.append(_row("grocery-cnn-2, 36 classes", metrics := _train(data, place, [*words, *more])))
            weakest.append(metrics)
    header = (
        "network",
        "claimed: on its own training photos",
        "random split",
        "honest split",
        "always the commonest class",
    )
    bench.print_table((*header, "minutes"), rows)
    for (name, claimed, at_random, honest, *_rest), metrics in zip(rows, weakest, strict=True):
        print(f"{name}: their procedure would have claimed {claimed};")
        print(f"  a random split {at_random}; the honest split {honest}.")
        classes = metrics["test"]["per_class"].items()
        found = [(row["recall"]["value"], name, row) for name, row in classes if row["recall"]["value"] is not None]
        for _value, name, row in sorted(found)[:3]:
            print(f"  recall of {name}: {_quantity(row['recall'])} of {row['n']}")


def _two_postures(barn: Path, folder: Path) -> Path:
    """A manifest of the cows alone, as the students had them; the photos stay where they are."""
    if not (folder / "beds").exists():
        (folder / "beds").symlink_to((barn / "beds").resolve(), target_is_directory=True)
    manifest = folder / "postures.csv"
    with (barn / "beds.csv").open(encoding="utf-8") as source, manifest.open("w", encoding="utf-8", newline="") as out:
        rows = csv.DictReader(source)
        writer = csv.DictWriter(out, rows.fieldnames or [])
        writer.writeheader()
        writer.writerows(row for row in rows if row["label"] in ("lying", "standing"))
    return manifest


def _train(data: Path, folder: Path, words: list[str]) -> dict[str, Any]:
    output = folder / f"run-{data.stem}"
    minutes = None
    if not output.exists():
        state = {"CERTERO_STATE": os.environ.get("CERTERO_STATE") or str(folder / "state")}
        place = "--resume" if unfinished(output).exists() else "--output"
        measured = bench.run([*bench.CERTERO, "train", str(data), place, str(output), "--quiet", *words], **state)
        minutes = measured.seconds / 60
    return json.loads((output / "metrics.json").read_text("utf-8")) | {"minutes": minutes}


def _row(name: str, metrics: dict[str, Any]) -> tuple[Any, ...]:
    test = metrics["test"]
    figures = (metrics["train_accuracy"], metrics["random_split_accuracy"], test["accuracy"])
    return (name, *map(_quantity, (*figures, test["majority_class_accuracy"])), metrics["minutes"])


def _quantity(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return f"– ({figure['method']})"
    if figure["low"] is None:
        return f"{figure['value']:.3f} (no interval: {figure['method']})"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


if __name__ == "__main__":
    main()
