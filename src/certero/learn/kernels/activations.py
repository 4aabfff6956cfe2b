"""Activations that write over their input, without a copy for the way back.

A ReLU6 in place makes torch keep a copy of its input, although what its gradient needs can be read off the output. And
of any activation the gradient can be written over the one that comes in, where no other layer looks at that: of the
largest maps of a network from scratch, this is the memory that its training needs most of all.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def activate_in_place(network: torch.nn.Module, *, in_sequence: bool) -> None:
    """Saves memory at the activations of a network that write over their input; what is learnt stays the same.

    Args:
        network: changed in place.
        in_sequence: whether each layer feeds the next one and no other. Only then may gradients be written over, and
            only then is a ReLU, of which torch keeps no copy, worth the change.
    """
    import torch

    kinds = torch.nn.ReLU | torch.nn.ReLU6 if in_sequence else torch.nn.ReLU6
    for layer in network.modules():
        if isinstance(layer, kinds) and layer.inplace:
            most = 6.0 if isinstance(layer, torch.nn.ReLU6) else float("inf")
            # Not a closure over the layer: a copy of the network must compute by itself.
            layer.forward = functools.partial(_activate, most, in_sequence)  # type: ignore[method-assign]


def _activate(most: float, in_sequence: bool, x: torch.Tensor) -> torch.Tensor:
    import torch
    from torch.nn import functional

    if torch.is_grad_enabled() and x.requires_grad:
        activated: torch.Tensor = _function().apply(x, most, in_sequence)
        return activated
    return functional.relu(x, inplace=True) if most == float("inf") else functional.relu6(x, inplace=True)


@functools.cache
def _function() -> Any:
    """The autograd function, made at its first use: torch is loaded by then."""
    import torch

    class Activation(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, most: float, in_sequence: bool) -> torch.Tensor:
            activated = x.relu_() if most == float("inf") else x.clamp_(0, most)
            ctx.mark_dirty(x)
            ctx.save_for_backward(activated)
            ctx.most, ctx.in_sequence = most, in_sequence
            return activated

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            # Where the output is strictly between the limits, the input was.
            (gradient,), (activated,) = gradients, ctx.saved_tensors
            into = gradient if ctx.in_sequence and _fills_its_memory(gradient) else torch.empty_like(gradient)
            ops = torch.ops.aten
            if ctx.most == float("inf"):
                ops.threshold_backward.grad_input(gradient, activated, 0, grad_input=into)
            else:
                ops.hardtanh_backward.grad_input(gradient, activated, 0.0, ctx.most, grad_input=into)
            return into, None, None

    return Activation


def _fills_its_memory(tensor: torch.Tensor) -> bool:
    """Whether each element has a place of its own: the gradient of a mean is one number seen many times."""
    import torch

    return tensor.is_contiguous() or (tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
