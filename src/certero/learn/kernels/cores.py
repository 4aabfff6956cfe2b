"""Products of matrices dealt to the cores of a CPU, in parts that stay in a core's own cache."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from certero.engine.blas import one_numpy_thread

if TYPE_CHECKING:
    import torch

#: Maps with their channels last, [N, H, W, C]: an array, or in bfloat16, which NumPy does not have, a tensor.
Maps = Any
Part = TypeVar("Part")
Result = TypeVar("Result")


@functools.cache
def are_faster() -> bool:
    """Whether gradients by products on each core beat torch's own: on processors with AVX2 and no AVX-512."""
    return _capability() == "AVX2"


@functools.cache
def have_fast_products(low: bool = False) -> bool:
    """Whether products of matrices on each core run near its limit: measured with AVX2 and with AVX-512.

    Args:
        low: in bfloat16; where a processor multiplies whole tiles of it, all beside the products would count.
    """
    import torch

    if low:
        return _capability() == "AVX512" and not torch.cpu._is_amx_tile_supported()
    return _capability() in ("AVX2", "AVX512")


@functools.cache
def largest_fast_product() -> float:
    """Multiplications of a product up to which OpenBLAS has faster code on this processor: with AVX-512, a million."""
    return 1e6 if _capability() == "AVX512" else math.inf


def _capability() -> str:
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def channels_last(tensor: torch.Tensor) -> Maps:
    """[N, C, H, W] as [N, H, W, C]: the same memory where the tensor has its channels last, else a copy."""
    import torch

    maps = tensor.detach().permute(0, 2, 3, 1).contiguous()
    return maps if maps.dtype == torch.bfloat16 else maps.numpy()


def share_out(work: Callable[[Sequence[Part]], Result], parts: Sequence[Part]) -> list[Result]:
    """What a function makes of each core's share of the parts; within it, NumPy and torch keep to their thread.

    As many cores as torch has threads; which parts are a core's depends on nothing else, so sums come out the same.
    """
    import torch

    workers = torch.get_num_threads()
    shares = [parts[first::workers] for first in range(min(workers, len(parts)))]
    with one_numpy_thread():
        return list(_pool(workers).map(work, shares))


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    import torch

    def keep_to_one() -> None:
        torch.set_num_threads(1)
        # A thread looks at the program's number once, when it is first asked: now.
        torch.get_num_threads()

    pool = ThreadPoolExecutor(workers, "certero-gradients", keep_to_one)
    # It is the program's number, too, which is put back once all have begun.
    begun = threading.Barrier(workers)
    list(pool.map(lambda _: begun.wait(), range(workers)))
    torch.set_num_threads(workers)
    return pool
