"""Can the figure be trusted, and why: each reason with a mark and a sentence, derived from the metrics alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from certero.language import _, ngettext, translate
from certero.photos.listing import LOST_PHOTOS, describe_passed_over
from certero.records.coverage import FEWEST_DAYS
from certero.records.dependence import DEPENDENCE_UNKNOWN, ONLY_IF
from certero.records.metrics import Headline, Metrics, Seen
from certero.records.quantity import Quantity
from certero.records.scores import ReliabilityBin, Scores
from certero.report.answer import days_covered, scope, speaks_of, units
from certero.report.calibration import classes_astray, classes_untold
from certero.report.charts import lag_words
from certero.report.figures import MISSING, better_than_guessing, has_few_units, known, number, percent, points
from certero.stats.intervals import FEWEST_GROUPS

Mark = Literal["good", "note", "careful", "bad"]

# An interval wider than this, in shares, leaves open what to do.
_WIDE = 0.1
# Likewise of the share of a class that was found; so many such classes are named.
_WIDE_CLASS, _MOST_CLASSES = 0.2, 5
# Calibration off by more than this on average misleads whoever acts on a probability; by less than that, whether it is
# chance or not, nobody would act otherwise.
_MISCALIBRATED, _NOTICEABLE = 0.05, 0.02
# Fewer photos, all named rightly, would pass for calibrated whatever the probabilities; and so much more than before
# calibration is no luck of the draw.
_FEWEST_PHOTOS, _CLEARLY_WORSE = 100, 0.01
_MANY_UNREADABLE = 0.01


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason to trust the figure or not.

    Args:
        mark: how it speaks: for the figure, neither way, for care, against it.
        title: the reason in a few words.
        text: the reason in a sentence or two.
        about: what it speaks of, where the verdict says so.
    """

    mark: Mark
    title: str
    text: str
    about: Literal["days", "dependence", "calibration"] | None = None


def reasons(metrics: Metrics, headline: Headline) -> list[Reason]:
    """The reasons, in the order in which a reader would ask."""
    body = headline.body
    found: list[Reason | None] = []
    if metrics.seen is not None:
        found.append(_seen(headline, metrics.seen))
    if body is not None:
        found += [
            _sealed(metrics),
            _opened(metrics),
            _apart(metrics),
            _optimism(metrics),
            _precise(metrics, body),
            _classes(body),
            _guessed(metrics, body),
            _calibrated(body),
        ]
    found.append(_complete(metrics))
    return [reason for reason in found if reason is not None]


def verdict(found: list[Reason], metrics: Metrics, headline: Headline) -> str:
    """The answer to the section's question, in one sentence."""
    if headline.sealed:
        return _("There is no figure yet that could be trusted or doubted.")
    if headline.body is None:
        return _("Not yet.")
    against = {reason.about for reason in found if reason.mark == "bad"}
    if against == {"days"}:
        return _("For other days, no: this is the figure %(scope)s only.") % {"scope": scope(metrics)}
    if against == {"dependence"}:
        return _("Nobody can tell: nothing says which photos belong together.")
    if against:
        return _("Not yet: mind what is marked with a cross.")
    if "careful" in {reason.mark for reason in found}:
        return _("With care: mind what is marked with an exclamation mark.")
    return _("Yes, %(scope)s: nothing below speaks against it.") % {"scope": scope(metrics)}


def _seen(headline: Headline, seen: Seen) -> Reason:
    if seen.warning and not headline.contaminated:
        text = _("%(seen)s of the photos were in its training. The few others may come from the same hours and places.")
        return Reason("bad", _("The model knows most of these photos"), text % {"seen": number(headline.seen)})
    if headline.contaminated:
        text = _("All of them were in its training. It may know them by heart, so nothing follows for new photos.")
        return Reason("bad", _("The model knows these photos"), text)
    if headline.seen:
        text = _("%(seen)s of the photos were in its training. They do not count; the figures are those of the others.")
        return Reason(
            "careful", _("Photos that the model knows were taken out"), text % {"seen": number(headline.seen)}
        )
    text = _("None of them, nor a copy of one, was in its training. It named them just as it would in use.")
    return Reason("good", _("The photos are new to the model"), text)


def _sealed(metrics: Metrics) -> Reason | None:
    evaluation = metrics.evaluation
    opened = _("Nothing that selects, fits or calibrates the model saw them before the end.")
    if evaluation == "split":
        text = _("A part of the photos was set aside before anything was learnt.") + " " + opened
        return Reason("good", _("The test photos were sealed"), text)
    if evaluation == "given":
        return Reason("good", _("The test photos were sealed"), _("They came with the data.") + " " + opened)
    if evaluation == "cv" and metrics.cv is not None:
        text = _(
            "They were dealt into %(folds)s folds; each fold was named by a model that was trained, chosen and "
            "calibrated on the others only. The model file is another one, which learnt all of them."
        )
        title = _("Each photo was judged by a model that had not seen it")
        return Reason("good", title, text % {"folds": number(metrics.cv.folds)})
    return None


