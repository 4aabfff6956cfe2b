"""Convolutions that train fast on a CPU; what they learn stays the same but for rounding.

- In bfloat16, oneDNN has slow gradients of depthwise convolutions: see `depthwise`.
- 3x3 convolutions of many channels need a quarter of the multiplications: see `winograd`.
- On a processor with AVX2 alone, oneDNN's weight gradient of the others takes two to four times as long as the forward
  pass: see `weight_gradients`.

Measured by `benchmarks/backbone_step.py` and `benchmarks/convolution_gradients.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from certero.learn.kernels import cores, depthwise, winograd
from certero.learn.kernels.weight_gradients import FEW_CHANNELS, weight_gradient

# With fewer channels the matrix products are too thin to be fast.
_LEAST_CHANNELS = 16


def speed_up_convolutions(network: torch.nn.Module) -> None:
    """Gives each convolution of a network the faster methods of training, where they apply; in place.

    Outputs are torch's own but for rounding, and to the last bit where no gradient is wanted.
    """

    def forward(layer: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        return convolve(layer, x, layer.weight, layer.bias)

    for layer in network.modules():
        if type(layer) is torch.nn.Conv2d and (depthwise.applies(layer) or _is_dense(layer)):
            layer.forward = forward.__get__(layer)  # type: ignore[method-assign]


def convolve(layer: torch.nn.Conv2d, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Output of a convolution with other weights in place of its own, [N, C, h, w], by the fastest method of training.

    Args:
        layer: its stride, padding, dilation and groups; it pads with zeros.
        x: input, [N, c, H, W].
        weight: of the shape of the layer's own.
        bias: [C], or None.
    """
    in_bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    if x.device.type == "cpu" and torch.is_grad_enabled() and (method := _choose_method(layer, x, in_bf16)) is not None:
        x = x.to(torch.bfloat16) if in_bf16 else x
        out: torch.Tensor = _Convolution.apply(x, weight, bias, layer.stride[0], layer.padding[0], method)
        return out
    return torch.nn.functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


class _Method(NamedTuple):
    """How a convolution is computed.

    Args:
        forward: from the input, weights and bias in float32, stride, and padding to the output.
        backward: from the output's gradient, input, weights, stride, padding, and which of the two are wanted, to the
            gradients of input and weights, None where not wanted. The weights' may have the dtype of the input.
    """

    forward: Callable[..., torch.Tensor]
    backward: Callable[..., tuple[torch.Tensor | None, torch.Tensor | None]]


def _choose_method(layer: torch.nn.Conv2d, x: torch.Tensor, in_bf16: bool) -> _Method | None:
    """The fastest one that is known for a layer and its input; None where that is torch's own."""
    if in_bf16 and depthwise.applies(layer):
        return _DEPTHWISE
    if not in_bf16 and (x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")):
        return None
    if winograd.fits(layer, in_bf16) and winograd.gains(x, int(layer.padding[0]), in_bf16):
        return _WINOGRAD
    return _BANDS if not in_bf16 and cores.are_faster() and _is_dense(layer) else None


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


def _winograd_forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, _stride: int, padding: int
) -> torch.Tensor:
    return winograd.convolve(x, weight, bias, padding)


def _winograd_backward(
    grad_output: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    _stride: int,
    padding: int,
    wanted: tuple[bool, bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    return winograd.gradients(grad_output, x, weight, padding, wanted)


def _depthwise_forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: int, padding: int
) -> torch.Tensor:
    bias = None if bias is None else bias.to(x.dtype)
    return torch.nn.functional.conv2d(x, weight.to(x.dtype), bias, stride, padding, 1, len(weight))


def _depthwise_backward(
    grad_output: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: int,
    padding: int,
    wanted: tuple[bool, bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    given = (grad_output, x, weight.to(x.dtype), stride, padding)
    return (
        depthwise.input_gradient(*given) if wanted[0] else None,
        depthwise.weight_gradient(*given) if wanted[1] else None,
    )


def _band_forward(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: int, padding: int
) -> torch.Tensor:
    return torch.nn.functional.conv2d(x, weight, bias, stride, padding)


def _band_backward(
    grad_output: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: int,
    padding: int,
    wanted: tuple[bool, bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    return (
        depthwise.torch_gradient(grad_output, x, weight, stride, padding, 1, "input") if wanted[0] else None,
        weight_gradient(grad_output, x, weight, padding) if wanted[1] else None,
    )


_WINOGRAD = _Method(_winograd_forward, _winograd_backward)
_DEPTHWISE = _Method(_depthwise_forward, _depthwise_backward)
_BANDS = _Method(_band_forward, _band_backward)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: int,
        padding: int,
        method: _Method,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding, ctx.method = stride, padding, method
        return method.forward(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_output = grad_outputs[0].contiguous(memory_format=torch.channels_last)
        *wanted, wants_bias = ctx.needs_input_grad[:3]
        grad_input, grad_weight = ctx.method.backward(grad_output, x, weight, ctx.stride, ctx.padding, tuple(wanted))
        # Summed in the dtype of the feature maps: torch has fast code for that alone.
        grad_bias = grad_output.sum((0, 2, 3)).to(weight.dtype) if wants_bias else None
        return grad_input, None if grad_weight is None else grad_weight.to(weight.dtype), grad_bias, None, None, None
