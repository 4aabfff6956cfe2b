"""What the photos behind a figure cover, and what nothing is known of, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from certero.language import _, ngettext, translate
from certero.photos.listing import describe_passed_over
from certero.records.coverage import FEWEST_DAYS, Covered, Covers, NotKnown
from certero.records.metrics import Metrics, headline
from certero.report.figures import MISSING, NO_BREAK_SPACE, number, slice_words
from certero.sentences import message

# More names than these are counted, not listed.
_MOST_NAMES = 8
# Hours in more stretches than these are counted.
_MOST_STRETCHES = 3
_ALL_HOURS = 24

_MONTHS = (
    *(message("January"), message("February"), message("March"), message("April"), message("May"), message("June")),
    *(message("July"), message("August"), message("September"), message("October"), message("November")),
    message("December"),
)


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that nothing is known of: what, and why."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class CoverageView:
    """The two lists of the page.

    Args:
        heads: one head for photos that were judged and learnt from in turn, else one for each.
        rows: what is counted, and its words below each head.
        gaps: what nothing is known of.
    """

    heads: tuple[str, ...]
    rows: list[tuple[str, tuple[str, ...]]]
    gaps: list[Gap]


def view_coverage(metrics: Metrics) -> CoverageView | None:
    """What to show; None where the file does not tell, or where the model knows all photos, so that none is judged."""
    covers = None if headline(metrics).contaminated else metrics.covers
    if covers is None or (covers.judged is None and covers.training is None):
        return None
    heads, columns = _columns(covers, metrics.evaluation)
    cells = [_cells(covered) for covered in columns]
    names = list(dict.fromkeys(name for cell in cells for name in cell))
    rows = [(name, tuple(cell.get(name, MISSING) for cell in cells)) for name in names]
    return CoverageView(heads, rows, list(_gaps(covers.unknown, metrics)))


def _columns(covers: Covers, evaluation: str) -> tuple[tuple[str, ...], list[Covered]]:
    judged, training = covers.judged, covers.training
    if judged is None:
        assert training is not None  # `view_coverage` asked
        return (_("learnt from"),), [training]
    if training is None:
        return (_("judged"),), [judged]
    if evaluation == "cv":
        return (_("judged and learnt from, in turn"),), [judged]
    return (_("judged"), _("learnt from")), [judged, training]


def _cells(covered: Covered) -> dict[str, str]:
    """The rows of one column, by name."""
    cells = {_("Photos"): number(covered.photos)}
    if covered.timed:
        cells[_("Days")] = number(covered.days)
        cells[_("First photo")] = _moment(covered.first)
        cells[_("Last photo")] = _moment(covered.last)
        cells[_("Hours of the day")] = _hours(sorted(covered.hours))
        if covered.timed < covered.photos:
            cells[_("Without a capture time")] = number(covered.photos - covered.timed)
    else:
        cells[_("Days and hours")] = _("unknown")
    if covered.groups is not None:
        cells[_("Groups")] = number(covered.groups)
    if covered.lighting:
        # A model file sorts its keys.
        shown = {name: covered.lighting[name] for name in ("night", "day", "glare") if name in covered.lighting}
        cells[_("Light")] = _listed({slice_words("lighting", name)[1]: n for name, n in shown.items()})
    for name, values in (covered.columns or {}).items():
        cells[name] = _listed(values) if len(values) <= _MOST_NAMES else number(len(values))
    cells[_("Classes")] = _classes(covered.classes)
    return cells


def _moment(text: str | None) -> str:
    """`2024-01-12 05:40`."""
    return MISSING if text is None else text.replace("T", NO_BREAK_SPACE)[:16]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}{NO_BREAK_SPACE}{number(n)}" for name, n in counts.items())


def _classes(classes: Mapping[str, int]) -> str:
    if len(classes) <= _MOST_NAMES:
        return _listed({label: n for label, n in classes.items() if n})
    text = _("%(classes)s, of %(fewest)s to %(most)s photos")
    values = sorted(classes.values())
    return text % {"classes": number(len(classes)), "fewest": number(values[0]), "most": number(values[-1])}


def stretches(hours: Sequence[str]) -> list[tuple[int, int]]:
    """Hours of the day as (first, end) of each unbroken stretch, midnight crossed.

    >>> stretches(["05", "06", "07", "22", "23", "00"])
    [(5, 8), (22, 1)]
    """
    held = {int(hour) % _ALL_HOURS for hour in hours}
    if len(held) == _ALL_HOURS:
        return [(0, _ALL_HOURS)]
    found = []
    for first in sorted(hour for hour in held if (hour - 1) % _ALL_HOURS not in held):
        end = first
        while end % _ALL_HOURS in held:
            end += 1
        found.append((first, end % _ALL_HOURS or _ALL_HOURS))
    return found


def _hours(hours: Sequence[str]) -> str:
    if len(hours) == _ALL_HOURS:
        return _("all")
    parts = stretches(hours)
    if len(parts) > _MOST_STRETCHES:
        return _("%(count)s of 24") % {"count": number(len(hours))}
    return ", ".join(
        _("%(first)s to %(end)s") % {"first": f"{first:02d}:00", "end": f"{end:02d}:00"} for first, end in parts
    )


def _gaps(unknown: Sequence[NotKnown], metrics: Metrics) -> Iterator[Gap]:
    """Words for what nothing is known of; a code of a newer version has none."""
    for item in unknown:
        if item.what in _GAPS:
            yield _GAPS[item.what](item, metrics)
    classes = [(label, item.n or 0) for item in unknown if item.what == "class" for label in item.values]
    if none := [label for label, n in classes if not n]:
        yield Gap(_("Classes that no judged photo shows"), f"{_names(none)}.")
    if few := [f"{label} ({number(n)})" for label, n in classes if n]:
        text = _("So few photos leave open how many of a class are found: %(classes)s.") % {"classes": _names(few)}
        yield Gap(_("Classes with few photos"), text)


def _dependence(_item: NotKnown, _metrics: Metrics) -> Gap:
    return Gap(_("Which photos belong together"), _("They carry no times, and no groups were named."))


def _other_days(item: NotKnown, _metrics: Metrics) -> Gap:
    if (item.n or 0) >= FEWEST_DAYS:
        text = _("Photos of one day were not kept together, so the figure speaks of other hours of the same days.")
        return Gap(_("Other days"), text)
    text = ngettext("All of them are from one day.", "All of them are from %(days)s days.", item.n or 0)
    return Gap(_("Other days"), text % {"days": number(item.n)})


def _other_places(_item: NotKnown, metrics: Metrics) -> Gap:
    if metrics.evaluation == "evaluate":
        text = _("Nothing here says how the model does where none of these photos was taken.")
    elif metrics.evaluation == "given":
        text = _("Whether the test photos come from other places than the rest, only whoever divided the data can say.")
    else:
        text = _("The model was asked only where it had learnt. To ask elsewhere, name the places with --group-by.")
    return Gap(_("Other places and cameras"), text)


def _times(_item: NotKnown, _metrics: Metrics) -> Gap:
    return Gap(_("Which days, hours and seasons they show"), _("No photo carries a capture time."))


def _uncovered_hours(item: NotKnown, _metrics: Metrics) -> Gap:
    title = _("Other hours of the day: %(hours)s") % {"hours": _hours(item.values)}
    return Gap(title, _("No photo was taken then."))


def _seasons(item: NotKnown, _metrics: Metrics) -> Gap:
    names = [_(_MONTHS[int(month) - 1]) for month in item.values if month.isdigit() and 1 <= int(month) <= len(_MONTHS)]
    return Gap(_("Other seasons"), _("All photos are from %(months)s.") % {"months": ", ".join(names)})


def _darkness(item: NotKnown, _metrics: Metrics) -> Gap:
    if not item.n:
        return Gap(_("Darkness"), _("No photo is dark."))
    text = ngettext("Only %(count)s photo is dark.", "Only %(count)s photos are dark.", item.n)
    return Gap(_("Darkness"), text % {"count": number(item.n)})


def _unreadable(item: NotKnown, _metrics: Metrics) -> Gap:
    title = ngettext("%(count)s photo that could not be read", "%(count)s photos that could not be read", item.n or 0)
    return Gap(title % {"count": number(item.n)}, _("Listed at the end, with the reason."))


def _passed_over(item: NotKnown, metrics: Metrics) -> Gap:
    counts = metrics.counts.passed_over or {}
    kinds = describe_passed_over({kind: counts[kind] for kind in item.values if kind in counts})
    text = _("Not looked at: %(list)s.") % {"list": ", ".join(map(translate, kinds))}
    return Gap(_("Photos that were passed over"), text)


def _lost_class(item: NotKnown, _metrics: Metrics) -> Gap:
    text = _("Not one of their photos could be read: %(classes)s.") % {"classes": _names(item.values)}
    return Gap(_("Classes without photos"), text)


def _names(names: Sequence[str]) -> str:
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    values = {"names": ", ".join(names[:_MOST_NAMES]), "count": number(len(names) - _MOST_NAMES)}
    return _("%(names)s and %(count)s more") % values


_GAPS: Mapping[str, Callable[[NotKnown, Metrics], Gap]] = {
    "dependence": _dependence,
    "other_days": _other_days,
    "other_places": _other_places,
    "times": _times,
    "hours": _uncovered_hours,
    "seasons": _seasons,
    "darkness": _darkness,
    "unreadable": _unreadable,
    "passed_over": _passed_over,
    "lost_class": _lost_class,
}
