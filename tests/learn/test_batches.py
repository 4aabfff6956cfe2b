"""Photos into batches: every photo once, every class as often where asked, the same pixels however they are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import training_process
from PIL import Image

from certero.engine.threads import Threads
from certero.errors import PhotoError
from certero.learn.batches import PhotoStore, Selection, cap_classes, deal, order_photos
from certero.photos import pixels
from certero.records.preprocessing import Preprocessing

TRUTH = np.array([0] * 50 + [1] * 9 + [2] * 3)
SIZE = Preprocessing(32, 32, "letterbox")


def _files(folder: Path, n: int = 10) -> list[Path]:
    training_process.examples(folder, n)
    return [folder / f"0-{row}.png" for row in range(n)]


def test_every_photo_comes_once_an_epoch_in_a_new_order() -> None:
    first, again = order_photos(TRUTH, "natural", 0, 0)
    assert sorted(first) == list(range(len(TRUTH)))
    assert not again.any()
    assert np.array_equal(first, order_photos(TRUTH, "natural", 0, 0)[0])
    assert not np.array_equal(first, order_photos(TRUTH, "natural", 0, 1)[0])
    assert not np.array_equal(first, order_photos(TRUTH, "natural", 1, 0)[0])


def test_balanced_sampling_shows_every_class_as_often_and_counts_repeats() -> None:
    rows, before = order_photos(TRUTH, "balanced", 0, 0)
    assert len(rows) == len(TRUTH)
    counts = np.bincount(TRUTH[rows])
    assert counts.max() - counts.min() <= 1
    seen: dict[int, int] = {}
    for label in range(3):
        shown = np.bincount(rows[TRUTH[rows] == label], minlength=len(TRUTH))[label == TRUTH]
        assert shown.max() - shown.min() <= 1, "no photo of a class comes twice before the others came"
    for row, times in sorted(zip(rows.tolist(), before.tolist(), strict=True), key=lambda pair: pair):
        assert times == seen.get(row, 0)
        seen[row] = times + 1


def test_a_cap_keeps_so_many_of_each_class_drawn_by_the_seed() -> None:
    kept = cap_classes(TRUTH, 5, 0)
    assert np.bincount(TRUTH[kept]).tolist() == [5, 5, 3]
    assert np.array_equal(kept, np.sort(kept))
    assert not np.array_equal(kept, cap_classes(TRUTH, 5, 1))
    assert np.array_equal(cap_classes(TRUTH, None, 0), np.arange(len(TRUTH)))


@pytest.mark.parametrize(("n", "sizes"), [(7, [4, 3]), (8, [4, 4]), (9, [4, 5]), (1, [1]), (5, [5])])
def test_no_photo_is_left_alone_in_a_batch(n: int, sizes: list[int]) -> None:
    # Batch normalisation over one photo of a 1x1 map has nothing to normalise by.
    parts = deal(n, 4)
    assert [part.stop - part.start for part in parts] == sizes
    assert parts[0].start == 0
    assert parts[-1].stop == n


@pytest.mark.parametrize("limit", [None, 0], ids=["in memory", "decoded ahead"])
def test_training_sees_the_pixels_that_prediction_sees(tmp_path: Path, limit: int | None) -> None:
    files = _files(tmp_path)
    wide = np.random.default_rng(0).integers(0, 256, (40, 90, 3)).astype(np.uint8)
    Image.fromarray(wide).save(files[3])
    store = PhotoStore(files, SIZE, Threads(2).map, 2, limit)
    assert store.in_memory == (limit is None)
    batches = [np.array([3, 1]), np.array([9, 0, 3]), *[np.array([row]) for row in range(10)]]
    for batch, images in zip(batches, store.read(batches), strict=True):
        for row, image in zip(batch, images, strict=True):
            assert np.array_equal(image, pixels.prepare(files[row].read_bytes(), SIZE))


@pytest.mark.parametrize("limit", [None, 0], ids=["in memory", "decoded ahead"])
def test_a_selection_shows_its_photos_as_often_as_it_names_them(tmp_path: Path, limit: int | None) -> None:
    store = PhotoStore(_files(tmp_path), SIZE, Threads(2).map, 2, limit)
    rows = np.array([7, 2, 2, 9])
    chosen = Selection(store, rows)
    assert len(chosen) == 4
    (images,) = chosen.read([np.array([3, 1, 0, 2])])
    (expected,) = store.read([rows[[3, 1, 0, 2]]])
    assert np.array_equal(images, expected)


@pytest.mark.parametrize("limit", [None, 0], ids=["in memory", "decoded ahead"])
def test_a_photo_that_changed_since_the_scan_stops_the_training(tmp_path: Path, limit: int | None) -> None:
    files = _files(tmp_path)
    files[4].write_bytes(b"no photo")
    with pytest.raises(PhotoError, match=r"0-4.png must stay as it was scanned"):
        list(PhotoStore(files, SIZE, Threads(2).map, 2, limit).read([np.arange(10)]))
