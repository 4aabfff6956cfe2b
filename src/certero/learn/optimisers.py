"""What turns gradients into updates of the weights."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from certero.config.settings import TrainSettings
from certero.learn.classifier import BackboneClassifier, Classifier

# Where torch notes what its compiler must leave alone.
_MARKED = "__dynamo_disable"


def build_optimiser(network: Classifier, settings: TrainSettings, device: str) -> torch.optim.Optimizer:
    """The optimiser of the settings, with one group of parameters for each rate.

    The lower a block of a backbone, the slower it learns; biases and normalisations have no weight decay.

    Args:
        network: of `learn.classifier`, on the device.
        settings: optimizer, rates and decays.
        device: `cpu`, `cuda` or `mps`.
    """
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
    # Torch would allocate the moments in the first step, amid memory that the step frees, and so fragment it.
    for parameter in network.parameters():
        optimiser.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=device if fused else "cpu"),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return optimiser


def update(optimiser: torch.optim.Optimizer) -> None:
    """One step of the optimiser: torch's own method without the wrapper that loads torch's compiler."""
    with torch.no_grad():
        inspect.unwrap(type(optimiser).step)(optimiser)


def _forgo_compiler() -> None:
    """Keeps torch from loading its compiler, 150 MB and seconds, only to exclude an optimiser's methods from it.

    Torch wraps such a method at its first call and notes the wrapper on the method; here it finds the method itself
    noted. Should torch change this, the compiler is loaded, and nothing else changes.
    """
    for method in vars(torch.optim.Optimizer).values():
        if callable(plain := getattr(method, "__wrapped__", None)) and not hasattr(plain, _MARKED):
            setattr(plain, _MARKED, plain)


def _groups(network: Classifier, settings: TrainSettings) -> list[dict[str, Any]]:
    if not isinstance(network, BackboneClassifier):
        return [{"params": list(network.parameters())}]
    # Not at the top: a network from scratch needs no timm.
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(
        network.body, weight_decay=settings.weight_decay, layer_decay=settings.layer_decay
    )
    last = {"params": list(network.last.parameters()), "weight_decay": settings.weight_decay, "lr_scale": 1.0}
    return [*({name: group[name] for name in last} for group in groups), last]
