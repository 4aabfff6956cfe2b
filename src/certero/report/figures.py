"""Figures rounded, ranked and shaded for reading. The words are in the templates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from certero.language import _
from certero.records.metrics import JudgedFigure
from certero.records.quantity import Quantity
from certero.records.record import Record
from certero.records.scores import Confusion, Part, Scores, Slice, WorstSlice
from certero.stats.requirements import CANNOT_TELL, NOT_MET

NO_BREAK_SPACE = "\u00a0"
MISSING = "–"
#: What stands before a negative number that people read; programs read a hyphen.
MINUS = "\u2212"
SHADES = 10
_FEW_UNITS = 10
# A chance, at most, from which on a part is no worse than one expects the lowest to be: more of a bound is no chance.
_EASY_CHANCE = 0.5


def known(value: Any) -> TypeGuard[float]:
    """Whether this is a finite number; an undefined figure is null in the metrics."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def has_interval(quantity: Quantity) -> bool:
    """Whether an interval could be given for this quantity."""
    return quantity.interval is not None


def percent(value: Any, digits: int = 1, *, unit: bool = True) -> str:
    """A share as a percentage; never "100 %" or "0 %" for what only comes near.

    >>> percent(0.8421, unit=False), percent(0.9996, 0, unit=False), percent(1.0, 0, unit=False)
    ('84.2', '99.96', '100')
    """
    if not known(value):
        return MISSING
    text = f"{100 * value:.{digits}f}"
    while digits < 4 and ((float(text) == 100 and value < 1) or (float(text) == 0 and value > 0)):
        digits += 1
        text = f"{100 * value:.{digits}f}"
    return text + (f"{NO_BREAK_SPACE}%" if unit else "")


def points(value: Any) -> str:
    """A difference between shares, in percentage points, without its sign.

    >>> points(-0.118)
    '11.8'
    """
    return f"{abs(100 * value):.1f}" if known(value) else MISSING


def signed(value: Any) -> str:
    """A share as points with a sign; a difference that rounds to nothing has none.

    >>> signed(0.0312), signed(-0.004), signed(0.0001)
    ('+3.1', '−0.4', '0.0')
    """
    if not known(value):
        return MISSING
    text = f"{abs(100 * value):.1f}"
    return text if text == "0.0" else ("+" if value > 0 else MINUS) + text


def number(value: Any, digits: int = 3) -> str:
    """A count with thousands marked, or a figure rounded to `digits` decimals.

    >>> number(12345), number(0.12345), number(None)
    ('12,345', '0.123', '–')
    """
    if not known(value):
        return MISSING
    return (f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}").replace("-", MINUS)


@dataclass(frozen=True, slots=True)
class OfMany:
    """A share as a count of `base` photos, and the ends of its interval likewise."""

    base: int
    value: int
    low: int | None
    high: int | None


def of_many(quantity: Quantity) -> OfMany | None:
    """A share as a count of 100 photos, of 1,000 or 10,000 where 100 would round it to all or none.

    >>> of_many(Quantity(0.842, 0.82, 0.861, "wilson", 100))
    OfMany(base=100, value=84, low=82, high=86)
    """
    if not known(quantity.value):
        return None
    shares = [share if known(share) else None for share in (quantity.value, quantity.low, quantity.high)]
    base = 100
    while base < 10_000 and any(s is not None and 0 < s < 1 and round(s * base) in (0, base) for s in shares):
        base *= 10
    _value, low, high = (None if share is None else round(share * base) for share in shares)
    return OfMany(base, round(quantity.value * base), low, high)


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class's figures; None where one is undefined."""

    name: str
    n: int
    recall: Quantity | None
    precision: Quantity | None
    f1: Quantity | None


def rank_classes(body: Scores) -> list[ClassRow]:
    """The classes, worst F1 first (recall where there is no F1); classes without figures last."""
    rows = [
        ClassRow(name, scores.n, _stated(scores.recall), _stated(scores.precision), _stated(scores.f1))
        for name, scores in body.per_class.items()
    ]

    def worst_first(row: ClassRow) -> tuple[float, int, str]:
        stated = row.f1 or row.recall
        value = math.inf if stated is None or stated.value is None else stated.value
        return (value, -row.n, row.name)

    return sorted(rows, key=worst_first)


def _stated(quantity: Quantity) -> Quantity | None:
    return quantity if known(quantity.value) else None


@dataclass(frozen=True, slots=True)
class Mistaken:
    """One kind of mistake: `count` of a class's `total` photos were named otherwise (None: not named)."""

    label: str
    predicted: str | None
    count: int
    total: int


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One true class: (count, shade 0 to SHADES) per named class and, if any, for photos left unnamed."""

    label: str
    cells: list[tuple[int, int]]
    unnamed: tuple[int, int] | None


def heat_rows(confusion: Confusion) -> list[HeatRow]:
    """The confusion matrix, each cell shaded by its share of the row (true class)."""
    rows = []
    for label, counts, unnamed in _confusion_rows(confusion):
        total = sum(counts) + (unnamed or 0)
        cells = [(count, _shade(count, total)) for count in counts]
        rows.append(HeatRow(label, cells, None if unnamed is None else (unnamed, _shade(unnamed, total))))
    return rows


def _shade(count: int, total: int) -> int:
    # Any mistake at all must be visible, however large its row.
    return max(1, round(SHADES * count / total)) if count else 0


def top_confusions(confusion: Confusion, limit: int = 12) -> list[Mistaken]:
    """The most frequent kinds of mistake, the largest first."""
    found = []
    for label, counts, unnamed in _confusion_rows(confusion):
        total = sum(counts) + (unnamed or 0)
        named: list[tuple[str | None, int]] = [
            *zip(confusion.classes, counts, strict=True),
            (None, unnamed or 0),
        ]
        found += [Mistaken(label, name, count, total) for name, count in named if count and name != label]
    return sorted(found, key=lambda c: (-c.count, c.total, c.label))[:limit]


def _confusion_rows(confusion: Confusion) -> Iterator[tuple[str, Sequence[int], int | None]]:
    unnamed: Sequence[int | None] = confusion.no_label or [None] * len(confusion.classes)
    return zip(confusion.classes, confusion.counts, unnamed, strict=True)


def decisive_first(figures: Sequence[JudgedFigure]) -> list[JudgedFigure]:
    """The figures behind a requirement's verdict, those that decided against it first."""
    order = {NOT_MET: 0, CANNOT_TELL: 1}
    return sorted(figures, key=lambda figure: order.get(figure.verdict, 2))