def _opened(metrics: Metrics) -> Reason | None:
    times = metrics.openings
    if not times:
        return None
    text = ngettext(
        "They had been looked at once before. Each look makes the figure a little too good.",
        "They had been looked at %(times)s times before. Each look makes the figure a little too good.",
        times,
    )
    return Reason("careful", _("The test photos are no longer fresh"), text % {"times": number(times)})


def _apart(metrics: Metrics) -> Reason | None:
    evaluation, reach = metrics.evaluation, speaks_of(metrics)
    if reach == "hours":
        return _same_days(metrics)
    if reach == "unknown":
        return _dependent(evaluation)
    if evaluation == "evaluate":
        return None
    if reach == "days":
        text = _("All photos of a day lie on one side. The model was asked about days that it had not seen.")
        return Reason("good", _("Photos of one day stayed together"), text)
    text = _(
        "All photos of one group (%(group_by)s) lie on one side. The model was asked about groups it had not seen."
    )
    return Reason("good", _("Groups stayed together"), text % {"group_by": metrics.separation.group_by or MISSING})


def _same_days(metrics: Metrics) -> Reason:
    """The photos of one day or two, or of days that were not kept apart."""
    separation, days = metrics.separation, days_covered(metrics)
    block, gap = separation.block_minutes, separation.gap_minutes
    text = _("How much one day differs from another, they cannot tell.")
    if metrics.evaluation in ("split", "cv") and known(block) and known(gap):
        apart = _(
            "Photos of one block of %(block)s never lie on both sides, and photos less than %(gap)s apart do not "
            "either. But the model was asked only about days that it had seen."
        )
        text = f"{apart % {'block': lag_words(block), 'gap': lag_words(gap)}} {text}"
    if days is None or days >= FEWEST_DAYS:
        return Reason("careful", _("It speaks of other hours of the same days"), text)
    title = ngettext("All photos come from one day", "All photos come from %(days)s days", days)
    return Reason("bad", title % {"days": number(days)}, text, "days")


def _dependent(evaluation: str) -> Reason | None:
    """Nothing tells which photos depend on each other; what that does to the interval, `_precise` says."""
    if evaluation == "evaluate":
        return None
    if evaluation == "given":
        text = _(
            "Copies of test photos were kept out of training. Whether photos of the same scene lie on both sides, "
            "only whoever divided the data can say."
        )
        return Reason("careful", _("The split is the one that came with the data"), text)
    text = _(
        "They carry no times and no groups were named, so only copies were kept together; beyond that this is a random "
        "split. If photos of the same scene lie on both sides, the figure is too good."
    )
    return Reason("bad", _("Nothing tells which photos belong together"), text, "dependence")


def _optimism(metrics: Metrics) -> Reason | None:
    claimed, optimism = metrics.random_split_accuracy, metrics.optimism_of_random_split
    if claimed is None or optimism is None or not known(claimed.value) or not known(optimism.value):
        return None
    difference, ends = optimism.value, optimism.interval
    unclear = ends is not None and ends[0] <= 0 <= ends[1]
    only_copies = speaks_of(metrics) == "unknown" and metrics.evaluation in ("split", "cv")
    if only_copies and (difference < 0.005 or unclear):
        return None  # but for copies it is the same split: that they agree is no sign of anything
    values = {"points": points(difference), "claim": percent(claimed.value), "interval": _points_interval(optimism)}
    if abs(difference) < 0.005 or unclear:
        text = _(
            "A random split would have claimed %(claim)s%(interval)s. These photos are too few or too alike to show "
            "whether it flatters the model."
        )
        return Reason("note", _("A random split makes no clear difference"), text % values)
    if difference < 0:
        text = _(
            "A random split would have claimed %(claim)s, %(points)s points less%(interval)s: the photos kept apart "
            "are easier than a random share."
        )
        return Reason("note", _("A random split would have claimed less"), text % values)
    if only_copies:
        text = _(
            "A random split would have claimed %(claim)s, %(points)s points more%(interval)s: it puts copies of one "
            "photo on both sides. What else belongs together it parts as this figure does."
        )
        return Reason("good", _("The flattery of copies is not in the figure"), text % values)
    text = _(
        "A random split would have claimed %(claim)s, %(points)s points more%(interval)s, from as many photos. "
        "It puts photos taken together on both sides, and it asks only about times and places that it learnt from: in "
        "use, photos are not so nearly known."
    )
    return Reason("good", _("The flattery of a random split is not in the figure"), text % values)


