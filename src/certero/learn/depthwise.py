"""Gradients of depthwise convolutions in bfloat16 on a CPU, by the kernels that are fast there.

oneDNN has fast bfloat16 kernels for depthwise convolutions of stride 1, and for the weights' gradient of 3x3 ones; for
the others it falls back to reference code that takes up to fifty times as long, and takes most of the training of a
network of the EfficientNet or MobileNet family. The same sums can be had from the fast ones:

- the input's gradient at stride 2 is a convolution of stride 1 over the gradient spread out with zeros;
- the weights' gradient of a 5x5 kernel is that of four 3x3 kernels over shifted inputs.

Measured by `benchmarks/backbone_step.py --precision bf16`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def speed_up_depthwise(network: torch.nn.Module) -> None:
    """Gives each depthwise convolution of a network the faster gradients, where they apply; in place.

    The answers stay what they were: the forward pass is torch's own, and outside of bfloat16 so is the backward.
    """
    import torch

    def forward(layer: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        return convolve(layer, x, layer.weight, layer.bias)

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d) and _applies(layer):
            layer.forward = forward.__get__(layer)  # type: ignore[method-assign]


def convolve(layer: torch.nn.Conv2d, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """What a convolution gives with other weights in place of its own, [N, C, h, w], with the faster gradients.

    Args:
        layer: its stride, padding, dilation and groups; it pads with zeros.
        x: input, [N, c, H, W].
        weight: of the shape of the layer's own.
        bias: [C], or None.
    """
    import torch

    if x.device.type == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu") and _applies(layer):
        low = torch.get_autocast_dtype("cpu")
        if low == torch.bfloat16:
            result: torch.Tensor = _depthwise().apply(
                x.to(low),
                weight.to(low),
                None if bias is None else bias.to(low),
                layer.stride[0],
                layer.padding[0],
            )
            return result
    return torch.nn.functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


@functools.cache
def _depthwise() -> Any:
    """The autograd function, made at its first use: torch is loaded by then."""
    import torch
    from torch.nn import functional

    class Depthwise(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: int, padding: int
        ) -> torch.Tensor:
            ctx.save_for_backward(x, weight)
            ctx.stride, ctx.padding = stride, padding
            return functional.conv2d(x, weight, bias, stride, padding, 1, len(weight))

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            x, weight = ctx.saved_tensors
            gradient = gradient.contiguous(memory_format=torch.channels_last)
            wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
            return (
                input_gradient(gradient, x, weight, ctx.stride, ctx.padding) if wants_x else None,
                weight_gradient(gradient, x, weight, ctx.stride, ctx.padding) if wants_weight else None,
                gradient.sum((0, 2, 3)) if wants_bias else None,
                None,
                None,
            )

    return Depthwise


def _applies(layer: torch.nn.Conv2d) -> bool:
    size, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.kernel_size in ((3, 3), (5, 5))
        and layer.stride == (stride, stride)
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and layer.padding == (padding, padding)
        and padding == size // 2
    )


def input_gradient(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    """Gradient of the input of a depthwise convolution, [N, C, H, W].

    Args:
        gradient: of the output, [N, C, h, w], channels last.
        x: input, of which only the shape is used, [N, C, H, W].
        weight: [C, 1, k, k].
        stride: steps of the kernel, the same both ways.
        padding: zeros around the input, k // 2.
    """
    import torch
    from torch.nn import functional

    if stride == 1:
        found: torch.Tensor = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], len(weight), [True, False, False]
        )[0]
        return found
    n, channels, height, width = x.shape
    # As large as the input plus what the kernel needs; the places between the steps stay zero.
    spread = gradient.new_zeros((n, height, width, channels)).permute(0, 3, 1, 2)
    spread[:, :, ::stride, ::stride] = gradient
    return functional.conv2d(spread, weight.flip(2, 3), None, 1, padding, 1, channels)


def weight_gradient(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    """Gradient of the weights of a depthwise convolution, [C, 1, k, k]; arguments as for `input_gradient`."""
    import torch

    n, channels, height, width = x.shape

    def native(x: torch.Tensor, weight: torch.Tensor, gradient: torch.Tensor, padding: int) -> torch.Tensor:
        found: torch.Tensor = torch.ops.aten.convolution_backward(
            gradient,
            x,
            weight,
            None,
            [stride] * 2,
            [padding] * 2,
            [1, 1],
            False,
            [0, 0],
            channels,
            [False, True, False],
        )[1]
        return found

    if weight.shape[2] == 3:
        return native(x, weight, gradient, padding)
    if stride > 1:
        return native(x.float(), weight.float(), gradient.float(), padding).to(weight.dtype)
    rows, columns = gradient.shape[2:]
    padded = x.new_zeros((n, rows + 5, columns + 5, channels))
    padded[:, padding : padding + height, padding : padding + width] = x.permute(0, 2, 3, 1)
    found = weight.new_empty((channels, 1, 6, 6))
    small = weight[:, :, :3, :3].contiguous()
    for top in (0, 3):
        for left in (0, 3):
            part = padded[:, top : top + rows + 2, left : left + columns + 2].contiguous().permute(0, 3, 1, 2)
            found[:, :, top : top + 3, left : left + 3] = native(part, small, gradient, 0)
    # The sixth row and column belong to no weight.
    return found[:, :, :5, :5].contiguous()
