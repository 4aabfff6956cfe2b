"""What certero promises where neither times nor groups tell photos apart: altered copies do not lie on two sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageEnhance
from trainings import split_up

from certero.likeness.alignment import align
from certero.likeness.near_copies import QUICK, THOROUGH, find_near_copies

VERSIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as_it_is": lambda photo: photo,
    "mirrored": lambda photo: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped": lambda photo: photo.crop((6, 4, 122, 124)),
    "turned_and_brighter": lambda photo: ImageEnhance.Brightness(photo.rotate(5, Image.Resampling.BILINEAR)).enhance(
        1.2
    ),
}


def photo(seed: int) -> Image.Image:
    drawn = np.random.default_rng(seed)
    layers = [Image.fromarray(drawn.integers(0, 255, (n, n, 3)).astype(np.uint8)).resize((128, 128)) for n in (4, 9)]
    return Image.blend(*layers, 0.4)


def augmented(root: Path, sources: int = 12) -> Path:
    """A data set as it is made by augmenting before splitting: each photo in four versions, names of no family."""
    for number in range(sources):
        label = "ab"[number % 2]
        (root / label).mkdir(parents=True, exist_ok=True)
        for place, alter in enumerate(VERSIONS.values()):
            alter(photo(number)).save(root / label / f"{(7 * number + 31 * place) % 97:02}_{number:02}.jpg", quality=92)
    return root


@pytest.mark.slow
def test_altered_copies_of_one_photo_lie_on_one_side(tmp_path: Path) -> None:
    split = split_up(augmented(tmp_path / "photos"))
    assert split.separation.rule == "copies"
    table = split.photos.used().with_columns(source=pl.col("path").str.slice(-6, 2))
    for column in ("unit", "fold"):
        sides = table.group_by("source").agg(pl.col(column).n_unique())[column]
        assert sides.to_list() == [1] * 12, column
    assert table["unit"].n_unique() == 12
    assert any("48 photos are altered copies" in note for note in split.photos.notes)


@pytest.mark.slow
def test_altered_copies_of_given_test_photos_are_not_learnt_from(tmp_path: Path) -> None:
    for number in range(24):
        part = "test" if number < 6 else "train"
        (tmp_path / part / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        photo(number).save(tmp_path / part / "ab"[number % 2] / f"{number}.jpg", quality=92)
    for number, alter in enumerate(list(VERSIONS.values())[1:]):
        alter(photo(number)).save(tmp_path / "train" / "ab"[number % 2] / f"{90 + number}.jpg", quality=92)
    done = split_up(tmp_path).photos.table
    leaked = done.filter(pl.col("status") == "leaked")
    assert sorted(Path(path).name for path in leaked["path"]) == ["90.jpg", "91.jpg", "92.jpg"]
    assert done.filter(pl.col("split") == "test").height == 6
    kept = split_up(tmp_path, keep_leaks=True).photos
    assert kept.used().height == 27


def test_the_quick_search_finds_what_can_be_laid_on_its_original() -> None:
    shown = [photo(seed) for seed in range(80)]
    shown += [alter(shown[number]) for number in range(20) for alter in list(VERSIONS.values())[1:]]
    views = np.stack([np.asarray(each.convert("L").resize((64, 64), Image.Resampling.BOX)) for each in shown])
    # Stands for a network: what a crop or a mirror hardly changes.
    drawn = np.random.default_rng(0)
    kinds = np.repeat(drawn.normal(size=(8, 32)), 10, axis=0)
    base = (kinds + 0.55 * drawn.normal(size=(80, 32))).astype(np.float32)
    features = np.concatenate([base, np.repeat(base[:20], 3, axis=0) + 0.1 * drawn.normal(size=(60, 32))])
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    wanted = {(number, 80 + 3 * number + version) for number in range(20) for version in range(3)}
    compared = []
    for search in (THOROUGH, QUICK):
        near = find_near_copies(
            views,
            ["a"] * 140,
            np.full(140, np.datetime64("NaT"), "datetime64[us]"),
            features,
            dict,
            lambda pairs: align(views[pairs[:, 0]], views[pairs[:, 1]]),
            search,
        )
        found = set(map(tuple, near.pairs.tolist()))
        assert len(wanted & found) >= 0.95 * len(wanted)
        assert not {pair for pair in found if (pair[0] < 80) and pair[1] < 80}, "no two photos are called one"
        compared.append(near.compared)
    assert compared[1] < compared[0]
