"""What a network learns from and is judged by: photos with what they show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certero.learn.augment import Augmentation
from certero.learn.batches import PhotoStore, Selection


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled photos of one split.

    Args:
        store: their pixels.
        keys: a number that identifies each photo, uint64 [n].
        outputs: index of the network's output that is right, int64 [n]; finer than the class where training tells
            finer labels apart.
        truth: class index, int64 [n].
    """

    store: PhotoStore | Selection
    keys: NDArray[np.uint64]
    outputs: NDArray[np.int64]
    truth: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What one training uses.

    Args:
        train: photos to learn from.
        val: photos that judge each epoch and never update a weight; None judges none.
        output_weights: weight of each output in the loss, float64 [F].
        augmentation: what happens to the photos of train.
        side: of the network's square input, pixels.
    """

    train: Examples
    val: Examples | None
    output_weights: NDArray[np.float64]
    augmentation: Augmentation
    side: int