def _points_interval(optimism: Quantity) -> str:
    if optimism.interval is None:
        return ""
    low, high = (("−" if end < 0 else "") + points(end) for end in optimism.interval)
    return _(" (difference %(low)s to %(high)s points)") % {"low": low, "high": high}


def _precise(metrics: Metrics, body: Scores) -> Reason | None:
    ends = body.accuracy.interval
    if not known(body.accuracy.value):
        return None
    values = {"groups": number(body.groups), "units": units(metrics), "fewest": number(FEWEST_GROUPS)}
    if ends is None:
        text = _("The test photos come from %(groups)s %(units)s. It takes at least %(fewest)s to see how they differ.")
        if body.accuracy.method != "too_few_groups":
            text = _("These photos do not tell it.")
        return Reason("bad", _("How far it may be off cannot be said"), text % values)
    text = _(
        "In 19 of 20 such measurements the true figure %(scope)s lies inside the interval, %(low)s to %(high)s."
    ) % {
        "scope": scope(metrics),
        "low": percent(ends[0], unit=False),
        "high": percent(ends[1]),
    }
    if body.accuracy.method == DEPENDENCE_UNKNOWN:
        text = _(
            "It holds %(condition)s. Name a column, folder or part of the name that tells them apart with --group-by, "
            "or use photos that carry their time."
        )
        title = _("How far it may be off is not known: %(low)s to %(high)s at best") % {
            "low": percent(ends[0], unit=False),
            "high": percent(ends[1]),
        }
        return Reason("careful", title, text % {"condition": translate(ONLY_IF)})
    if body.groups is not None and known(body.effective_n):
        alike = _(
            "Photos taken together repeat each other: these %(photos)s, from %(groups)s %(units)s, count like "
            "%(effective)s photos of moments of their own. The interval takes account of that."
        )
        text += " " + alike % (values | {"photos": number(body.n), "effective": number(body.effective_n, 0)})
    if ends[1] - ends[0] > _WIDE:
        return Reason("careful", _("The interval is wide"), text)
    return Reason("good", _("The interval is narrow"), text)


def _classes(body: Scores) -> Reason | None:
    """Classes of which nobody can say how many are found."""
    wide = [
        (ends[1] - ends[0] if ends else 1.0, label, scores.recall)
        for label, scores in body.per_class.items()
        if known(scores.recall.value) and ((ends := scores.recall.interval) is None or ends[1] - ends[0] > _WIDE_CLASS)
    ]
    if not wide:
        return None
    wide.sort(key=lambda item: (-item[0], item[1]))
    named = ", ".join(_found(label, recall) for _width, label, recall in wide[:_MOST_CLASSES])
    text = ngettext(
        "How many of its photos the model finds may lie far from what was measured: %(classes)s.",
        "How many of their photos the model finds may lie far from what was measured: %(classes)s.",
        len(wide),
    )
    if len(wide) > _MOST_CLASSES:
        text += " " + _("The others are in the table of classes below.")
    title = ngettext(
        "One class is known only roughly", "%(count)s of %(classes)s classes are known only roughly", len(wide)
    )
    values = {"count": number(len(wide)), "classes": number(len(body.per_class))}
    return Reason("careful", title % values, text % {"classes": named})


def _found(label: str, recall: Quantity) -> str:
    """`standing 80 % (46 to 95)`."""
    ends = recall.interval
    if ends is None:
        return _("%(label)s %(share)s (no interval)") % {"label": label, "share": percent(recall.value, 0)}
    low, high = (percent(end, 0, unit=False) for end in ends)
    text = _("%(label)s %(share)s (%(low)s to %(high)s)")
    return text % {"label": label, "share": percent(recall.value, 0), "low": low, "high": high}


def _guessed(metrics: Metrics, body: Scores) -> Reason | None:
    better, gain, guess = (
        better_than_guessing(body),
        body.gain_over_majority,
        body.majority_class_accuracy.value,
    )
    if better is None or gain is None or not known(gain.value) or not known(guess):
        return None
    values = {"guess": percent(guess), "interval": "", "points": points(gain.value)}
    if gain.interval is not None:
        low, high = (("−" if end < 0 else "") + points(end) for end in gain.interval)
        values["interval"] = _(" (%(low)s to %(high)s)") % {"low": low, "high": high}
    if better:
        text = _(
            "Always naming the commonest class of the training gives %(guess)s on these photos; the model is right "
            "%(points)s points more often%(interval)s."
        )
        return Reason("good", _("It is better than guessing"), text % values)
    if gain.value > 0 and has_few_units(body):
        text = _(
            "Always naming the commonest class of the training gives %(guess)s on these photos; the model is right "
            "%(points)s points more often. Whether that holds elsewhere, %(groups)s %(units)s are too few to tell."
        )
        values |= {"groups": number(body.groups), "units": units(metrics)}
        return Reason("careful", _("It was better than guessing here"), text % values)
    text = _(
        "Always naming the commonest class of the training gives %(guess)s on these photos; that the model is right "
        "more often may be chance."
    )
    return Reason("bad", _("It may be no better than guessing"), text % values)


