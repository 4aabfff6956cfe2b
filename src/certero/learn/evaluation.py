"""How good a network is on photos that it does not learn from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from certero.learn.batches import deal
from certero.learn.classifier import Classifier
from certero.learn.computing import autocast
from certero.learn.devices import Trainer
from certero.learn.examples import Examples

_BATCH = 64


class Evaluation(NamedTuple):
    """Outputs of a network on some photos, and how right they are.

    Args:
        logits: of the classes, float64 [n, K].
        loss: mean log loss.
        accuracy: share of the photos whose class has the highest logit.
    """

    logits: NDArray[np.float64]
    loss: float
    accuracy: float


def evaluate(network: Classifier, examples: Examples, trainer: Trainer) -> Evaluation:
    """Logits, mean log loss and accuracy of a network on photos; it is left in evaluation mode.

    Args:
        network: on the trainer's device.
        examples: photos.
        trainer: device and precision.
    """
    network.eval()
    rows = [np.arange(part.start, part.stop) for part in deal(len(examples.truth), _BATCH)]
    parts = []
    with torch.inference_mode():
        for images in examples.store.read(rows):
            with autocast(trainer):
                logits, _embedding, _map = network(torch.from_numpy(images).to(trainer.device))
            parts.append(logits.float().cpu())
        logits = torch.cat(parts).double()
        truth = torch.from_numpy(examples.truth)
        loss = float(torch.nn.functional.cross_entropy(logits, truth))
        accuracy = float((logits.argmax(dim=1) == truth).double().mean())
    return Evaluation(logits.numpy(), loss, accuracy)
