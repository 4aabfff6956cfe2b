"""What `certero audit` finds of altered copies and wrong labels planted in the grocery photos, and how long it takes.

Copies: 300 photos, each altered in every one of the ways below, saved as JPEG beside all 5,421 (`--photos 0` plants
none). Labels: 5 % of the training photos of grocery36, drawn with seed 0, get another class, each as likely.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_KINDS: dict[str, tuple[float, Callable[[Image.Image], Image.Image]]] = {
    "resave q40": (0.99, lambda photo: photo),
    "resize": (0.99, lambda photo: photo.resize((photo.width * 6 // 10, photo.height * 6 // 10))),
    "crop 90 %": (0.95, lambda photo: ImageOps.crop(photo, round(0.05 * min(photo.size)))),
    "brightness +30 %": (0.95, lambda photo: ImageEnhance.Brightness(photo).enhance(1.3)),
    "brightness -30 %": (0.95, lambda photo: ImageEnhance.Brightness(photo).enhance(0.7)),
    "flip": (0.95, ImageOps.mirror),
    "rotation 5 degrees": (0.95, lambda photo: photo.rotate(5, Image.Resampling.BICUBIC)),
    "border": (0.95, lambda photo: ImageOps.expand(photo, round(0.06 * min(photo.size)), (0, 0, 0))),
}


def main() -> None:
    """Parses the command line, plants, audits, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grocery", type=Path, help="folder of the grocery photos")
    parser.add_argument("--photos", type=int, default=300, help="of which altered copies are planted (%(default)s)")
    parser.add_argument("--among", type=int, help="use so many of the photos; default: all")
    parser.add_argument(
        "--single", action="store_true", help="alter each of the photos in one way, in turn, not in all"
    )
    parser.add_argument("--skip-labels", action="store_true", help="plant no wrong labels")
    arguments = parser.parse_args()
    bench.print_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.photos:
            judge_copies(arguments.grocery, folder, arguments.photos, arguments.among, arguments.single)
        if not arguments.skip_labels:
            judge_labels(arguments.grocery, folder)


def judge_copies(grocery: Path, folder: Path, photos: int, among: int | None, single: bool) -> None:
    """Audits all photos alone, cold and warm, then with the planted copies."""
    rows = read(grocery / "grocery81.csv")
    # Not the first ones: the list is sorted by class.
    rows = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))[:among]]
    root = folder / "copies"
    for row in rows:
        (root / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(grocery / row["path"], root / row["path"])
    write(root / "plain.csv", rows)
    chosen = np.random.default_rng(0).permutation(len(rows))[:photos]
    planted: dict[str, list[tuple[str, str]]] = {kind: [] for kind in _KINDS}
    copies: list[dict[str, str]] = []
    for turn, number in enumerate(chosen.tolist()):
        photo = Image.open(root / rows[number]["path"]).convert("RGB")
        for place, (kind, (_bar, change)) in enumerate(_KINDS.items()):
            if single and place != turn % len(_KINDS):
                continue
            path = f"planted/{number}-{place}.jpg"
            (root / "planted").mkdir(exist_ok=True)
            change(photo).save(root / path, "JPEG", quality=40 if place == 0 else 90)
            planted[kind].append((rows[number]["path"], path))
            copies.append({**rows[number], "path": path})
    write(root / "planted.csv", rows + copies)
    times = []
    for name in ("cold", "warm"):
        measured, _answer = audit(root / "plain.csv", folder)
        times.append((name, len(rows), measured.seconds, measured.cpu_seconds, round(measured.peak_mb)))
    bench.print_table(("audit", "photos", "wall, s", "CPU, s", "peak memory, MB"), times)
    _measured, answer = audit(root / "planted.csv", folder)
    clusters: dict[str, set[int]] = {}
    labels = {row["path"]: row["label"] for row in rows + copies}
    wrong: set[str] = set()
    for number, finding in enumerate(answer["findings"]):
        if finding["kind"] not in ("exact_duplicate", "near_duplicate"):
            continue
        for path in finding["paths"]:
            clusters.setdefault(path, set()).add(number)
            if any(labels[other] != labels[path] for other in finding["paths"]):
                wrong.add(path)
    found = [
        (kind, f"{np.mean([bool(clusters.get(a, set()) & clusters.get(b, set())) for a, b in planted[kind]]):.4f}", bar)
        for kind, (bar, _change) in _KINDS.items()
    ]
    bench.print_table(("planted", "recall", "bar"), found)
    print(f"photos with a partner of another label: {len(wrong)} of {len(labels)}, {len(wrong) / len(labels):.4f}")
    print(f"threshold {answer['near_copies']['threshold']}, pairs compared {answer['near_copies']['pairs_compared']}")


def judge_labels(grocery: Path, folder: Path) -> None:
    """Ranks the training photos of grocery36 with wrong labels among them."""
    rows = [row for row in read(grocery / "grocery36.csv") if row["split"] == "train"]
    classes = sorted({row["label"] for row in rows})
    random = np.random.default_rng(0)
    wrong = random.choice(len(rows), round(0.05 * len(rows)), replace=False)
    root = folder / "labels"
    for number in wrong.tolist():
        others = [name for name in classes if name != rows[number]["label"]]
        rows[number]["label"] = others[int(random.integers(len(others)))]
    for row in rows:
        (root / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(grocery / row["path"], root / row["path"])
    write(root / "labels.csv", rows)
    measured, answer = audit(root / "labels.csv", folder)
    ranked = sorted(
        (finding for finding in answer["findings"] if finding["kind"] in ("suspicious_label", "doubtful_label")),
        key=lambda finding: -finding["score"],
    )
    first = {finding["paths"][0] for finding in ranked[: round(0.08 * len(rows))]}
    hits = [rows[number]["path"] in first for number in wrong.tolist()]
    serious = [finding["paths"][0] for finding in ranked if finding["severity"] == "high"]
    right = {rows[number]["path"] for number in wrong.tolist()}
    print()
    print(f"planted wrong labels: {len(wrong)} of {len(rows)}; listed {len(ranked)}, serious {len(serious)}")
    print(f"in the top 8 % of the ranking: {np.mean(hits):.4f} (bar 0.7)")
    print(f"of the serious ones wrong: {np.mean([path in right for path in serious]):.4f}")
    print(f"seconds: {measured.seconds}, CPU {measured.cpu_seconds}")


def audit(manifest: Path, folder: Path) -> tuple[bench.Measured, dict[str, Any]]:
    """One audit in caches of its own, which the next one finds."""
    places = {"CERTERO_CACHE": str(folder / "cache"), "CERTERO_STATE": str(folder / "state")}
    measured = bench.run(
        [*bench.CERTERO, "audit", str(manifest), "--quiet", "--json", str(folder / "found.json")], **places
    )
    return measured, json.loads((folder / "found.json").read_text("utf-8"))


def read(manifest: Path) -> list[dict[str, str]]:
    """The rows of a manifest."""
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(manifest: Path, rows: list[dict[str, str]]) -> None:
    """A manifest of these rows, without their splits."""
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label"], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
