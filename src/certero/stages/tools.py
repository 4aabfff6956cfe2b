"""What every stage of a pipeline shares: cores, caches, device, progress and the clock."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from certero.engine.processes import Processes
from certero.engine.threads import Threads
from certero.machine.cache import CACHES, BlobCache
from certero.records.protocols import Map, Progress, no_progress
from certero.records.stages import Stage

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class Tools:
    """What every stage of a command shares.

    Args:
        map: ordered parallel map over the cores, in threads.
        heavy_map: the same for what holds Python's lock, in processes where there is much of it: functions of modules,
            items and results that can be pickled.
        fingerprints: remembered facts of photos, by content.
        features: remembered embeddings.
        networks: remembered exported backbones.
        progress: told how far each stage is.
        seconds: wall time of each finished stage.
    """

    map: Map
    heavy_map: Map
    fingerprints: BlobCache
    features: BlobCache
    networks: BlobCache
    progress: Progress = no_progress
    seconds: dict[str, float] = field(default_factory=dict)
    _running: threading.local = field(default_factory=threading.local)

    @contextlib.contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Adds the block's wall time to the stage; within another one of this thread it is a part of that."""
        if vars(self._running):
            yield
            return
        self._running.outermost = True
        start = time.perf_counter()
        try:
            yield
        finally:
            del self._running.outermost
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 3)

    def all_seconds(self) -> dict[str, float]:
        """Wall time by stage, and their sum as `total`."""
        return {**self.seconds, "total": round(sum(self.seconds.values()), 3)}


@contextlib.contextmanager
def open_tools(workers: int | None = None, progress: Progress = no_progress) -> Iterator[Tools]:
    """The caches are closed, and processes end, at the end."""
    fingerprints, features, networks = (BlobCache(name) for name in CACHES)
    processes = Processes(workers)
    try:
        yield Tools(Threads(workers).map, processes.map, fingerprints, features, networks, progress)
    finally:
        processes.close()
        for cache in (fingerprints, features, networks):
            cache.close()


def map_several(map: Map, function: Callable[[Sequence[T]], Iterable[R]], items: Sequence[T], size: int) -> Iterator[R]:
    """Yields the result for each item, in order, of a function that takes several items at a time."""
    tasks = (items[start : start + size] for start in range(0, len(items), size))
    return chain.from_iterable(map(function, tasks))
