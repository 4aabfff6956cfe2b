"""Promises about the first look at files: what is remembered is what was looked at, in threads and in processes."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from certero.engine.processes import Processes
from certero.errors import PhotoError
from certero.likeness.alterations import ALTERATIONS, alter, score_altered
from certero.machine.cache import BlobCache
from certero.photos.first_look import Seen, look_at
from certero.stages.closer_look import view_key
from certero.stages.look import RememberedLook


def _photo(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=90)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Photos, two of them equal and far apart, with a broken, an empty and a missing one among them."""
    paths = [_photo(tmp_path / "photos" / f"{number}.jpg", number % 600) for number in range(620)]
    paths[3].write_bytes(paths[3].read_bytes()[:100])
    paths[4].write_bytes(b"")
    paths[5].unlink()
    return paths


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[BlobCache]:
    cache = BlobCache("fingerprints", tmp_path / "cache")
    yield cache
    cache.close()


class Counting:
    """A map that notes what it was asked for."""

    def __init__(self) -> None:
        self.items: list[Path] = []

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.items += item
            yield function(item)


def test_a_look_is_taken_once_for_each_content_and_remembered(files: list[Path], cache: BlobCache) -> None:
    counting = Counting()
    look = RememberedLook(cache, map, counting, view_key)
    first = list(look(files))
    look.save()
    assert len(counting.items) == len(set(counting.items)) == 602  # 600 photos, one that was cut and an empty one
    plain = look_at(files)
    assert [dataclasses.replace(seen, view=None) for seen in plain] == first
    assert [seen.facts.status for seen in first[3:6]] == ["unreadable"] * 3
    assert [seen.size for seen in first[3:6]] == [100, 0, None]
    assert first[605].facts == look_at([files[5 + 600]])[0].facts
    again = RememberedLook(cache, map, lambda _function, items: iter([pytest.fail("looked again") for _ in items]))
    assert list(again(files)) == first
    views = cache.get_many([view_key(seen.facts.content_hash) for seen in first])
    assert len(views) == 600
    assert views[view_key(first[0].facts.content_hash)] == look_at(files[:1], closer=True)[0].view


@pytest.mark.slow
def test_processes_see_what_threads_see(files: list[Path], cache: BlobCache, tmp_path: Path) -> None:
    engine = Processes(2, enough_seconds=0.0)
    other = BlobCache("fingerprints", tmp_path / "other")
    try:
        for _ in range(20):
            apart = RememberedLook(other, map, engine.map, view_key)
            found = list(apart(files))
            apart.save()
            other.forget([key for _used, key, _size in other.list_uses()])
        assert engine._pool is not None
        found = list(apart(files))
        apart.save()
        look = RememberedLook(cache, map, map, view_key)
        assert found == list(look(files))
        look.save()
        keys = [key for _used, key, _size in cache.list_uses()]
        assert len(keys) > 1000
        assert other.get_many(keys) == cache.get_many(keys)
    finally:
        engine.close()
        other.close()


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_a_file_that_changes_between_reading_and_looking_is_remembered_as_it_was_seen(
    cache: BlobCache, tmp_path: Path, change: str
) -> None:
    photo, edited = _photo(tmp_path / "a.jpg", 1), _photo(tmp_path / "b.jpg", 2)
    before = look_at([photo])[0].facts

    def late(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        photo.write_bytes(edited.read_bytes()) if change == "edited" else photo.unlink()
        return map(function, items)

    look = RememberedLook(cache, map, late)
    (seen,) = look([photo])
    look.save()
    if change == "removed":
        assert seen.facts.status == "unreadable"
        assert cache.list_uses() == []
        return
    assert seen.facts == look_at([edited])[0].facts != before
    later = RememberedLook(cache, map, lambda _function, items: iter([pytest.fail("looked again") for _ in items]))
    assert list(later([edited])) == [Seen(seen.facts, edited.stat().st_size)]
    # The old content was never looked at, so nothing is known of it.
    photo.write_bytes(_photo(tmp_path / "c.jpg", 1).read_bytes())
    counting = Counting()
    assert [each.facts for each in RememberedLook(cache, map, counting)([photo])] == [before]
    assert counting.items == [photo]


def test_altered_copies_score_alone_as_in_company(grocery: Path, tmp_path: Path) -> None:
    paths = [Path(shutil.copy(photo, tmp_path)) for photo in sorted(grocery.rglob("*.jpg"))[:300:100]]
    together = score_altered(paths)
    assert together.shape == (3, len(ALTERATIONS))
    assert np.array_equal(together, np.concatenate([score_altered([path]) for path in paths]))
    assert together[:, list(ALTERATIONS).index("resaved")].min() > 0.8
    assert score_altered([]).shape == (0, len(ALTERATIONS))
    assert list(alter(np.zeros((20, 20, 3), np.uint8))) == list(ALTERATIONS)
    paths[1].unlink()
    with pytest.raises(PhotoError, match=r"\.jpg must stay as it was scanned"):
        score_altered(paths)
