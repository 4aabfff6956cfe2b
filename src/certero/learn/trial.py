"""How long a network takes to train and to judge, from a few steps of the real loop; what it learns is thrown away."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import torch

from certero.config.settings import TrainSettings
from certero.learn.augment import augment, draw
from certero.learn.classifier import Classifier, freeze
from certero.learn.devices import Trainer
from certero.learn.evaluation import evaluate
from certero.learn.examples import TrainingData
from certero.learn.memory import kept_memory
from certero.learn.optimisers import build_optimiser
from certero.learn.progression import Progression
from certero.learn.step import take_step

# About so many seconds, between these numbers of steps.
_SECONDS, _LEAST_STEPS, _MOST_STEPS = 5.0, 3, 12


class StepTimes(NamedTuple):
    """Steps taken, and wall seconds of a photo trained on and of a photo judged."""

    steps: int
    train_seconds: float
    judge_seconds: float


def time_steps(network: Classifier, data: TrainingData, settings: TrainSettings, trainer: Trainer) -> StepTimes:
    """Times a few steps of a training.

    Args:
        network: of `learn.classifier`; its weights change.
        data: as many photos of train as one step takes, in memory; as many of val, at the size at which they are
            judged.
        settings: of the training.
        trainer: device and precision.
    """
    assert data.val is not None
    device, n = trainer.device, len(data.train.truth)
    n_outputs = len(data.output_weights)
    images = next(data.train.store.read([np.arange(n)]))
    draws = draw(settings.seed, 0, data.train.keys.tolist())
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = torch.tensor(data.output_weights, dtype=torch.float32, device=device)
    targets = torch.nn.functional.one_hot(torch.from_numpy(data.train.outputs), n_outputs).float().to(device)
    at, took = Progression(micro_batch=settings.batch_size), list[float]()
    with kept_memory(device):
        freeze(network, only_last=False)
        optimiser = build_optimiser(network, settings, device)
        while len(took) < _LEAST_STEPS or (sum(took) < _SECONDS and len(took) < _MOST_STEPS):
            start = time.perf_counter()
            x = augment(torch.from_numpy(images).to(device), draws, data.augmentation, data.side)
            take_step(network, optimiser, x, targets, weights, settings, at, trainer)
            took.append(time.perf_counter() - start)
            at.step += 1
        del optimiser
        start = time.perf_counter()
        evaluate(network, data.val, trainer)
        judging = time.perf_counter() - start
    # The first step also sets up what the others use again.
    return StepTimes(len(took), sum(took[1:]) / len(took[1:]) / n, judging / n)
