"""Matrix products shared out to the cores of a CPU, in blocks that stay in a core's own cache."""

from __future__ import annotations

import functools
import math
import mmap
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from certero.engine.blas import one_numpy_thread

#: Feature maps, channels last, [N, H, W, C]: an array, or in bfloat16, which NumPy does not have, a tensor.
FeatureMaps = Any
Part = TypeVar("Part")
Result = TypeVar("Result")


@functools.cache
def are_faster() -> bool:
    """Whether gradients by one product on each core beat torch's own: on processors with AVX2 and no AVX-512."""
    return _capability() == "AVX2"


@functools.cache
def have_fast_products(in_bf16: bool = False) -> bool:
    """Whether matrix products on each core run near its peak: measured with AVX2 and with AVX-512.

    Args:
        in_bf16: products in bfloat16; on a processor with AMX they are so fast that everything around them would count.
    """
    if in_bf16:
        return _capability() == "AVX512" and not torch.cpu._is_amx_tile_supported()
    return _capability() in ("AVX2", "AVX512")


@functools.cache
def largest_fast_product() -> float:
    """Multiplications of a product up to which OpenBLAS has faster code on this processor: with AVX-512, a million."""
    return 1e6 if _capability() == "AVX512" else math.inf


def _capability() -> str:
    return str(torch.backends.cpu.get_cpu_capability())


def channels_last(tensor: torch.Tensor) -> FeatureMaps:
    """[N, C, H, W] as [N, H, W, C]: the same memory where the tensor is channels last already, else a copy."""
    maps = tensor.detach().permute(0, 2, 3, 1).contiguous()
    return maps if maps.dtype == torch.bfloat16 else maps.numpy()


def share_out(work: Callable[[Sequence[Part]], Result], parts: Sequence[Part]) -> list[Result]:
    """What a function returns for each core's share of the parts; within it, NumPy and torch use one thread.

    It uses as many cores as torch has threads. Nothing else decides which core gets which parts, so sums come out the
    same.
    """
    workers = torch.get_num_threads()
    shares = [parts[first::workers] for first in range(min(workers, len(parts)))]
    with one_numpy_thread():
        return list(_pool(workers).map(work, shares))


def reserve(size: int) -> mmap.mmap:
    """So many bytes, zeros at first, outside the heap that the steps allocate from.

    For blocks that stay: in the heap they would fragment what is free, or fit into it in some runs only.
    """
    return mmap.mmap(-1, size)


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    def use_one_thread() -> None:
        torch.set_num_threads(1)
        # A thread reads the process's number only once, when it is first asked: now.
        torch.get_num_threads()

    pool = ThreadPoolExecutor(workers, "certero-gradients", use_one_thread)
    # That set the process's number, too; it is restored once every thread has started.
    started = threading.Barrier(workers)
    list(pool.map(lambda _: started.wait(), range(workers)))
    torch.set_num_threads(workers)
    return pool
