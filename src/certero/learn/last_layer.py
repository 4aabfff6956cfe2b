"""A last layer that begins where a probe ends.

A layer that starts from chance sends meaningless gradients through the pretrained layers below it until it has learnt,
and what they knew of other photos is lost meanwhile. Source: Kumar et al., "Fine-tuning can distort pretrained features
and underperform out-of-distribution", ICLR 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from certero.engine.blas import one_blas_thread
from certero.learn.augment import DRAWS, Augmentation, augment
from certero.learn.batches import deal
from certero.learn.kernels.heap import kept_memory
from certero.learn.loop import Examples, autocast
from certero.probe.probe import fit_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 64


def start_last_layer(
    network: Any,
    train: Examples,
    weights: NDArray[np.float64],
    strength: float,
    side: int,
    device: str,
    in_bf16: bool,
) -> None:
    """Sets the last layer of a classifier to a logistic regression on the embeddings of the training photos, in place.

    Args:
        network: of `learn.classifier`, on the CPU.
        train: photos that are to be trained on; no other photo is looked at.
        weights: of each output, float64 [F].
        strength: C of the regression.
        side: of the network's input, pixels.
        device: `cpu`, `cuda` or `mps`.
        in_bf16: whether convolutions and products run in bfloat16.
    """
    import torch

    network.to(device, memory_format=torch.channels_last).eval()
    rows = [np.arange(part.start, part.stop) for part in deal(len(train.truth), _BATCH)]
    parts = []
    with torch.inference_mode(), kept_memory(device):
        for images in train.store.read(rows):
            untouched = np.zeros((len(images), DRAWS), np.float32)
            x = augment(torch.from_numpy(images).to(device), untouched, Augmentation(), side)
            with autocast(device, in_bf16):
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
