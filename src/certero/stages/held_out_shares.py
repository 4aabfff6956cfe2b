"""What a model file remembers of held-out photos, so that its outputs can be weighed for other shares of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from certero.config.parsing import ClassWeights
from certero.interchange import Json
from certero.probe.probe import weigh_classes
from certero.stats.label_shift import Outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Photos that a class without held-out ones is taken to have: a share of 0 could never be weighed.
_FEWEST = 0.5


def describe_shares(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64], classes: Sequence[str], class_weights: ClassWeights
) -> tuple[dict[str, float], Json]:
    """`shares` and `outcomes` of a card.

    Calibration takes balanced weights out of the outputs, so that they stand for the shares of the held-out photos; a
    user's own weights stay in, and make the outputs stand for shares that are weighted likewise.

    Args:
        probabilities: calibrated outputs for held-out photos, float [n, K].
        truth: class index of these photos, [n].
        classes: names in the order of the outputs.
        class_weights: of the training.
    """
    counts = np.maximum(np.bincount(truth, minlength=len(classes)).astype(np.float64), _FEWEST)
    if isinstance(class_weights, dict):
        counts *= weigh_classes(truth, classes, class_weights)
    shares = dict(zip(classes, (counts / counts.sum()).tolist(), strict=True))
    return shares, Outcomes.of(probabilities, truth).to_json()