def most_frequent_class(body: Scores) -> str | None:
    """The class that `majority_class_accuracy` speaks of; None where it cannot be told."""
    if body.majority_class is not None:
        return body.majority_class
    share = body.majority_class_accuracy.value
    if not known(share) or not body.n:
        return None
    matching = [name for name, scores in body.per_class.items() if abs(scores.n / body.n - share) < 1e-9]
    return matching[0] if len(matching) == 1 else None


def has_few_units(body: Scores) -> bool:
    """Whether the number of days, blocks or groups sets how wide an interval is, not that of the photos."""
    return body.groups is not None and body.groups < _FEW_UNITS


def better_than_guessing(body: Scores) -> bool | None:
    """Whether the model is surely better than always naming one class; None where that cannot be told at all."""
    gain = body.gain_over_majority
    if gain is None or not known(gain.value) or sum(bool(scores.n) for scores in body.per_class.values()) < 2:
        return None
    if gain.interval is not None:
        return gain.interval[0] > 0
    # Without variation it gains, or loses, the same on every photo.
    return gain.value > 0 if gain.method == "no_variation" or gain.value <= 0 else None


def interval_methods(*parts: object) -> list[str]:
    """The names of the interval methods used anywhere in these figures, sorted."""
    found: set[str] = set()
    waiting = list(parts)
    while waiting:
        part = waiting.pop()
        if isinstance(part, Quantity):
            found.add(part.method)
        elif isinstance(part, Record):
            waiting += [getattr(part, field.name) for field in dataclasses.fields(part)]  # type: ignore[arg-type]
        elif isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, tuple):
            waiting += part
    return sorted(found - {""})


def flatten(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Nested settings as (dotted name, value) pairs, in their order."""
    pairs: list[tuple[str, object]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            pairs += flatten(dict(value), f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs


def slice_words(name: str, value: str | None) -> tuple[str, str]:
    """The name of a slice and of its part, as people say them."""
    names = {"lighting": _("lighting"), "hour": _("hour"), "group": _("group")}
    values = {"night": _("night"), "day": _("day"), "glare": _("glare")}
    if value is None:
        return names.get(name, name), _("unknown")
    return names.get(name, name), values.get(value, value) if name == "lighting" else value


def worst_slice_sentence(worst: WorstSlice | None) -> str | None:
    """Whether some part is surely worse than the rest, in words; None where it cannot be told."""
    if worst is None:
        return None
    said: list[str] = []
    if worst.p is not None and known(worst.part.accuracy.value):
        said.append(_compared(worst, worst.p))
    if worst.untested is not None and known(worst.untested.accuracy.value):
        text = _(
            "%(part)s is one group, with %(accuracy)s right against %(rest)s on all other photos: whether it is worse "
            "or chance, nobody can tell."
        )
        said.append(text % _part_words(worst.untested))
    return " ".join(said) or None


def _part_words(part: Part) -> dict[str, str]:
    name, value = slice_words(part.slice, part.value)
    return {
        "part": f"{name}: {value}",
        "accuracy": percent(part.accuracy.value),
        "rest": percent(part.rest_accuracy),
    }


def _compared(worst: WorstSlice, p: float) -> str:
    values = {
        **_part_words(worst.part),
        "parts": number(worst.looked_at),
        "chance": percent(p, 0 if p >= 0.01 else 1),
    }
    if worst.worse:
        text = _(
            "The model is worse on one part: %(part)s, with %(accuracy)s right against %(rest)s on all other photos. "
            "Of %(parts)s parts that are all alike, chance would make one look that bad in at most %(chance)s of cases."
        )
    elif p < _EASY_CHANCE:
        text = _(
            "No part is surely worse than the rest. The lowest for its size is %(part)s, with %(accuracy)s right "
            "against %(rest)s on all other photos; of %(parts)s parts that are all alike, chance would make one look "
            "that bad in at most %(chance)s of cases."
        )
    else:
        text = _(
            "No part is surely worse than the rest. The lowest for its size is %(part)s, with %(accuracy)s right "
            "against %(rest)s on all other photos; among %(parts)s parts that are all alike, chance makes one look "
            "that bad easily."
        )
    return text % values


def group_slices(rows: Sequence[Slice]) -> list[tuple[str, list[Slice]]]:
    """The slices by what divides them, in their order: (name, rows)."""
    found: dict[str, list[Slice]] = {}
    for row in rows:
        found.setdefault(row.slice, []).append(row)
    return [(slice_words(name, rows[0].value)[0], rows) for name, rows in found.items()]
