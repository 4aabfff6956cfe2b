"""What bfloat16 costs: the same trainings in fp32 and bf16, judged on the same photos of val, photo by photo.

Test photos stay sealed. Each seed trains a pair from the same first weights in the same order; the difference is that
of the photos' mean accuracy over seeds, with the interval of a paired comparison.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter
from pathlib import Path

import bench
import numpy as np


def main() -> None:
    """Parses the command line, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path, help="with given train and val splits, such as grocery43.csv")
    parser.add_argument("--recipe", default="cnn", help="of a network (%(default)s)")
    parser.add_argument("--classes", type=int, default=10, help="the most frequent ones are used (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="pairs of trainings (%(default)s)")
    parser.add_argument("--epochs", default="10", help="of each training (%(default)s)")
    parser.add_argument("--image-size", default="96", help="side of the input, pixels (%(default)s)")
    arguments = parser.parse_args()
    bench.print_machine()
    with tempfile.TemporaryDirectory() as folder:
        data = _subset(arguments.manifest, Path(folder), arguments.classes)
        words = ["--recipe", arguments.recipe, "--epochs", arguments.epochs, "--image-size", arguments.image_size]
        right: dict[str, list[np.ndarray]] = {"fp32": [], "bf16": []}
        minutes = dict.fromkeys(right, 0.0)
        for seed in range(arguments.seeds):
            for precision, found in right.items():
                run = Path(folder) / f"{precision}-{seed}"
                given = ["--precision", precision, "--seed", str(seed), "--no-test", "-q", "--output", str(run)]
                took = bench.run([*bench.CERTERO, "train", str(data), *words, *given])
                minutes[precision] += took.cpu_seconds / 60
                found.append(_right(run / "held_out.csv"))
    means = {precision: np.mean(found, axis=0) for precision, found in right.items()}
    rows = [
        (precision, *(f"{found.mean():.3f}" for found in (*right[precision], means[precision])), cpu)
        for precision, cpu in minutes.items()
    ]
    names = [f"seed {seed}" for seed in range(arguments.seeds)]
    bench.print_table(("precision", *names, "mean", "minutes of processor"), rows)
    difference = means["bf16"] - means["fp32"]
    mean, half = difference.mean(), 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    print(f"bf16 less fp32: {mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f}), {len(difference)} photos of val")


def _subset(manifest: Path, folder: Path, classes: int) -> Path:
    """The most frequent classes, as a manifest beside links to the photos."""
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    often = Counter(row["label"] for row in rows if row["split"] == "train")
    chosen = {label for label, _n in often.most_common(classes)}
    for top in {Path(row["path"]).parts[0] for row in rows}:
        (folder / top).symlink_to((manifest.parent / top).resolve(), target_is_directory=True)
    place = folder / "subset.csv"
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in rows if row["label"] in chosen)
    return place


def _right(file: Path) -> np.ndarray:
    """Whether each held-out photo was named rightly, in the order of their paths."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: row["path"])
    return np.array([row["label"] == row["predicted"] for row in rows], dtype=float)


if __name__ == "__main__":
    main()
