"""A user's bars (`--require "precision>=0.85"`): met, not met, or cannot tell."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

from certero.errors import ConfigError
from certero.names import class_name, find_class
from certero.records.metrics import JudgedFigure, Judgement
from certero.records.quantity import Quantity
from certero.records.scores import Scores
from certero.stats.many_tests import widened

_AVERAGED = tuple(f"{row}_{f}" for row in ("macro", "micro", "weighted") for f in ("precision", "recall", "f1"))
PER_CLASS = ("precision", "recall", "f1")
FIGURES = ("accuracy", "balanced_accuracy", *PER_CLASS, *_AVERAGED, "top_3", "log_loss", "ece")
_FORM = re.compile(r"\s*(?P<figure>\w+)\s*(?:\[(?P<bracket>.+)\]|:(?P<colon>.+?))?\s*(?P<op>[<>]=?)(?P<bar>[^<>=]+)")

MET, NOT_MET, CANNOT_TELL = "met", "not met", "cannot tell"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A figure and the bar it must reach.

    Args:
        text: as the user wrote it.
        figure: one of FIGURES; `precision`, `recall` and `f1` apply to every class.
        label: the one class they apply to; None for all.
        op: `>=`, `>`, `<=` or `<`.
        bar: the number after it.
    """

    text: str
    figure: str
    label: str | None
    op: str
    bar: float


def parse_requirement(text: str, classes: Sequence[str] | None = None) -> Requirement:
    """Reads `accuracy>=0.9`, `f1>=0.8` (every class), `recall[standing]>=0.8` or `recall:standing>=0.8`.

    Args:
        text: a figure, a class in brackets or after a colon if wanted, a comparison and a number.
        classes: names to check the class against, if known.

    Raises:
        ConfigError: not of this form, an unknown figure or class, or an impossible bar.

    >>> parse_requirement("recall[standing] >= 0.8").label
    'standing'
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ConfigError(
            '--require must look like "accuracy>=0.9" or "recall[standing]>=0.8"; found %(text)r', text=text
        )
    figure, op = match["figure"], match["op"]
    if figure not in FIGURES:
        raise ConfigError(
            "--require %(text)r: unknown figure %(figure)r; known are %(figures)s",
            text=text,
            figure=figure,
            figures=", ".join(FIGURES),
        )
    asked = match["bracket"] or match["colon"]
    label = None if asked is None else class_name(asked)
    if label is not None and figure not in PER_CLASS:
        raise ConfigError(
            "--require %(text)r: only %(per_class)s can be asked of one class",
            text=text,
            per_class=", ".join(PER_CLASS),
        )
    if label is not None and classes is not None:
        label = _find_class(text, label, classes)
    try:
        bar = float(match["bar"])
    except ValueError:
        raise ConfigError(
            "--require %(text)r: the bar must be a number; found %(bar)r", text=text, bar=match["bar"]
        ) from None
    if not 0 <= bar <= (float("inf") if figure == "log_loss" else 1.0):
        raise ConfigError(
            "--require %(text)r: the bar must lie in 0..1 (0.85 for 85 %%); found %(bar)g", text=text, bar=bar
        )
    return Requirement(text, figure, label, op, bar)


def judge(requirement: Requirement, scores: Scores) -> Judgement:
    """Compares a bar with the intervals of the figures: `met` only if the whole interval meets it.

    A bar for every class is met if each class meets it, and not met if any class surely misses it.
    Meeting all needs no correction for the number of classes (R. Berger, Technometrics 24 (1982), 295-300); missing
    one does: of many classes that just meet the bar, one often lies below it by chance. There the interval is widened
    for the number of classes.

    Args:
        requirement: from `parse_requirement`.
        scores: the figures on held-out photos.

    Raises:
        ConfigError: the requirement names a class that has no figures.
    """
    asked = _quantities(requirement, scores)
    looked_at = sum(quantity.interval is not None for _label, quantity in asked)
    figures = tuple(
        JudgedFigure(requirement.figure, label, quantity, _verdict(requirement, quantity, looked_at))
        for label, quantity in asked
    )
    verdicts = [figure.verdict for figure in figures]
    overall = NOT_MET if NOT_MET in verdicts else CANNOT_TELL if CANNOT_TELL in verdicts else MET
    return Judgement(requirement.text, overall, figures)


def judge_all(requirements: Sequence[Requirement], scores: Scores | None) -> tuple[Judgement, ...]:
    """The judgement of each bar; `cannot tell` if nothing was measured (None)."""
    if scores is None:
        return tuple(Judgement(requirement.text, CANNOT_TELL, ()) for requirement in requirements)
    return tuple(judge(requirement, scores) for requirement in requirements)


def _quantities(requirement: Requirement, scores: Scores) -> list[tuple[str | None, Quantity]]:
    figure = requirement.figure
    if figure in PER_CLASS:
        label = requirement.label
        known = list(scores.per_class)
        names = known if label is None else [_find_class(requirement.text, label, known)]
        return [(name, getattr(scores.per_class[name], figure)) for name in names]
    if figure in _AVERAGED:
        row, _, name = figure.partition("_")
        return [(None, getattr(getattr(scores, row), name))]
    return [(None, getattr(scores, figure))]


def _verdict(requirement: Requirement, quantity: Quantity, looked_at: int) -> str:
    compare = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}[requirement.op]
    ends = quantity.interval
    if ends is None:
        return CANNOT_TELL
    if all(compare(end, requirement.bar) for end in ends):
        return MET
    wider = ends if looked_at < 2 else widened(quantity, looked_at)
    return CANNOT_TELL if any(compare(end, requirement.bar) for end in wider or ends) else NOT_MET


def _find_class(text: str, label: str, classes: Sequence[str]) -> str:
    found = find_class(label, classes)
    if found is None:
        known = ", ".join([*classes[:20], *(["..."] if len(classes) > 20 else [])])
        raise ConfigError(
            "--require %(text)r: unknown class %(label)r; the model knows %(known)s",
            text=text,
            label=label,
            known=known,
        )
    return found
