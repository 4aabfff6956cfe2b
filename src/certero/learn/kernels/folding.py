"""Normalisations that stand still, put into the convolutions before them; what is learnt stays the same.

A normalisation whose statistics are kept is one factor and one offset a channel. Put into the convolution before it, it
costs nothing: no pass over the activations forward, none backward, and no copy kept. The gradients of its own weights
come through the factor.

With activations that keep no copy (`activations`) EfficientNet-Lite0 keeps 29 MB a photo for the way back instead of
79, and a step takes a tenth less time; `benchmarks/backbone_step.py` measures the time, a test the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from certero.learn.kernels.convolutions import convolve

if TYPE_CHECKING:
    import torch
    from torch import fx


def fold_normalisations(body: torch.nn.Module) -> int:
    """Puts each normalisation that alone follows a convolution into it; in place.

    Only for a backbone whose normalisations go by their kept statistics in training, too. For an exported file the
    layers are what they were.

    Returns:
        How many were folded; none in a backbone whose layers cannot be followed.
    """
    pairs = list(_pairs(body))
    for convolution, norm in pairs:
        # Not closures: a copy of the network must compute with its own layers.
        convolution.forward = partial(_convolved, convolution, norm)
        norm.forward = partial(_activated, norm)
    return len(pairs)


def _convolved(convolution: Any, norm: Any, x: torch.Tensor) -> torch.Tensor:
    import torch

    if torch.onnx.is_in_onnx_export():
        plain: torch.Tensor = type(convolution).forward(convolution, x)
        return plain
    factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    offset = norm.bias - norm.running_mean * factor
    if convolution.bias is not None:
        offset = offset + convolution.bias * factor
    return convolve(convolution, x, convolution.weight * factor.reshape(-1, 1, 1, 1), offset)


def _activated(norm: Any, x: torch.Tensor) -> torch.Tensor:
    import torch

    if torch.onnx.is_in_onnx_export():
        plain: torch.Tensor = type(norm).forward(norm, x)
        return plain
    # timm's normalisations have their activation in them, torch's have none.
    answer: torch.Tensor = norm.act(norm.drop(x)) if hasattr(norm, "act") else x
    return answer


def _pairs(body: torch.nn.Module) -> Iterator[tuple[Any, Any]]:
    """Convolutions and the normalisations that are the only ones to see what they give."""
    import torch
    from torch import fx

    graph = trace(body)
    if graph is None:
        return
    modules = dict(body.named_modules())
    called = [node.target for node in graph.nodes if node.op == "call_module"]
    for node in graph.nodes:
        before = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        convolution, norm = modules[str(before.target)], modules[str(node.target)]
        if (
            type(convolution) is torch.nn.Conv2d  # others pad in ways of their own
            and convolution.padding_mode == "zeros"
            and isinstance(norm, torch.nn.BatchNorm2d)
            and norm.affine
            and norm.track_running_stats
            and called.count(before.target) == called.count(node.target) == 1
        ):
            yield convolution, norm


def trace(network: torch.nn.Module) -> fx.Graph | None:
    """The steps of a network, convolutions and normalisations as one step each.

    None where they depend on what it is given: such a network trains all the same, only slower.
    """
    import torch
    from torch import fx

    leaves = (torch.nn.Conv2d, torch.nn.BatchNorm2d)

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
            # timm's own layers of these kinds decide by the shape of what they are given.
            return isinstance(m, leaves) or super().is_leaf_module(m, module_qualified_name)

    try:
        return Tracer().trace(network)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError, AssertionError):
        return None
