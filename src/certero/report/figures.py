"""Figures of `metrics.json` rounded, ranked and shaded for reading. The words are in the templates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from certero.interchange import Json
from certero.language import _
from certero.records.scores import Part, WorstSlice

NO_BREAK_SPACE = "\u00a0"
MISSING = "–"
SHADES = 10
# A chance, at most, from which on a part is no worse than one expects the lowest to be: more of a bound is no chance.
_EASY_CHANCE = 0.5


def known(value: Any) -> TypeGuard[float]:
    """Whether this is a finite number; an undefined figure is null in the metrics."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def has_interval(quantity: Any) -> bool:
    """Whether an interval could be given for this quantity."""
    return isinstance(quantity, Mapping) and known(quantity.get("low")) and known(quantity.get("high"))


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


def number(value: Any, digits: int = 3) -> str:
    """A count with thousands marked, or a figure rounded to `digits` decimals.

    >>> number(12345), number(0.12345), number(None)
    ('12,345', '0.123', '–')
    """
    if not known(value):
        return MISSING
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def of_many(quantity: Any) -> dict[str, int] | None:
    """A share as a count of 100 photos, of 1,000 or 10,000 where 100 would round it to all or none.

    >>> of_many({"value": 0.842, "low": 0.82, "high": 0.861})
    {'base': 100, 'value': 84, 'low': 82, 'high': 86}
    """
    if not isinstance(quantity, Mapping) or not known(quantity.get("value")):
        return None
    shares = {key: quantity[key] for key in ("value", "low", "high") if known(quantity.get(key))}
    base = 100
    while base < 10_000 and any(0 < s < 1 and round(s * base) in (0, base) for s in shares.values()):
        base *= 10
    return {"base": base} | {key: round(share * base) for key, share in shares.items()}


@dataclass(frozen=True, slots=True)
class Headline:
    """Which of the measured figures may stand at the top.

    Args:
        body: the figures (shape of `metrics["test"]`), None where there is no honest figure.
        sealed: no test photo was opened.
        seen: photos that the model was trained on; they are not in `body` unless `contaminated`.
        contaminated: photos seen in training could not be taken out, so nothing may be claimed.
    """

    body: Json | None
    sealed: bool
    seen: int
    contaminated: bool


def choose_headline(metrics: Json) -> Headline:
    """The figures on photos that the model has never seen; nothing else may be a headline."""
    test = metrics.get("test")
    report = metrics.get("seen") or {}
    seen = int(report.get("exact") or 0) + int(report.get("near") or 0)
    if not test:
        return Headline(None, sealed=True, seen=seen, contaminated=False)
    if not seen:
        return Headline(test, sealed=False, seen=0, contaminated=False)
    unseen = report.get("unseen")
    if unseen and unseen.get("n"):
        return Headline(unseen, sealed=False, seen=seen, contaminated=False)
    return Headline(None, sealed=False, seen=seen, contaminated=True)


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class's figures; each is a quantity of the metrics or None."""

    name: str
    n: int
    recall: Json | None
    precision: Json | None
    f1: Json | None


def rank_classes(body: Json) -> list[ClassRow]:
    """The classes, worst F1 first (recall where there is no F1); classes without figures last."""
    shown = ("recall", "precision", "f1")
    rows = [
        ClassRow(name, figures.get("n") or 0, *(_stated(figures.get(figure)) for figure in shown))
        for name, figures in (body.get("per_class") or {}).items()
    ]

    def worst_first(row: ClassRow) -> tuple[float, int, str]:
        stated = row.f1 or row.recall
        return (stated["value"] if stated else math.inf, -row.n, row.name)

    return sorted(rows, key=worst_first)


def _stated(quantity: Any) -> Json | None:
    return quantity if isinstance(quantity, dict) and known(quantity.get("value")) else None


@dataclass(frozen=True, slots=True)
class Confusion:
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


def heat_rows(confusion: Json) -> list[HeatRow]:
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


def top_confusions(confusion: Json, limit: int = 12) -> list[Confusion]:
    """The most frequent kinds of mistake, the largest first."""
    found = []
    for label, counts, unnamed in _confusion_rows(confusion):
        total = sum(counts) + (unnamed or 0)
        named: list[tuple[str | None, int]] = [
            *zip(confusion["classes"], counts, strict=True),
            (None, unnamed or 0),
        ]
        found += [Confusion(label, name, count, total) for name, count in named if count and name != label]
    return sorted(found, key=lambda c: (-c.count, c.total, c.label))[:limit]


def _confusion_rows(confusion: Json) -> Iterator[tuple[str, Sequence[int], int | None]]:
    unnamed: Sequence[int | None] = confusion.get("no_label") or [None] * len(confusion["classes"])
    return zip(confusion["classes"], confusion["counts"], unnamed, strict=True)


def majority(body: Json) -> Json:
    """The share of the most frequent class as a quantity, its value None where it is not known."""
    share = body.get("majority_class_accuracy")
    if isinstance(share, dict):
        return share if known(share.get("value")) else {"value": None}
    return {"value": share if known(share) else None}


def decisive_first(judged: Any) -> Any:
    """The figures behind a requirement's verdict, those that decided against it first."""
    if not isinstance(judged, list):
        return judged
    order = {"not met": 0, "cannot tell": 1}
    return sorted(
        judged, key=lambda figure: order.get(str(figure.get("verdict")), 2) if isinstance(figure, dict) else 2
    )


def most_frequent_class(body: Json) -> str | None:
    """The class that `majority_class_accuracy` speaks of; None where it cannot be told."""
    per_class = {name: figures.get("n") or 0 for name, figures in (body.get("per_class") or {}).items()}
    share = majority(body)["value"]
    if share is None or not body.get("n"):
        return None
    matching = [name for name, n in per_class.items() if abs(n / body["n"] - share) < 1e-9]
    return matching[0] if len(matching) == 1 else None


def interval_methods(*parts: Any) -> list[str]:
    """The names of the interval methods used anywhere in these figures, sorted."""
    found: set[str] = set()
    waiting = list(parts)
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            if {"value", "low", "high", "method"} <= part.keys():
                found.add(str(part["method"]))
            else:
                waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return sorted(found)


def flatten(settings: Json, prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as (dotted name, value) pairs, in their order."""
    pairs: list[tuple[str, Any]] = []
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


def group_slices(rows: Any) -> list[tuple[str, list[Json]]]:
    """The slices by what divides them, in their order: (name, rows)."""
    found: dict[str, list[Json]] = {}
    for row in rows or []:
        if isinstance(row, dict):
            found.setdefault(str(row.get("slice")), []).append(row)
    return [(slice_words(str(rows[0].get("slice")), rows[0].get("value"))[0], rows) for rows in found.values()]
