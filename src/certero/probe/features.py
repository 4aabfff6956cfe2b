"""Embeddings of photos, remembered by file content, preprocessing and weights.

On a CPU they come from the exported backbone in ONNX Runtime, the very graph that ships: what the probe is fitted on is
what runs later. On a GPU, or with `--precision bf16`, torch computes them (docs/decisions/0003, 0010).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from certero.machine.cache import BlobCache
from certero.photos import pixels
from certero.photos.retaken import VERSION, prepare_retaken
from certero.probe.backbones import Backbone
from certero.probe.backend import Backend
from certero.records.preprocessing import Preprocessing
from certero.records.protocols import Map, Progress, no_progress
from certero.runtime.inference import infer, require_all
from certero.runtime.network import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Written every so many photos, so that an interrupted run finds most of its work again.
_COMMIT_EVERY = 512
# Of an entry of the cache: part of its key.
_LAYOUT = "crc32 and float32"


class RememberedFeatures:
    """Embeddings in a cache, for one network, input and backend.

    The key is the file's content, not its pixels: a large JPEG is decoded smaller, so that a PNG of equal pixels
    reaches the network with others.

    Args:
        cache: where they are kept.
        network_id: names the backbone's weights and input.
        preprocessing: how photos reach it.
        backend: what computed them; another backend's figures differ in the last digits and are kept apart.
    """

    def __init__(
        self, cache: BlobCache, network_id: str, preprocessing: Preprocessing, backend: str = "onnxruntime"
    ) -> None:
        self._cache = cache
        self._prefix = json.dumps(
            [_LAYOUT, pixels.PATH_VERSION, network_id, preprocessing.to_json(), backend], sort_keys=True
        )
        self._unsaved: list[tuple[str, bytes]] = []

    @classmethod
    def of(cls, embedder: Embedder, cache: BlobCache) -> RememberedFeatures:
        """What is remembered of an embedder."""
        return cls(cache, embedder.network_id, embedder.preprocessing, embedder.backend.remembered_as)

    def get(self, content_hashes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The embeddings [D] that are remembered, by content hash."""
        keys = {self._key(content_hash): content_hash for content_hash in content_hashes}
        rows = {keys[key]: _unpacked(blob) for key, blob in self._cache.get_many(list(keys)).items()}
        return {content_hash: row for content_hash, row in rows.items() if row is not None}

    def put(self, content_hash: str, embedding: NDArray[np.float32]) -> None:
        """Remembers one embedding, for certain only after `save`."""
        self._unsaved.append((self._key(content_hash), _packed(embedding)))
        if len(self._unsaved) >= _COMMIT_EVERY:
            self.save()

    def save(self) -> None:
        """Writes what was put."""
        self._cache.put_many(self._unsaved)
        self._unsaved = []

    def _key(self, content_hash: str) -> str:
        return hashlib.sha256(f"{self._prefix}{content_hash}".encode()).hexdigest()[:32]


def _packed(embedding: NDArray[np.float32]) -> bytes:
    numbers = embedding.tobytes()
    return zlib.crc32(numbers).to_bytes(4, "little") + numbers


def _unpacked(blob: bytes) -> NDArray[np.float32] | None:
    """The embedding, or None for what `_packed` has not written: any other bytes are numbers, too, of some length."""
    numbers = blob[4:]
    if not numbers or len(numbers) % 4 or zlib.crc32(numbers).to_bytes(4, "little") != blob[:4]:
        return None
    return np.frombuffer(numbers, np.float32)


@dataclass(frozen=True, slots=True)
class Embedder:
    """A backbone, ready to use.

    Args:
        backbone: as found.
        preprocessing: how photos reach it.
        onnx: the exported backbone that ships.
        network_id: names its weights, input and precision.
        backend: what computes the embeddings.
        in_torch: embeds photos where torch computes: float32 [D] of each file, decoded by the map. None where ONNX
            Runtime runs the exported backbone.
        view: which view of each photo is embedded; 0 is the photo itself.
    """

    backbone: Backbone
    preprocessing: Preprocessing
    onnx: bytes
    network_id: str
    backend: Backend
    in_torch: Callable[[Sequence[Path], Map], Iterator[NDArray[np.float32]]] | None = None
    view: int = 0

    def as_shipped(self) -> Embedder:
        """The same, computed as the model file will compute it."""
        return dataclasses.replace(self, backend=Backend("cpu", self.backend.shipped_precision), in_torch=None)

    def of_view(self, number: int) -> Embedder:
        """The same of another view of each photo, see `photos.retaken`; as the model file computes it."""
        shipped = self.as_shipped()
        return dataclasses.replace(shipped, network_id=f"{self.network_id} view {VERSION}.{number}", view=number)

    def run(self, files: Sequence[Path], map: Map) -> Iterator[NDArray[np.float32]]:
        """Embeddings float32 [D] of photos, one after another, none of them remembered."""
        if self.in_torch is not None:
            yield from self.in_torch(files, map)
        elif files:
            prepare = partial(prepare_retaken, number=self.view) if self.view else pixels.prepare
            computed = infer(Network(self.onnx), self.preprocessing, files, ["embedding"], map, prepare)
            for (embedding,) in require_all(files, computed):
                yield np.asarray(embedding, np.float32)


def embed(
    photos: Sequence[Path],
    content_hashes: Sequence[str],
    embedder: Embedder,
    cache: BlobCache,
    map: Map,
    progress: Progress = no_progress,
) -> NDArray[np.float32]:
    """Embeddings float32 [n, D] of photos, computed or remembered.

    Args:
        photos: files.
        content_hashes: of the same photos, the cache's key.
        embedder: what computes them.
        cache: where they are remembered.
        map: ordered parallel map.
        progress: told how many photos are done.

    Raises:
        PhotoError: if a photo that could be read before cannot be read now.
    """
    remembered = RememberedFeatures.of(embedder, cache)
    table = _Table(content_hashes)
    for start in range(0, len(table.keys), _COMMIT_EVERY):
        for key, row in remembered.get(table.keys[start : start + _COMMIT_EVERY]).items():
            table.put(key, row)
    missing = {key: photo for key, photo in zip(content_hashes, photos, strict=True) if key not in table.known}
    done = len(photos) - len(missing)
    progress("features", done, len(photos))
    fresh = embedder.run(list(missing.values()), map)
    try:
        for key, row in zip(missing, fresh, strict=True):
            table.put(key, row)
            remembered.put(key, row)
            done += 1
            progress("features", done, len(photos))
    finally:
        remembered.save()
    if done < len(photos):
        # Equal photos were computed once.
        progress("features", len(photos), len(photos))
    return table.rows(content_hashes)


class _Table:
    """Features by content hash, in one array from the start: single rows joined at the end would take twice the memory.

    Args:
        content_hashes: of all photos; equal ones share a row.
    """

    def __init__(self, content_hashes: Sequence[str]) -> None:
        self.keys = list(dict.fromkeys(content_hashes))
        self.known: set[str] = set()
        self._places = {key: place for place, key in enumerate(self.keys)}
        self._table: NDArray[np.float32] | None = None

    def put(self, key: str, row: NDArray[np.float32]) -> None:
        """Keeps a copy of the row."""
        if self._table is None:
            self._table = np.empty((len(self.keys), len(row)), np.float32)
        self._table[self._places[key]] = row
        self.known.add(key)

    def rows(self, content_hashes: Sequence[str]) -> NDArray[np.float32]:
        """Float32 [n, D], once every row is put."""
        assert self._table is not None
        if len(content_hashes) == len(self.keys):
            return self._table
        return self._table[[self._places[key] for key in content_hashes]]
