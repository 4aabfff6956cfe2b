"""Outputs on held-out development photos: what tuning, calibration and thresholds rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certero.stats.calibration import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Outputs of a training on the development photos that were held out from it, before anything is exported.

    Args:
        rows: of the development photos, int64 [m].
        truth: class index of these photos, int64 [m].
        logits: float64 [m, K], not calibrated.
    """

    rows: NDArray[np.int64]
    truth: NDArray[np.int64]
    logits: NDArray[np.float64]

    @property
    def log_loss(self) -> float:
        """Mean, in nats."""
        probabilities = softmax(self.logits)[np.arange(len(self.truth)), self.truth]
        return float(-np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)).mean())

    @property
    def accuracy(self) -> float:
        """Share of the photos whose class has the highest logit."""
        return float((self.logits.argmax(axis=1) == self.truth).mean())
