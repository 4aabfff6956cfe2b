"""A model's outputs on photos whose class is known, as the business case judges them: photos, or a table of counts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certero.business.case import Figures
from certero.data.labels import index_of
from certero.errors import DataError
from certero.stats.intervals import group_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Value of `predicted` for a photo that got no label.
NO_LABEL = -1


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Predictions for photos, or for cells of a table of counts.

    Args:
        classes: names, in the order of the indices.
        truth: class index int64 [n].
        predicted: likeliest class, or `NO_LABEL`, int64 [n].
        confidence: its probability, float64 [n]; NaN where only counts are known.
        weights: photos behind each row, float64 [n]; 1 for a photo.
        units: int64 [n], which rows are resampled together; None for independent photos.
        photos: number of photos; None where it is unknown, so that there is no interval.
        paths: names of the photos; empty for counts.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    weights: NDArray[np.float64]
    units: NDArray[np.int64] | None
    photos: float | None
    paths: tuple[str, ...] = ()

    @property
    def counted(self) -> bool:
        """Whether the rows are cells of counts, not single photos."""
        return not self.paths

    @property
    def grouped(self) -> bool:
        """Whether the rows are photos that are resampled by group."""
        return not self.counted and self.units is not None

    @property
    def n_units(self) -> int:
        """Number of units that are resampled: groups, photos or cells."""
        return len(self.truth) if self.units is None else int(self.units.max()) + 1

    def take(self, rows: NDArray[np.int64]) -> Outcomes:
        """Some of the photos, in this order."""
        units = None if self.units is None else np.unique(self.units[rows], return_inverse=True)[1].astype(np.int64)
        return dataclasses.replace(
            self,
            truth=self.truth[rows],
            predicted=self.predicted[rows],
            confidence=self.confidence[rows],
            weights=self.weights[rows],
            units=units,
            photos=float(len(rows)),
            paths=tuple(self.paths[row] for row in rows),
        )


def outcomes_of_photos(
    classes: Sequence[str],
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    units: Sequence[str] | None,
    paths: Sequence[str],
) -> Outcomes:
    """The predictions of a model for photos.

    Args:
        classes: names in the order of the columns.
        truth: class index [n].
        probabilities: calibrated, [n, K].
        units: which photos are not independent; None if all are.
        paths: names of the photos.
    """
    codes = group_codes(list(units), len(truth)) if units is not None else None
    return Outcomes(
        tuple(classes),
        truth.astype(np.int64),
        probabilities.argmax(axis=1).astype(np.int64),
        probabilities.max(axis=1).astype(np.float64),
        np.ones(len(truth)),
        codes,
        float(len(truth)),
        tuple(paths),
    )


def outcomes_of_figures(figures: Figures) -> Outcomes:
    """The predictions behind a case's own figures. Without counts by class, class 0 stands for the right one."""
    if figures.counts is None:
        cells = {(0, 0): figures.right, (0, 1): figures.wrong, (0, NO_LABEL): figures.no_label}
        classes: tuple[str, ...] = ("right", "wrong")
        scale = figures.n or 1.0
        found = [(truth, predicted, share * scale) for (truth, predicted), share in cells.items()]
    else:
        classes = tuple(figures.counts)
        columns = index_of(classes) | {"no_label": NO_LABEL}
        found = [
            (columns[label], columns[name], count)
            for label, row in figures.counts.items()
            for name, count in row.items()
        ]
    rows = [cell for cell in found if cell[2] > 0]
    return Outcomes(
        classes,
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.full(len(rows), math.nan),
        np.array([row[2] for row in rows], dtype=np.float64),
        None,
        figures.n,
    )


def check_shares(outcomes: Outcomes, shares: Mapping[str, float] | None) -> NDArray[np.float64] | None:
    """The expected share of each class, float64 [K]; None if the photos' own shares apply.

    Raises:
        DataError: if a class that is expected has no photo.
    """
    if shares is None:
        return None
    wanted = np.array([shares[name] for name in outcomes.classes])
    there = np.bincount(outcomes.truth, weights=outcomes.weights, minlength=len(outcomes.classes)) > 0
    lacking = [
        name for name, share, any_ in zip(outcomes.classes, wanted, there, strict=True) if share > 0 and not any_
    ]
    if lacking:
        raise DataError(
            "the test photos must hold every class that class_shares expects; found none of "
            "%(lacking)s. Add such photos, name others with --data, or set the share to 0.",
            lacking=", ".join(lacking),
        )
    return wanted
