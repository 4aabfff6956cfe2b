"""The look at every photo of a data set, remembered by content, and what it alone tells: copies and units."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from certero.config.parsing import FigureFor, Times, parse_times
from certero.data.layout import LabelLevel
from certero.data.scan import list_photos
from certero.data.scan import scan as scan_listed
from certero.data.separation import Separation, separate, with_units
from certero.data.table import Photos
from certero.likeness import copies as copying
from certero.machine.cache import BlobCache, distrusted
from certero.machine.files import read_file
from certero.photos.first_look import Identity, Seen, identify, look_at
from certero.records.photos import USED, PhotoFacts
from certero.records.protocols import Map, Progress, no_progress
from certero.sentences import Sentence, from_json, sentence, to_json
from certero.stages.tools import Tools, map_several, open_tools

# Part of the cache's keys: raise it when a fingerprint or the verdict on a damaged file changes.
_FACTS_VERSION = 5


_COMMIT_EVERY = 256


_FILES_A_CHUNK = 512


# A thread or process takes so many at once: handing them over one by one costs a third of a look at a remembered photo.
_FILES_A_TASK, _LOOKS_A_TASK = 32, 8


def scan(
    data: str | Path,
    *,
    label_level: LabelLevel | None = None,
    times: str = "auto",
    workers: int | None = None,
    progress: Progress = no_progress,
) -> pl.DataFrame:
    """One row a photo with what a look at it tells: the columns of `data.parquet`.

    Args:
        data: folder of class folders, pre-split folder, or manifest.
        label_level: which folder below the split names the class; see `TrainSettings`.
        times: where capture times are taken from; see `TrainSettings`.
        workers: threads; every core by default.
        progress: told how many photos are done.

    Raises:
        DataError: if there is nothing to scan or a manifest does not hold together.
    """
    with open_tools(workers, progress) as tools:
        return look_at_photos(list_photos(Path(data), label_level=label_level), tools, parse_times(times)).table


def look_at_photos(
    photos: Photos,
    tools: Tools,
    times: Times = "auto",
    view_key: Callable[[str], str] | None = None,
    small_key: Callable[[str], str] | None = None,
    landmarks_key: Callable[[str], str] | None = None,
) -> Photos:
    """The listed photos with facts and fingerprints, computed or remembered by content.

    Args:
        photos: from `list_photos`.
        tools: cores, caches, progress.
        times: where capture times are taken from.
        view_key: where to remember the views of photos that are decoded here; see `RememberedLook`.
        small_key: likewise their small grey pictures.
        landmarks_key: likewise their landmarks.
    """
    with tools.timed("scan"):
        look = RememberedLook(tools.fingerprints, tools.map, tools.heavy_map, view_key, small_key, landmarks_key)
        try:
            seen = scan_listed(photos, look=look, times=times, progress=tools.progress)
        finally:
            look.save()
    return (
        seen if tools.fingerprints.is_open else seen.noted([_why_nothing_is_remembered(tools.fingerprints.path.parent)])
    )


def _why_nothing_is_remembered(folder: Path) -> Sentence:
    """Why caches in the folder could not be opened: others may have written into them, or it cannot be written."""
    for path, reason in distrusted(folder).items():
        return sentence("the cache %(path)s is not used: %(reason)s (see certero doctor)", path=path, reason=reason)
    return sentence(
        "nothing is remembered for the next time: no file can be made in %(folder)s (CERTERO_CACHE names another)",
        folder=folder,
    )


def separate_judged(
    photos: Photos, group_by: str | None, block: timedelta | None, figure_for: FigureFor | None = None
) -> tuple[Photos, Separation]:
    """Photos to judge a model on with `unit` filled, and the rule that says which of them are not independent."""
    copies = find_copies(photos)
    separation = separate(photos, copies, group_by=group_by, block=block, figure_for=figure_for, judged=True)
    return with_units(photos, separation), separation


def find_copies(photos: Photos) -> list[tuple[int, int]]:
    """Pairs of rows of used photos that are verified copies of each other."""
    rows = photos.used().with_row_index("used")
    index = photos.table.with_row_index("row").filter(pl.Series(photos.used_mask()))["row"].to_list()
    files = photos.paths(rows)
    pairs = copying.find_copies(
        rows["content_hash"].to_list(),
        rows["pixel_hash"].to_list(),
        rows["perceptual_hash"].to_list(),
        rows["descriptor"].to_list(),
        list(zip(rows["height"], rows["width"], strict=True)),
        rows["captured_at"].to_list(),
        load=lambda row: read_file(files[row]),
    )
    return [(index[a], index[b]) for a, b in pairs]


class RememberedLook:
    """What one look at a file tells, remembered by its content: an edited file is looked at anew.

    Args:
        cache: where facts are kept.
        map: ordered parallel map for reading files.
        heavy_map: the same for looking at those that are not remembered.
        view_key: from content hash to the cache's key of the photo's view, which is then remembered, too.
        small_key: likewise of the small grey picture behind its hashes.
        landmarks_key: likewise of its landmarks.
    """

    def __init__(
        self,
        cache: BlobCache,
        map: Map,
        heavy_map: Map,
        view_key: Callable[[str], str] | None = None,
        small_key: Callable[[str], str] | None = None,
        landmarks_key: Callable[[str], str] | None = None,
    ) -> None:
        self._cache, self._map, self._heavy_map = cache, map, heavy_map
        self._view_key, self._small_key, self._landmarks_key = view_key, small_key, landmarks_key
        self._unsaved: dict[str, bytes] = {}

    def __call__(self, paths: Sequence[Path]) -> Iterator[Seen]:
        """What the files tell, in order."""
        chunks = [paths[start : start + _FILES_A_CHUNK] for start in range(0, len(paths), _FILES_A_CHUNK)]
        # The next chunk is read while this one is looked at: soon enough for its files to be in memory still when they
        # are read once more.
        with ThreadPoolExecutor(1) as ahead:
            reading = ahead.submit(self._identify, chunks[0]) if chunks else None
            for number, chunk in enumerate(chunks, start=1):
                assert reading is not None
                identified = reading.result()
                reading = ahead.submit(self._identify, chunks[number]) if number < len(chunks) else None
                yield from self._look(chunk, identified)

    def save(self) -> None:
        """Writes what is not written yet."""
        self._cache.put_many(self._unsaved.items())
        self._unsaved = {}

    def _identify(self, paths: Sequence[Path]) -> list[Identity | Seen]:
        return list(map_several(self._map, identify, paths, _FILES_A_TASK))

    def _look(self, paths: Sequence[Path], identified: Sequence[Identity | Seen]) -> Iterator[Seen]:
        keys = {
            known.content_hash: f"{_FACTS_VERSION}:{known.content_hash}"
            for known in identified
            if isinstance(known, Identity)
        }
        recalled = self._cache.get_many(list(keys.values())) | self._unsaved
        # What is nonsense, whole as it may be, is forgotten and looked at again.
        facts = {
            content: recalled_facts
            for content, key in keys.items()
            if key in recalled and (recalled_facts := _from_blob(recalled[key], content)) is not None
        }
        missing: dict[str, Path] = {}
        for path, known in zip(paths, identified, strict=True):
            if isinstance(known, Identity) and known.content_hash not in facts:
                missing.setdefault(known.content_hash, path)
        look = partial(
            look_at,
            closer=self._view_key is not None,
            small=self._small_key is not None,
            landmarks=self._landmarks_key is not None,
        )
        fresh = map_several(self._heavy_map, look, list(missing.values()), _LOOKS_A_TASK)
        for known in identified:
            if isinstance(known, Seen):
                yield known
                continue
            if known.content_hash not in facts:
                facts[known.content_hash] = self._remember(next(fresh))
            yield Seen(facts[known.content_hash], known.size)

    def _remember(self, seen: Seen) -> PhotoFacts:
        if len(self._unsaved) >= _COMMIT_EVERY:
            self.save()
        # The file may have changed since it was identified: its hash is that of the bytes that were looked at.
        content = seen.facts.content_hash
        if content:
            self._unsaved[f"{_FACTS_VERSION}:{content}"] = _to_blob(seen.facts)
            if seen.view is not None and self._view_key is not None:
                self._unsaved[self._view_key(content)] = seen.view
            if seen.small is not None and self._small_key is not None:
                self._unsaved[self._small_key(content)] = seen.small
            if seen.landmarks is not None and self._landmarks_key is not None:
                self._unsaved[self._landmarks_key(content)] = seen.landmarks
        return seen.facts


_DESCRIPTOR_BYTES = 32


_FACT_NAMES = tuple(field.name for field in dataclasses.fields(PhotoFacts))


def _to_blob(facts: PhotoFacts) -> bytes:
    # Not `dataclasses.asdict`, which copies deeply: it takes three times as long as the rest.
    data = {name: getattr(facts, name) for name in _FACT_NAMES}
    data["problem"] = None if facts.problem is None else to_json(facts.problem)
    data["descriptor"] = facts.descriptor.hex() if facts.descriptor is not None else None
    data["captured_at"] = facts.captured_at.isoformat() if facts.captured_at is not None else None
    return json.dumps(data).encode()


def _from_blob(blob: bytes, content: str) -> PhotoFacts | None:
    """The facts of a file of this content; None for anything else."""
    try:
        data = json.loads(blob)
        data["problem"] = None if data["problem"] is None else from_json(data["problem"])
        data["descriptor"] = bytes.fromhex(data["descriptor"]) if data["descriptor"] is not None else None
        data["captured_at"] = datetime.fromisoformat(data["captured_at"]) if data["captured_at"] is not None else None
        facts = PhotoFacts(**data)
        return facts if facts.content_hash == content and _is_sound(facts) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_sound(facts: PhotoFacts) -> bool:
    """Whether facts are such as a look at a photo gives."""
    if facts.status == "unreadable":
        return isinstance(facts.problem, str)
    return (
        facts.status in USED
        and isinstance(facts.pixel_hash, str)
        and len(facts.pixel_hash) == len(facts.content_hash)
        and min(int(facts.width or 0), int(facts.height or 0)) > 0
        and 0 <= int(facts.perceptual_hash or 0) < 2**64
        and len(facts.descriptor or bytes(_DESCRIPTOR_BYTES)) == _DESCRIPTOR_BYTES
        and 0.0 <= float(facts.brightness or 0.0) <= 1.0
    )
