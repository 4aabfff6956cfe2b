"""What the headline says, sentence by sentence; the page and the terminal say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from certero.language import _, ngettext
from certero.records.coverage import FEWEST_DAYS
from certero.records.metrics import Metrics
from certero.records.scores import Scores, WeakClass
from certero.report.figures import known, number, of_many, percent
from certero.stats.intervals import FEWEST_GROUPS

_MOST_WEAK = 5

#: How a share is written: `98.1 %` on the page, `98.1%` on the terminal.
Share = Callable[[float], str]


# What files made before it was told spoke of.
_OF_RULE = {"time": "hours", "time_blocks": "hours", "group": "groups", "copies": "unknown"}

# A range of more than this for one new day is no news.
_SAYS_NOTHING = 0.9


def speaks_of(metrics: Metrics) -> str:
    """What the figure speaks of: `hours`, `days`, `places`, `groups`, `unknown`; an older file tells it by its rule."""
    separation = metrics.separation
    return separation.speaks_of or _OF_RULE.get(separation.rule or "", "unknown")


def days_covered(metrics: Metrics) -> int | None:
    """Calendar days of the judged photos; None where the file does not tell."""
    judged = None if metrics.covers is None else metrics.covers.judged
    return None if judged is None else judged.days


def scope(metrics: Metrics) -> str:
    """What the figure speaks of, as a part of a sentence: `on other days`."""
    if speaks_of(metrics) == "hours" and days_covered(metrics) == 1:
        return _("on other hours of this day")
    return {
        "hours": _("on other hours of these days"),
        "days": _("on other days"),
        "places": _("in other places"),
        "groups": _("in other groups"),
    }.get(speaks_of(metrics)) or _("for photos like these")


def beginning(text: str) -> str:
    """The same words at the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def in_the_long_run(metrics: Metrics, body: Scores) -> str:
    """The headline as a count of photos, and how far it may be off."""
    counted = of_many(body.accuracy)
    if counted is None:
        return _("The accuracy cannot be told from these photos.")
    ends = None if counted.low is None or counted.high is None else (number(counted.low), number(counted.high))
    values = {
        "scope": beginning(scope(metrics)),
        "photos": _photos(body),
        "shown": number(counted.value),
        "base": number(counted.base),
    }
    if counted.value in (0, counted.base):
        text = (
            _("%(scope)s: none of these photos was named rightly.")
            if counted.value == 0
            else _("%(scope)s: all of these photos were named rightly.")
        )
        if ends is not None:
            long_run = _("In the long run it may be %(low)s to %(high)s of every %(base)s.")
            return f"{text % values} {long_run % {'low': ends[0], 'high': ends[1], 'base': number(counted.base)}}"
        return f"{text % values} {_no_interval(metrics, body)}"
    text = ngettext(
        "%(scope)s, about %(shown)s of every %(base)s %(photos)s is named rightly in the long run",
        "%(scope)s, about %(shown)s of every %(base)s %(photos)s are named rightly in the long run",
        counted.value,
    )
    if ends is None:
        return f"{text % values}. {_no_interval(metrics, body)}"
    between = (
        _("(95 %% interval %(low)s to %(high)s if no two show the same scene).")
        if speaks_of(metrics) == "unknown"
        else _("(95 %% interval %(low)s to %(high)s).")
    )
    return f"{text % values} {between % {'low': ends[0], 'high': ends[1]}}"


def _photos(body: Scores) -> str:
    """What is counted: `photos`, of one class alone `photos of lying`."""
    shown = [label for label, scores in body.per_class.items() if scores.n]
    return _("photos of %(label)s") % {"label": shown[0]} if len(shown) == 1 else _("photos")


def _no_interval(metrics: Metrics, body: Scores) -> str:
    if body.accuracy.method != "too_few_groups":
        return _("How far that may be off cannot be said.")
    text = _("How far that may be off cannot be said: it takes test photos from at least %(fewest)s %(units)s.")
    return text % {"fewest": number(FEWEST_GROUPS), "units": units(metrics)}


def units(metrics: Metrics) -> str:
    """What counts as one piece of evidence, as a part of a sentence: `days`."""
    return {
        "hours": _("blocks of time"),
        "days": _("days"),
        "places": _("places"),
        "groups": _("groups"),
    }.get(speaks_of(metrics)) or _("separate times or groups")


def judged_by(metrics: Metrics, body: Scores) -> str:
    """Which photos the figure was measured on: `on 429 photos, each judged by a model that had not seen it`."""
    values = {"photos": number(body.n)}
    if metrics.evaluation == "cv":
        return _("on %(photos)s photos, each judged by a model that had not seen it") % values
    text = ngettext(
        "on %(photos)s photo that the model had not seen",
        "on %(photos)s photos that the model had not seen",
        body.n,
    )
    return text % values


