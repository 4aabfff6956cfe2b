"""The first convolution of a network from scratch, a few photos at a time.

Its maps are the largest of all and cost the least arithmetic. A few photos' maps stay in the processor's cache until
they are pooled; on the way back they are computed again rather than kept. That is faster than fetching from memory,
and takes a fraction of it. Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Maps of so many bytes at once: about a processor's cache, and work enough for its cores.
_BYTES_AT_ONCE = 32_000_000
_MOST_BYTES_AT_ONCE = 4 * _BYTES_AT_ONCE


def find_first_block(layers: torch.nn.Sequential) -> torch.nn.Sequential | None:
    """The leading convolution, bend and pooling; None where the network begins otherwise.

    Batch normalisation and dropout in between would see a few photos instead of the batch, so they rule it out.
    """
    from torch import nn

    bends = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh)
    if len(layers) < 3 or not isinstance(layers[0], nn.Conv2d) or not isinstance(layers[1], bends):
        return None
    return layers[:3] if isinstance(layers[2], nn.MaxPool2d | nn.AvgPool2d) else None


def run_in_parts(block: torch.nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """What the block makes of photos, and gradients for its weights alone: photos need none.

    Args:
        block: as `find_first_block` gives it.
        x: float32 [N, 3, H, W].
    """
    out: torch.Tensor = _function().apply(x, block, *block.parameters())
    return out


def _photos_at_once(block: Any, x: torch.Tensor) -> int:
    """Some for each thread, if they are not too large: torch pools a photo on one thread on the way back."""
    import torch

    rows, columns = (
        (length + 2 * padding - kernel) // stride + 1
        for length, padding, kernel, stride in zip(
            x.shape[2:], block[0].padding, block[0].kernel_size, block[0].stride, strict=True
        )
    )
    each = 4 * block[0].out_channels * rows * columns
    threads = torch.get_num_threads()
    some = max(1, _BYTES_AT_ONCE // each)
    for_all = threads * math.ceil(some / threads)
    return int(for_all if for_all * each <= _MOST_BYTES_AT_ONCE else some)


def _run(block: Any, x: torch.Tensor) -> torch.Tensor:
    import torch
    from torch import nn

    if isinstance(block[1], nn.ReLU) and isinstance(block[2], nn.MaxPool2d):
        # The largest of bent levels is the bent largest level: the same numbers, from a quarter of the work.
        return torch.relu_(block[2](block[0](x)))
    out: torch.Tensor = block(x)
    return out


@cache
def _function() -> Any:
    import torch

    class InParts(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, block: Any, *weights: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            ctx.block, ctx.weights = block, weights
            ctx.in_bf16 = torch.is_autocast_enabled("cpu")
            size = _photos_at_once(block, x)
            first = _run(block, x[:size])
            out = torch.empty(
                (len(x), *first.shape[1:]), dtype=first.dtype, memory_format=torch.channels_last, device=x.device
            )
            out[:size] = first
            for start in range(size, len(x), size):
                out[start : start + size] = _run(block, x[start : start + size])
            return out

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
            (x,), (gradient,) = ctx.saved_tensors, gradients
            asked = [weight for weight in ctx.weights if weight.requires_grad]
            sums: list[torch.Tensor] = []
            size = _photos_at_once(ctx.block, x)
            for start in range(0, len(x), size):
                part = slice(start, start + size)
                with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=ctx.in_bf16):
                    out = _run(ctx.block, x[part])
                found = torch.autograd.grad(out, asked, gradient[part])
                if sums:
                    for total, more in zip(sums, found, strict=True):
                        total += more
                else:
                    sums = list(found)
            left = iter(sums)
            return None, None, *(next(left) if weight.requires_grad else None for weight in ctx.weights)

    return InParts
