"""Gradients of depthwise convolutions in bfloat16 on a CPU, by those kernels of oneDNN that are fast there.

oneDNN has fast bfloat16 kernels for depthwise convolutions of stride 1, and for the weight gradient of 3x3 ones; for
the others it falls back to reference code that takes up to fifty times as long, which is most of the training of a
network of the EfficientNet or MobileNet family. The fast kernels can compute the same sums:

- the input gradient at stride 2 is a convolution of stride 1 over the output gradient, dilated with zeros;
- the weight gradient of a 5x5 kernel is that of four 3x3 kernels over shifted inputs.

Measured by `benchmarks/backbone_step.py --precision bf16`.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def applies(layer: torch.nn.Conv2d) -> bool:
    """Whether a layer is a depthwise convolution of 3x3 or 5x5 that keeps the size at stride 1."""
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


def torch_gradient(
    grad_output: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: int,
    padding: int,
    groups: int,
    wanted: str,
) -> torch.Tensor:
    """A gradient of a convolution as torch computes it: of the input, [N, c, H, W], or of the weights.

    Args:
        grad_output: gradient of the output, [N, C, h, w].
        x: input, [N, c, H, W].
        weight: [C, c / groups, k, k].
        stride: of the kernel, the same both ways.
        padding: zeros around the input, the same on all sides.
        groups: of the channels.
        wanted: `input` or `weight`.
    """
    mask = [wanted == "input", wanted == "weight", False]
    gradients: tuple[torch.Tensor, ...] = torch.ops.aten.convolution_backward(
        grad_output, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, mask
    )
    return gradients[mask.index(True)]


def input_gradient(
    grad_output: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    """Gradient of the input of a depthwise convolution, [N, C, H, W].

    Args:
        grad_output: gradient of the output, [N, C, h, w], channels last.
        x: input, of which only the shape is used, [N, C, H, W].
        weight: [C, 1, k, k].
        stride: of the kernel, the same both ways.
        padding: zeros around the input, k // 2.
    """
    if stride == 1:
        return torch_gradient(grad_output, x, weight, 1, padding, len(weight), "input")
    n, channels, height, width = x.shape
    dilated = grad_output.new_zeros((n, height, width, channels)).permute(0, 3, 1, 2)
    dilated[:, :, ::stride, ::stride] = grad_output
    return functional.conv2d(dilated, weight.flip(2, 3), None, 1, padding, 1, channels)


def weight_gradient(
    grad_output: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    """Gradient of the weights of a depthwise convolution, [C, 1, k, k]; arguments as for `input_gradient`."""
    n, channels, height, width = x.shape

    def native(x: torch.Tensor, weight: torch.Tensor, grad_output: torch.Tensor, padding: int) -> torch.Tensor:
        return torch_gradient(grad_output, x, weight, stride, padding, channels, "weight")

    if weight.shape[2] == 3:
        return native(x, weight, grad_output, padding)
    if stride > 1:
        return native(x.float(), weight.float(), grad_output.float(), padding).to(weight.dtype)
    rows, columns = grad_output.shape[2:]
    padded = x.new_zeros((n, rows + 5, columns + 5, channels))
    padded[:, padding : padding + height, padding : padding + width] = x.permute(0, 2, 3, 1)
    found = weight.new_empty((channels, 1, 6, 6))
    small = weight[:, :, :3, :3].contiguous()
    for top in (0, 3):
        for left in (0, 3):
            part = padded[:, top : top + rows + 2, left : left + columns + 2].contiguous().permute(0, 3, 1, 2)
            found[:, :, top : top + 3, left : left + 3] = native(part, small, grad_output, 0)
    # The sixth row and column belong to no weight.
    return found[:, :, :5, :5].contiguous()
