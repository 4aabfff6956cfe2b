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
from certero.runs.seal import Development, Opened
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
        probabilities: float32 [n, K], the model file's probabilities of the development photos.
        fitted_on: bool [n], which of them updated weights.
        held_out: bool [n], which of them were held out from the models that judged them.
        held_out_probabilities: float [n, K], calibrated outputs of those models; only the rows of `held_out` count.
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
class Part:
    """What one fit of a run is given; nothing else reaches it.

    Args:
        photos: to fit on.
        given_val: whether the val split came with the data.
        gap: least time between photos that are fitted on and held out; zero unless time separates.
        shipped: what the weights are fitted on, for the card.
        name: distinguishes this fit from others of the run.
    """

    photos: Development
    given_val: bool
    gap: timedelta
    shipped: str
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.photos, Development):
            raise TypeError(f"a fit is given development photos; found {type(self.photos).__name__}")


@dataclass(frozen=True, slots=True)
class Everything:
    """All used photos, once the headline is known.

    Args:
        opened: the judged photos.
        development: photos that were fitted on, apart from those; None with cross-validation, which judges each photo.
        training_counts: photos of each class [K] that the honest fit had; one entry a fold.
        fitted: the shipped model.
        embeddings: float32 [n, D], by models as the run had them; arrays of some of the rows each, one after another.
    """

    opened: Opened
    development: Development | None
    training_counts: Sequence[NDArray[np.int64]]
    fitted: Fitted
    embeddings: Sequence[NDArray[np.float32]]

    @property
    def table(self) -> pl.DataFrame:
        """Rows of the photos: those of development, then the judged ones."""
        return self.opened.table if self.development is None else pl.concat([self.development.table, self.opened.table])

    def paths(self) -> list[Path]:
        """Where the photos are on disk."""
        return [*([] if self.development is None else self.development.paths()), *self.opened.paths()]

    def within(self, inside: NDArray[np.bool_]) -> Development:
        """Some of the photos, bool [n], to fit on with their units and times."""
        rows = np.flatnonzero(inside).tolist()
        return Development(self.table[rows].with_columns(pl.lit("train").alias("split")), self.opened.root)

    def at_random(self, inside: NDArray[np.bool_]) -> Development:
        """Some of the photos, bool [n], to fit on as if nothing kept them together.

        Every photo is a unit of its own: that is what makes a split random.
        """
        rows = np.flatnonzero(inside).tolist()
        loose = self.table[rows].with_columns(
            pl.Series("unit", [str(row) for row in rows]),
            pl.lit("train").alias("split"),
            pl.lit(None, dtype=pl.Datetime("us")).alias("captured_at"),
        )
        return Development(loose, self.opened.root)
