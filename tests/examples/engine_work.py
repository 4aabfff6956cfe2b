"""Work for the homes of an engine: of a module, so that it can be sent to another process."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from certero.engine.processes import Processes
from certero.engine.threads import Threads

_WAIT_SECONDS = 30


def who(seconds: float, item: int) -> tuple[int, int]:
    """The item, and the process that had it."""
    time.sleep(seconds)
    return item, os.getpid()


def divide(item: int) -> float:
    """Fails on 0."""
    return 1 / item


def mark(folder: Path, item: int) -> int:
    """The item, of which a file tells that it was worked on."""
    (folder / str(item)).touch()
    time.sleep(0.01)
    return item


def die_once(parent: int, died: Path, item: int) -> int:
    """The item; the first process other than the parent that gets item 5 is killed."""
    if item == 5 and os.getpid() != parent and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def warm_up(engine: Processes) -> Processes:
    """The engine, whose processes have taken over."""
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        if all(pid != os.getpid() for _item, pid in engine.map(partial(who, 0.01), range(4))):
            return engine
    raise TimeoutError("no process took over")


def threads() -> Threads:
    """Two threads."""
    return Threads(2)


def one_worker() -> Processes:
    """One worker, which is a thread."""
    return Processes(1)


def cold_processes() -> Processes:
    """Two processes that will not be started for the little that is done here."""
    return Processes(2)


def processes() -> Processes:
    """Two processes at work."""
    return warm_up(Processes(2, enough_seconds=0.0))


#: Every home that an engine has; what they promise is the same.
HOMES = {make.__name__: make for make in (threads, one_worker, cold_processes, processes)}


if __name__ == "__main__":
    # Works until it is interrupted, in the home that is named, and says when it has begun.
    home = HOMES[sys.argv[1]]()
    for number, _answer in enumerate(home.map(partial(who, 0.005), range(1_000_000))):
        if number == 20:
            print("at work", flush=True)
