"""How long a network takes to train and to judge, from a few steps of the real loop; what it learns is thrown away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from certero.config.settings import TrainSettings
from certero.learn.augment import Augmentation, augment, draw
from certero.learn.kernels.heap import kept_memory
from certero.learn.loop import Examples, Progression, freeze, judge, take_step
from certero.learn.optimisers import build_optimiser

if TYPE_CHECKING:
    import torch

# About so many seconds, between these numbers of steps.
_SECONDS, _LEAST_STEPS, _MOST_STEPS = 5.0, 3, 12


def time_steps(
    network: torch.nn.Module,
    train: Examples,
    judged: Examples,
    n_outputs: int,
    settings: TrainSettings,
    *,
    augmentation: Augmentation,
    side: int,
    device: str,
    in_bf16: bool,
) -> tuple[int, float, float]:
    """Steps taken, and wall seconds of a photo trained on and of a photo judged.

    Args:
        network: of `learn.classifier`; its weights change.
        train: photos of one step, in memory.
        judged: photos at the size at which they are judged.
        n_outputs: F, what training tells apart.
        settings: of the training.
        augmentation: what happens to the photos of train.
        side: of the network's input, pixels.
        device: `cpu`, `cuda` or `mps`.
        in_bf16: whether convolutions and products run in bfloat16.
    """
    import torch

    n = len(train.truth)
    images = next(train.store.read([np.arange(n)]))
    draws = draw(settings.seed, 0, train.keys.tolist())
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = torch.ones(n_outputs, device=device)
    targets = torch.nn.functional.one_hot(torch.from_numpy(train.outputs), n_outputs).float().to(device)
    at, took = Progression(micro_batch=settings.batch_size), list[float]()
    with kept_memory(device):
        freeze(network, only_last=False)
        optimiser = build_optimiser(network, settings, device)
        while len(took) < _LEAST_STEPS or (sum(took) < _SECONDS and len(took) < _MOST_STEPS):
            start = time.perf_counter()
            x = augment(torch.from_numpy(images).to(device), draws, augmentation, side)
            take_step(network, optimiser, x, targets, weights, settings, at, device, in_bf16)
            took.append(time.perf_counter() - start)
            at.step += 1
        del optimiser
        start = time.perf_counter()
        judge(network, judged, device, in_bf16)
        judging = time.perf_counter() - start
    # The first step also sets up what the others use again.
    return len(took), sum(took[1:]) / len(took[1:]) / n, judging / n
