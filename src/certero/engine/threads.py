"""Ordered map over the cores of this machine.

Decoding, hashing, resizing and inference run outside Python's lock: for them threads use every core without copying
photos between processes. What holds the lock is for `engine.processes`.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from certero.machine.limits import core_limit

T = TypeVar("T")
R = TypeVar("R")

#: Results wait for the slowest of the items in flight; a few a worker keep all busy without holding many photos.
IN_FLIGHT_A_WORKER = 4


def count_cores() -> int:
    """Cores that this process may use, which in a container can be fewer than the machine's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = core_limit()
    # Half a core more is worth a thread; a thread too many would only wait.
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))


class Threads:
    """Maps a function over items on a fixed number of threads.

    Args:
        workers: number of threads; every usable core by default.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or count_cores()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yields `function(item)` in the order of items; an exception of the function is raised here.

        The threads speak the language of whoever takes the results.
        """
        with ThreadPoolExecutor(self.workers, thread_name_prefix="certero") as pool:
            flying: deque[Future[R]] = deque()
            try:
                for item in items:
                    flying.append(pool.submit(copy_context().run, function, item))
                    if len(flying) >= self.workers * IN_FLIGHT_A_WORKER:
                        yield flying.popleft().result()
                while flying:
                    yield flying.popleft().result()
            finally:
                for future in flying:
                    future.cancel()

    def close(self) -> None:
        """Ends nothing: the threads of a map end with it."""
