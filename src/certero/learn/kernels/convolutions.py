"""Convolutions that train fast on a CPU; what is learnt stays the same.

- In bfloat16 oneDNN has slow gradients of depthwise convolutions: see `depthwise`.
- In float32 3x3 convolutions of many channels need a quarter of the multiplications: see `winograd`.
- On a processor with AVX2 alone the weights' gradient of the others takes oneDNN two to four times as long as the
  forward pass: see `weight_gradients`.

Measured by `benchmarks/backbone_step.py` and `benchmarks/convolution_gradients.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from certero.learn.kernels import cores, depthwise, winograd
from certero.learn.kernels.weight_gradients import FEW_CHANNELS, weight_gradient

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

    low = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    if x.device.type == "cpu" and torch.is_grad_enabled() and (way := _way(layer, x, low)) is not None:
        x = x.to(torch.bfloat16) if low else x
        faster: torch.Tensor = _function().apply(x, weight, bias, layer.stride[0], layer.padding[0], way)
        return faster
    return torch.nn.functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


class _Way(NamedTuple):
    """How a convolution is computed.

    Args:
        answers: made of the input, weights and bias in float32, stride, and padding.
        gradients: of input and weights, None where not wanted, made of the output's gradient, the same without the
            bias, and which of the two are wanted. The weights' may be of the maps' kind.
    """

    answers: Callable[..., torch.Tensor]
    gradients: Callable[..., tuple[torch.Tensor | None, torch.Tensor | None]]


def _way(layer: torch.nn.Conv2d, x: torch.Tensor, low: bool) -> _Way | None:
    """The fastest one that is known for a layer and its input; None where that is torch's own."""
    import torch

    if low and depthwise.applies(layer):
        return _DEPTHWISE
    if not low and (x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")):
        return None
    if winograd.fits(layer, low) and winograd.gains(x, int(layer.padding[0]), low):
        return _TILES
    return _BANDS if not low and cores.are_faster() and _is_dense(layer) else None


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


def _tile_answers(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, _stride: int, padding: int
) -> torch.Tensor:
    return winograd.convolve(x, weight, bias, padding)


def _tile_gradients(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, _stride: int, padding: int, wanted: tuple[bool, bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    return winograd.gradients(gradient, x, weight, padding, wanted)


def _depthwise_answers(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: int, padding: int
) -> torch.Tensor:
    import torch

    offset = None if bias is None else bias.to(x.dtype)
    return torch.nn.functional.conv2d(x, weight.to(x.dtype), offset, stride, padding, 1, len(weight))


def _depthwise_gradients(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int, wanted: tuple[bool, bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    given = (gradient, x, weight.to(x.dtype), stride, padding)
    return (
        depthwise.input_gradient(*given) if wanted[0] else None,
        depthwise.weight_gradient(*given) if wanted[1] else None,
    )


def _band_answers(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: int, padding: int
) -> torch.Tensor:
    import torch

    return torch.nn.functional.conv2d(x, weight, bias, stride, padding)


def _band_gradients(
    gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int, wanted: tuple[bool, bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    return (
        depthwise.torch_gradient(gradient, x, weight, stride, padding, 1, "input") if wanted[0] else None,
        weight_gradient(gradient, x, weight, padding) if wanted[1] else None,
    )


_TILES = _Way(_tile_answers, _tile_gradients)
_DEPTHWISE = _Way(_depthwise_answers, _depthwise_gradients)
_BANDS = _Way(_band_answers, _band_gradients)


@functools.cache
def _function() -> Any:
    """The autograd function, made at its first use: torch is loaded by then."""
    import torch

    class Convolution(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any,
            x: torch.Tensor,
            weight: torch.Tensor,
            bias: torch.Tensor | None,
            stride: int,
            padding: int,
            way: _Way,
        ) -> torch.Tensor:
            ctx.save_for_backward(x, weight)
            ctx.stride, ctx.padding, ctx.way = stride, padding, way
            return way.answers(x, weight, bias, stride, padding)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            x, weight = ctx.saved_tensors
            gradient = gradient.contiguous(memory_format=torch.channels_last)
            *wanted, wants_bias = ctx.needs_input_grad[:3]
            of_x, of_weight = ctx.way.gradients(gradient, x, weight, ctx.stride, ctx.padding, tuple(wanted))
            # In the maps' own kind: torch has fast code for that alone.
            of_bias = gradient.sum((0, 2, 3)).to(weight.dtype) if wants_bias else None
            return of_x, None if of_weight is None else of_weight.to(weight.dtype), of_bias, None, None, None

    return Convolution
