"""ReLU and the mean pooling behind it in one step, whose gradient is written over the map that it is of.

What the gradient needs of the map is where it is above 0, at that very place. So the largest maps of a network are in
memory once, not twice, and the way back is one pass over them instead of two.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def join_activations_and_pooling(layers: torch.nn.Sequential) -> None:
    """Joins each ReLU in place with a mean pooling behind it, if that takes squares side by side; in place.

    Gradients are torch's own to the last bit. A second walk back through the same step raises RuntimeError.
    """
    import torch

    def activate(layer: torch.nn.ReLU, x: torch.Tensor) -> torch.Tensor:
        return x if _joined(x) else torch.nn.functional.relu(x, inplace=layer.inplace)

    def pool(layer: torch.nn.AvgPool2d, x: torch.Tensor) -> torch.Tensor:
        if _joined(x):
            out: torch.Tensor = _function().apply(x, _side(layer))
            return out
        return torch.nn.functional.avg_pool2d(x, layer.kernel_size, layer.stride)

    for first, second in pairwise(layers):
        if type(first) is torch.nn.ReLU and first.inplace and type(second) is torch.nn.AvgPool2d and _side(second):
            first.forward = activate.__get__(first)  # type: ignore[method-assign]
            second.forward = pool.__get__(second)  # type: ignore[method-assign]


def _joined(x: torch.Tensor) -> bool:
    import torch

    return x.device.type == "cpu" and torch.is_grad_enabled() and x.requires_grad


def _side(layer: torch.nn.AvgPool2d) -> int:
    """Of the squares, if they lie side by side and nothing is counted beyond the map; else 0."""
    sides = {*_both(layer.kernel_size), *_both(layer.stride)}
    plain = layer.padding in (0, (0, 0)) and not layer.ceil_mode and layer.divisor_override is None
    return int(sides.pop()) if len(sides) == 1 and plain else 0


def _both(lengths: int | tuple[int, int]) -> tuple[int, int]:
    return (lengths, lengths) if isinstance(lengths, int) else lengths


@functools.cache
def _function() -> Any:
    """The autograd function, made at its first use: torch is loaded by then."""
    import torch
    from torch.nn import functional

    class RectifiedMean(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, side: int) -> torch.Tensor:
            # Seen by nobody else: what comes before, a convolution or a normalisation, does not look at its output.
            activated = x.detach().relu_()
            ctx.save_for_backward(x)
            ctx.side = side
            return functional.avg_pool2d(activated, side)

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
            side = ctx.side
            map = ctx.saved_tensors[0].detach()
            places = map.permute(0, 2, 3, 1)
            each = (gradients[0] / side**2).permute(0, 2, 3, 1)
            height, width = side * each.shape[1], side * each.shape[2]
            squares: Any = places[:, :height, :width]
            squares = squares.unflatten(2, (-1, side)).unflatten(1, (-1, side))
            torch.ops.aten.threshold_backward.grad_input(each[:, :, None, :, None], squares, 0, grad_input=squares)
            places[:, height:] = 0
            places[:, :height, width:] = 0
            return map, None

    return RectifiedMean
