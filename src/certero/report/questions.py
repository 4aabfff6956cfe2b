"""Ten questions of somebody who knows the animals or goods in the photos and no statistics, answered in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from certero.language import _, ngettext
from certero.records.metrics import Headline, Metrics
from certero.records.quantity import Quantity
from certero.records.scores import Alarms, Scores
from certero.report.advice import Advice
from certero.report.answer import in_the_long_run, reach, speaks_of, weak_classes
from certero.report.coverage import CoverageView
from certero.report.figures import better_than_guessing, known, number, percent, points
from certero.report.trust import Reason

#: What each answer is called; the order in which they stand on the page.
KEYS = ("tomorrow", "worst", "missed", "false_alarms", "guessing", "percentages", "ask", "unseen", "next", "worth")

# More classes than these are counted, not listed.
_MOST_LISTED = 3
# Advice that says which photos would help.
_ABOUT_PHOTOS = ("days", "too_few_groups", "weak_part", "few_photos", "wide", "pair", "separation")
# Who answers the photos that the model passes on.
_COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its answer.

    Args:
        key: one of `KEYS`, for links and tests.
        title: the question.
        lines: the answer, sentence by sentence.
        more: id of the part of the page that says more; None for none.
    """

    key: str
    title: str
    lines: tuple[str, ...]
    more: str | None


def answer_questions(
    metrics: Metrics,
    headline: Headline,
    reasons: Sequence[Reason],
    coverage: CoverageView | None,
    advice: Sequence[Advice],
) -> list[Question]:
    """The ten questions with their answers; none without a headline.

    Args:
        metrics: of the run.
        headline: its figures.
        reasons: for and against trusting them.
        coverage: what the photos cover.
        advice: what to do next.
    """
    body = headline.body
    if body is None:
        return []
    answers = {
        "tomorrow": (_("Will it work tomorrow?"), _tomorrow(metrics, body), "trust"),
        "worst": (_("Which class is it worst at?"), _worst(body), "fails"),
        "missed": (_missed_title(body.alarms), _missed(body.alarms), "fails"),
        "false_alarms": (_alarms_title(body.alarms), _false_alarms(body.alarms), "fails"),
        "guessing": (_("Is it better than guessing?"), _guessing(body), "trust"),
        "percentages": (_("Can I believe the percentage beside a photo?"), _percentages(body, reasons), "sure"),
        "ask": (_("When should a person look?"), _ask(body), "sure"),
        "unseen": (_("What was it never shown?"), _unseen(coverage), "trust"),
        "next": (_("Which photos should I take or label next?"), _next(advice), "advice"),
        "worth": (_("Is it worth the money?"), _worth(), None),
    }
    found = []
    for key in KEYS:
        title, lines, more = answers[key]
        found.append(Question(key, title, tuple(lines), more))
    return found


def _tomorrow(metrics: Metrics, body: Scores) -> Iterator[str]:
    if speaks_of(metrics) == "hours":
        yield _("Nobody can tell yet: it was measured on the same days that it learnt from.")
    else:
        yield in_the_long_run(metrics, body)
    yield from reach(metrics, body, percent)


def _worst(body: Scores) -> Iterator[str]:
    weak = weak_classes(body)
    if not weak:
        yield _("There is one class here, so none is worse than another.")
        return
    worst = weak[0]
    values = {
        "label": worst.name,
        "found": number(round(worst.found * worst.n)),
        "photos": number(worst.n),
        "missed": number(worst.n - round(worst.found * worst.n)),
    }
    yield _("%(label)s: %(found)s of its %(photos)s photos were found, %(missed)s were not.") % values
    if worst.recall.interval is not None:
        low, high = (percent(end, 0, unit=False) for end in worst.recall.interval)
        yield _("Of new ones, expect %(low)s to %(high)s in 100 to be found.") % {"low": low, "high": high}


def _missed_title(alarms: Alarms | None) -> str:
    if alarms is None or alarms.per == "day":
        return _("How many are missed in a day?")
    return _("How many are missed in 100 photos?")


def _alarms_title(alarms: Alarms | None) -> str:
    if alarms is None or alarms.per == "day":
        return _("How many false alarms are there in a day?")
    return _("How many false alarms are there in 100 photos?")


def _missed(alarms: Alarms | None) -> Iterator[str]:
    if alarms is None:
        yield _("This file is older and does not tell; measure again with certero evaluate.")
        return
    yield _a_day(alarms)
    rows = sorted(alarms.per_class.items(), key=lambda item: -_share(item[1].missed, item[1].shown))
    listed = [(name, one) for name, one in rows if one.shown > 0][:_MOST_LISTED]
    for name, one in listed:
        values = {"label": name, "shown": count(one.shown), "missed": _counted(one.missed)}
        yield _("%(label)s: of about %(shown)s, %(missed)s are missed.") % values
    yield from _others(len(alarms.per_class) - len(listed))


def _false_alarms(alarms: Alarms | None) -> Iterator[str]:
    if alarms is None:
        yield _("This file is older and does not tell; measure again with certero evaluate.")
        return
    rows = sorted(alarms.per_class.items(), key=lambda item: -(item[1].false_alarms.value or 0.0))
    listed = [(name, one) for name, one in rows if known(one.false_alarms.value)][:_MOST_LISTED]
    for name, one in listed:
        values = {"label": name, "alarms": _counted(one.false_alarms)}
        yield _("%(alarms)s photos are called %(label)s and show something else.") % values
    yield from _others(len(alarms.per_class) - len(listed))


