"""Views of photos, how they lie on their altered copies and on each other, remembered by content."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from certero.likeness.alignment import Alignment
from certero.likeness.alterations import ALTERATIONS, score_altered
from certero.likeness.near_copies import align_rows
from certero.machine.cache import BlobCache
from certero.photos.first_look import look_at, look_closer_at
from certero.photos.views import VIEW_SIDE, Measures, View
from certero.stages.tools import Tools, map_several

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    UInt8 = NDArray[np.uint8]

# Parts of the cache's keys: raise them when a view, an alteration or a score changes.
_VIEW_VERSION, _SMALL_VERSION, _ALTERED_VERSION, _SCORE_VERSION = 3, 1, 6, 6
_VIEWS_AT_ONCE = 1024
# A process takes so many at once.
_LOOKS_A_TASK, _ALTERED_A_TASK = 4, 4
#: Photos of which altered copies say what a copy scores.
SAMPLE = 48
# More than a photo has neighbours; those of an earlier audit stay behind the present ones.
_REMEMBERED_NEIGHBOURS = 64
# One neighbour of a photo: the first bytes of its content hash, score, mirrored.
_NEIGHBOUR = np.dtype([("hash", "<u8"), ("score", "<f4"), ("mirrored", "?")])


def view_key(content_hash: str) -> str:
    """Where the cache keeps a photo's view."""
    return f"view:{_VIEW_VERSION}:{content_hash}"


def small_key(content_hash: str) -> str:
    """Where the cache keeps the small grey picture behind a photo's hashes."""
    return f"small:{_SMALL_VERSION}:{content_hash}"


def recall_small(paths: Sequence[Path], content_hashes: Sequence[str], tools: Tools) -> UInt8:
    """The small grey picture of each photo, uint8 [n, 64, 64]: nearly its view, and kept by the first look for nothing.

    What can no longer be read is black.
    """
    small = np.zeros((len(content_hashes), VIEW_SIDE, VIEW_SIDE), np.uint8)
    for start in range(0, len(paths), _VIEWS_AT_ONCE):
        part = slice(start, start + _VIEWS_AT_ONCE)
        keys = {content: small_key(content) for content in content_hashes[part]}
        known = {key: blob for key, blob in _recall(tools.fingerprints, list(keys.values())).items() if _is_small(blob)}
        files = dict(zip(content_hashes[part], paths[part], strict=True))
        missing = [content for content, key in keys.items() if key not in known]
        seen = map_several(tools.heavy_map, _look_small, [files[content] for content in missing], _LOOKS_A_TASK)
        fresh = {keys[content]: each.small for content, each in zip(missing, seen, strict=True) if each.small}
        tools.fingerprints.put_many(fresh.items())
        known |= fresh
        for row, content in enumerate(content_hashes[part], start):
            if blob := known.get(keys[content]):
                small[row] = np.frombuffer(blob, np.uint8).reshape(VIEW_SIDE, VIEW_SIDE)
    return small


_look_small = partial(look_at, small=True)


def _is_small(blob: bytes) -> bool:
    return len(blob) == VIEW_SIDE * VIEW_SIDE


def look_closer(paths: Sequence[Path], content_hashes: Sequence[str], tools: Tools) -> tuple[UInt8, list[Measures]]:
    """The grey view of each photo, uint8 [n, 64, 64], and its measures: most are remembered from the first look at it.

    Raises:
        PhotoError: if a photo that could be read before cannot be read now.
    """
    with tools.timed("look closer"):
        # One array, not as many photos beside it, and a part of the blobs at a time: of 100,000 photos each is 410 MB.
        grey = np.empty((len(content_hashes), VIEW_SIDE, VIEW_SIDE), np.uint8)
        measures: list[Measures] = []
        tools.progress("look closer", 0, len(paths))
        for start in range(0, len(paths), _VIEWS_AT_ONCE):
            part = slice(start, start + _VIEWS_AT_ONCE)
            blobs = _views(paths[part], content_hashes[part], tools)
            for row, content in enumerate(content_hashes[part], start):
                view = View.from_blob(blobs[content])
                grey[row] = view.grey
                measures.append(view.measures)
            tools.progress("look closer", len(measures), len(paths))
        return grey, measures


def _views(paths: Sequence[Path], content_hashes: Sequence[str], tools: Tools) -> dict[str, bytes]:
    """`View` as bytes by content hash, remembered or looked at now."""
    keys = {content: view_key(content) for content in content_hashes}
    known = _recall(tools.fingerprints, list(keys.values()))
    files = dict(zip(content_hashes, paths, strict=True))
    missing = [content for content, key in keys.items() if key not in known or not View.is_whole(known[key])]
    unseen = [files[content] for content in missing]
    fresh: dict[str, bytes] = {}
    try:
        views = map_several(tools.heavy_map, look_closer_at, unseen, _LOOKS_A_TASK)
        for content, blob in zip(missing, views, strict=True):
            fresh[keys[content]] = blob
    finally:
        tools.fingerprints.put_many(fresh.items())
    known |= fresh
    return {content: known[key] for content, key in keys.items()}


