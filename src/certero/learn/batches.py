"""Photos for training: decoded on the one pixel path, kept in memory where they fit, batched by the seed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from certero.machine.limits import fits
from certero.photos import pixels
from certero.photos.scanned import read_scanned
from certero.records.preprocessing import Preprocessing
from certero.records.protocols import Map, Progress, no_progress

#: Of the memory that may be used; the rest is for the network and for others.
SHARE_OF_MEMORY = 0.4
_BATCHES_AHEAD = 3


class PhotoStore:
    """The photos of one split at one size.

    Args:
        files: photos.
        preprocessing: how they are decoded and fitted.
        map: ordered parallel map, for the decoding.
        workers: threads that decode ahead where the photos do not fit into memory.
        limit_bytes: memory that they may take; None takes 40 % of what is available.
        progress: told how many are decoded.

    Raises:
        PhotoError: if a photo that could be scanned cannot be read now.
    """

    def __init__(
        self,
        files: Sequence[Path],
        preprocessing: Preprocessing,
        map: Map,
        workers: int = 1,
        limit_bytes: int | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self._files = list(files)
        self._preprocessing = preprocessing
        self._workers = workers
        shape = (len(self._files), preprocessing.height, preprocessing.width, 3)
        self._kept: NDArray[np.uint8] | None = None
        size = math.prod(shape)
        if fits(size, SHARE_OF_MEMORY) if limit_bytes is None else size <= limit_bytes:
            self._kept = np.empty(shape, np.uint8)
            for row, image in enumerate(map(self._decode, self._files)):
                self._kept[row] = image
                progress("decode", row + 1, len(self._files))

    def __len__(self) -> int:
        return len(self._files)

    @property
    def in_memory(self) -> bool:
        """Whether every photo was decoded once and kept."""
        return self._kept is not None

    def read(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
        """Yields the photos of each batch of rows, uint8 [n, H, W, 3]; decodes a few batches ahead of their use."""
        if self._kept is not None:
            for batch in batches:
                yield self._kept[batch]
            return
        with ThreadPoolExecutor(self._workers, thread_name_prefix="certero-decode") as pool:
            ahead: deque[Future[NDArray[np.uint8]]] = deque()
            try:
                for batch in batches:
                    ahead.append(pool.submit(self._decode_batch, batch))
                    if len(ahead) > max(_BATCHES_AHEAD, self._workers):
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def _decode_batch(self, batch: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([self._decode(self._files[row]) for row in batch])

    def _decode(self, file: Path) -> NDArray[np.uint8]:
        return read_scanned(file, partial(pixels.prepare, preprocessing=self._preprocessing))


class Selection:
    """Some photos of a store, some of them perhaps several times.

    Args:
        store: photos.
        rows: which of them, int64 [n].
    """

    def __init__(self, store: PhotoStore, rows: NDArray[np.int64]) -> None:
        self._store, self._rows = store, rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
        """As `PhotoStore.read`."""
        return self._store.read([self._rows[batch] for batch in batches])


def cap_classes(truth: NDArray[np.int64], cap: int | None, seed: int) -> NDArray[np.int64]:
    """Rows, in order, of at most `cap` photos of each class, drawn by the seed."""
    if cap is None:
        return np.arange(len(truth))
    order = np.random.default_rng([seed, 2]).permutation(len(truth))
    kept = [order[truth[order] == label][:cap] for label in np.unique(truth)]
    return np.sort(np.concatenate(kept))


def order_photos(
    truth: NDArray[np.int64], sampling: str, seed: int, epoch: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows in the order of one epoch, and how often each had come before in it.

    Args:
        truth: class index [n].
        sampling: `natural` shows every photo once; `balanced` draws n photos, every class as often, a photo of a small
            class several times.
        seed: of the run.
        epoch: from 0.
    """
    rng = np.random.default_rng([seed, epoch, 3])
    n = len(truth)
    if sampling == "natural":
        return rng.permutation(n), np.zeros(n, np.int64)
    labels = np.unique(truth)
    # Each round draws every class once; a class is shuffled anew each time all its photos were drawn.
    turns = np.concatenate([rng.permutation(labels) for _ in range(-(-n // len(labels)))])[:n]
    rows = np.empty(n, np.int64)
    before = np.empty(n, np.int64)
    for label in labels:
        places = np.flatnonzero(turns == label)
        members = np.flatnonzero(truth == label)
        rounds = -(-len(places) // len(members))
        rows[places] = np.concatenate([rng.permutation(members) for _ in range(rounds)])[: len(places)]
        before[places] = np.arange(len(places)) // len(members)
    return rows, before


def deal(n: int, batch_size: int) -> list[slice]:
    """Slices of n photos into batches. A photo left alone joins the batch before it: normalisation needs two."""
    starts = list(range(0, n, batch_size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], n], strict=True)]
