"""The first convolution of a network from scratch, a few photos at a time.

Its feature maps are the largest of all and cost the least arithmetic. Those of a few photos stay in the processor's
cache until they are pooled; in the backward pass they are computed again rather than kept. That is faster than fetching
them from memory, and takes a fraction of the memory.
Source: Chen et al., "Training deep nets with sublinear memory cost", 2016 (gradient checkpointing).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import nn

# Feature maps of so many bytes at once: about a processor's cache, and work enough for its cores.
_BYTES_AT_ONCE = 32_000_000
_MOST_BYTES_AT_ONCE = 4 * _BYTES_AT_ONCE
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh)


def run_first_block_in_chunks(layers: nn.Sequential) -> None:
    """Trains the first block of a sequence of layers a few photos at a time, where it begins with one; in place.

    The input of the layers, photos, gets no gradient.
    """
    if find_first_block(layers) is not None:
        # Not a closure: a copy of the network must compute with its own layers.
        layers.forward = functools.partial(_forward, layers)  # type: ignore[method-assign]


def find_first_block(layers: nn.Sequential) -> nn.Sequential | None:
    """The leading convolution, activation and pooling; None where the network begins otherwise.

    Batch normalisation or dropout in between would see a few photos instead of the batch, so they rule it out.
    """
    if len(layers) < 3 or not isinstance(layers[0], nn.Conv2d) or not isinstance(layers[1], _ACTIVATIONS):
        return None
    return layers[:3] if isinstance(layers[2], nn.MaxPool2d | nn.AvgPool2d) else None


def _forward(layers: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    if not layers.training or x.device.type != "cpu":
        plain: torch.Tensor = nn.Sequential.forward(layers, x)  # type: ignore[no-untyped-call]
        return plain
    block = layers[:3]
    pooled = _InChunks.apply(x, block, *block.parameters())
    out: torch.Tensor = layers[3:](pooled)
    return out


def _photos_at_once(block: Any, x: torch.Tensor) -> int:
    """Some for each thread, if they are not too large: torch's backward pass of pooling has one thread for a photo."""
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
    if isinstance(block[1], nn.ReLU) and isinstance(block[2], nn.MaxPool2d):
        # ReLU and the maximum commute: the same numbers, with a quarter of the work for ReLU.
        return torch.relu_(block[2](block[0](x)))
    out: torch.Tensor = block(x)
    return out


class _InChunks(torch.autograd.Function):
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
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Any:
        (x,), (grad_output,) = ctx.saved_tensors, grad_outputs
        trained = [weight for weight in ctx.weights if weight.requires_grad]
        sums: list[torch.Tensor] = []
        size = _photos_at_once(ctx.block, x)
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=ctx.in_bf16):
                out = _run(ctx.block, x[part])
            gradients = torch.autograd.grad(out, trained, grad_output[part])
            if sums:
                for total, more in zip(sums, gradients, strict=True):
                    total += more
            else:
                sums = list(gradients)
        left = iter(sums)
        return None, None, *(next(left) if weight.requires_grad else None for weight in ctx.weights)
