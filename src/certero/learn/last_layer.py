"""A last layer that starts as a linear probe.

A layer that starts from random weights sends meaningless gradients through the pretrained layers below it until it has
learnt, and meanwhile these forget what they knew of other photos. Source: Kumar et al., "Fine-tuning can distort
pretrained features and underperform out-of-distribution", ICLR 2022.
"""

from __future__ import annotations

import numpy as np
import torch

from certero.engine.blas import one_blas_thread
from certero.learn.augment import DRAWS, Augmentation, augment
from certero.learn.batches import deal
from certero.learn.classifier import Classifier
from certero.learn.computing import autocast
from certero.learn.devices import Trainer
from certero.learn.examples import TrainingData
from certero.learn.memory import kept_memory
from certero.probe.probe import fit_head

_BATCH = 64


def start_last_layer(network: Classifier, data: TrainingData, strength: float, trainer: Trainer) -> None:
    """Sets the last layer of a classifier to a logistic regression on the embeddings of the training photos, in place.

    Args:
        network: on the CPU.
        data: photos of train, which are shown without augmentation; those of val are not looked at.
        strength: C of the regression.
        trainer: device and precision.
    """
    network.to(trainer.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    train, weights = data.train, data.output_weights
    rows = [np.arange(part.start, part.stop) for part in deal(len(train.truth), _BATCH)]
    parts = []
    with torch.inference_mode(), kept_memory(trainer.device):
        for images in train.store.read(rows):
            untouched = np.zeros((len(images), DRAWS), np.float32)
            x = augment(torch.from_numpy(images).to(trainer.device), untouched, Augmentation(), data.side)
            with autocast(trainer):
                embedding, _map = network.features(x.contiguous(memory_format=torch.channels_last))
            parts.append(embedding.float().cpu().numpy())
    with one_blas_thread():
        head = fit_head(
            np.concatenate(parts), train.outputs, len(weights), strength, weights[train.outputs], rooted=False
        )
    coefficients, intercepts = head.folded()
    with torch.no_grad():
        network.last.weight.copy_(torch.from_numpy(coefficients))
        # An output without photos has a bias that no other can reach; training must be able to move it.
        network.last.bias.copy_(torch.from_numpy(np.maximum(intercepts, intercepts.max() - 20)))
