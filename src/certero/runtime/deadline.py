"""An end to calls of a network that would not come back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

#: Time allowed for a call, plus this much per photo: a large network on a slow board takes a few seconds a photo.
CALL_SECONDS = 60.0
PHOTO_SECONDS = 10.0

# ONNX Runtime looks at the mark between two nodes of a graph. What is still inside one node after so long has to be
# ended from outside.
_GRACE_SECONDS = 30.0
_LOOK_SECONDS = 0.5

#: Told which model it is, where a call neither came back nor heeded the mark. A program that may end itself puts its
#: way of ending here; nobody is told by default, because a library must not end the process that uses it.
when_stuck: Callable[[str], None] | None = None


class Stoppable(Protocol):
    """ONNX Runtime's options of one call."""

    terminate: bool


class _Call:
    """One call that is under way: its options, its end, and whether it has been marked."""

    def __init__(self, options: Stoppable, ends: float, where: str) -> None:
        self.options, self.ends, self.where, self.marked = options, ends, where, False


_calls: dict[int, _Call] = {}
_starting = threading.Lock()
_under_way = threading.Event()
_watcher: threading.Thread | None = None


@contextlib.contextmanager
def ended_after(seconds: float, options: Stoppable, where: str) -> Iterator[Callable[[], bool]]:
    """Sets `options.terminate` once the block has taken so long.

    Args:
        seconds: how long it may take.
        options: of the call inside the block.
        where: what to call the model.

    Yields:
        Whether the block was told to end.
    """
    call = _Call(options, time.monotonic() + seconds, where)
    _calls[id(call)] = call
    _start_watcher()
    try:
        yield lambda: call.marked
    finally:
        del _calls[id(call)]


def _start_watcher() -> None:
    global _watcher
    if _watcher is None or not _watcher.is_alive():
        with _starting:
            if _watcher is None or not _watcher.is_alive():
                _watcher = threading.Thread(target=_watch, name="certero deadline", daemon=True)
                _watcher.start()
    _under_way.set()


def _watch() -> None:
    """Looks at every call now and then, and waits while there is none."""
    while _under_way.wait():
        time.sleep(_LOOK_SECONDS)
        now = time.monotonic()
        for call in list(_calls.values()):
            if now >= call.ends and not call.marked:
                call.marked = call.options.terminate = True
            elif call.marked and now >= call.ends + _GRACE_SECONDS and when_stuck is not None:
                when_stuck(call.where)
        _under_way.clear()
        if _calls:  # one that began while we looked would otherwise go unwatched
            _under_way.set()
