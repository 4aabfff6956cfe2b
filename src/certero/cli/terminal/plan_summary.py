"""The plan of a training run in plain lines, for `certero train --dry-run`."""

from __future__ import annotations

from collections.abc import Sequence

from certero.amounts import count, duration, size
from certero.cli.terminal.output import say
from certero.language import _, ngettext, translate
from certero.photos.listing import describe_passed_over
from certero.stages.estimate.plan import Plan

_WIDTH = 13
# A table of more classes than this is for --json.
_MOST_CLASSES = 40
_SPLITS = ("train", "val", "test")


def print_plan(plan: Plan) -> None:
    """Prints what a run would do, take and need."""
    for line in show(plan):
        say(line)


def show(plan: Plan) -> list[str]:
    """The lines of `print_plan`."""
    lines = [_("Nothing is trained, no test photo is opened and no run is written.")]
    lines += _row(_("Photos"), _photos(plan))
    lines += _row(_("Left out"), _left_out(plan))
    lines += _row(_("Together"), [translate(plan.separation["description"])])
    lines += _row(_("Speaks of"), _speaks_of(plan))
    lines += _row(_("Judged"), _judged(plan))
    lines += _row(_("Splits"), _splits(plan))
    lines += _row(_("Network"), _network(plan))
    lines += _row(_("Fits"), [_fits(plan)])
    if plan.fits["epochs"] is None:
        lines += _row(_("Remembered"), [_remembered(plan)])
    lines += _row(_("Time"), _time(plan))
    lines += _row(_("Memory"), [_memory(plan)])
    lines += _row(_("Disk"), [_disk(plan)])
    return lines + [_("Note: {note}.").format(note=translate(note)) for note in plan.notes]


def _row(name: str, texts: Sequence[str]) -> list[str]:
    starts = [f"{name:<{_WIDTH}}", *[" " * _WIDTH] * (len(texts) - 1)]
    return [start + text for start, text in zip(starts, texts, strict=True)] if texts else []


def _photos(plan: Plan) -> list[str]:
    classes = len(plan.data["classes"])
    return [
        _("{used} used of {all}, in {classes} classes").format(
            used=count(plan.counts["used"]), all=count(plan.counts["photos"]), classes=classes
        )
    ]


def _left_out(plan: Plan) -> list[str]:
    reasons = {
        "unreadable": _("{n} cannot be read"),
        "leaked": _("{n} are copies of val or test photos"),
        "purged": _("{n} were, or may have been, taken too close in time to a photo of another split"),
    }
    found = [text.format(n=count(plan.counts[name])) for name, text in reasons.items() if plan.counts[name]]
    if plan.counts["passed_over"]:
        others = ", ".join(map(translate, describe_passed_over(plan.counts["passed_over"])))
        found.append(_("files that are no photos of the data: {list}").format(list=others))
    return found


def _speaks_of(plan: Plan) -> list[str]:
    """What the figure will speak of."""
    words = {
        "hours": _("other hours of the same days; of other days it says nothing"),
        "days": _("other days"),
        "places": _("other places"),
        "groups": _("other groups"),
        "unknown": _("nothing that is certain: photos of one scene may lie on both sides"),
    }
    return [words[plan.separation["speaks_of"]]]


def _judged(plan: Plan) -> list[str]:
    if plan.cv is not None:
        text = _("by cross-validation with {n} folds: each photo by a model that has not seen it").format(
            n=plan.cv["folds"]
        )
        return [
            text,
            *([_("because {reason}").format(reason=translate(plan.cv["reason"]))] if plan.cv["reason"] else []),
        ]
    if plan.evaluation == "given":
        return [_("on your own test photos, once")]
    return [_("on test photos set apart by certero, once")]


