"""Memory of training steps: what one gives back is kept for the next, and what always stays lies apart from it.

A step asks for the same hundreds of megabytes as the step before it. By default the C library returns each such block
to the system and gets it anew, and the system fills it with zeros page by page: for a network of a hundred million
weights that takes as long as half of the arithmetic.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import platform
from collections.abc import Iterator

# Of malloc.h of the GNU C library, with its defaults.
_SMALL_BLOCKS, _TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = 1, -1, -4, -8
_DEFAULT_SMALL_BYTES, _DEFAULT_TRIM_BYTES, _DEFAULT_MMAPS = 128, 128 * 1024, 65_536


@contextlib.contextmanager
def kept_memory(device: str = "cpu") -> Iterator[None]:
    """Within it, freed memory stays with this process, then it is given back. Only the GNU C library offers it.

    Args:
        device: where steps are taken; a GPU keeps its memory by itself.
    """
    library = _gnu_library() if device == "cpu" else None
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    # The thread that computes gradients would otherwise hold a second stock of its own.
    library.mallopt(_ARENA_MAX, 1)
    # Small freed blocks are kept apart for their like; between two large ones they would keep these from becoming one.
    library.mallopt(_SMALL_BLOCKS, 0)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _DEFAULT_MMAPS)
        library.mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM_BYTES)
        library.mallopt(_ARENA_MAX, 0)
        library.mallopt(_SMALL_BLOCKS, _DEFAULT_SMALL_BYTES)
        give_back()


def give_back() -> None:
    """Returns to the system what this process has freed."""
    if (library := _gnu_library()) is not None:
        library.malloc_trim(0)


def apart(size: int) -> mmap.mmap:
    """So many bytes, zeros at first, that lie apart from what steps hand on from one to the next.

    For blocks that stay: among the others they would cut what is free into pieces, or fit into it in some runs only.
    """
    return mmap.mmap(-1, size)


def _gnu_library() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
