"""ReLU and the average pooling behind it in one step, whose gradient overwrites the feature map before it.

All that the gradient needs of the feature map is where it is above 0. So the largest feature maps of a network are in
memory once, not twice, and the backward pass reads them once instead of twice.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional


def join_activations_and_pooling(layers: torch.nn.Sequential) -> None:
    """Joins each in-place ReLU with the average pooling behind it, if its windows do not overlap; in place.

    Gradients are torch's own to the last bit. A second backward pass through the same graph raises RuntimeError.
    """

    def activate(layer: torch.nn.ReLU, x: torch.Tensor) -> torch.Tensor:
        return x if _is_trained(x) else functional.relu(x, inplace=layer.inplace)

    def pool(layer: torch.nn.AvgPool2d, x: torch.Tensor) -> torch.Tensor:
        if _is_trained(x):
            out: torch.Tensor = _ReluAveragePool.apply(x, _window(layer))
            return out
        return functional.avg_pool2d(x, layer.kernel_size, layer.stride)

    for first, second in pairwise(layers):
        if type(first) is torch.nn.ReLU and first.inplace and type(second) is torch.nn.AvgPool2d and _window(second):
            first.forward = activate.__get__(first)  # type: ignore[method-assign]
            second.forward = pool.__get__(second)  # type: ignore[method-assign]


def _is_trained(x: torch.Tensor) -> bool:
    return x.device.type == "cpu" and torch.is_grad_enabled() and x.requires_grad


def _window(layer: torch.nn.AvgPool2d) -> int:
    """Side of the windows, if they are squares side by side without padding; else 0."""
    sides = {*_both(layer.kernel_size), *_both(layer.stride)}
    plain = layer.padding in (0, (0, 0)) and not layer.ceil_mode and layer.divisor_override is None
    return int(sides.pop()) if len(sides) == 1 and plain else 0


def _both(lengths: int | tuple[int, int]) -> tuple[int, int]:
    return (lengths, lengths) if isinstance(lengths, int) else lengths


class _ReluAveragePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, side: int) -> torch.Tensor:
        # In place, unseen: the layer before, a convolution or a normalisation, does not read its output again.
        activated = x.detach().relu_()
        ctx.save_for_backward(x)
        ctx.side = side
        return functional.avg_pool2d(activated, side)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        side = ctx.side
        map = ctx.saved_tensors[0].detach()
        grad_input = map.permute(0, 2, 3, 1)
        each = (grad_outputs[0] / side**2).permute(0, 2, 3, 1)
        height, width = side * each.shape[1], side * each.shape[2]
        windows: Any = grad_input[:, :height, :width]
        windows = windows.unflatten(2, (-1, side)).unflatten(1, (-1, side))
        torch.ops.aten.threshold_backward.grad_input(each[:, :, None, :, None], windows, 0, grad_input=windows)
        # Rows and columns that fill no window.
        grad_input[:, height:] = 0
        grad_input[:, :height, width:] = 0
        return map, None
