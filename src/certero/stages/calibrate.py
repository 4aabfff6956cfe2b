"""Calibration of a fitted model on photos held out from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from certero.config.parsing import ClassWeights
from certero.interchange import Json
from certero.probe.probe import weigh_classes
from certero.records.metrics import Calibration
from certero.stats.abstention import answer_thresholds
from certero.stats.calibration import calibrate, softmax
from certero.stats.reliability import expected_calibration_error, reliability

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fewest separated units whose out-of-fold outputs may calibrate a model that learns from all of them.
_FEWEST_UNITS = 3


def calibrate_outputs(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    source: str,
    units: Sequence[str],
    classes: Sequence[str],
    class_weights: NDArray[np.float64] | None,
) -> Calibration:
    """The calibration that fits held-out outputs, and how much it improves them.

    Args:
        logits: not calibrated.
        labels: class index [n].
        source: `oof` or `val`.
        units: which of the photos are not independent.
        classes: names in the order of the logits.
        class_weights: see `weights_to_undo`.
    """
    # With two units, each model of a fold has learnt from half of what the shipped one learns, and from one unit alone.
    fewest = _FEWEST_UNITS if source == "oof" else 1
    found = calibrate(logits, labels, units, class_weights=class_weights, fewest_units=fewest)
    before, after = softmax(logits), softmax(logits, found.temperature, found.offsets)
    fitted = "temperature" if found.offsets is None else "temperature_and_offsets"
    return Calibration(
        source=source,
        method=fitted if found.reason is None else "none",
        reason=found.reason,
        temperature=found.temperature,
        offsets=None if found.offsets is None else dict(zip(classes, found.offsets.tolist(), strict=True)),
        n=len(labels),
        log_loss_before=found.log_loss_before,
        log_loss_after=found.log_loss_after,
        ece_before=expected_calibration_error(before, labels),
        ece_after=expected_calibration_error(after, labels),
        thresholds=answer_thresholds(after.max(axis=1)),
        reliability_before=reliability(before, labels, groups=units),
        reliability_after=reliability(after, labels, groups=units),
    )


def weights_to_undo(
    truth: NDArray[np.int64], classes: Sequence[str], class_weights: ClassWeights
) -> NDArray[np.float64] | None:
    """The weights of the classes [K] that the probabilities must not keep from the training; None for a user's own.

    Balanced weights are there to learn rare classes well, so a probability may not hold them. Whoever names a weight
    says what a missed photo of that class costs: undone, the setting would do nothing.

    Args:
        truth: class index of the photos fitted on, [n].
        classes: names.
        class_weights: of the settings.
    """
    return weigh_classes(truth, classes, class_weights) if isinstance(class_weights, str) else None


def without_tables(calibration: Calibration) -> Json:
    """What the model file remembers of its calibration."""
    return dataclasses.replace(calibration, reliability_before=None, reliability_after=None).to_json()
