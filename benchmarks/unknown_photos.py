"""Photos of classes that a model has not learnt: how many it refuses, and how many known ones that costs.

Every fourth class is left out of training; the model is then judged on the test photos of all classes.

python benchmarks/unknown_photos.py ../shared/data/grocery/grocery36.csv --turns 4 [--far ../shared/data/caetec/beds]
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

from certero.pipelines.evaluate import evaluate
from certero.pipelines.train import train

EVERY = 4


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--turns", type=int, default=EVERY, help="choices of the classes that are left out")
    parser.add_argument("--far", type=Path, help="photos of another kind altogether")
    arguments = parser.parse_args()
    with arguments.manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["label"] for row in rows})
    print("| left out | threshold | unknown photos refused | known test photos refused |\n| --- | --- | --- | --- |")
    for turn in range(arguments.turns):
        left_out = set(classes[turn::EVERY])
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            for entry in arguments.manifest.resolve().parent.iterdir():
                if entry.is_dir():
                    (place / entry.name).symlink_to(entry)
            known = [row for row in rows if row["label"] not in left_out]
            write(place / "known.csv", known)
            write(place / "test.csv", [row for row in rows if row["split"] == "test"])
            run = train(place / "known.csv", output=place / "run", random_splits=0)
            found = evaluate(run.path, place / "test.csv")["unknown"]
            print(line(f"{len(left_out)} of {len(classes)} classes, turn {turn + 1}", found), flush=True)
            if arguments.far and turn == 0:
                print(line("another kind of photo", evaluate(run.path, arguments.far, unknown=True)["unknown"]))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """A manifest."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def line(name: str, found: dict[str, object]) -> str:
    """A row of the table."""
    return f"| {name} | {found['threshold']:.3f} | {share(found['refused'])} | {share(found['known_refused'])} |"


def share(quantity: object) -> str:
    """A quantity in percent."""
    if not isinstance(quantity, dict):
        return "–"
    ends = "" if quantity["low"] is None else f" ({100 * quantity['low']:.1f} to {100 * quantity['high']:.1f})"
    return f"{100 * quantity['value']:.1f} %{ends} of {quantity['n']}"


if __name__ == "__main__":
    main()
