"""Convolutions that train fast on a CPU; what is learnt stays the same.

- In bfloat16 oneDNN has slow gradients of depthwise convolutions: see `depthwise`.
- In float32 3x3 convolutions of many channels need a quarter of the multiplications: see `winograd`.
- On a processor with AVX2 alone the weights' gradient of the others takes oneDNN two to four times as long as the
  forward pass: see `weight_gradients`.

Measured by `benchmarks/backbone_step.py` and `benchmarks/convolution_gradients.py`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from certero.learn import cores, depthwise, winograd
from certero.learn.weight_gradients import FEW_CHANNELS, weight_gradient

if TYPE_CHECKING:
    import torch

# With fewer channels products of matrices are too thin to be fast.
_LEAST_CHANNELS = 16


def speed_up_convolutions(network: torch.nn.Module) -> None:
    """Gives each convolution of a network the faster ways to train, where they apply; in place.

    Answers are torch's own but for rounding, and to the last bit where no gradient is asked for.
    """
    import torch

    def forward(layer: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        return convolve(layer, x, layer.weight, layer.bias)

    for layer in network.modules():
        if type(layer) is torch.nn.Conv2d and (depthwise.applies(layer) or _is_dense(layer)):
            layer.forward = forward.__get__(layer)  # type: ignore[method-assign]


def convolve(layer: torch.nn.Conv2d, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """What a convolution gives with other weights in place of its own, [N, C, h, w], in the faster ways to train.

    Args:
        layer: its stride, padding, dilation and groups; it pads with zeros.
        x: input, [N, c, H, W].
        weight: of the shape of the layer's own.
        bias: [C], or None.
    """
    import torch

    stride, padding = layer.stride[0], layer.padding[0]
    if x.device.type == "cpu" and torch.is_grad_enabled():
        low = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        if low == torch.bfloat16 and depthwise.applies(layer):
            offset = None if bias is None else bias.to(low)
            faster: torch.Tensor = _function().apply(x.to(low), weight.to(low), offset, stride, padding, False)
            return faster
        if low == torch.bfloat16 and winograd.fits(layer, low=True) and winograd.gains(x, int(padding), low=True):
            in_low: torch.Tensor = _function().apply(x.to(low), weight, bias, stride, padding, True)
            return in_low
        if low is None and x.dtype == torch.float32 and _is_dense(layer):
            in_tiles = winograd.fits(layer) and winograd.gains(x, int(padding))
            if in_tiles or cores.are_faster():
                result: torch.Tensor = _function().apply(x, weight, bias, stride, padding, in_tiles)
                return result
    return torch.nn.functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def _is_dense(layer: torch.nn.Conv2d) -> bool:
    return (
        layer.groups == 1
        and layer.out_channels >= _LEAST_CHANNELS
        and (layer.in_channels >= _LEAST_CHANNELS or layer.in_channels <= FEW_CHANNELS)
        and min(layer.kernel_size) > 1
        and layer.stride == (1, 1)
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and layer.padding[0] == layer.padding[1]
    )


@functools.cache
def _function() -> Any:
    """The autograd function, made at its first use: torch is loaded by then."""
    import torch
    from torch.nn import functional

    class Convolution(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any,
            x: torch.Tensor,
            weight: torch.Tensor,
            bias: torch.Tensor | None,
            stride: int,
            padding: int,
            in_tiles: bool,
        ) -> torch.Tensor:
            ctx.save_for_backward(x, weight)
            ctx.stride, ctx.padding, ctx.in_tiles = stride, padding, in_tiles
            if in_tiles:
                return winograd.convolve(x, weight, bias, padding)
            # One input channel a kernel is a depthwise one.
            ctx.groups = len(weight) if weight.shape[1] == 1 else 1
            return functional.conv2d(x, weight, bias, stride, padding, 1, ctx.groups)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            x, weight = ctx.saved_tensors
            gradient = gradient.contiguous(memory_format=torch.channels_last)
            wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
            if ctx.in_tiles:
                wanted = (wants_x, wants_weight, wants_bias)
                return *winograd.gradients(gradient, x, weight, ctx.padding, wanted), None, None, None
            of_x = of_weight = None
            if ctx.groups > 1:
                if wants_x:
                    of_x = depthwise.input_gradient(gradient, x, weight, ctx.stride, ctx.padding)
                if wants_weight:
                    of_weight = depthwise.weight_gradient(gradient, x, weight, ctx.stride, ctx.padding)
            else:
                if wants_x:
                    of_x = depthwise.torch_gradient(gradient, x, weight, 1, ctx.padding, 1, "input")
                if wants_weight:
                    of_weight = weight_gradient(gradient, x, weight, ctx.padding)
            return of_x, of_weight, gradient.sum((0, 2, 3)) if wants_bias else None, None, None, None

    return Convolution
