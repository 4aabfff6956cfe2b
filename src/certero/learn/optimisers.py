"""What turns gradients into updates, and how large they are at each step."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from certero.config.settings import TrainSettings

if TYPE_CHECKING:
    import torch

_WARM_SHARE = 0.25
_START_SHARE, _END_SHARE = 1 / 25, 1e-4
# Where torch notes what its compiler shall leave alone.
_MARKED = "__dynamo_disable"


def rate(settings: TrainSettings, step: int, steps: int) -> float:
    """Learning rate at a step, a function of the position alone.

    `one-cycle` rises for a quarter of the steps from 1/25 of the rate and falls to nearly nothing, both along a cosine.
    Source: Smith & Topin, "Super-convergence", 2019; Loshchilov & Hutter, "SGDR", ICLR 2017 (cosine).

    Args:
        settings: `lr` and `schedule`.
        step: from 0.
        steps: of the whole training.
    """
    lr = settings.lr
    if settings.schedule == "constant" or steps < 2:
        return lr
    at = step / (steps - 1)
    if settings.schedule == "cosine":
        return lr * (_END_SHARE + (1 - _END_SHARE) * (1 + math.cos(math.pi * at)) / 2)
    if at < _WARM_SHARE:
        return lr * (1 + (_START_SHARE - 1) * (1 + math.cos(math.pi * at / _WARM_SHARE)) / 2)
    return lr * (_END_SHARE + (1 - _END_SHARE) * (1 + math.cos(math.pi * (at - _WARM_SHARE) / (1 - _WARM_SHARE))) / 2)


def build_optimiser(network: torch.nn.Module, settings: TrainSettings, device: str) -> torch.optim.Optimizer:
    """The optimiser of the settings, with one group of parameters for each rate.

    A backbone's blocks learn the slower the lower they are, its biases and normalisations without weight decay.
    """
    import torch

    _forgo_compiler()
    groups = _groups(network, settings)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.momentum > 0,
        )
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    # One pass over weights, gradients and both moments instead of a dozen.
    fused = device in ("cpu", "cuda")
    optimiser = kind(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused)
    # Torch makes the moments in the first step, amid memory that a step gives back: in nobody's way is before it.
    for parameter in network.parameters():
        optimiser.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=device if fused else "cpu"),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return optimiser


def update(optimiser: torch.optim.Optimizer) -> None:
    """One step of the optimiser, by torch's own method without what stands around it for torch's compiler."""
    import torch

    with torch.no_grad():
        inspect.unwrap(type(optimiser).step)(optimiser)


def _forgo_compiler() -> None:
    """Keeps torch's compiler from being loaded, 150 MB and seconds, to mark an optimiser's methods as not for it.

    Torch marks a method at its first call and notes the marked one on it; here that is the method itself. Should torch
    come to do it in another way, the compiler is loaded, and nothing else changes.
    """
    import torch

    for method in vars(torch.optim.Optimizer).values():
        if callable(plain := getattr(method, "__wrapped__", None)) and not hasattr(plain, _MARKED):
            setattr(plain, _MARKED, plain)


def _groups(network: torch.nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    body = getattr(network, "body", None)
    if body is None:
        return [{"params": list(network.parameters())}]
    from timm.optim import param_groups_layer_decay

    groups: list[dict[str, Any]] = param_groups_layer_decay(
        body, weight_decay=settings.weight_decay, layer_decay=settings.layer_decay
    )
    last = list(network.last.parameters())  # type: ignore[union-attr]
    groups = [
        {"params": group["params"], "weight_decay": group["weight_decay"], "lr_scale": group["lr_scale"]}
        for group in groups
    ]
    return [*groups, {"params": last, "weight_decay": settings.weight_decay, "lr_scale": 1.0}]
