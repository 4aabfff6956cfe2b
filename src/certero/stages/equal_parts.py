"""Photos of a data set that are equal in a part; landmarks, candidates and overlays are remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.data.table import Photos
from certero.errors import PhotoError
from certero.likeness.arrangements import Arrangements, find_arrangements
from certero.likeness.clusters import join
from certero.likeness.equal_parts import EqualParts, find_equal_parts, lay_finely
from certero.likeness.overlay import SIDE, Overlay
from certero.likeness.sets import Link
from certero.photos.first_look import look_at
from certero.photos.landmarks import Landmarks
from certero.photos.photo import UInt8
from certero.photos.pixels import decode, luma
from certero.photos.scanned import read_scanned
from certero.photos.turns import one_at_a_time
from certero.sentences import Sentence, sentence, sentences
from certero.stages.tools import Tools, map_several

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Parts of the cache's keys: raise them when landmarks, candidates or an overlay change.
_LANDMARKS_VERSION, _ARRANGED_VERSION, _OVERLAY_VERSION = 1, 2, 3
_AT_ONCE = 1024
# A process takes so many at once.
_LOOKS_A_TASK, _PAIRS_A_TASK = 4, 8
_OVERLAY = np.dtype("f8")
_FIELDS = ("share", "tiles", "off", "light", "skew", "detail", "gain")
#: Pairs of two photos, where they lie, the warp and whether one is mirrored.
_Job = tuple[Path, Path, "NDArray[np.float64]", bool]


def landmarks_key(content_hash: str) -> str:
    """Where the cache keeps a photo's landmarks."""
    return f"landmarks:{_LANDMARKS_VERSION}:{content_hash}"


def link_equal_parts(
    photos: Photos,
    table: pl.DataFrame,
    altered: Sequence[Link],
    tools: Tools,
    parts: NDArray[np.int64] | None = None,
) -> tuple[EqualParts, list[Link]]:
    """Photos that are equal in a part, as links between rows of the given table.

    Args:
        photos: that the rows are of.
        table: rows [n], none a verified copy of another.
        altered: links between these rows; what hangs together by them is not linked again.
        tools: cores, caches, progress.
        parts: of each photo, int [n]: pairs within one part do not matter; None where all do.
    """
    paths, contents = photos.paths(table), table["content_hash"].to_list()
    sizes = table.select("height", "width").to_numpy().astype(np.float64)
    wanted = np.arange(len(contents)) if parts is None else parts
    arrangements = _arrange(paths, contents, sizes[:, 1] / sizes.max(axis=1, initial=1), wanted, tools)

    def lay_pairs(chosen: Arrangements) -> Sequence[Overlay | None]:
        return _lay(paths, contents, chosen, tools)

    times = table["captured_at"].to_numpy().astype("datetime64[us]")
    found = find_equal_parts(len(contents), arrangements, times, lay_pairs)
    whole = join(len(contents), [(i, j) for i, j, _how, _score in altered])
    pairs = zip(found.pairs.tolist(), found.share.tolist(), strict=True)
    return found, [(i, j, "partly", share) for (i, j), share in pairs if whole[i] != whole[j]]


def say_equal_parts(links: Sequence[Link], found: EqualParts) -> list[Sentence]:
    """Notes of the photos that are equal in a part, those of these links, and of those where nobody can tell."""
    notes: list[Sentence] = []
    if links:
        notes.append(
            sentences(
                "%(count)d photo is equal in a part to another (something was pasted, drawn or replaced)",
                "%(count)d photos are equal in a part to others (something was pasted, drawn or replaced)",
                count=len({row for i, j, _how, _score in links for row in (i, j)}),
            )
        )
    if found.one_camera:
        notes.append(
            sentence(
                "%(count)d photos share one background as those of a fixed camera do: which of them are equal in a "
                "part cannot be told",
                count=found.one_camera,
            )
        )
    return notes


def _arrange(
    paths: Sequence[Path],
    contents: Sequence[str],
    widths: NDArray[np.float64],
    wanted: NDArray[np.int64],
    tools: Tools,
) -> Arrangements:
    """Candidates, remembered for these very photos."""
    named = hashlib.sha256("".join(contents).encode() + wanted.astype(np.int64).tobytes())
    key = f"arranged:{_LANDMARKS_VERSION}:{_ARRANGED_VERSION}:{named.hexdigest()[:32]}"
    known = tools.fingerprints.get_many([key]).get(key)
    record = np.dtype([("pair", "<i8", 2), ("common", "<i8"), ("mirrored", "?"), ("warp", "<f8", (2, 3))])
    if known is not None and len(known) % record.itemsize == 0:
        rows = np.frombuffer(known, record)
        if not len(rows) or rows["pair"].max() < len(contents):
            return Arrangements(rows["pair"], rows["common"], rows["mirrored"], rows["warp"])
    found = find_arrangements(recall_landmarks(paths, contents, tools), widths, wanted)
    rows = np.empty(len(found.pairs), record)
    rows["pair"], rows["common"], rows["mirrored"], rows["warp"] = (
        found.pairs,
        found.common,
        found.mirrored,
        found.warp,
    )
    tools.fingerprints.put_many([(key, rows.tobytes())])
    return found


