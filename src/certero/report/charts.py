"""Where things lie on the report's charts. The drawing is in the templates, as SVG that needs no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from certero.language import _
from certero.records.photo_counts import SeparationFacts
from certero.records.quantity import Quantity
from certero.records.scores import Curves, Points, ReliabilityBin, Scores
from certero.report.figures import ClassRow, known, percent

# Where an axis of shares may begin, and the step between its marks.
_BEGINNINGS = ((0.98, 0.005), (0.95, 0.01), (0.9, 0.02), (0.75, 0.05), (0.5, 0.1), (0.0, 0.2))
# Marks of an axis of time that people read at once, minutes.
_TIME_MARKS = (5, 30, 60, 240, 720, 1440, 10080)
# Their words would touch below this, percent of the axis.
_CLOSEST_MARKS = 15


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of shares that ends at 1.

    Args:
        low: where it begins.
        marks: shares that are labelled, the ends included.
    """

    low: float
    marks: tuple[float, ...]

    def place(self, share: float) -> float:
        """Percent of the axis' length; what lies before the beginning is drawn at it."""
        return round(100 * max(0.0, share - self.low) / (1 - self.low), 2)


def share_axis(shares: Iterable[float | None]) -> Axis:
    """The shortest of a few round axes that holds these shares; undefined ones do not count.

    >>> share_axis([0.84, None, 0.93]).marks
    (0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
    """
    lowest = min((share for share in shares if known(share)), default=0.0)
    low, step = next((b for b in _BEGINNINGS if b[0] <= lowest), _BEGINNINGS[-1])
    return Axis(low, tuple(round(low + i * step, 4) for i in range(round((1 - low) / step) + 1)))


@dataclass(frozen=True, slots=True)
class Dot:
    """One line of a chart of figures with their intervals.

    Args:
        label: what was measured.
        quantity: the figure.
        n: photos behind it, None where that says nothing.
        kind: how it is drawn: `own` (the model's), `claim` (what a random split would have claimed), `plain`.
    """

    label: str
    quantity: Quantity
    n: int | None = None
    kind: str = "own"


def dots_axis(dots: Sequence[Dot], *others: float | None) -> Axis:
    """The axis on which these figures, the lower ends of their intervals, and other shares can be drawn."""
    shares = list(others)
    for dot in dots:
        shares += [dot.quantity.value, dot.quantity.low]
    return share_axis(shares)


def answer_dots(body: Scores, claimed: Quantity | None) -> list[Dot]:
    """The measured accuracy, what a random split would have claimed, and the most frequent class, as far as known."""
    dots = [Dot(_("Measured here"), body.accuracy)]
    if claimed is not None:
        dots.append(Dot(_("A random split would claim"), claimed, kind="claim"))
    dots.append(Dot(_("Always the most frequent class"), body.majority_class_accuracy, kind="plain"))
    return [dot for dot in dots if known(dot.quantity.value)]


def class_dots(rows: Sequence[ClassRow]) -> list[Dot]:
    """The share of each class that was found, the worst first."""
    found = [(row.recall.value or 0.0, -row.n, row.name, row.recall) for row in rows if row.recall is not None]
    return [Dot(name, recall, -less) for _value, less, name, recall in sorted(found, key=lambda item: item[:3])]


@dataclass(frozen=True, slots=True)
class Reliability:
    """A reliability diagram.

    Args:
        axis: of both directions.
        bins: for each bin x, y, and the ends of the whisker (None without interval), percent of the axes.
    """

    axis: Axis
    bins: list[tuple[float, float, tuple[float, float] | None]]
    before: list[tuple[float, float, tuple[float, float] | None]]


def reliability_chart(rows: Sequence[ReliabilityBin], before: Sequence[ReliabilityBin] = ()) -> Reliability | None:
    """The diagram, and beside it that before calibration; None where there is nothing to draw."""
    usable, earlier = _usable_bins(rows), _usable_bins(before)
    if not usable:
        return None
    axis = share_axis([share for row in usable + earlier for share in (row.confidence, row.accuracy.value)])
    return Reliability(axis, _bins(usable, axis), _bins(earlier, axis))


