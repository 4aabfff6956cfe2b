"""Dense layers of millions of weights with gradients that are fast on a CPU; what is learnt stays the same.

Such a layer's gradients need little arithmetic and much memory: all weights are read once, and as many numbers are
written. With AVX2 alone, some columns at a time, each core for itself, what is being worked on stays in the core's own
cache: that takes some half of the time of torch's product over everything (decision 25); with AVX-512 torch's own
product gains a fifth that way. On every processor the weights' gradient has memory of its own. In bfloat16 all three
products take some columns at a time, too: not faster, but weights and gradient are never there a second time in
bfloat16, a quarter of a gigabyte each in the largest network.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.learn.kernels import cores
from certero.learn.kernels.heap import apart

if TYPE_CHECKING:
    import torch

# Below, torch's own product is as fast.
_LEAST_WEIGHTS = 4_000_000
_COLUMNS_AT_ONCE = 1024
# torch's product wants more of them; in bfloat16 rows of so few bytes would be slow to fetch, too.
_COLUMNS_OF_TORCH, _COLUMNS_AT_ONCE_LOW = 4096, 16_384


def speed_up_dense_layers(network: torch.nn.Module) -> None:
    """Gives each large dense layer of a network the faster gradients; in place. Its answers stay torch's own."""
    import torch

    def forward(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        known = x.device.type == "cpu" and x.ndim == 2 and kind in (torch.float32, torch.bfloat16)
        if known and layer.weight.dtype == torch.float32 and torch.is_grad_enabled():
            faster: torch.Tensor = _function().apply(x.to(kind), layer.weight, layer.bias, layer.gradient_place)
            return faster
        return torch.nn.functional.linear(x, layer.weight, layer.bias)

    for layer in network.modules():
        if type(layer) is torch.nn.Linear and layer.weight.numel() >= _LEAST_WEIGHTS:
            layer.gradient_place = Place()  # type: ignore[assignment]
            layer.forward = forward.__get__(layer)  # type: ignore[method-assign]


class Place:
    """Memory for the gradient of a layer's weights: the same in every step, since it is the largest block by far."""

    def __init__(self) -> None:
        self._memory: Any = None

    def __deepcopy__(self, _memo: dict[int, Any]) -> Place:
        return Place()

    def take(self, weight: torch.Tensor) -> torch.Tensor:
        """A tensor like the weights, whatever it holds; the memory is that of the one before."""
        import torch

        if self._memory is None:
            self._memory = apart(weight.numel() * weight.element_size())
        return torch.frombuffer(self._memory, dtype=weight.dtype).view(weight.shape)


def dense_gradients(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    wanted: tuple[bool, bool] = (True, True),
    place: Place | None = None,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Gradients of a dense layer's input, [N, c], and of its weights, [C, c]; None where not wanted.

    Args:
        gradient: of the output, float32 or bfloat16 [N, C].
        x: input, of the same kind, [N, c]; so is its gradient.
        weight: float32 [C, c]; so is its gradient.
        wanted: of the input, of the weights.
        place: where to write that of the weights; new memory without.
    """
    import torch

    of_x = torch.empty_like(x, memory_format=torch.contiguous_format) if wanted[0] else None
    of_weight = None
    if wanted[1]:
        of_weight = torch.empty(weight.shape, dtype=weight.dtype) if place is None else place.take(weight)
    if x.dtype == torch.bfloat16 or not cores.are_faster():
        _torch_gradients(gradient.detach(), x.detach(), weight.detach(), of_x, of_weight)
        return of_x, of_weight
    ours, given, weights = (tensor.detach().numpy() for tensor in (gradient.contiguous(), x, weight))

    def fill(starts: Sequence[int]) -> None:
        for start in starts:
            part = slice(start, start + _COLUMNS_AT_ONCE)
            if of_x is not None:
                of_x.numpy()[:, part] = np.dot(ours, weights[:, part])
            if of_weight is not None:
                of_weight.numpy()[:, part] = np.dot(ours.T, given[:, part])

    cores.share_out(fill, range(0, x.shape[1], _COLUMNS_AT_ONCE))
    return of_x, of_weight


def _torch_gradients(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    of_x: torch.Tensor | None,
    of_weight: torch.Tensor | None,
) -> None:
    """Writes them by torch's product, some columns at a time, each core for itself; the weights' is float32."""
    import torch

    low = x.dtype != weight.dtype
    columns = _COLUMNS_AT_ONCE_LOW if low else _COLUMNS_OF_TORCH
    across = gradient.t().contiguous()

    def fill(starts: Sequence[int]) -> None:
        for start in starts:
            part = slice(start, start + columns)
            if of_x is not None:
                torch.mm(gradient, weight[:, part].to(x.dtype), out=of_x[:, part])
            if of_weight is not None and low:
                of_weight[:, part] = torch.mm(across, x[:, part])
            elif of_weight is not None:
                torch.mm(across, x[:, part], out=of_weight[:, part])

    cores.share_out(fill, range(0, x.shape[1], columns))


def _low_answers(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """What the layer gives in bfloat16, [N, C], summed in float32; products of some columns are rounded to bfloat16.

    Args:
        x: bfloat16 [N, c].
        weight: float32 [C, c].
        bias: float32 [C], or None.
    """
    import torch

    def add_up(starts: Sequence[int]) -> torch.Tensor:
        total = torch.zeros(len(x), len(weight))
        for start in starts:
            part = slice(start, start + _COLUMNS_AT_ONCE_LOW)
            total += torch.mm(x[:, part], weight[:, part].to(x.dtype).t())
        return total

    with torch.no_grad():
        totals = cores.share_out(add_up, range(0, x.shape[1], _COLUMNS_AT_ONCE_LOW))
        answers = torch.stack(totals).sum(0) + (0 if bias is None else bias)
    return answers.to(x.dtype)


@functools.cache
def _function() -> Any:
    """The autograd function, made at its first use: torch is loaded by then."""
    import torch

    class Dense(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, place: Place
        ) -> torch.Tensor:
            ctx.save_for_backward(x, weight)
            ctx.place = place
            if x.dtype == torch.bfloat16:
                return _low_answers(x.detach(), weight.detach(), bias)
            return torch.nn.functional.linear(x, weight, bias)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            x, weight = ctx.saved_tensors
            wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
            # The gradient of another part of the batch may be there, to which this one is added.
            place = ctx.place if weight.grad is None else None
            of_x, of_weight = dense_gradients(gradient, x, weight, (wants_x, wants_weight), place)
            of_bias = gradient.sum(0).to(weight.dtype) if wants_bias else None
            return of_x, of_weight, of_bias, None

    return Dense
