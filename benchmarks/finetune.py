"""Fine-tuning on the grocery photos: settings are compared by folds of train and val, then test is opened once.

Without `--open` the test photos stay sealed: each setting is trained on all folds of train and val but one and judged
on that one, and the table shows the mean of the folds after the last epoch. `--folds 0` trains on the given train and
judges on the given val. `--open` trains on the given splits and measures; a network of the 81 fine labels is measured
on the 43 coarse ones, too, each as likely as its fine labels together.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import bench
import numpy as np

from certero.data.split import split_units
from certero.stats.intervals import proportion


def main() -> None:
    """Parses the command line, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grocery", type=Path, help="folder of the grocery photos, with grocery43.csv and grocery81.csv")
    parser.add_argument("--labels", choices=("43", "81"), default="43", help="what is judged (%(default)s)")
    parser.add_argument("--recipe", default="finetune", help="recipe, or a TOML file (%(default)s)")
    parser.add_argument(
        "--vary", action="append", default=[], metavar="OPTION=A,B", help="values of an option to compare; repeatable"
    )
    parser.add_argument("--fine", action="store_true", help="train on the 81 fine labels whatever is judged")
    parser.add_argument(
        "--folds", type=int, default=5, help="folds to deal; 0 for the given train and val (%(default)s)"
    )
    parser.add_argument("--fold-limit", type=int, help="train only so many of the folds, for a first look")
    parser.add_argument("--photos", type=int, help="use only so many photos, for a quick look")
    parser.add_argument("--open", action="store_true", help="train on the given splits, open the test photos, measure")
    parser.add_argument("--keep", type=Path, help="folder that the runs are kept in; default: they are thrown away")
    arguments = parser.parse_args()
    bench.print_machine()
    names, values = [], []
    for text in arguments.vary:
        name, _equals, listed = text.partition("=")
        names.append(name)
        values.append(listed.split(","))
    rows = []
    for combination in itertools.product(*values):
        words = ["--recipe", arguments.recipe]
        words += [word for name, value in zip(names, combination, strict=True) for word in (f"--{name}", value)]
        if arguments.fine:
            words += ["--label-also", "fine"]
        rows.append((*combination, *_measure(arguments, words)))
    figures = (
        ("accuracy", "of 43 labels", "of", "on val", "minutes")
        if arguments.open
        else ("held-out accuracy, mean", "least", "most", "minutes")
    )
    bench.print_table((*names, *figures), rows)


def _measure(arguments: argparse.Namespace, words: list[str]) -> tuple[Any, ...]:
    if arguments.open:
        metrics, minutes = _train(arguments, words, None)
        accuracy = metrics["test"]["accuracy"]
        last = metrics["training"]["history"][metrics["training"]["shipped_epoch"] - 1]
        return _told(accuracy), metrics.get("coarse", ""), str(metrics["test"]["n"]), last["val_accuracy"], minutes
    found, total = [], 0.0
    for fold in range(arguments.fold_limit or arguments.folds) if arguments.folds else (None,):
        metrics, minutes = _train(arguments, [*words, "--no-test"], fold)
        # Of the last epoch, not of the best: the fold that judges must not choose.
        found.append(metrics["training"]["history"][-1]["val_accuracy"])
        total += minutes
    mean, least, most = sum(found) / len(found), min(found), max(found)
    return f"{mean:.4f}", f"{least:.4f}", f"{most:.4f}", total


def _told(share: dict[str, float]) -> str:
    return f"{share['value']:.4f} ({share['low']:.4f} to {share['high']:.4f})"


def _coarse(arguments: argparse.Namespace, predictions: Path) -> str:
    """How often the likeliest of the 43 coarse labels is right, from the probabilities of the 81 fine ones."""
    with (arguments.grocery / "grocery43.csv").open(encoding="utf-8") as file:
        truth = {row["path"]: row["label"] for row in csv.DictReader(file)}
    with predictions.open(encoding="utf-8", newline="") as file:
        answers = list(csv.DictReader(file))
    coarse_of = {row["label"]: truth[row["path"]] for row in answers}
    right = []
    for row in answers:
        if row["split"] == "test":
            shares: dict[str, float] = {}
            for fine, coarse in coarse_of.items():
                shares[coarse] = shares.get(coarse, 0.0) + float(row[fine])
            right.append(max(shares, key=lambda name: shares[name]) == truth[row["path"]])
    return _told(proportion(np.array(right)).to_json())


def _train(arguments: argparse.Namespace, words: list[str], fold: int | None) -> tuple[dict[str, Any], float]:
    with contextlib.ExitStack() as stack:
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            place = Path(tempfile.mkdtemp(dir=arguments.keep))  # each run a folder of its own
        else:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        manifest = _manifest(arguments, place, fold)
        command = [*bench.CERTERO, "train", str(manifest), "--output", str(place / "run"), "--quiet", *words]
        # Folds are no openings of the test photos; the one opening is logged where it always is.
        environment = {} if arguments.open else {"CERTERO_STATE": str(place / "state")}
        measured = bench.run(command, **environment)
        metrics = json.loads((place / "run" / "metrics.json").read_text("utf-8"))
        if arguments.open and arguments.labels == "81":
            metrics["coarse"] = _coarse(arguments, place / "run" / "predictions.csv")
        return metrics, measured.seconds / 60


def _manifest(arguments: argparse.Namespace, folder: Path, fold: int | None) -> Path:
    """Photos with the label that is judged and the fine one. A fold is val, the rest of train and val is train."""
    tables = []
    for labels in (arguments.labels, "81"):
        with (arguments.grocery / f"grocery{labels}.csv").open(encoding="utf-8") as file:
            tables.append(list(csv.DictReader(file)))
    fine = {row["path"]: row["label"] for row in tables[1]}
    rows = [row | {"fine": fine[row["path"]]} for row in tables[0]]
    if arguments.photos:
        rows = rows[:: max(1, len(rows) // arguments.photos)]
    if fold is not None:
        # Photos of one kind numbered in a row were often taken of one shelf: five in a row stay together.
        dealt = [row for row in rows if row["split"] != "test"]
        units = [f"{Path(row['path']).parent}/{int(Path(row['path']).stem.rsplit('_', 1)[-1]) // 5}" for row in dealt]
        numbers = split_units([row["label"] for row in dealt], units, arguments.folds, 0)
        for row, number in zip(dealt, numbers, strict=True):
            row["split"] = "val" if number == fold else "train"
    for top in {Path(row["path"]).parts[0] for row in rows}:
        (folder / top).symlink_to((arguments.grocery / top).resolve(), target_is_directory=True)
    manifest = folder / f"grocery{arguments.labels}.csv"
    with manifest.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, ["path", "label", "split", "fine"])
        writer.writeheader()
        writer.writerows(rows)
    return manifest


if __name__ == "__main__":
    main()