def alter_sample(paths: Sequence[Path], content_hashes: Sequence[str], tools: Tools) -> dict[str, Floats]:
    """By alteration, how well a sample of the photos lie on their copies after it, float32 [sample]."""
    # The least hashes: chosen by chance, and the same each time.
    rows = sorted(range(len(paths)), key=lambda row: content_hashes[row])[:SAMPLE]
    keys = [f"altered:{_ALTERED_VERSION}:{content_hashes[row]}" for row in rows]
    known = _recall(tools.fingerprints, keys)
    whole = len(ALTERATIONS) * np.dtype(np.float32).itemsize
    missing = [number for number, key in enumerate(keys) if len(known.get(key, b"")) != whole]
    altered = [paths[rows[number]] for number in missing]
    found = map_several(tools.heavy_map, score_altered, altered, _ALTERED_A_TASK)
    fresh = {keys[number]: row.tobytes() for number, row in zip(missing, found, strict=True)}
    tools.fingerprints.put_many(fresh.items())
    known |= fresh
    scores = np.array([np.frombuffer(known[key], np.float32) for key in keys]).reshape(-1, len(ALTERATIONS))
    return {name: scores[:, number] for number, name in enumerate(ALTERATIONS)}


class RememberedAlignments:
    """Lays views on each other, once for every two contents.

    Args:
        views: uint8 [n, 64, 64].
        content_hashes: of the same photos.
        tools: cores, caches, progress.
        of_views: of views, or of the small pictures of the first look, which differ a little.
    """

    def __init__(
        self, views: NDArray[np.uint8], content_hashes: Sequence[str], tools: Tools, of_views: bool = True
    ) -> None:
        self._views, self._contents, self._tools = views, content_hashes, tools
        self._prefix = "aligned" if of_views else "aligned small"
        self._short = np.array([int(content[:16], 16) for content in content_hashes], np.uint64)

    def __call__(self, pairs: NDArray[np.int64]) -> Alignment:
        """The alignment of pairs of rows [p, 2]."""
        score, mirrored = np.zeros(len(pairs), np.float32), np.zeros(len(pairs), np.bool_)
        if not len(pairs):
            return Alignment(score, mirrored)
        known = np.zeros(len(pairs), np.bool_)
        order = np.argsort(pairs[:, 0], kind="stable")
        firsts, starts = np.unique(pairs[order, 0], return_index=True)
        parts = dict(zip(firsts.tolist(), np.split(order, starts[1:]), strict=True))
        keys = {row: f"{self._prefix}:{_SCORE_VERSION}:{self._contents[row]}" for row in parts}
        blobs = _recall(self._tools.fingerprints, list(keys.values()))
        for row, places in parts.items():
            listed = _neighbours(blobs.get(keys[row], b""))
            if len(listed):
                ranked = np.argsort(listed["hash"], kind="stable")
                at = np.searchsorted(listed["hash"], self._short[pairs[places, 1]], sorter=ranked)
                at = ranked[np.minimum(at, len(listed) - 1)]
                hit = listed["hash"][at] == self._short[pairs[places, 1]]
                score[places[hit]], mirrored[places[hit]] = listed["score"][at[hit]], listed["mirrored"][at[hit]]
                known[places[hit]] = True
        missing = np.flatnonzero(~known)
        fresh = align_rows(self._views, pairs[missing], self._tools.heavy_map, self._tools.progress)
        score[missing], mirrored[missing] = fresh.score, fresh.mirrored
        changed = set(pairs[missing, 0].tolist())
        entries: list[tuple[str, bytes]] = []
        for row in changed:
            places = parts[row]
            listed = np.empty(len(places), _NEIGHBOUR)
            listed["hash"], listed["score"] = self._short[pairs[places, 1]], score[places]
            listed["mirrored"] = mirrored[places]
            before = _neighbours(blobs.get(keys[row], b""))
            before = before[~np.isin(before["hash"], listed["hash"])]
            entries.append((keys[row], np.concatenate([listed, before[:_REMEMBERED_NEIGHBOURS]]).tobytes()))
        self._tools.fingerprints.put_many(entries)
        return Alignment(score, mirrored)


def _neighbours(blob: bytes) -> NDArray[np.void]:
    """What is remembered of one photo's neighbours; nothing where the bytes are something else."""
    return np.frombuffer(blob if len(blob) % _NEIGHBOUR.itemsize == 0 else b"", _NEIGHBOUR)


def _recall(cache: BlobCache, keys: Sequence[str]) -> dict[str, bytes]:
    return cache.get_many(list(dict.fromkeys(keys)))
