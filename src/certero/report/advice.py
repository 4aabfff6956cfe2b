"""What to do next: advice that the figures themselves give, by rules, the most urgent first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from certero.language import _, ngettext
from certero.records.coverage import FEWEST_DAYS
from certero.records.metrics import Headline, Metrics
from certero.records.quantity import Quantity
from certero.records.scores import Scores
from certero.report.answer import days_covered, speaks_of, units
from certero.report.figures import (
    better_than_guessing,
    has_few_units,
    known,
    number,
    percent,
    points,
    rank_classes,
    slice_words,
    top_confusions,
)
from certero.stats.intervals import FEWEST_GROUPS, photos_to_halve
from certero.stats.requirements import CANNOT_TELL, NOT_MET

#: Longer lists are not read.
MOST_ADVICE = 8

# A class whose interval is wider than this, in shares, has too few photos to be judged.
_WIDE_CLASS = 0.2
_WIDE = 0.1
# A class with fewer photos needs more of its own all the same.
_FEW_PHOTOS = 20
_MOST_CLASSES = 3
# A pair of classes is worth a look from so many photos and this share of the class on.
_PAIR_PHOTOS, _PAIR_SHARE, _MOST_PAIRS = 3, 0.1, 3
# A part that surely is worse than the rest is worth photos where it lies so far below the accuracy.
_WEAK_PART, _MOST_PARTS = 0.05, 3
_MANY_OPENINGS = 3
_NEAR_CEILING, _FEW_MISTAKES = 0.97, 25
_MISCALIBRATED = 0.05


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do.

    Args:
        rule: which rule speaks, a word for tests and tools.
        title: what to do, in a few words.
        text: why, and how much.
    """

    rule: str
    title: str
    text: str


def advise(metrics: Metrics, headline: Headline) -> list[Advice]:
    """The advice, the most urgent first, at most `MOST_ADVICE`."""
    body = headline.body
    found: list[Advice] = []
    if headline.sealed:
        text = _(
            "Train without --no-test when every choice is made: the test photos are opened once, and the figure holds."
        )
        found.append(Advice("sealed", _("Open the test photos, once"), text))
    elif body is None:
        text = _("Measure on photos of another week or place, which took no part in training.")
        found.append(Advice("contaminated", _("Bring photos that the model has not seen"), text))
    if body is not None:
        for rule in (
            _guessing,
            _bars,
            _days,
            _too_few_groups,
            _parts,
            _pairs,
            _classes,
            _wide,
            _probabilities,
            _ceiling,
        ):
            found += rule(metrics, body)
        found += _openings(metrics)
    found += _separation(metrics)
    found += _unreadable(metrics)
    if body is not None and not found:
        text = _("Measure the model on photos of another week or place before you rely on it: certero evaluate.")
        found.append(Advice("nothing", _("Nothing stands out"), text))
    return found[:MOST_ADVICE]


def _photos_to_halve(quantity: Quantity) -> int | None:
    if quantity.interval is None or not known(quantity.value):
        return None
    return photos_to_halve(quantity.value, *quantity.interval, quantity.n)


