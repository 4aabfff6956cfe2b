"""Keeping memory between the steps of a training instead of handing it back to the system.

glibc gives every large array back when it is freed, and the next one of that size begins as empty pages that the system
fills one by one. A training frees and takes the same gigabytes at each step; holding on to them saves a quarter of the
time of a backbone's step. Measured by `benchmarks/depthwise.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

# Of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_DEFAULT_TRIM_BYTES, _DEFAULT_MMAP_MAX = 128 * 1024, 65536
_NEVER = 2**31 - 1


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Within it, freed memory stays with the process; afterwards it goes back. Nothing happens without glibc."""
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
    # The thread that computes gradients would otherwise hold a second stock of its own.
    libc.mallopt(_M_ARENA_MAX, 1)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, _DEFAULT_MMAP_MAX)
        libc.mallopt(_M_TRIM_THRESHOLD, _DEFAULT_TRIM_BYTES)
        libc.mallopt(_M_ARENA_MAX, 0)
        libc.malloc_trim(0)


def _glibc() -> Any | None:
    try:
        libc = ctypes.CDLL(None)
        return libc if hasattr(libc, "gnu_get_libc_version") and hasattr(libc, "mallopt") else None
    except (OSError, TypeError):
        return None
