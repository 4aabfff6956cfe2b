"""The answer in a few plain lines, for train and evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from certero.cli.terminal.output import say, tell, write
from certero.cli.terminal.passed_over import say_passed_over
from certero.errors import UserError
from certero.interchange import Json, json_text
from certero.language import _, ngettext, translate
from certero.sentences import message

if TYPE_CHECKING:
    from certero.records.metrics import Judgement, Metrics, Seen, Unknown
    from certero.records.photo_counts import Counts
    from certero.records.quantity import Quantity
    from certero.records.scores import Scores, WeakClass

# `Quantity.method` of an interval that holds only if no two photos show the same scene; see `records.dependence`.
_UNKNOWN = "dependence_unknown"

_WORDS = {
    "met": message("met"),
    "not met": message("not met"),
    "cannot tell": message("cannot tell"),
    "too_few_groups": message("too few groups"),
    "no_variation": message("no variation"),
    "single_class": message("a single class"),
}


class RequirementNotMet(UserError):
    """`--strict` and a bar that is not met, or of which the test photos cannot tell."""


def print_json(answer: Json, target: str) -> None:
    """Writes an answer to a file, or to standard output for `-`."""
    write(json_text(answer, indent=1) + "\n", target)


def print_summary(metrics: Metrics) -> None:
    """Prints the headline with its interval, what a random split would have claimed, and the weakest classes."""
    for line in summarise(metrics):
        say(line)


def print_warning(sentence: str) -> None:
    """Prints a finding to standard error, where standard output holds data."""
    tell(_("WARNING: %(finding)s.") % {"finding": translate(sentence)})


def print_places(places: Sequence[tuple[str, object]]) -> None:
    """Prints where things are, one a line, aligned: (what, path)."""
    width = 2 + max(len(what) for what, _path in places)
    for what, path in places:
        say(f"{what + ':':<{width}} {path}")


def summarise(metrics: Metrics) -> list[str]:
    """The lines of `print_summary`."""
    # Here and not above: --help need not wait for the records.
    from certero.records.metrics import headline
    from certero.report.answer import judged_by, reach, scope

    notes = [_("Note: %(note)s.") % {"note": translate(note)} for note in metrics.notes]
    lines = [*_left_out(metrics.counts), *notes]
    found = headline(metrics)
    if metrics.test is None and metrics.unknown is not None:
        return [*lines, *_refused(metrics.unknown)]
    if found.body is None:
        if metrics.test is None:
            return [*lines, _("The test set stays sealed (--no-test): no figure was measured.")]
        text = _(
            "WARNING: the model was trained on all %(photos)d photos. They say nothing of its accuracy on new ones."
        )
        return [*lines, *_framed(text % {"photos": metrics.test.n}), *_refused(metrics.unknown)]
    if metrics.seen is not None and metrics.test is not None and found.seen:
        lines += _taken_out(metrics.seen, metrics.test.n)
    body = found.body
    text = _("Accuracy %(scope)s: %(figure)s, %(on)s.")
    figure = interval(body.accuracy)
    lines.append(text % {"scope": scope(metrics), "figure": figure, "on": judged_by(metrics, body)})
    lines += [*reach(metrics, body, lambda share: f"{share:.1%}"), *_weakest(body)]
    if body.accuracy.method == _UNKNOWN:
        from certero.records.dependence import ONLY_IF

        lines.append("* " + _("Ranges marked * hold %(condition)s.") % {"condition": translate(ONLY_IF)})
    if sum(scores.n > 0 for scores in body.per_class.values()) > 1:
        text = _("Always naming the commonest class: %(figure)s.")
        lines.append(text % {"figure": interval(body.majority_class_accuracy)})
    lines += _flattery(metrics)
    lines += _refused(metrics.unknown)
    for bar in metrics.requirements:
        lines.append(_("Required %(bar)s: %(verdict)s.") % {"bar": bar.require, "verdict": _say_verdict(bar)})
    if metrics.openings:
        text = ngettext(
            "These test photos had been opened once before: trust the figure less.",
            "These test photos had been opened %(times)d times before: trust the figure less.",
            metrics.openings,
        )
        lines.append(text % {"times": metrics.openings})
    return lines


def _taken_out(seen: Seen, photos: int) -> list[str]:
    """The warning that some of the photos were in training."""
    text = _("WARNING: the model was trained on %(seen)d of these %(photos)d photos. The figures below leave them out.")
    warning = text % {"seen": seen.count, "photos": photos}
    lines = _framed(warning) if seen.warning else [warning]
    if seen.near:
        text = ngettext(
            "%(near)d of them is a near copy: mirrored, brighter, or nearly the same scene.",
            "%(near)d of them are near copies: mirrored, brighter, or nearly the same scene.",
            seen.near,
        )
        lines.append(text % {"near": seen.near})
    return lines


def _flattery(metrics: Metrics) -> list[str]:
    """What a random split would have claimed."""
    from certero.report.answer import speaks_of
    from certero.report.figures import points, signed

    claim, gain = metrics.random_split_accuracy, metrics.optimism_of_random_split
    if claim is None or claim.value is None or gain is None or gain.value is None:
        return []
    agree = gain.value < 0.005 or (gain.interval is not None and gain.interval[0] <= 0 <= gain.interval[1])
    if agree and speaks_of(metrics) == "unknown" and metrics.evaluation != "given":
        return []  # but for copies it is the same split: that they agree is no sign of anything
    values = {"claim": f"{claim.value:.1%}", "points": points(gain.value)}
    if gain.interval is None:
        text = (
            _("A random split would have claimed %(claim)s, %(points)s points more than measured.")
            if gain.value > 0
            else _("A random split would have claimed %(claim)s, %(points)s points less than measured.")
        )
        return [text % values]
    # Ends on the other side of 0 carry a minus: no more, but less.
    turned = 1 if gain.value > 0 else -1
    low, high = sorted(turned * end for end in gain.interval)
    text = (
        _("A random split would have claimed %(claim)s, %(points)s points more than measured (%(low)s to %(high)s).")
        if gain.value > 0
        else _(
            "A random split would have claimed %(claim)s, %(points)s points less than measured (%(low)s to %(high)s)."
        )
    )
    ends = (signed(end).removeprefix("+") for end in (low, high))
    return [text % (values | dict(zip(("low", "high"), ends, strict=True)))]


def _framed(warning: str) -> list[str]:
    """A warning between two lines, where most photos were seen: nobody may take what follows without it."""
    rule = "!" * min(len(warning), 100)
    return [rule, warning, rule]


def _refused(unknown: Unknown | None) -> list[str]:
    """What became of photos whose class the model does not know."""
    if unknown is None:
        return []
    if unknown.refused is None:
        return [_("This model file is older and has no threshold for them; train it again.")]
    values = {"count": unknown.n, "refused": interval(unknown.refused)}
    if unknown.known_refused is None:
        text = _("Of %(count)d photos of classes that the model does not know it refused %(refused)s.")
        return [text % values]
    text = _(
        "Of %(count)d photos of classes that the model does not know it refused %(refused)s; of the known ones "
        "%(known)s."
    )
    return [text % (values | {"known": interval(unknown.known_refused)})]


def _weakest(body: Scores) -> list[str]:
    from certero.report.answer import weak_classes

    found = weak_classes(body)
    if not found:
        return []
    shown = sum(bool(scores.n) for scores in body.per_class.values())
    text = _("Weakest of %(classes)d classes (share of their photos that was found, and what to expect of it):")
    return [text % {"classes": shown}, *("  " + _weak(weak) for weak in found)]


def _weak(weak: WeakClass) -> str:
    """`standing: 80.0% of 15, expect 80.3% (46.3 to 94.9)`."""
    values = {"label": weak.name, "found": f"{weak.found:.1%}", "photos": weak.n, "figure": interval(weak.recall)}
    if weak.recall.interval is None:
        return _("%(label)s: %(figure)s of %(photos)d") % values
    return _("%(label)s: %(found)s of %(photos)d, expect %(figure)s") % values


def interval(quantity: Quantity) -> str:
    """`84.1% (82.5 to 85.6)`, or why there is no interval."""
    if quantity.value is None:
        return _("undefined")
    value = f"{quantity.value:.1%}"
    if quantity.low is None or quantity.high is None:
        return _("%(value)s (no interval: %(reason)s)") % {"value": value, "reason": _word(quantity.method)}
    if quantity.low == quantity.high:
        return value  # it follows from the case alone: no photo could change it
    ends = {"low": f"{100 * quantity.low:.1f}", "high": f"{100 * quantity.high:.1f}"}
    if quantity.method == _UNKNOWN:
        return _("%(value)s (%(low)s to %(high)s*)") % {"value": value, **ends}
    return _("%(value)s (%(low)s to %(high)s)") % {"value": value, **ends}


def _say_verdict(bar: Judgement) -> str:
    """The verdict on a bar, and what it rests on where nothing tells which photos depend on each other."""
    word = _word(bar.verdict)
    if bar.verdict == "cannot tell" or all(each.quantity.method != _UNKNOWN for each in bar.figures):
        return word
    return _("%(verdict)s, if no two photos show the same scene") % {"verdict": word}


def check_strict(metrics: Metrics) -> None:
    """Raises unless every required bar is met.

    Raises:
        RequirementNotMet: naming the bars.
    """
    from certero.stats.requirements import MET

    missed = [f"{bar.require}: {bar.verdict}" for bar in metrics.requirements if bar.verdict != MET]
    if missed:
        raise RequirementNotMet("--strict needs every --require to be met; found %(missed)s.", missed="; ".join(missed))


def _word(key: str) -> str:
    return _(_WORDS[key]) if key in _WORDS else key.replace("_", " ")


def _left_out(counts: Counts) -> list[str]:
    # Purged and leaked photos have their note.
    lines = []
    if count := counts.unreadable:
        text = ngettext(
            "%(count)d photo could not be read (listed in metrics.json and the report).",
            "%(count)d photos could not be read (listed in metrics.json and the report).",
            count,
        )
        lines.append(text % {"count": count})
    if count := counts.damaged:
        text = ngettext(
            "%(count)d photo is damaged but usable (listed in metrics.json and the report).",
            "%(count)d photos are damaged but usable (listed in metrics.json and the report).",
            count,
        )
        lines.append(text % {"count": count})
    if passed_over := counts.passed_over:
        lines.append(say_passed_over(passed_over))
    return lines