def round_up(count: float) -> int:
    """A count of photos as one would plan it: two digits, upwards.

    >>> [round_up(count) for count in (7, 43.2, 305, 1234)]
    [7, 44, 310, 1300]
    """
    whole = math.ceil(count)
    step: int = 10 ** max(0, len(str(whole)) - 2)
    return -(-whole // step) * step


def _more(metrics: Metrics, body: Scores, count: int) -> str:
    """So many photos more, in words: of test, where only a part of new photos becomes test photos."""
    used = metrics.counts.used
    if metrics.evaluation == "split" and used and body.n:
        total = round_up(count * used / body.n)
        text = _("about %(count)s more photos (a part of them becomes test photos)")
        return text % {"count": number(total)}
    if metrics.evaluation == "given":
        return _("about %(count)s more test photos") % {"count": number(round_up(count))}
    return _("about %(count)s more photos") % {"count": number(round_up(count))}


def _dependent(body: Scores) -> str:
    if body.groups is None:
        return ""
    return " " + _("Take them at other times or places: more of the same moments add little.")


def _guessing(_metrics: Metrics, body: Scores) -> Iterator[Advice]:
    gain = None if body.gain_over_majority is None else body.gain_over_majority.value
    # Of few days or blocks hardly anything is sure: those need others first.
    if better_than_guessing(body) is False and not (has_few_units(body) and known(gain) and gain > 0):
        text = _(
            "It may be no better than always naming the commonest class of its training. Check the labels, look "
            "whether a person can tell the classes apart in these photos, and collect more of the rare classes."
        )
        yield Advice("guessing", _("Do not use the model yet"), text)


def _bars(metrics: Metrics, body: Scores) -> Iterator[Advice]:
    for item in metrics.requirements:
        if item.verdict not in (NOT_MET, CANNOT_TELL):
            continue
        decisive = [figure for figure in item.figures if figure.verdict == item.verdict]
        names = ", ".join(dict.fromkeys(figure.label for figure in decisive[:6] if figure.label))
        what = {"bar": item.require, "classes": names}
        if item.verdict == NOT_MET:
            text = _("The whole interval misses the bar. More test photos will not change that; a better model might.")
            if names:
                text = (
                    _("It is missed by %(classes)s. More test photos will not change that; more training photos may.")
                    % what
                )
            yield Advice("bar_not_met", _("%(bar)s is not met") % what, text)
            continue
        counts = [_photos_to_halve(figure.quantity) for figure in decisive]
        known_counts = [count for count in counts if count is not None]
        if known_counts and len(known_counts) == len(counts):
            text = _("The bar lies inside the interval.")
            if names:
                text = _("The bar lies inside the interval of %(classes)s.") % what
            text = f"{text} {_to_narrow(metrics, body, max(known_counts))}"
        else:
            text = _(
                "There is no interval to hold against the bar. It takes photos from more separate times or groups."
            )
        yield Advice("bar_open", _("%(bar)s cannot be told yet") % what, text)


def _days(metrics: Metrics, _body: Scores) -> Iterator[Advice]:
    days = days_covered(metrics)
    if speaks_of(metrics) == "hours" and days is not None and days < FEWEST_DAYS:
        text = _(
            "Days differ in weather, light and who was there. From %(fewest)s days on, the figure speaks of other "
            "days; a few photos of each class a day do more than many of one day."
        )
        title = _("Bring photos of other days")
        yield Advice("days", title, text % {"fewest": number(FEWEST_DAYS)})


def _too_few_groups(_metrics: Metrics, body: Scores) -> Iterator[Advice]:
    if body.accuracy.method != "too_few_groups":
        return
    text = _(
        "An interval needs test photos from at least %(fewest)s separate times or groups; here there are %(groups)s. "
        "Days, cameras or places that are new help; more photos of the same do not."
    )
    values = {"fewest": FEWEST_GROUPS, "groups": number(body.groups)}
    yield Advice("too_few_groups", _("Collect photos from more times or places"), text % values)


def _parts(_metrics: Metrics, body: Scores) -> Iterator[Advice]:
    accuracy = body.accuracy.value
    if not known(accuracy):
        return
    weak = [row for row in body.slices if row.worse and (row.accuracy.value or 0.0) <= accuracy - _WEAK_PART]
    weak.sort(key=lambda row: row.accuracy.value or 0.0)
    for row in weak[:_MOST_PARTS]:
        name, value = slice_words(row.slice, row.value)
        values = {
            "part": f"{name}: {value}",
            "share": percent(row.accuracy.value),
            "all": percent(accuracy),
            "photos": number(row.n),
        }
        if (row.slice, row.value) == ("lighting", "night"):
            title = _("Add photos taken in the dark")
        elif (row.slice, row.value) == ("lighting", "glare"):
            title = _("Add photos with glare")
        else:
            title = _("Add photos of %(part)s") % values
        text = _("Of its %(photos)s photos (%(part)s), %(share)s are named rightly, of all %(all)s.") % values
        yield Advice("weak_part", title, text)


def _pairs(_metrics: Metrics, body: Scores) -> Iterator[Advice]:
    told: set[frozenset[str]] = set()
    for mistake in top_confusions(body.confusion, limit=50):
        if mistake.predicted is None or mistake.count < _PAIR_PHOTOS or mistake.count < _PAIR_SHARE * mistake.total:
            continue
        pair = frozenset((mistake.label, mistake.predicted))
        if pair in told:
            continue
        told.add(pair)
        text = _(
            "%(count)s of %(total)s photos of %(label)s were called %(predicted)s. Are some labels wrong? If people "
            "confuse the two as well, merge them or write down the rule. If not, add photos that show the difference."
        )
        values = {
            "count": number(mistake.count),
            "total": number(mistake.total),
            "label": mistake.label,
            "predicted": mistake.predicted,
        }
        yield Advice("pair", _("Look at %(label)s and %(predicted)s side by side") % values, text % values)
        if len(told) == _MOST_PAIRS:
            return


def _classes(metrics: Metrics, body: Scores) -> Iterator[Advice]:
    if body.accuracy.method == "too_few_groups":
        return
    asked = _asked_already(metrics)
    wide = [
        (row, row.recall, row.recall.interval)
        for row in rank_classes(body)
        if row.n and row.name not in asked and row.recall is not None and row.recall.interval is not None
    ]
    # With few units every class has a wide interval: those of many photos need other days, not photos of their own.
    fewest = _FEW_PHOTOS if has_few_units(body) else None
    wide = [item for item in wide if item[2][1] - item[2][0] > _WIDE_CLASS and (fewest is None or item[0].n < fewest)]
    wide.sort(key=lambda item: item[2][0] - item[2][1])
    for row, recall, (low, high) in wide[:_MOST_CLASSES]:
        more = _photos_to_halve(recall)
        if more is None:
            continue
        values = {
            "label": row.name,
            "photos": number(row.n),
            "low": percent(low, 0, unit=False),
            "high": percent(high, 0),
        }
        text = ngettext(
            "Its share found rests on %(photos)s photo and may lie anywhere from %(low)s to %(high)s.",
            "Its share found rests on %(photos)s photos and may lie anywhere from %(low)s to %(high)s.",
            row.n,
        )
        title = _("Add photos of %(label)s")
        yield Advice("few_photos", title % values, f"{text % values} {_to_narrow(metrics, body, more)}")


def _to_narrow(metrics: Metrics, body: Scores, more: int) -> str:
    """What halves an interval: so many photos; where they come from few days or groups, others of these."""
    if has_few_units(body):
        text = _("More photos of the same %(units)s would hardly narrow that: there are only %(groups)s.")
        return text % {"units": units(metrics), "groups": number(body.groups)}
    return _("To halve that takes %(more)s.") % {"more": _more(metrics, body, more)} + _dependent(body)


def _asked_already(metrics: Metrics) -> set[str]:
    """Classes whose recall a bar asks about and cannot tell: that advice says how many photos it takes."""
    return {
        str(figure.label)
        for item in metrics.requirements
        if item.verdict == CANNOT_TELL
        for figure in item.figures
        if figure.figure == "recall" and figure.verdict == CANNOT_TELL
    }


def _wide(metrics: Metrics, body: Scores) -> Iterator[Advice]:
    ends = body.accuracy.interval
    if ends is None or ends[1] - ends[0] <= _WIDE:
        return
    more = _photos_to_halve(body.accuracy)
    if more is None or any(_days(metrics, body)):
        return
    text = _("The interval is %(points)s points wide.") % {"points": points(ends[1] - ends[0])}
    title = _("Measure on photos of more %(units)s") if has_few_units(body) else _("Measure on more photos")
    yield Advice("wide", title % {"units": units(metrics)}, f"{text} {_to_narrow(metrics, body, more)}")


def _probabilities(_metrics: Metrics, body: Scores) -> Iterator[Advice]:
    error, chance = body.ece.value, body.ece_perfect.high
    if known(error) and known(chance) and error > max(chance, _MISCALIBRATED):
        text = _(
            "They are off by %(points)s points on average. Set no threshold on them before the model is trained again "
            "with more photos like these."
        )
        title = _("Do not rely on the probabilities")
        yield Advice("probabilities", title, text % {"points": points(error)})


def _ceiling(_metrics: Metrics, body: Scores) -> Iterator[Advice]:
    accuracy = body.accuracy.value
    if not known(accuracy) or accuracy < _NEAR_CEILING:
        return
    wrong = round(body.n * (1 - accuracy))
    if 0 < wrong <= _FEW_MISTAKES:
        text = ngettext(
            "Only %(wrong)s photo is named wrongly. Look at it above: among so few, wrong labels and photos that "
            "nobody could tell weigh most, and a better model can gain little.",
            "Only %(wrong)s photos are named wrongly. Look at each of them above: among so few, wrong labels and "
            "photos that nobody could tell weigh most, and a better model can gain little.",
            wrong,
        )
        yield Advice("ceiling", _("Look at every mistake"), text % {"wrong": number(wrong)})


def _openings(metrics: Metrics) -> Iterator[Advice]:
    times = metrics.openings or 0
    if times >= _MANY_OPENINGS:
        text = _(
            "These were opened %(times)s times before. What you kept because it did better on them looks too good."
        )
        yield Advice("openings", _("Take fresh test photos"), text % {"times": number(times)})


def _separation(metrics: Metrics) -> Iterator[Advice]:
    if metrics.separation.rule == "copies" and metrics.evaluation in ("split", "cv"):
        text = _(
            "Put the time into a column captured_at or into the file names, or say with --group-by what belongs "
            "together. Without it photos of the same scene may be learnt from and asked about."
        )
        yield Advice("separation", _("Tell certero when or where the photos were taken"), text)


def _unreadable(metrics: Metrics) -> Iterator[Advice]:
    count = metrics.counts.unreadable
    if not count:
        return
    title = ngettext("Repair or remove %(count)s file", "Repair or remove %(count)s files", count)
    text = _("They could not be read and took no part. They are listed at the end.")
    yield Advice("unreadable", title % {"count": number(count)}, text)
