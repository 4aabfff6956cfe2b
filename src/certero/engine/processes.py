"""Ordered map over processes of this machine, for work that holds Python's lock.

Small steps in NumPy and Pillow take turns at that lock: two threads do them hardly faster than one. Processes do, but
need half a second to start. So work begins in threads, and goes on in processes once there has been enough of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from certero.engine.threads import IN_FLIGHT_A_WORKER, count_cores
from certero.photos.turns import VARIABLE

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

T = TypeVar("T")
R = TypeVar("R")

# Once threads have spent so many seconds, added up, processes are started beside them.
_ENOUGH_SECONDS = 1.0
# More would wait for the one process that hands out the work and takes the answers.
_MOST_PROCESSES = 8
# Idle processes leave their memory after so long.
_IDLE_SECONDS = 60
_LOOK_FOR_PARENT_SECONDS = 1.0


# Those whose processes have to go when this one is ended in the middle of its work.
_pools: set[ProcessPoolExecutor] = set()


def end_all() -> None:
    """Ends every process that works for this one, whatever it is doing."""
    for pool in list(_pools):
        for process in list(getattr(pool, "_processes", None) or ()):
            with contextlib.suppress(OSError):  # gone already
                os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))


class Processes:
    """Maps a function over items, in threads at first and in processes where there is much to do.

    Where processes cannot be started, or one is killed, threads do all the work.

    Args:
        workers: number of threads, and of processes up to 8; every usable core by default.
        enough_seconds: what threads spend before processes are started.
    """

    def __init__(self, workers: int | None = None, enough_seconds: float = _ENOUGH_SECONDS) -> None:
        self.workers = workers or count_cores()
        self._enough = enough_seconds
        self._spent = 0.0
        self._pool: ProcessPoolExecutor | None = None
        self._starting: list[Future[int]] = []
        self._alone = self.workers == 1
        self._turns: str | None = None

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yields `function(item)` in the order of items; an exception of the function is raised here.

        Args:
            function: of a module, so that it can be pickled, as must its items and answers.
            items: what it is called with; one is sent to a process at a time.
        """
        with ThreadPoolExecutor(self.workers, thread_name_prefix="certero") as threads:
            flying: deque[tuple[T, bool, Future[tuple[R, float]]]] = deque()
            call = partial(_timed, function)

            def send(item: T) -> None:
                pool = self._processes()
                if pool is not None:
                    try:
                        flying.append((item, True, pool.submit(call, item)))
                        return
                    except BrokenExecutor:
                        self._alone = True
                flying.append((item, False, threads.submit(call, item)))

            def take() -> R:
                item, apart, future = flying.popleft()
                try:
                    answer, seconds = future.result()
                except BrokenExecutor:
                    # The process was killed, most likely for memory. Its work is done here, one by one.
                    self._alone = True
                    return function(item)
                self._spent += 0.0 if apart else seconds
                return answer

            try:
                for item in items:
                    send(item)
                    if len(flying) >= self.workers * IN_FLIGHT_A_WORKER:
                        yield take()
                while flying:
                    yield take()
            finally:
                for _item, _apart, future in flying:
                    future.cancel()

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            _pools.discard(self._pool)
            self._pool = None
        if self._turns is not None:
            with contextlib.suppress(OSError):
                Path(self._turns).unlink()
            if os.environ.get(VARIABLE) == self._turns:
                del os.environ[VARIABLE]
            self._turns = None

    def _processes(self) -> ProcessPoolExecutor | None:
        """The processes, once they are wanted and have started."""
        if self._alone or self._spent < self._enough:
            return None
        if self._pool is None:
            self._start()
        return self._pool if not self._alone and all(future.done() for future in self._starting) else None

    def _take_turns(self) -> None:
        """Makes the file by which these processes, and this one, decode large photos one at a time."""
        # Without a place for it each process takes turns with its own threads alone.
        with contextlib.suppress(OSError):
            descriptor, self._turns = tempfile.mkstemp(prefix="certero-turns-")
            os.close(descriptor)
            os.environ[VARIABLE] = self._turns

    def _start(self) -> None:
        try:
            from loky import ProcessPoolExecutor

            # Each process has one core: threads of a matrix product would only get in each other's way.
            one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            self._take_turns()
            count = min(self.workers, _MOST_PROCESSES)
            self._pool = ProcessPoolExecutor(
                count, timeout=_IDLE_SECONDS, initializer=_begin, initargs=(os.getpid(),), env=one
            )
            _pools.add(self._pool)
            self._starting = [self._pool.submit(os.getpid) for _ in range(count)]
        except (ImportError, OSError, BrokenExecutor):  # no shared memory, no more processes allowed, not installed
            self._alone = True


def _timed(function: Callable[[T], R], item: T) -> tuple[R, float]:
    """The answer, and the seconds that it took."""
    start = time.perf_counter()
    return function(item), time.perf_counter() - start


def _begin(parent: int) -> None:
    """In a process that was started: Ctrl-C is for the one that started it, with whose end this one ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_FOR_PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