def _calibrated(body: Scores) -> Reason | None:
    sure = calibration_sentence(body.reliability)
    error = body.ece.value
    if sure is None or not known(error):
        return None
    chance = body.ece_perfect.high
    off = _("On average the two differ by %(points)s points.") % {"points": points(error)}
    if known(chance):
        text = _(
            "On average the two differ by %(points)s points; on so many photos, probabilities that mean exactly what "
            "they say may differ by %(chance)s."
        )
        off = text % {"points": points(error), "chance": points(chance)}
    sure = f"{sure} {off}"
    before = None if body.before_calibration is None else body.before_calibration.ece
    if known(before) and error > max(before + _CLEARLY_WORSE, 2 * before):
        text = _("Before they were calibrated they differed by %(points)s points.") % {"points": points(before)}
        return Reason("careful", _("Calibration made the probabilities worse"), f"{sure} {text}", "calibration")
    photos = sum(row.n for row in body.reliability)
    if not known(chance) or photos < _FEWEST_PHOTOS or (error <= chance and chance > _MISCALIBRATED):
        text = _("These photos are too few, or from too few times or places, to tell more.")
        return Reason("careful", _("Whether the probabilities hold cannot be told"), f"{sure} {text}", "calibration")
    if error > max(chance, _NOTICEABLE):
        return Reason("careful", _("The probabilities are off"), sure, "calibration")
    astray = classes_astray(body)
    if astray:
        return Reason(
            "careful", _("The probabilities of some classes are off"), f"{sure} {' '.join(astray)}", "calibration"
        )
    return Reason(
        "good", _("The probabilities mean what they say"), f"{sure} {classes_untold(body)}".strip(), "calibration"
    )


def calibration_sentence(rows: Sequence[ReliabilityBin]) -> str | None:
    """What became of the photos of which the model was about 90 % sure; of all photos where there are none such."""
    usable = [
        (row.n, row.confidence, row.accuracy.value)
        for row in rows
        if known(row.confidence) and known(row.accuracy.value)
    ]
    total = sum(n for n, _said, _right in usable)
    if not total:
        return None
    near = [row for row in usable if 0.8 <= row[1] <= 0.97]
    if near:
        text = _("Where the model says about %(said)s, it is right in %(right)s (%(photos)s photos).")
        count, said, right = min(near, key=lambda row: abs(row[1] - 0.9))
    else:
        text = _("On average the model says %(said)s, and it is right in %(right)s (%(photos)s photos).")
        said = sum(n * confidence for n, confidence, _right in usable) / total
        right = sum(n * accuracy for n, _said, accuracy in usable) / total
        count = total
    return text % {"said": percent(said, 0), "right": percent(right, 0), "photos": number(count)}


def _complete(metrics: Metrics) -> Reason | None:
    counts = metrics.counts
    photos = counts.photos
    if not photos:
        return None
    parts = []
    for count, one, many in (
        (counts.unreadable, _("1 could not be read"), _("%(count)s could not be read")),
        (counts.damaged, _("1 is damaged but was used"), _("%(count)s are damaged but were used")),
        (
            counts.leaked,
            _("1 is a copy and was left out of training"),
            _("%(count)s are copies and were left out of training"),
        ),
        (
            counts.purged,
            _("1 was, or may have been, too close in time to another split"),
            _("%(count)s were, or may have been, too close in time to another split"),
        ),
    ):
        if count:
            parts.append((one if count == 1 else many) % {"count": number(count)})
    others = counts.passed_over or {}
    beside = _("Passed over beside them: %(list)s.") % {"list": ", ".join(map(translate, describe_passed_over(others)))}
    lost = sum(count for kind, count in others.items() if kind in LOST_PHOTOS)
    if not parts:
        used = _("All %(photos)s were read and used.") % {"photos": number(photos)}
        if not others:
            return Reason("good", _("No photo was lost"), used)
        mark: Mark = "careful" if lost else "note"
        return Reason(mark, _("Every photo that was looked at was used"), f"{used} {beside}")
    text = _("Of %(photos)s photos, %(parts)s. They are listed at the end.") % {
        "photos": number(photos),
        "parts": ", ".join(parts),
    }
    many_lost = lost or (counts.unreadable or 0) > _MANY_UNREADABLE * photos
    text += f" {beside}" if others else ""
    return Reason("careful" if many_lost else "note", _("Every photo is accounted for"), text)
