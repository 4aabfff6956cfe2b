"""Can the figure be trusted, and why: each reason with a mark and a sentence, derived from the metrics alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from certero.language import _, ngettext, translate
from certero.photos.listing import LOST_PHOTOS, describe_passed_over
from certero.records.metrics import Headline, Metrics, Seen
from certero.records.quantity import Quantity
from certero.records.scores import ReliabilityBin, Scores
from certero.report.charts import lag_words
from certero.report.figures import known, number, percent, points
from certero.stats.calibration import error_by_chance

Mark = Literal["good", "note", "careful", "bad"]

# An interval wider than this, in shares, leaves open what to do.
_WIDE = 0.1
# Calibration off by more than this on average misleads whoever acts on a probability.
_MISCALIBRATED = 0.05
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
    """

    mark: Mark
    title: str
    text: str


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
            _precise(body),
            _better_than_guessing(body),
            _calibrated(body),
        ]
    found.append(_complete(metrics))
    return [reason for reason in found if reason is not None]


def verdict(found: list[Reason], headline: Headline) -> str:
    """The answer to the section's question, in one sentence."""
    if headline.sealed:
        return _("There is no figure yet that could be trusted or doubted.")
    marks = {reason.mark for reason in found}
    if headline.body is None or "bad" in marks:
        return _("Not yet.")
    if "careful" in marks:
        return _("Yes, with care: mind what is marked with an exclamation mark.")
    return _("Yes: nothing below speaks against it.")


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
    opened = _("Nothing that selects, fits or calibrates the model saw them. They were opened once, at the end.")
    if evaluation == "split":
        text = _("A part of the photos was set aside before anything was learnt.") + " " + opened
        return Reason("good", _("The test photos were sealed"), text)
    if evaluation == "given":
        return Reason("good", _("The test photos were sealed"), _("They came with the data.") + " " + opened)
    if evaluation == "cv":
        folds = None if metrics.cv is None else metrics.cv.folds
        text = _(
            "There are too few photos to set a part aside for good. They were dealt into %(folds)s folds; each fold "
            "was named by a model that was trained, chosen and calibrated on the others only."
        )
        return Reason(
            "good", _("Each photo was judged by a model that had not seen it"), text % {"folds": number(folds)}
        )
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
    separation, evaluation = metrics.separation, metrics.evaluation
    rule = separation.rule
    if evaluation == "evaluate":
        return None
    if evaluation == "given":
        text = _(
            "Copies of test photos were kept out of training. Whether photos of the same scene lie on both sides, "
            "only whoever divided the data can say."
        )
        return Reason("note", _("The split is the one that came with the data"), text)
    if rule in ("time", "time_blocks"):
        block, gap = separation.block_minutes, separation.gap_minutes
        text = _(
            "Photos of one block of %(block)s never lie on both sides, and photos less than %(gap)s apart do not "
            "either. The model was asked about times that it had not seen."
        )
        values = {"block": lag_words(block) if known(block) else "–", "gap": lag_words(gap) if known(gap) else "–"}
        return Reason("good", _("Photos taken together stayed together"), text % values)
    if rule == "group":
        text = _(
            "All photos of one group (%(group_by)s) lie on one side. The model was asked about groups it had not seen."
        )
        return Reason("good", _("Groups stayed together"), text % {"group_by": separation.group_by or "–"})
    if rule == "copies":
        text = _(
            "The photos carry no times and no groups were named, so only copies could be kept together. Photos of the "
            "same scene may lie on both sides; then the figure is too good."
        )
        return Reason("careful", _("Only copies were kept apart"), text)
    return None


def _optimism(metrics: Metrics) -> Reason | None:
    claimed, optimism = metrics.random_split_accuracy, metrics.optimism_of_random_split
    if claimed is None or optimism is None or not known(claimed.value) or not known(optimism.value):
        return None
    difference, ends = optimism.value, optimism.interval
    unclear = ends is not None and ends[0] <= 0 <= ends[1]
    values = {"points": points(difference), "claim": percent(claimed.value), "interval": _points_interval(optimism)}
    if abs(difference) < 0.005 or unclear:
        text = _(
            "A random split would have claimed %(claim)s%(interval)s. These photos show no sign that it would flatter "
            "the model."
        )
        return Reason("note", _("A random split makes no clear difference"), text % values)
    if difference < 0:
        text = _(
            "A random split would have claimed %(claim)s, %(points)s points less%(interval)s: the photos kept apart "
            "are easier than a random share."
        )
        return Reason("note", _("A random split would have claimed less"), text % values)
    text = _(
        "A random split would have claimed %(claim)s, %(points)s points more%(interval)s, from as many photos. "
        "It puts photos taken together on both sides, and it asks only about times and places that it learnt from. "
        "Photos nearly known and times or places that are new: the difference holds both and does not tell them apart."
    )
    return Reason("good", _("The flattery of a random split is not in the figure"), text % values)


