"""What changes from step to step and from epoch to epoch: the learning rate and the size of the photos."""

from __future__ import annotations

import math

import torch

from certero.config.settings import TrainSettings

_WARM_UP_SHARE = 0.25
_START_SHARE, _END_SHARE = 1 / 25, 1e-4


def rate(settings: TrainSettings, step: int, steps: int) -> float:
    """Learning rate at a step; it depends on the position alone.

    `one-cycle` rises from 1/25 of the rate for a quarter of the steps and then falls to nearly nothing, both along a
    cosine. Source: Smith & Topin, "Super-convergence", 2019; Loshchilov & Hutter, "SGDR", ICLR 2017 (cosine).

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
    if at < _WARM_UP_SHARE:
        return lr * (1 + (_START_SHARE - 1) * (1 + math.cos(math.pi * at / _WARM_UP_SHARE)) / 2)
    fallen = (at - _WARM_UP_SHARE) / (1 - _WARM_UP_SHARE)
    return lr * (_END_SHARE + (1 - _END_SHARE) * (1 + math.cos(math.pi * fallen)) / 2)


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate, times the factor of each group of parameters."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def side_of(side: int, settings: TrainSettings, epoch: int) -> int:
    """Side of the training photos in an epoch, pixels: it moves evenly from the first share to the last one.

    A random crop enlarges what it shows, so a network that is judged at a larger side than it was trained at sees
    things at the size it knows; and small photos make the first epochs cheap.
    Source: Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019; Tan & Le, "EfficientNetV2",
    ICML 2021 (progressive size).

    Args:
        side: of the network's input, pixels.
        settings: `train_scale` and `epochs`.
        epoch: from 0.
    """
    first, last = settings.train_scale
    scale = first + (last - first) * (epoch / max(1, settings.epochs - 1))
    # A backbone halves its feature map five times; a network from scratch takes its own size only.
    return side if scale == 1 else max(32, round(side * scale / 16) * 16)


def typical_side(side: int, settings: TrainSettings) -> int:
    """Side at which an epoch takes the mean time of all epochs, pixels: time grows with the area."""
    areas = [side_of(side, settings, epoch) ** 2 for epoch in range(settings.epochs)]
    return round(math.sqrt(sum(areas) / len(areas)))
