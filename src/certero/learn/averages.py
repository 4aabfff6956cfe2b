"""Means of weights: over the steps of a training, and between its beginning and its end."""

from __future__ import annotations

import torch

from certero.learn.classifier import Classifier, frozen_tensors


def follow(average: torch.nn.Module, network: torch.nn.Module, decay: float, step: int) -> None:
    """Moves the exponential moving average towards the network: faster at first, when the average means nothing yet.

    Args:
        average: changed in place.
        network: after its update.
        decay: share of the average that stays, once many steps were taken.
        step: from 0.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        ours, theirs = average.state_dict(), network.state_dict()
        floats = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in floats], [theirs[name] for name in floats], share)
        for name in ours.keys() - set(floats):
            ours[name].copy_(theirs[name])


def beginning(network: Classifier) -> dict[str, torch.Tensor]:
    """A copy of every tensor that training can change, by name; those of frozen stages are left out."""
    kept = frozen_tensors(network)
    named = network.state_dict(keep_vars=True).items()
    return {name: tensor.detach().clone() for name, tensor in named if id(tensor) not in kept}


def mix(mixed: torch.nn.Module, origin: dict[str, torch.Tensor], learnt: torch.nn.Module, share: float) -> None:
    """Sets a network to the weighted mean of where training began and where it is.

    The end fits these photos, the beginning fits others, and networks on the line between them do both.
    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.

    Args:
        mixed: changed in place.
        origin: of `beginning`.
        learnt: where training is.
        share: weight of the beginning.
    """
    mixed.load_state_dict(learnt.state_dict())
    ours = mixed.state_dict()
    with torch.no_grad():
        for name, first in origin.items():
            if first.is_floating_point():
                ours[name].lerp_(first, share)
