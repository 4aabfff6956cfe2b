"""Photos in several versions where neither times nor groups separate: what train states, and whether names tell.

Each photo is stored as it is, mirrored, cropped, and turned and brighter, under names of no family. The truth beside it
is the figure of the photos alone. Then names in no order: how often they are called a row.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from bench import print_machine
from PIL import Image, ImageEnhance

import certero
from certero.config.recipes import resolve
from certero.records.quantity import Quantity
from certero.stages.embedder import embed_photos, loading_embedder
from certero.stages.names import look_at_names
from certero.stages.tools import open_tools
from certero.stats.neighbours import reduced

CLASSES, A_CLASS, DRAWS = 12, 15, 50


def _crop(photo: Image.Image) -> Image.Image:
    width, height = photo.size
    return photo.crop((width // 10, height // 20, width - width // 20, height - height // 10))


VERSIONS: tuple[Callable[[Image.Image], Image.Image], ...] = (
    lambda photo: photo,
    lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    _crop,
    lambda photo: ImageEnhance.Brightness(photo.rotate(8, Image.Resampling.BILINEAR)).enhance(1.25),
)


def main() -> None:
    """Parses the command line, plants, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="labelled photos, e.g. grocery36.csv")
    manifest: Path = parser.parse_args().manifest
    print_machine()
    table = pl.read_csv(manifest)
    if "split" in table.columns:
        table = table.filter(pl.col("split") == "train")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CERTERO_STATE": folder, "CERTERO_CACHE": folder}
        chosen = _choose(table)
        single, several = Path(folder, "single"), Path(folder, "several")
        for number, (path, label) in enumerate(chosen.select("path", "label").iter_rows()):
            _store(Image.open(manifest.parent / path).convert("RGB"), label, number, single, several)
        alone = certero.train(single, output=Path(folder, "a"), random_splits=0, lang="en").metrics
        kept = certero.train(several, output=Path(folder, "b"), lang="en").metrics
        called = _count_called(manifest.parent, table)
    print("| photos | stated accuracy |\n| --- | --- |")
    print(f"| {chosen.height} photos alone | {_say(alone['test']['accuracy'])} |")
    print(f"| in 4 versions, shared out at random | {_say(kept['random_split_accuracy'])} |")
    print(f"| in 4 versions, those of one photo kept together | {_say(kept['test']['accuracy'])} |")
    print(f"\nNames shuffled within each class: called a row or a family in {called} of {DRAWS} draws.")


def _choose(table: pl.DataFrame) -> pl.DataFrame:
    """Some photos of each of the largest classes."""
    largest = table["label"].value_counts().sort("count", "label", descending=True)["label"][:CLASSES].to_list()
    rows = [table.filter(pl.col("label") == label).sample(A_CLASS, seed=0) for label in largest]
    return pl.concat(rows)


def _store(photo: Image.Image, label: str, number: int, single: Path, several: Path) -> None:
    for version, alter in enumerate(VERSIONS):
        for folder in (single, several)[version > 0 :]:
            (folder / label).mkdir(parents=True, exist_ok=True)
            # In no order: the name tells neither the photo nor the version.
            alter(photo).save(folder / label / f"{(number * 7919 + version * 104_729) % 1_000_003}.jpg", quality=88)


def _say(figure: dict[str, object]) -> str:
    found = Quantity.from_json(figure)
    ends = found.interval or (float("nan"), float("nan"))
    return f"{100 * (found.value or 0):.1f} ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"


def _count_called(root: Path, table: pl.DataFrame) -> int:
    paths, labels = table["path"].to_list(), table["label"].to_numpy()
    with open_tools() as tools, loading_embedder(resolve("probe", device="cpu"), tools) as finish:
        embeddings = embed_photos([root / path for path in paths], paths, finish().as_shipped(), tools)
    features, called = reduced(embeddings), 0
    for draw in range(DRAWS):
        names, rng = np.array(paths, dtype=object), np.random.default_rng(draw)
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            names[rows] = names[rng.permutation(rows)]
        told = look_at_names(names.tolist(), labels.tolist(), [None] * len(paths), features)
        called += any(family.related for family in told)
    return called


if __name__ == "__main__":
    main()
