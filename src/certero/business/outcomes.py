"""What a model answered on photos whose class is known, and how far that may be off: resampling by unit.

The draws come from a small counter-based generator, because the report's page repeats them when a slider moves and has
to arrive at the same interval (docs/decisions/0014).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certero.business.case import Figures
from certero.data.labels import index_of
from certero.errors import DataError
from certero.records.quantity import Quantity
from certero.stats.intervals import FEWEST_GROUPS, LEVEL, NORMAL_QUANTILE, group_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
#: Stands in `predicted` for a photo that got no label.
NO_LABEL = -1
# Resamples handled at once: enough for fast products, few enough for memory.
_CHUNK_CELLS = 4_000_000
_GOLDEN = 0x9E3779B9
#: More degrees of freedom than this are as good as a normal distribution.
MOST_DEGREES = 200


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Answers on photos, or on cells of a table of counts.

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
        """Whether these are counts, not single photos."""
        return not self.paths

    @property
    def grouped(self) -> bool:
        """Whether these are photos that are drawn by group."""
        return not self.counted and self.units is not None

    @property
    def n_units(self) -> int:
        """What is drawn: groups, photos or cells."""
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
    """The answers of a model on photos.

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
    """The answers that a case's own figures speak of. Without counts by class, class 0 stands for the right one."""
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
    """The expected share of each class, float64 [K], None for the photos' own.

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


def row_weights(
    outcomes: Outcomes, shares: NDArray[np.float64] | None, counts: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """How much each row counts, summing to 1; NaN where an expected class is missing.

    Args:
        outcomes: n rows.
        shares: expected share of each class; None takes the rows' own.
        counts: how often each unit was drawn, [b, units]; None for the rows as they are.

    Returns:
        float64 [n], or [b, n].
    """
    if counts is None:
        drawn = outcomes.weights[None]
    elif outcomes.counted:
        drawn = counts
    else:
        drawn = counts if outcomes.units is None else counts[:, outcomes.units]
    if shares is None:
        weighed = drawn / drawn.sum(axis=1, keepdims=True)
    else:
        members = np.equal.outer(outcomes.truth, np.arange(len(shares))).astype(np.float64)
        photos = drawn @ members
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(shares > 0, shares / photos, 0.0)
        factor[~np.isfinite(factor)] = np.nan
        weighed = drawn * factor[:, outcomes.truth]
        weighed[np.isnan(factor).any(axis=1)] = np.nan
    one: NDArray[np.float64] = weighed if counts is not None else weighed[0]
    return one


def weighted_mean(outcomes: Outcomes, shares: NDArray[np.float64] | None, feature: NDArray[np.float64]) -> float:
    """The mean of a feature [n]. Sums come before divisions, as in the page: shares of photos are rounded alike."""
    weighed = outcomes.weights * feature
    if shares is None:
        return float(weighed.sum() / outcomes.weights.sum())
    mean = 0.0
    for label, share in enumerate(shares.tolist()):
        if share > 0:
            mine = outcomes.truth == label
            mean += share * float(weighed[mine].sum()) / float(outcomes.weights[mine].sum())
    return mean


def replicate(
    outcomes: Outcomes, shares: NDArray[np.float64] | None, features: NDArray[np.float64], resamples: int = RESAMPLES
) -> NDArray[np.float64] | None:
    """Weighted means of features in resampled photos, float64 [resamples, F]; None where nothing can be resampled.

    Args:
        outcomes: n rows.
        shares: expected share of each class.
        features: [n, F].
        resamples: how many.
    """
    if outcomes.photos is None:
        return None
    parts = [row_weights(outcomes, shares, counts) @ features for counts in draw(outcomes, resamples)]
    return np.concatenate(parts)


def draw(outcomes: Outcomes, resamples: int = RESAMPLES) -> Iterator[NDArray[np.float64]]:
    """How often each unit was drawn, some resamples at a time: float64 [b, units].

    Photos and groups are drawn with equal chances, as many as there are; cells of counts by their share, as many
    as photos.
    """
    assert outcomes.photos is not None
    n_units = outcomes.n_units
    draws = max(1, round(outcomes.photos)) if outcomes.counted else n_units
    bounds = np.cumsum(outcomes.weights / outcomes.weights.sum())[:-1] if outcomes.counted else None
    rows = max(1, min(resamples, _CHUNK_CELLS // max(draws, len(outcomes.truth))))
    for start in range(0, resamples, rows):
        numbers = np.arange(start, min(start + rows, resamples), dtype=np.uint32)
        random = random_numbers(numbers, draws)
        if bounds is None:
            chosen = ((random.astype(np.uint64) * np.uint64(n_units)) >> np.uint64(32)).astype(np.int64)
        else:
            chosen = np.searchsorted(bounds, random / 2**32, side="right").astype(np.int64)
        flat = chosen + np.arange(len(numbers))[:, None] * n_units
        counts = np.bincount(flat.ravel(), minlength=len(numbers) * n_units)
        yield counts.reshape(len(numbers), n_units).astype(np.float64)


def random_numbers(resamples: NDArray[np.uint32], draws: int) -> NDArray[np.uint32]:
    """Uniform 32-bit numbers [resamples, draws], each a function of its place: another language repeats them.

    Source: the finaliser of MurmurHash3 (A. Appleby) on a Weyl sequence, as in SplitMix (G. Steele and others, OOPSLA
    2014).
    """
    with np.errstate(over="ignore"):
        start = _mix(resamples + np.uint32(1))
        return _mix(start[:, None] + np.arange(draws, dtype=np.uint32)[None] * np.uint32(_GOLDEN))


def _mix(number: NDArray[np.uint32]) -> NDArray[np.uint32]:
    number = (number ^ (number >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    number = (number ^ (number >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return number ^ (number >> np.uint32(16))


def tails() -> list[float]:
    """The lower quantile to take for 1, 2, ... degrees of freedom; the last stands for all above.

    Plain percentiles of resamples are too narrow for few units, by the factor sqrt(1 - 1/G) and by the normal in place
    of Student's distribution. Source: T. Hesterberg, The American Statistician 69 (2015), 371-386, "expanded
    percentile".
    """
    from scipy.special import ndtr, stdtrit

    degrees = np.arange(1, MOST_DEGREES + 1)
    quantiles = stdtrit(degrees, (1 + LEVEL) / 2) * np.sqrt((degrees + 1) / degrees)
    return [*ndtr(-quantiles).tolist(), float(ndtr(-NORMAL_QUANTILE))]


def degrees_of_freedom(outcomes: Outcomes, shares: NDArray[np.float64] | None, feature: NDArray[np.float64]) -> int:
    """How many units the spread of a weighted mean is known from, less 1.

    With expected class shares each class is a stratum of its own: Welch's and Satterthwaite's degrees of freedom of
    the sum over classes, so that a rare class that weighs much makes the interval wide.

    Source: W. G. Cochran, Sampling Techniques, 3rd edition (1977), section 5.4.
    """
    n_units = int(outcomes.photos or 1) if outcomes.counted else outcomes.n_units
    if shares is None or outcomes.counted:
        return max(1, n_units - 1)
    codes = np.arange(len(outcomes.truth)) if outcomes.units is None else outcomes.units
    total = squares = 0.0
    for label, share in enumerate(shares):
        mine = outcomes.truth == label
        if share <= 0 or not mine.any():
            continue
        values = feature[mine] - feature[mine].mean()
        sums = np.bincount(codes[mine], weights=values, minlength=n_units)
        groups = len(np.unique(codes[mine]))
        variance = (share / mine.sum()) ** 2 * float((sums**2).sum())
        total += variance
        squares += variance**2 / max(1, groups - 1)
    return max(1, min(n_units - 1, math.floor(total**2 / squares + 1e-9))) if squares > 0 else max(1, n_units - 1)


def why_no_interval(outcomes: Outcomes) -> str | None:
    """The method of a figure that can have no interval; None if it can."""
    if outcomes.photos is None:
        return "photos_unknown"
    if outcomes.grouped and outcomes.n_units < FEWEST_GROUPS:
        return "too_few_groups"
    return None


def ends(replicates: NDArray[np.float64], tail: float) -> tuple[float, float] | None:
    """The quantiles `tail` and 1 - `tail` of the defined replicates; None where most are undefined."""
    defined = replicates[~np.isnan(replicates)]
    if len(defined) == 0 or 2 * len(defined) < len(replicates):
        return None
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def quantity(
    value: float, values: NDArray[np.float64] | None, outcomes: Outcomes, tail: float, method: str
) -> Quantity:
    """A figure with an interval, null where there is none.

    Args:
        value: the figure.
        values: what it came to in resamples, or may be in truth.
        outcomes: the photos.
        tail: the share of `values` beyond each end.
        method: how `values` came about.
    """
    n = round(outcomes.photos or 0)
    reason = why_no_interval(outcomes)
    if not math.isfinite(value):
        return Quantity(None, None, None, "undefined", n)
    if reason is not None or values is None:
        return Quantity(value, None, None, reason or "photos_unknown", n)
    found = ends(values, tail)
    if found is None:
        return Quantity(value, None, None, "undefined", n)
    if found[1] - found[0] <= 1e-12 * max(1.0, abs(value)):
        return Quantity(value, None, None, "no_variation", n)
    return Quantity(value, min(found[0], value), max(found[1], value), method, n)


def transformed(base: Quantity, change: Callable[[float], float]) -> Quantity:
    """A figure that is a rising function of another, with its interval."""

    def at(value: float | None) -> float | None:
        return None if value is None else change(value)

    return Quantity(at(base.value), at(base.low), at(base.high), base.method, base.n)


def divided(above: NDArray[np.float64], below: NDArray[np.float64], otherwise: float = math.nan) -> NDArray[np.float64]:
    """`above` / `below`, and `otherwise` where there is nothing to divide by."""
    small = np.abs(below) < 1e-15
    return np.where(small, otherwise, above / np.where(small, 1.0, below))
