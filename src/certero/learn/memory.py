"""The memory of training steps: what one step frees is kept for the next.

Each step allocates the same hundreds of megabytes as the step before it. By default the C library returns every such
block to the system and asks for it again, and the system fills it with zeros page by page: for a network of a hundred
million weights that takes half as long as the arithmetic.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

import torch

# From malloc.h of the GNU C library, with its defaults.
_M_MXFAST, _M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = 1, -1, -4, -8
_DEFAULT_MXFAST_BYTES, _DEFAULT_TRIM_BYTES, _DEFAULT_MMAPS = 128, 128 * 1024, 65_536


@contextlib.contextmanager
def kept_memory(device: str = "cpu") -> Iterator[None]:
    """Within it, this process keeps the memory that it frees; afterwards it is returned to the system.

    Only the GNU C library can do this; elsewhere nothing changes.

    Args:
        device: where the steps run; on a GPU, torch keeps memory by itself.
    """
    library = _gnu_library() if device == "cpu" else None
    if library is None:
        yield
        return
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    # The thread of the backward pass would otherwise keep a second stock of its own.
    library.mallopt(_M_ARENA_MAX, 1)
    # Small freed blocks are not merged with their neighbours; between two large ones they would keep these apart.
    library.mallopt(_M_MXFAST, 0)
    try:
        yield
    finally:
        library.mallopt(_M_MMAP_MAX, _DEFAULT_MMAPS)
        library.mallopt(_M_TRIM_THRESHOLD, _DEFAULT_TRIM_BYTES)
        library.mallopt(_M_ARENA_MAX, 0)
        library.mallopt(_M_MXFAST, _DEFAULT_MXFAST_BYTES)
        _trim()


def free_memory(device: str) -> None:
    """Returns freed memory to the system, or to the GPU."""
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
    else:
        _trim()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out: torch has a class for it on a GPU only."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "out of memory" in text or "can't allocate memory" in text or "could not create a primitive" in text
    )


def _trim() -> None:
    if (library := _gnu_library()) is not None:
        library.malloc_trim(0)


def _gnu_library() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
