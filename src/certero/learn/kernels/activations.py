"""ReLU and ReLU6 in place, without a copy for the backward pass.

For a ReLU6 in place torch keeps a copy of its input, although its gradient can be read off the output. And the gradient
of any activation can be written over the gradient of its output, where no other layer reads that one: the largest
feature maps of a network from scratch are most of the memory that its training needs.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn import functional


def activate_in_place(network: torch.nn.Module, *, in_sequence: bool) -> None:
    """Saves memory at the in-place activations of a network, in place; what it learns stays the same to the bit.

    Args:
        network: any.
        in_sequence: whether each layer feeds the next one and no other. Only then may gradients be overwritten, and
            only then is a ReLU, of which torch keeps no copy, worth replacing.
    """
    kinds = torch.nn.ReLU | torch.nn.ReLU6 if in_sequence else torch.nn.ReLU6
    for layer in network.modules():
        if isinstance(layer, kinds) and layer.inplace:
            ceiling = 6.0 if isinstance(layer, torch.nn.ReLU6) else float("inf")
            # Not a closure over the layer: a copy of the network must compute by itself.
            layer.forward = functools.partial(_activate, ceiling, in_sequence)  # type: ignore[method-assign]


def _activate(ceiling: float, in_sequence: bool, x: torch.Tensor) -> torch.Tensor:
    if torch.is_grad_enabled() and x.requires_grad:
        activated: torch.Tensor = _Activation.apply(x, ceiling, in_sequence)
        return activated
    return functional.relu(x, inplace=True) if ceiling == float("inf") else functional.relu6(x, inplace=True)


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, ceiling: float, in_sequence: bool) -> torch.Tensor:
        activated = x.relu_() if ceiling == float("inf") else x.clamp_(0, ceiling)
        ctx.mark_dirty(x)
        ctx.save_for_backward(activated)
        ctx.ceiling, ctx.in_sequence = ceiling, in_sequence
        return activated

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # Where the output is strictly between 0 and the ceiling, so was the input.
        (grad_output,), (activated,) = grad_outputs, ctx.saved_tensors
        reuse = ctx.in_sequence and _fills_its_memory(grad_output)
        grad_input = grad_output if reuse else torch.empty_like(grad_output)
        ops = torch.ops.aten
        if ctx.ceiling == float("inf"):
            ops.threshold_backward.grad_input(grad_output, activated, 0, grad_input=grad_input)
        else:
            ops.hardtanh_backward.grad_input(grad_output, activated, 0.0, ctx.ceiling, grad_input=grad_input)
        return grad_input, None, None


def _fills_its_memory(tensor: torch.Tensor) -> bool:
    """Whether each element has a place of its own: the gradient of a mean is one number with strides of zero."""
    return tensor.is_contiguous() or (tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
