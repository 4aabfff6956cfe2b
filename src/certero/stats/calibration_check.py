"""Whether probabilities mean what they say, all together and class by class, held against what chance alone does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.records.quantity import Quantity
from certero.records.scores import ClassCalibration
from certero.stats.intervals import FEWEST_GROUPS, LEVEL, NORMAL_QUANTILE, proportion, undefined
from certero.stats.redrawn_labels import likeness, redraw
from certero.stats.reliability import confidence_bins

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_MOST_DRAWS, _FEWEST_DRAWS, _WORK = 400, 100, 40_000_000
# Fewer photos named so, or a check that only differences above this could fail, tell nothing of a class.
_FEWEST_NAMED, _BLUNT = 20, 0.1
# A difference below two points where named, or below a tenth of the class's share, changes no decision.
_SMALL, _SMALL_PART = 0.02, 0.1
_NO_SUM = 0.01


@dataclass(frozen=True, slots=True)
class CalibrationCheck:
    """What perfectly calibrated probabilities would show on the same photos, and how each class stands.

    Args:
        perfect: the calibration error that they would show: mean, and what 19 of 20 such sets stay above and below.
        by_class: by name.
    """

    perfect: Quantity
    by_class: dict[str, ClassCalibration]


def check_calibration(
    probabilities: ArrayLike,
    truth: Integers,
    classes: Sequence[str],
    codes: Integers | None,
    photo: Integers,
    label: Integers,
) -> CalibrationCheck:
    """The check of n photos.

    The labels are redrawn from the probabilities themselves, photos of one group as much alike as they are, and every
    figure is held against what it is then. A class is `off` where its deviation, in standard deviations of these draws,
    is above the largest of all classes in 19 of 20 draws; so of classes that are all calibrated one is called off in
    one set of 20.

    Args:
        probabilities: [n, K], calibrated.
        truth: int [n], index into classes.
        classes: K names.
        codes: int [n], the group of each photo, 0 to G - 1; None for independent photos.
        photo: int [labels], the photo of each label that was given.
        label: int [labels], that label.

    Source: redrawing from the forecasts, Bröcker and Smith (2007); the largest deviation over all classes,
    P. H. Westfall, S. S. Young, Resampling-based multiple testing, Wiley 1993.
    """
    n, k = len(truth), len(classes)
    given = np.array(probabilities, dtype=np.float64)
    groups = None if codes is None else int(codes.max()) + 1
    named = np.bincount(label, minlength=k)
    said = np.bincount(label, weights=given[photo, label], minlength=k)
    expected = given.sum(axis=0)
    unfit = _unfit(given, truth, groups)
    if unfit:
        drawn, perfect = None, undefined(n, unfit)
    else:
        given /= given.sum(axis=1, keepdims=True)
        errors, drawn = _draw(given, truth, codes, photo, label, k)
        low, high = np.quantile(errors, [1 - LEVEL, LEVEL])
        perfect = Quantity(float(errors.mean()), float(low), float(high), "redrawn_labels", n)
    hit = truth[photo] == label
    found = np.stack([np.bincount(label[hit], minlength=k) - said, np.bincount(truth, minlength=k) - expected])
    verdicts = _judge(found, drawn, named, expected) if drawn is not None else [None] * k
    rows = {}
    for index, name in enumerate(classes):
        inside = label == index
        rows[name] = ClassCalibration(
            named=int(named[index]),
            said=float(said[index] / named[index]) if named[index] else None,
            right=proportion(hit[inside], None if codes is None else codes[photo[inside]], all_groups=groups),
            expected_share=float(expected[index] / n),
            share=proportion(truth == index, codes, all_groups=groups),
            verdict=verdicts[index],
        )
    return CalibrationCheck(perfect, rows)


def _unfit(given: Floats, truth: Integers, groups: int | None) -> str | None:
    """The method of a figure that cannot be had: labels are redrawn from probabilities, in at least three groups."""
    if len(np.unique(truth)) == 1:
        return "single_class"
    if groups is not None and groups < FEWEST_GROUPS:
        return "too_few_groups"
    # Outputs of a foreign model need not be probabilities.
    return None if np.abs(given.sum(axis=1) - 1).max() < _NO_SUM and given.min() >= 0 else "undefined"


def _draw(
    given: Floats, truth: Integers, codes: Integers | None, photo: Integers, label: Integers, k: int
) -> tuple[Floats, Floats]:
    """Of redrawn labels: calibration errors [draws], and deviations [draws, 2, K] where named and of the shares."""
    n = len(truth)
    confidence, top = given.max(axis=1), given.argmax(axis=1)
    bin_of, _ = confidence_bins(confidence)
    alike = likeness(confidence, top == truth, codes)
    draws = int(np.clip(_WORK // (n * (2 + k // 8)), _FEWEST_DRAWS, _MOST_DRAWS))
    said = np.bincount(label, weights=given[photo, label], minlength=k)
    expected = given.sum(axis=0)
    errors, deviations = np.empty(draws), np.empty((draws, 2, k))
    for number, labels in enumerate(redraw(given, codes, alike, draws)):
        errors[number] = np.abs(np.bincount(bin_of, weights=(labels == top) - confidence)).sum() / n
        right = label[labels[photo] == label]
        deviations[number, 0] = np.bincount(right, minlength=k) - said
        deviations[number, 1] = np.bincount(labels, minlength=k) - expected
    return errors, deviations


def _judge(found: Floats, drawn: Floats, named: Integers, expected: Floats) -> list[str]:
    """`calibrated`, `off` or `too_few` for each class, from deviations [2, K] and those of redrawn labels."""
    spread = np.sqrt((drawn**2).mean(axis=0))
    # What hardly ever deviates in the draws is measured in half photos.
    spread = np.maximum(spread, 0.5)
    bar = np.quantile(np.abs(drawn / spread).max(axis=(1, 2)), LEVEL)
    apart = np.abs(found / spread) > bar
    apart[0] &= np.abs(found[0]) > _SMALL * named
    apart[1] &= np.abs(found[1]) > _SMALL_PART * expected
    few = (named < _FEWEST_NAMED) | (NORMAL_QUANTILE * spread[0] > _BLUNT * named)
    return [
        "off" if off else "too_few" if little else "calibrated"
        for off, little in zip(apart.any(axis=0), few, strict=True)
    ]
