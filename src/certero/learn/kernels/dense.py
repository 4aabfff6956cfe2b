"""Dense layers of millions of weights with gradients that are fast on a CPU; what they learn stays the same.

The gradients of such a layer need little arithmetic and much memory: all weights are read once, and as many numbers are
written. With AVX2 alone, each core computes some columns at a time, which stay in its own cache: that takes about half
of the time of torch's single product (decision 25); with AVX-512, torch's own product gains a fifth that way. On every
processor the weight gradient has memory of its own. In bfloat16 all three products take some columns at a time, too:
not faster, but without a second copy of weights and gradient in bfloat16, a quarter of a gigabyte each in the largest
network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from certero.learn.kernels import cores

# Below, torch's own product is as fast.
_LEAST_WEIGHTS = 4_000_000
_COLUMNS_AT_ONCE = 1024
# torch's product wants more of them; in bfloat16 rows of so few bytes would be slow to fetch, too.
_COLUMNS_OF_TORCH, _COLUMNS_AT_ONCE_BF16 = 4096, 16_384


def speed_up_dense_layers(network: torch.nn.Module) -> None:
    """Gives each large dense layer of a network the faster gradients; in place. Its outputs stay torch's own."""

    def forward(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        known = x.device.type == "cpu" and x.ndim == 2 and dtype in (torch.float32, torch.bfloat16)
        if known and layer.weight.dtype == torch.float32 and torch.is_grad_enabled():
            out: torch.Tensor = _Dense.apply(x.to(dtype), layer.weight, layer.bias, layer.gradient_memory)
            return out
        return torch.nn.functional.linear(x, layer.weight, layer.bias)

    for layer in network.modules():
        if type(layer) is torch.nn.Linear and layer.weight.numel() >= _LEAST_WEIGHTS:
            layer.gradient_memory = GradientMemory()  # type: ignore[assignment]
            layer.forward = forward.__get__(layer)  # type: ignore[method-assign]


class GradientMemory:
    """Memory for the gradient of a layer's weights: the same in every step, since it is the largest block by far."""

    def __init__(self) -> None:
        self._memory: Any = None

    def __deepcopy__(self, _memo: dict[int, Any]) -> GradientMemory:
        return GradientMemory()

    def take(self, weight: torch.Tensor) -> torch.Tensor:
        """A tensor like the weights, with any content; it takes the memory of the one before."""
        if self._memory is None:
            self._memory = cores.reserve(weight.numel() * weight.element_size())
        return torch.frombuffer(self._memory, dtype=weight.dtype).view(weight.shape)


def dense_gradients(
    grad_output: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    wanted: tuple[bool, bool] = (True, True),
    memory: GradientMemory | None = None,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Gradients of a dense layer's input, [N, c], and of its weights, [C, c]; None where not wanted.

    Args:
        grad_output: gradient of the output, float32 or bfloat16 [N, C].
        x: input, [N, c]; of the same dtype, as is its gradient.
        weight: float32 [C, c]; so is its gradient.
        wanted: of the input, of the weights.
        memory: for the gradient of the weights; None allocates it.
    """
    grad_input = torch.empty_like(x, memory_format=torch.contiguous_format) if wanted[0] else None
    grad_weight = None
    if wanted[1]:
        grad_weight = torch.empty(weight.shape, dtype=weight.dtype) if memory is None else memory.take(weight)
    if x.dtype == torch.bfloat16 or not cores.are_faster():
        _gradients_by_torch(grad_output.detach(), x.detach(), weight.detach(), grad_input, grad_weight)
        return grad_input, grad_weight
    outer, inputs, weights = (tensor.detach().numpy() for tensor in (grad_output.contiguous(), x, weight))

    def fill(starts: Sequence[int]) -> None:
        for start in starts:
            part = slice(start, start + _COLUMNS_AT_ONCE)
            if grad_input is not None:
                grad_input.numpy()[:, part] = np.dot(outer, weights[:, part])
            if grad_weight is not None:
                grad_weight.numpy()[:, part] = np.dot(outer.T, inputs[:, part])

    cores.share_out(fill, range(0, x.shape[1], _COLUMNS_AT_ONCE))
    return grad_input, grad_weight


def _gradients_by_torch(
    grad_output: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    grad_input: torch.Tensor | None,
    grad_weight: torch.Tensor | None,
) -> None:
    """Writes them by torch's product, some columns at a time on each core; the weights' is float32."""
    in_bf16 = x.dtype != weight.dtype
    columns = _COLUMNS_AT_ONCE_BF16 if in_bf16 else _COLUMNS_OF_TORCH
    transposed = grad_output.t().contiguous()

    def fill(starts: Sequence[int]) -> None:
        for start in starts:
            part = slice(start, start + columns)
            if grad_input is not None:
                torch.mm(grad_output, weight[:, part].to(x.dtype), out=grad_input[:, part])
            if grad_weight is not None and in_bf16:
                grad_weight[:, part] = torch.mm(transposed, x[:, part])
            elif grad_weight is not None:
                torch.mm(transposed, x[:, part], out=grad_weight[:, part])

    cores.share_out(fill, range(0, x.shape[1], columns))


def _output_in_bf16(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Output of the layer in bfloat16, [N, C]; products of some columns, rounded to bfloat16, are summed in float32.

    Args:
        x: bfloat16 [N, c].
        weight: float32 [C, c].
        bias: float32 [C], or None.
    """

    def add_up(starts: Sequence[int]) -> torch.Tensor:
        total = torch.zeros(len(x), len(weight))
        for start in starts:
            part = slice(start, start + _COLUMNS_AT_ONCE_BF16)
            total += torch.mm(x[:, part], weight[:, part].to(x.dtype).t())
        return total

    with torch.no_grad():
        totals = cores.share_out(add_up, range(0, x.shape[1], _COLUMNS_AT_ONCE_BF16))
        out = torch.stack(totals).sum(0) + (0 if bias is None else bias)
    return out.to(x.dtype)


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, memory: GradientMemory
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.memory = memory
        if x.dtype == torch.bfloat16:
            return _output_in_bf16(x.detach(), weight.detach(), bias)
        return torch.nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        # The memory may hold the gradient of another part of the batch, to which this one is added.
        memory = ctx.memory if weight.grad is None else None
        grad_input, grad_weight = dense_gradients(grad_outputs[0], x, weight, (wants_x, wants_weight), memory)
        grad_bias = grad_outputs[0].sum(0).to(weight.dtype) if wants_bias else None
        return grad_input, grad_weight, grad_bias, None