def _points_interval(optimism: Quantity) -> str:
    if optimism.interval is None:
        return ""
    low, high = (("−" if end < 0 else "") + points(end) for end in optimism.interval)
    return _(" (difference %(low)s to %(high)s points)") % {"low": low, "high": high}


def _precise(body: Scores) -> Reason | None:
    ends = body.accuracy.interval
    if not known(body.accuracy.value):
        return None
    if ends is None:
        text = _("The photos come from too few separate times or groups to tell how far the figure may be off.")
        return Reason("bad", _("How far it may be off cannot be said"), text)
    text = _("In 19 of 20 such measurements the true figure lies inside the interval, here %(low)s to %(high)s.") % {
        "low": percent(ends[0], unit=False),
        "high": percent(ends[1]),
    }
    groups, effective_n = body.groups, body.effective_n
    if groups is not None and known(effective_n):
        alike = ngettext(
            "Photos taken together repeat each other: these %(photos)s, from %(groups)s separate time or group, tell "
            "as much as %(effective)s independent ones. The interval takes account of that.",
            "Photos taken together repeat each other: these %(photos)s, from %(groups)s separate times or groups, tell "
            "as much as %(effective)s independent ones. The interval takes account of that.",
            groups,
        )
        values = {"photos": number(body.n), "groups": number(groups), "effective": number(effective_n, 0)}
        text += " " + alike % values
    if ends[1] - ends[0] > _WIDE:
        return Reason("careful", _("The interval is wide"), text)
    return Reason("good", _("The interval is narrow"), text)


def _better_than_guessing(body: Scores) -> Reason | None:
    ends, guess = body.accuracy.interval, body.majority_class_accuracy.value
    shown = sum(bool(scores.n) for scores in body.per_class.values())
    if not known(guess) or ends is None or shown < 2:
        return None
    values = {"guess": percent(guess)}
    if ends[0] > guess:
        text = _("Always naming the most frequent class gives %(guess)s, which lies below the interval.")
        return Reason("good", _("It is better than guessing"), text % values)
    text = _("Always naming the most frequent class gives %(guess)s, which does not lie below the interval.")
    return Reason("bad", _("It may be no better than guessing"), text % values)


def _calibrated(body: Scores) -> Reason | None:
    sure = calibration_sentence(body.reliability)
    error = body.ece.value
    if sure is None or not known(error):
        return None
    off = _("On average the two differ by %(points)s points.") % {"points": points(error)}
    before = None if body.before_calibration is None else body.before_calibration.ece
    if known(before) and error > max(before + _CLEARLY_WORSE, 2 * before):
        text = _("Before they were calibrated they differed by %(points)s points.") % {"points": points(before)}
        return Reason("careful", _("Calibration made the probabilities worse"), f"{sure} {off} {text}")
    photos = sum(row.n for row in body.reliability)
    effect = body.design_effect
    chance = error_by_chance(body.reliability, effect if known(effect) else 1.0)
    assert chance is not None  # there are photos, or there were no sentence
    if photos < _FEWEST_PHOTOS or (error <= chance and chance > _MISCALIBRATED):
        text = _(
            "That is too little to tell: on so few photos, probabilities that mean what they say may differ by "
            "%(points)s points."
        )
        few = text % {"points": points(chance)}
        return Reason("careful", _("Whether the probabilities hold cannot be told"), f"{sure} {off} {few}")
    if error > _MISCALIBRATED:
        return Reason("careful", _("The probabilities are off"), f"{sure} {off}")
    return Reason("good", _("The probabilities mean what they say"), f"{sure} {off}")


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
            _("1 was too close in time to another split"),
            _("%(count)s were too close in time to another split"),
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