def _splits(plan: Plan) -> list[str]:
    if plan.folds is not None:
        columns = {_("fold {n}").format(n=number): counts for number, counts in enumerate(plan.folds, start=1)}
    else:
        columns = {name: plan.splits[name] for name in _SPLITS if plan.splits[name]}
    classes = plan.data["classes"]
    if len(classes) > _MOST_CLASSES:
        sums = (f"{name} {count(sum(counts.values()))}" for name, counts in columns.items())
        return [", ".join(sums), _("(by class in --json)")]
    width = max(len(name) for name in (*classes, _("all")))
    lines = ["".join([" " * width, *(f"{name:>9}" for name in columns)])]
    for label in classes:
        lines.append("".join([f"{label:<{width}}", *(f"{count(counts[label]):>9}" for counts in columns.values())]))
    total = (f"{count(sum(counts.values())):>9}" for counts in columns.values())
    return [*lines, "".join([f"{_('all'):<{width}}", *total])]


def _network(plan: Plan) -> list[str]:
    model = plan.model
    return [
        _("{name}, input {side} x {side} pixels, {n} parameters, {device} {precision}").format(
            name=model["backbone"] or model["recipe"],
            side=model["image_size"],
            n=count(model["parameters"]),
            device=model["device"],
            precision=model["precision"],
        )
    ]


def _fits(plan: Plan) -> str:
    fits = plan.fits
    if fits["epochs"] is not None:
        trainings = ngettext("{n} training", "{n} trainings", fits["total"]).format(n=count(fits["total"]))
        epochs = ngettext("{n} epoch", "{n} epochs", fits["epochs"]).format(n=count(fits["epochs"]))
        if more := fits["refit_epochs"]:
            epochs = _("{epochs}, then {n} on all photos").format(epochs=epochs, n=count(more))
        return _("{trainings} of {epochs}; the model's on {fitted} photos, judged on {judging} others").format(
            trainings=trainings,
            epochs=epochs,
            fitted=count(fits["photos_fitted"]),
            judging=count(fits["photos_judging"]),
        )
    models = ngettext("{n} model", "{n} models", fits["models"]).format(n=fits["models"])
    folds = ngettext("{n} fold", "{n} folds", fits["folds"]).format(n=fits["folds"])
    strengths = ngettext("{n} strength", "{n} strengths", fits["strengths"]).format(n=fits["strengths"])
    return _("{n}: {models}, the strength of each chosen by {folds} x {strengths}").format(
        n=count(fits["total"]), models=models, folds=folds, strengths=strengths
    )


def _remembered(plan: Plan) -> str:
    return _("{facts} photos looked at before, features of {features}, network {network}").format(
        facts=count(plan.remembered["facts"]),
        features=count(plan.remembered["features"]),
        network=_("ready before") if plan.remembered["network"] else _("made ready now"),
    )


def _time(plan: Plan) -> list[str]:
    stages = sorted(((stage, s) for stage, s in plan.seconds.items() if stage != "total"), key=lambda item: -item[1])
    longest = ", ".join(f"{_(stage)} {duration(seconds)}" for stage, seconds in stages[:3])
    measured = _("measured: {n} photos through the network, {speed:.0f} a second")
    if plan.fits["epochs"] is not None:
        measured = _("measured: {n} photos trained on, {speed:.1f} a second")
    return [
        _("about {time} on this machine, as busy as it is now").format(time=duration(plan.seconds["total"])),
        _("most of it: {list}").format(list=longest),
        measured.format(n=plan.measured["photos"], speed=plan.measured["photos_per_second"]),
    ]


def _memory(plan: Plan) -> str:
    text = _("about {size} at most").format(size=size(plan.memory_bytes))
    free = plan.memory_free_bytes
    if free is None:
        return text
    if plan.memory_bytes > free:
        return _("{text}, more than the {free} that may be used: it does not fit").format(text=text, free=size(free))
    return _("{text}; {free} may be used").format(text=text, free=size(free))


def _disk(plan: Plan) -> str:
    text = _("about {run} for the run and {cache} for the cache").format(
        run=size(plan.disk["run_bytes"]), cache=size(plan.disk["cache_bytes"])
    )
    free = plan.disk["free_bytes"]
    if free is not None and plan.disk["run_bytes"] > free:
        return _("{text}, more than the {free} that are free here: it does not fit").format(text=text, free=size(free))
    return text if free is None else _("{text}; {free} are free here").format(text=text, free=size(free))
