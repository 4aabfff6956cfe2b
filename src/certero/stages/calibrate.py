"""Calibration of a fitted model on photos held out from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from certero.interchange import Json
from certero.records.metrics import Calibration
from certero.stats.abstention import answer_thresholds
from certero.stats.calibration import calibrate, expected_calibration_error, reliability, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fewest separated units whose out-of-fold outputs may calibrate a model that learns from all of them.
_FEWEST_UNITS = 3


def fit_temperature_of(
    logits: NDArray[np.float64], labels: NDArray[np.int64], source: str, units: Sequence[str]
) -> Calibration:
    """The temperature that fits held-out outputs, and how much it improves them.

    Args:
        logits: not calibrated.
        labels: class index [n].
        source: `oof` or `val`.
        units: which of the photos are not independent.
    """
    # With two units, each model of a fold has learnt from half of what the shipped one learns, and from one unit alone.
    found = calibrate(logits, labels, units, fewest_units=_FEWEST_UNITS if source == "oof" else 1)
    before, after = softmax(logits), softmax(logits, found.temperature)
    return Calibration(
        source=source,
        method="temperature" if found.reason is None else "none",
        reason=found.reason,
        temperature=found.temperature,
        n=len(labels),
        log_loss_before=found.log_loss_before,
        log_loss_after=found.log_loss_after,
        ece_before=expected_calibration_error(before, labels),
        ece_after=expected_calibration_error(after, labels),
        thresholds=answer_thresholds(after.max(axis=1)),
        reliability_before=reliability(before, labels, groups=units),
        reliability_after=reliability(after, labels, groups=units),
    )


def without_tables(calibration: Calibration) -> Json:
    """What the model file remembers of its calibration."""
    return dataclasses.replace(calibration, reliability_before=None, reliability_after=None).to_json()
