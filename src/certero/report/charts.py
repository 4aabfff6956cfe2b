"""Where things lie on the report's charts. The drawing is in the templates, as SVG that needs no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from certero.language import _
from certero.records.photo_counts import SeparationFacts
from certero.records.quantity import Quantity
from certero.records.scores import ClassScores, Curve, Points, ReliabilityBin, Scores
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
        stated: what it should be, marked on the line; None for nothing.
    """

    label: str
    quantity: Quantity
    n: int | None = None
    kind: str = "own"
    stated: float | None = None


def dots_axis(dots: Sequence[Dot], *others: float | None) -> Axis:
    """The axis on which these figures, the lower ends of their intervals, and other shares can be drawn."""
    shares = list(others)
    for dot in dots:
        shares += [dot.quantity.value, dot.quantity.low, dot.stated]
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


def level_dots(levels: Sequence[ReliabilityBin]) -> list[Dot]:
    """How often the model is right where it says so much, the surest last; what it says on average is marked."""
    dots = []
    for row in levels:
        if known(row.confidence) and known(row.accuracy.value):
            digits = 1 if any(round(1000 * end) % 10 for end in (row.start, row.end)) else 0
            low, high = percent(row.start, digits, unit=False), percent(row.end, digits)
            said = _("says up to %(high)s") if row.start == 0 else _("says %(low)s to %(high)s")
            dots.append(Dot(said % {"low": low, "high": high}, row.accuracy, row.n, stated=row.confidence))
    return dots


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
class RankedClass:
    """A class whose curve is drawn: its name, the area below the curve, and the points."""

    name: str
    area: Quantity
    points: Points


@dataclass(frozen=True, slots=True)
class RankingLines:
    """A kind of curve: of the mean over classes, and of the classes with the least area, the least first."""

    macro: Points
    weakest: list[RankedClass]


@dataclass(frozen=True, slots=True)
class RankingCharts:
    """The ROC and the precision-recall curves to draw."""

    roc: RankingLines
    precision_recall: RankingLines


#: So many classes have a curve of their own, each with a dash of its own; more cannot be told apart.
MOST_RANKED = 3


def ranking_chart(body: Scores) -> RankingCharts | None:
    """The curves to draw; None where no class can be ranked."""
    curves = body.curves
    if not curves.macro.roc:
        return None

    def weakest(area: Callable[[ClassScores], Quantity], points: Callable[[Curve], Points]) -> list[RankedClass]:
        found = [
            RankedClass(name, area(body.per_class[name]), points(curve))
            for name, curve in curves.per_class.items()
            if name in body.per_class and known(area(body.per_class[name]).value)
        ]
        return sorted(found, key=lambda ranked: (ranked.area.value or 0.0, ranked.name))[:MOST_RANKED]

    return RankingCharts(
        RankingLines(curves.macro.roc, weakest(lambda one: one.roc_auc, lambda curve: curve.roc)),
        RankingLines(
            curves.macro.precision_recall,
            weakest(lambda one: one.average_precision, lambda curve: curve.precision_recall),
        ),
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