def _usable_bins(rows: Sequence[ReliabilityBin]) -> list[ReliabilityBin]:
    return [row for row in rows if known(row.confidence) and known(row.accuracy.value)]


def _bins(rows: Sequence[ReliabilityBin], axis: Axis) -> list[tuple[float, float, tuple[float, float] | None]]:
    bins = []
    for row in rows:
        ends = row.accuracy.interval
        whisker = None if ends is None else (axis.place(ends[0]), axis.place(ends[1]))
        bins.append((axis.place(row.confidence), axis.place(row.accuracy.value or 0.0), whisker))
    return bins


@dataclass(frozen=True, slots=True)
class Sureness:
    """How often the model is right, by the share of photos it answers.

    Args:
        axis: of the accuracy.
        points: x and y, percent of the axes.
    """

    axis: Axis
    points: list[tuple[float, float]]


def sureness_chart(curve: Points) -> Sureness | None:
    """The risk-coverage curve; None where there is nothing to draw."""
    usable = [row for row in curve if len(row) == 3 and all(map(known, row))]
    if len(usable) < 2:
        return None
    axis = share_axis(row[1] for row in usable)
    return Sureness(axis, [(round(100 * row[0], 2), axis.place(row[1])) for row in usable])


@dataclass(frozen=True, slots=True)
class RankingLines:
    """The points of a kind of curve: of the mean, and of each class."""

    macro: Points
    classes: list[Points]


@dataclass(frozen=True, slots=True)
class RankingCharts:
    """The ROC and the precision-recall curves to draw."""

    roc: RankingLines
    precision_recall: RankingLines


def ranking_chart(curves: Curves) -> RankingCharts | None:
    """The curves to draw; None where no class can be ranked."""
    if not curves.macro.roc:
        return None
    classes = curves.per_class.values()
    return RankingCharts(
        RankingLines(curves.macro.roc, [one.roc for one in classes]),
        RankingLines(curves.macro.precision_recall, [one.precision_recall for one in classes]),
    )


@dataclass(frozen=True, slots=True)
class Decay:
    """How likeness fades with time, on a logarithmic axis of time.

    Args:
        points: x and y of each lag, percent of the axes; y from half of the bits alike (chance) to all.
        marks: x and words of the marks of time.
        block: x of the block's length; None where it lies outside.
    """

    points: list[tuple[float, float]]
    marks: list[tuple[float, str]]
    block: float | None


def decay_chart(separation: SeparationFacts) -> Decay | None:
    """How likeness fades; None where time does not separate or there is nothing to draw."""
    pairs = [pair for pair in separation.decay or () if len(pair) == 2 and all(map(known, pair))]
    lags = [(minutes, alike) for minutes, alike in pairs if minutes > 0]
    if len(lags) < 2:
        return None
    first, last = lags[0][0], lags[-1][0]

    def place(minutes: float) -> float:
        return round(100 * math.log(minutes / first) / math.log(last / first), 2)

    points = [(place(lag), round(100 * max(0.0, 2 * alike - 1), 2)) for lag, alike in lags]
    marks: list[tuple[float, str]] = []
    for minutes in _TIME_MARKS:
        if first <= minutes <= last and (not marks or place(minutes) - marks[-1][0] >= _CLOSEST_MARKS):
            marks.append((place(minutes), lag_words(minutes)))
    block = separation.block_minutes
    return Decay(points, marks, place(block) if known(block) and first <= block <= last else None)


def lag_words(minutes: float) -> str:
    """A length of time as short as it can be said: `30 min`, `4 h`, `7 d`.

    >>> [lag_words(minutes) for minutes in (30, 240, 1440)]
    ['30\\xa0min', '4\\xa0h', '1\\xa0d']
    """
    number, unit = (
        (minutes, "min") if minutes < 60 else (minutes / 60, "h") if minutes < 1440 else (minutes / 1440, "d")
    )
    return f"{number:g}\u00a0{unit}"


def mark_words(axis: Axis) -> list[tuple[float, str]]:
    """Place and words of each mark of an axis of shares."""
    digits = 1 if any(round(1000 * mark) % 10 for mark in axis.marks) else 0
    return [(axis.place(mark), percent(mark, digits, unit=mark == 1.0)) for mark in axis.marks]
