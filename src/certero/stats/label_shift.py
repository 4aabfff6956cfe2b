"""Whether other shares of the classes alone can explain what a classifier says of photos without labels.

If each class looks as it did and only its share has changed, the outputs are a mixture of those that photos of each
class had before. Two things about them are compared with the mixture: how sure they are, and which classes are named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from certero.interchange import Json

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

#: Ends of the bins of sureness: log odds of the likeliest class.
EDGES = tuple(float(edge) for edge in np.arange(-2.0, 12.5, 0.5))
SURENESS_BINS = len(EDGES) + 1
#: What photos of another day may differ by and still be weighed (docs/decisions/0071).
ALLOWED_LESS_SURE = 0.4
ALLOWED_ELSEWHERE = 0.05
# Kolmogorov's distance that chance exceeds in 1 of 100 such sets, over the square root of the photos.
_BY_CHANCE = 1.63


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a classifier said of held-out photos of each class.

    Args:
        sureness: int [K, bins], photos of each class by the sureness of their output, see `EDGES`.
        named: int [K, K], photos of each class (row) by the class that was named.
    """

    sureness: Integers
    named: Integers

    @classmethod
    def of(cls, probabilities: ArrayLike, truth: ArrayLike) -> Outcomes:
        """Of outputs [n, K] for photos of the classes [n]."""
        given, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.int64)
        classes = given.shape[1]
        sureness = np.zeros((classes, SURENESS_BINS), dtype=np.int64)
        named = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(sureness, (labels, _sureness(given)), 1)
        np.add.at(named, (labels, given.argmax(axis=1)), 1)
        return cls(sureness, named)

    def to_json(self) -> Json:
        """As the model file holds it; of the classes that were named only those that were."""
        cells = [[int(row), int(column), int(self.named[row, column])] for row, column in np.argwhere(self.named)]
        return {"sureness": self.sureness.tolist(), "named": cells}

    @classmethod
    def from_json(cls, data: Any, classes: int) -> Outcomes | None:
        """The inverse of `to_json`; None for counts by another version's bins."""
        if any(len(row) != SURENESS_BINS for row in data["sureness"]):
            return None
        named = np.zeros((classes, classes), dtype=np.int64)
        for row, column, count in data["named"]:
            named[row, column] = count
        return cls(np.array(data["sureness"], dtype=np.int64).reshape(classes, SURENESS_BINS), named)


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a mixture of the classes explains outputs.

    Args:
        less_sure: greatest surplus of photos below a sureness, 0 to 1.
        less_sure_allowed: surplus up to which the mixture may stand.
        elsewhere: share of the photos that are named otherwise than the mixture would be, 0 to 1.
        elsewhere_allowed: likewise.
    """

    less_sure: float
    less_sure_allowed: float
    elsewhere: float
    elsewhere_allowed: float

    @property
    def plausible(self) -> bool:
        """Whether other shares alone may explain the outputs."""
        return self.less_sure <= self.less_sure_allowed and self.elsewhere <= self.elsewhere_allowed


def compare_outputs(outcomes: Outcomes, probabilities: ArrayLike, shares: ArrayLike) -> Fit:
    """How outputs [n, K] for photos without labels differ from those of a mixture of the classes with these shares [K].

    Beside what chance makes of so many photos, what photos of another day differ by is allowed: two days are never
    alike. A class without held-out photos is taken for the mean of the others.

    Source: of the second comparison, Z. Lipton, Y.-X. Wang, A. Smola, Detecting and Correcting for Label Shift with
    Black Box Predictors, ICML 2018.
    """
    given, mixture = np.asarray(probabilities, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    held = outcomes.named.sum(axis=1)
    known = held > 0
    mixture = np.where(known, mixture, 0.0)
    mixture = mixture / mixture.sum() if mixture.sum() > 0 else np.where(known, 1.0, 0.0) / known.sum()
    weight = np.where(known, mixture / np.maximum(held, 1), 0.0)
    expected = np.cumsum(weight @ outcomes.sureness)
    bins = outcomes.sureness.shape[1]
    found = np.cumsum(np.bincount(_sureness(given), minlength=bins)) / len(given)
    named = np.bincount(given.argmax(axis=1), minlength=given.shape[1]) / len(given)
    would = weight @ outcomes.named
    # The mixture is itself known from so many photos only.
    variance = 1 / len(given) + float((mixture * weight).sum())
    chance = math.sqrt(variance)
    spread = np.sqrt(np.maximum(would, named) * variance).sum() / 2
    return Fit(
        float((found - expected).max()),
        ALLOWED_LESS_SURE + _BY_CHANCE * chance,
        float(np.abs(named - would).sum() / 2),
        ALLOWED_ELSEWHERE + float(min(spread, 1.0)),
    )


def _sureness(probabilities: Floats) -> Integers:
    """The bin of each output."""
    most = probabilities.max(axis=1)
    odds = np.log(np.maximum(most, 1e-12)) - np.log(np.maximum(1 - most, 1e-12))
    bins: Integers = np.searchsorted(np.array(EDGES), odds, side="right").astype(np.int64)
    return bins