def _others(more: int) -> Iterator[str]:
    if more > 0:
        text = ngettext(
            "%(more)s other class has less of that; the table of classes has it.",
            "%(more)s other classes have less of that; the table of classes has them.",
            more,
        )
        yield text % {"more": number(more)}


def _a_day(alarms: Alarms) -> str:
    if alarms.per == "day":
        return _("A day brings about %(photos)s photos here.") % {"photos": count(alarms.photos)}
    return _("Of 100 photos with classes as frequent as here:")


def _share(missed: Quantity, shown: float) -> float:
    return (missed.value or 0.0) / shown if shown > 0 else -1.0


def count(value: float) -> str:
    """A mean count as one would say it.

    >>> count(14.7), count(3.2), count(0.04), count(0.0)
    ('15', '3.2', '0.04', '0')
    """
    if value == 0 or value >= 10 or value == round(value):
        return number(round(value))
    digits = 1 if value >= 1 else min(4, -math.floor(math.log10(value)))
    return f"{value:.{digits}f}"


def _counted(quantity: Quantity) -> str:
    """A count with its interval: `6 (1 to 12)`."""
    if not known(quantity.value):
        return _("nobody can say how many")
    if quantity.interval is None:
        return _("%(value)s (no interval)") % {"value": count(quantity.value)}
    low, high = quantity.interval
    return _("%(value)s (%(low)s to %(high)s)") % {
        "value": count(quantity.value),
        "low": count(low),
        "high": count(high),
    }


def _guessing(body: Scores) -> Iterator[str]:
    better, gain = better_than_guessing(body), body.gain_over_majority
    if body.majority_class is None:
        name = _("Always naming the commonest class would be right in %(share)s of the photos.")
    else:
        name = _("Always saying %(label)s would be right in %(share)s of the photos.")
    if known(body.majority_class_accuracy.value):
        yield name % {"label": body.majority_class, "share": percent(body.majority_class_accuracy.value)}
    if better is None or gain is None or not known(gain.value):
        yield _("Whether the model is better than that cannot be told from these photos.")
    elif better:
        low = None if gain.interval is None else gain.interval[0]
        text = _("The model is better, by %(gain)s points.")
        if known(low) and low > 0:
            text = _("The model is better, by %(gain)s points, surely by more than %(low)s.")
        yield text % {"gain": points(gain.value), "low": points(low)}
    elif gain.value > 0:
        text = _("The model did better by %(gain)s points, but that may be luck: the photos are of too few moments.")
        yield text % {"gain": points(gain.value)}
    else:
        yield _("The model did no better than that.")


def _percentages(body: Scores, reasons: Sequence[Reason]) -> Iterator[str]:
    found = [reason for reason in reasons if reason.about == "calibration"]
    for reason in found:
        yield f"{reason.title}. {reason.text}"
    if not found:
        yield _("Too few photos tell whether it is right as often as it says.")
    sure = [row for row in body.reliability if row.n and row.start >= _COVERAGE - 1e-9]
    photos = sum(row.n for row in sure)
    if photos:
        right = sum(row.n * (row.accuracy.value or 0.0) for row in sure)
        text = ngettext(
            "It was right on %(right)s of the %(photos)s photo of which it said 90 %% or more.",
            "It was right on %(right)s of the %(photos)s photos of which it said 90 %% or more.",
            photos,
        )
        yield text % {"right": number(round(right)), "photos": number(photos)}


def _ask(body: Scores) -> Iterator[str]:
    rows = [row for row in body.abstention.at_coverage if abs(row.coverage - _COVERAGE) < 1e-6]
    if not rows or not known(rows[0].accuracy.value):
        yield _("Too few photos tell how much it would help to ask a person.")
        return
    row = rows[0]
    values = {"all": percent(body.accuracy.value), "rest": percent(row.accuracy.value)}
    text = _(
        "If a person looks at the tenth of the photos of which it is least sure, it is right on %(rest)s of the "
        "others; without, on %(all)s of all."
    )
    yield text % values
    if known(row.threshold):
        yield _("That means: whenever it says less than %(threshold)s.") % {"threshold": percent(row.threshold, 0)}


def _unseen(coverage: CoverageView | None) -> Iterator[str]:
    gaps = [] if coverage is None else coverage.gaps
    if not gaps:
        yield _("These photos have no gap that certero can see: days, hours, light and classes are covered.")
        return
    for gap in gaps:
        yield f"{gap.title}."


def _next(advice: Sequence[Advice]) -> Iterator[str]:
    listed = [item for item in advice if item.rule in _ABOUT_PHOTOS][:_MOST_LISTED]
    for item in listed:
        yield f"{item.title}."
    yield _("Of photos without a label, begin with those of which it is least sure: %(command)s.") % {
        "command": "certero predict RUN PHOTOS --least-sure 50"
    }


def _worth() -> Iterator[str]:
    text = _("That depends on what a mistake and a minute of work cost. In money, with a range: %(command)s.")
    yield text % {"command": "certero value RUN --case FILE"}
