"""Large dense layers on a CPU: the gradient of their weights has one place for all steps.

The first dense layer of a network that flattens its last map can hold most of its weights. Torch asks for memory for
their gradient anew at each step; between the maps that come and go such a block hardly ever fits where the last one
lay, and the process grows by one more.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Smaller ones find a place anywhere.
_LEAST_BYTES = 64_000_000


def keep_gradient_places(network: torch.nn.Module, least_bytes: int = _LEAST_BYTES) -> None:
    """Lets each dense layer with so large a weight write its gradient where it wrote the last one; in place.

    What is learnt stays the same. In bfloat16 and on other devices torch's own way is taken.
    """
    import torch

    for layer in network.modules():
        if type(layer) is torch.nn.Linear and 4 * layer.weight.numel() >= least_bytes:
            # Not a closure: a copy of the network must compute with its own layer.
            layer.forward = functools.partial(_dense, layer, [])  # type: ignore[method-assign]


def _dense(layer: torch.nn.Linear, place: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    import torch

    plain = x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    if plain or not (torch.is_grad_enabled() and layer.weight.requires_grad):
        return torch.nn.functional.linear(x, layer.weight, layer.bias)
    out: torch.Tensor = _function().apply(x, layer.weight, layer.bias, place)
    return out


@functools.cache
def _function() -> Any:
    """The autograd function, made at its first use: torch is loaded by then."""
    import torch

    class Dense(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, place: list[torch.Tensor]
        ) -> torch.Tensor:
            ctx.save_for_backward(x)
            # Not saved: its gradient must go to the very parameter.
            ctx.weight, ctx.place = weight, place
            return torch.nn.functional.linear(x, weight, bias)

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            (gradient,), (x,), weight, place = gradients, ctx.saved_tensors, ctx.weight, ctx.place
            wants_x, _wants_weight, wants_bias, _place = ctx.needs_input_grad
            if weight.grad is None:
                if not place:
                    place.append(torch.empty_like(weight, requires_grad=False))
                weight.grad = torch.mm(gradient.t(), x, out=place[0])
            else:
                weight.grad.addmm_(gradient.t(), x)
            of_x = gradient @ weight if wants_x else None
            return of_x, None, gradient.sum(0) if wants_bias else None, None

    return Dense