def recall_landmarks(paths: Sequence[Path], contents: Sequence[str], tools: Tools) -> list[Landmarks]:
    """The landmarks of each photo; most are remembered from the first look at it. What cannot be read has none."""
    found: list[Landmarks] = []
    for start in range(0, len(paths), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        keys = {content: landmarks_key(content) for content in contents[part]}
        known = tools.fingerprints.get_many(list(keys.values()))
        known = {key: blob for key, blob in known.items() if Landmarks.is_whole(blob)}
        files = dict(zip(contents[part], paths[part], strict=True))
        missing = [content for content, key in keys.items() if key not in known]
        seen = map_several(tools.heavy_map, _look, [files[content] for content in missing], _LOOKS_A_TASK)
        fresh = {keys[content]: blob or b"" for content, blob in zip(missing, seen, strict=True)}
        tools.fingerprints.put_many(fresh.items())
        known |= fresh
        found += [Landmarks.from_blob(known[keys[content]]) for content in contents[part]]
    return found


def _look(paths: Sequence[Path]) -> list[bytes | None]:
    return [seen.landmarks for seen in look_at(paths, landmarks=True)]


def _lay(paths: Sequence[Path], contents: Sequence[str], chosen: Arrangements, tools: Tools) -> list[Overlay | None]:
    """How the photos of each pair lie on each other, remembered by their contents; None where nothing fits."""
    keys = [
        f"overlay:{_LANDMARKS_VERSION}:{_OVERLAY_VERSION}:{contents[i]}:{contents[j]}:{int(mirrored)}"
        for (i, j), mirrored in zip(chosen.pairs.tolist(), chosen.mirrored, strict=True)
    ]
    known = tools.fingerprints.get_many(list(dict.fromkeys(keys)))
    whole = {0, len(_FIELDS) * _OVERLAY.itemsize}
    missing = [at for at, key in enumerate(keys) if len(known.get(key, b"?")) not in whole]
    jobs: list[_Job] = [
        (paths[i], paths[j], chosen.warp[at], bool(chosen.mirrored[at]))
        for at in missing
        for i, j in [chosen.pairs[at].tolist()]
    ]
    tools.progress("near copies", 0, max(1, len(jobs)))
    fresh: dict[str, bytes] = {}
    for at, blob in zip(missing, map_several(tools.heavy_map, _lay_several, jobs, _PAIRS_A_TASK), strict=True):
        fresh[keys[at]] = blob
        if len(fresh) % 64 == 0:
            tools.progress("near copies", len(fresh), len(jobs))
    tools.progress("near copies", max(1, len(jobs)), max(1, len(jobs)))
    tools.fingerprints.put_many(fresh.items())
    known |= fresh
    return [_from_blob(known[key]) for key in keys]


def _lay_several(jobs: Sequence[_Job]) -> list[bytes]:
    """Overlays as bytes: numbers in the order of `_FIELDS`, or nothing where nothing fits."""
    greys: dict[Path, UInt8 | None] = {}
    found: list[bytes] = []
    for left, right, warp, mirrored in jobs:
        for path in (left, right):
            if path not in greys:
                greys[path] = _grey(path)
        ours, theirs = greys[left], greys[right]
        overlay = None if ours is None or theirs is None else lay_finely(ours, theirs, warp, mirrored)
        numbers = [] if overlay is None else [getattr(overlay, name) for name in _FIELDS]
        found.append(np.array(numbers, _OVERLAY).tobytes())
    return found


def _grey(path: Path) -> UInt8 | None:
    try:
        with one_at_a_time():
            return luma(read_scanned(path, lambda data: decode(data, at_least=(2 * SIDE, 2 * SIDE))).pixels)
    except PhotoError:
        return None


def _from_blob(blob: bytes) -> Overlay | None:
    if not blob:
        return None
    share, tiles, *rest = np.frombuffer(blob, _OVERLAY).tolist()
    return Overlay(share, int(tiles), *rest)
