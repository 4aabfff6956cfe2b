"""What a fit is given, and what it leaves: the same for a probe and for a network trained whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.probe.probe import Probe
from certero.records.metrics import Calibration, Export
from certero.records.training import Training
from certero.runtime.card import Card

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model and what it rested on.

    Args:
        model: the model file, without figures of a test set.
        calibration: of its probabilities.
        card: the card inside the model file.
        embeddings: float32 [n, D] of the development photos, in their order.
        probabilities: float32 [n, K], the model file's answers on the development photos.
        fitted_on: bool [n], which of them updated weights.
        held_out: bool [n], which of them were judged by models that had not seen them.
        held_out_probabilities: float [n, K], calibrated answers of those models; only the rows of `held_out` count.
        export: what speed cost.
        parameters: trainable numbers.
        probe: the probe; None for a network trained whole.
        head_onnx: the probe's head as a network of its own.
        training: how a network was trained whole; None for a probe.
        sheet: augmented photos of that training, uint8 [H, W, 3].
    """

    model: bytes
    calibration: Calibration
    card: Card
    embeddings: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    fitted_on: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    held_out_probabilities: NDArray[np.float64]
    export: Export
    parameters: int
    probe: Probe | None = None
    head_onnx: bytes | None = None
    training: Training | None = None
    sheet: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Development:
    """Photos to fit on; nothing else reaches a fit.

    Args:
        table: used rows of train and val.
        paths: of the same photos.
        given_val: whether the val split came with the data.
        gap: least time between photos that are fitted on and held out; zero unless time separates.
        shipped: what the weights are fitted on, for the card.
        name: tells this fit from others of the run.
    """

    table: pl.DataFrame
    paths: Sequence[Path]
    given_val: bool
    gap: timedelta
    shipped: str
    name: str


@dataclass(frozen=True, slots=True)
class Everything:
    """All used photos, once the headline is known.

    Args:
        table: their rows, test photos among them.
        paths: of the same photos.
        training_counts: photos of each class [K] that the honest fit had; one entry a fold.
        fitted: the shipped model.
        embeddings: float32 [n, D], by models as the run had them; arrays of some of the rows each, one after another.
    """

    table: pl.DataFrame
    paths: Sequence[Path]
    training_counts: Sequence[NDArray[np.int64]]
    fitted: Fitted
    embeddings: Sequence[NDArray[np.float32]]
