"""Large photos are decoded one at a time, whatever number of threads and processes decode small ones side by side.

One legal photo of 144 megapixels takes half a gigabyte while it is looked at; eight at once would end the run on a
machine that has room for one. Small photos pass without a lock.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from certero.machine.files import lock_descriptor
from certero.machine.limits import available_bytes

#: Environment variable that names a file which the processes of a run take turns by.
VARIABLE = "CERTERO_TURNS"

# Photos of up to this size, that of any phone, are decoded side by side if memory allows one per core.
_LARGE_PIXELS = 64_000_000
# Memory per pixel while a photo is decoded: its pixels, and what the decoder holds beside them.
_BYTES_A_PIXEL = 9


class _Scope(threading.local):
    """Of each thread: how deep it is within `one_at_a_time`, and what ends its turn."""

    def __init__(self) -> None:
        self.depth = 0
        self.turn: contextlib.ExitStack | None = None


_scope = _Scope()
_turn = threading.Lock()


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """In it a large photo may be decoded, by `take_turn`, and is done with at its end."""
    _scope.depth += 1
    try:
        yield
    finally:
        _scope.depth -= 1
        if _scope.depth == 0 and _scope.turn is not None:
            turn, _scope.turn = _scope.turn, None
            turn.close()


def take_turn(pixels: int) -> None:
    """Waits, before a photo of so many pixels is decoded, until no other large one is; small ones never wait."""
    if _scope.depth and _scope.turn is None and pixels > _largest_side_by_side():
        turn = contextlib.ExitStack()
        turn.enter_context(_turn)
        turn.enter_context(_turn_of_processes())
        _scope.turn = turn


@contextlib.contextmanager
def _turn_of_processes() -> Iterator[None]:
    place = os.environ.get(VARIABLE)
    try:
        descriptor = os.open(Path(place), os.O_RDWR) if place else None
    except OSError:  # the run that made it is over, or another user's
        descriptor = None
    if descriptor is None:
        yield
        return
    try:
        lock_descriptor(descriptor)
        yield
    finally:
        os.close(descriptor)


@functools.cache
def _largest_side_by_side() -> int:
    """Pixels of a photo of which every core may have one, in half of the memory that there is."""
    cores = os.cpu_count() or 1
    return min(_LARGE_PIXELS, available_bytes() // (2 * cores * _BYTES_A_PIXEL))