def beside(metrics: Metrics, body: Scores) -> list[str]:
    """What stands beside the figure on the page, the gravest first: how far it reaches, and the worst class."""
    return [*reach(metrics, body, percent), *_weakest(body)]


def reach(metrics: Metrics, body: Scores, share: Share) -> Iterator[str]:
    """What the figure does not speak of, and how far a single new day or place may lie from it."""
    if speaks_of(metrics) == "hours":
        yield " ".join(_other_days(metrics, share))
    elif speaks_of(metrics) == "unknown" and metrics.evaluation in ("split", "cv"):
        yield _("If photos of the same scene were learnt from and asked about, the figure is too good.")
    ends = None if body.new_unit is None else body.new_unit.interval
    if ends is not None and ends[1] - ends[0] > _SAYS_NOTHING:
        yield {
            "days": _("What a single new day may give, so few days cannot tell."),
            "places": _("What a single new place may give, so few places cannot tell."),
        }.get(speaks_of(metrics)) or _("What a single new group may give, so few groups cannot tell.")
    elif ends is not None:
        text = {
            "days": _("A single new day may give anything from %(low)s to %(high)s."),
            "places": _("A single new place may give anything from %(low)s to %(high)s."),
        }.get(speaks_of(metrics)) or _("A single new group may give anything from %(low)s to %(high)s.")
        yield text % {"low": share(ends[0]), "high": share(ends[1])}


def _other_days(metrics: Metrics, share: Share) -> Iterator[str]:
    yield _("On other days: not measured.")
    half = metrics.other_half
    figures = [] if half is None else [half.later.accuracy.value, half.earlier.accuracy.value]
    if half is not None and all(map(known, figures)):
        text = (
            _("Trained on one day and asked about the other: %(later)s and %(earlier)s.")
            if half.between == "days"
            else _("Trained on one half of the time and asked about the other: %(later)s and %(earlier)s.")
            if (days_covered(metrics) or 1) > 1
            else _("Trained on one half of the day and asked about the other: %(later)s and %(earlier)s.")
        )
        yield text % {"later": share(figures[0] or 0.0), "earlier": share(figures[1] or 0.0)}
    if (days_covered(metrics) or 0) < FEWEST_DAYS:
        yield _("Bring photos of at least %(days)s days.") % {"days": number(FEWEST_DAYS)}


def _weakest(body: Scores) -> Iterator[str]:
    """One sentence about the weakest class; none below two classes with photos."""
    found = weak_classes(body)
    if not found:
        return
    weak, classes = found[0], sum(bool(scores.n) for scores in body.per_class.values())
    values = {
        "label": weak.name,
        "classes": number(classes),
        "share": percent(weak.found, 0),
        "photos": number(weak.n),
    }
    if (ends := weak.recall.interval) is None:
        text = ngettext(
            "Weakest of %(classes)s classes: %(label)s. Of its %(photos)s photo %(share)s was found (no interval).",
            "Weakest of %(classes)s classes: %(label)s. Of its %(photos)s photos %(share)s were found (no interval).",
            weak.n,
        )
        yield text % values
        return
    text = ngettext(
        "Weakest of %(classes)s classes: %(label)s. Of its %(photos)s photo %(share)s was found; expect %(expected)s "
        "(%(low)s to %(high)s).",
        "Weakest of %(classes)s classes: %(label)s. Of its %(photos)s photos %(share)s were found; expect %(expected)s "
        "(%(low)s to %(high)s).",
        weak.n,
    )
    low, high = (percent(end, 0, unit=False) for end in ends)
    yield text % (values | {"expected": percent(weak.recall.value, 0), "low": low, "high": high})


def weaker_than_others(body: Scores) -> str | None:
    """Whether the weakest class surely is weaker than the others; None where that cannot be told."""
    weak = body.weakest_class
    if weak is None or not known(weak.by_chance):
        return None
    text = (
        _(
            "%(label)s is weaker than the others: of %(classes)s classes that are all alike, the lowest shows about "
            "%(chance)s by chance."
        )
        if weak.worse
        else _(
            "No class is surely weaker than the others: of %(classes)s classes that are all alike, the lowest shows "
            "about %(chance)s by chance."
        )
    )
    return text % {"label": weak.name, "classes": number(weak.of), "chance": percent(weak.by_chance, 0)}


def weak_classes(body: Scores) -> list[WeakClass]:
    """The weakest classes, five at most, the weakest first; none below two classes with photos.

    What to expect of each allows for its having been picked; in files made before that was told it is its own share.
    """
    if body.weakest_class is not None:
        return [body.weakest_class, *body.weakest_class.next]
    shown = [
        WeakClass(name, scores.n, scores.recall.value, scores.recall)
        for name, scores in body.per_class.items()
        if known(scores.recall.value)
    ]
    return sorted(shown, key=lambda weak: (weak.found, -weak.n, weak.name))[:_MOST_WEAK] if len(shown) > 1 else []
