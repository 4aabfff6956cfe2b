"""How a network was trained, as curves and words for the report."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

from certero.language import _
from certero.records.training import Training

# The drawing area of a chart, in the units of its viewBox (0 0 330 200).
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 318.0, 14.0, 160.0


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart.

    Args:
        name: what it shows, in words.
        points: `x,y x,y ...` in the units of the viewBox.
        kind: `train` or `val`: how it is drawn.
    """

    name: str
    points: str
    kind: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over the epochs.

    Args:
        title: of the chart.
        curves: its lines.
        marks: y and words of the marks of the upright axis.
        best: x of the epoch that was shipped; None where it is the last.
        last: number of epochs.
    """

    title: str
    curves: list[Curve]
    marks: list[tuple[float, str]]
    best: float | None
    last: int


@dataclass(frozen=True, slots=True)
class TrainingView:
    """What the template of the training speaks about; `sheet` is a picture's address."""

    title: str
    facts: list[tuple[str, str]]
    charts: list[Chart]
    shipped_line: str
    sheet: str | None
    sheet_title: str
    sheet_words: str
    epoch: str


def view_training(training: Training | None, augmented: bytes | None) -> TrainingView | None:
    """What the template of the training speaks about; None for a probe.

    Args:
        training: how the network was trained.
        augmented: a sheet of photos as training showed them, JPEG.
    """
    if training is None or not training.history:
        return None
    history = training.history
    shipped = training.shipped_epoch or len(history)
    losses = [
        _Line(_("train"), "train", [(row.epoch, row.loss) for row in history]),
        _Line(_("val"), "val", [(row.epoch, row.val_loss) for row in history]),
    ]
    accuracies = [_Line(_("val"), "val", [(row.epoch, row.val_accuracy) for row in history])]
    last = len(history)
    charts = [
        _chart(_("Loss"), losses, shipped, last),
        _chart(_("Accuracy on val"), accuracies, shipped, last, as_share=True),
    ]
    sheet = base64.b64encode(augmented).decode("ascii") if augmented else None
    return TrainingView(
        title=_("How it was trained"),
        facts=_facts(training),
        charts=[chart for chart in charts if chart is not None],
        shipped_line=_("The upright line is the epoch that the last ones, on train and val together, began from.")
        if training.refit_epochs
        else _("The upright line is the epoch whose weights are in the model file."),
        sheet=sheet and f"data:image/jpeg;base64,{sheet}",
        sheet_title=_("What the network saw"),
        sheet_words=_(
            "A row is a photo of the training part, a column an epoch: the same photo, changed anew each time it "
            "was shown. If something is done to the photos that no camera would do, choose a gentler --augment."
        ),
        epoch=_("epoch"),
    )


def _facts(training: Training) -> list[tuple[str, str]]:
    seconds = sum((row.seconds or 0) + (row.val_seconds or 0) for row in training.history)
    rows = [
        (_("Photos fitted on"), str(training.photos_fitted)),
        (
            _("Photos of val, which judged before the last epochs were fitted on them, too")
            if training.refit_epochs
            else _("Photos of val, which only judged"),
            str(training.photos_judging),
        ),
        (
            _("Epochs"),
            (
                _("{done} of {asked}; {more} on train and val together, from the weights of epoch {shipped}")
                if training.refit_epochs
                else _("{done} of {asked}; the weights are those of epoch {shipped}")
            ).format(
                done=len(training.history),
                asked=training.epochs,
                more=training.refit_epochs,
                shipped=training.shipped_epoch,
            ),
        ),
        (
            _("Optimiser"),
            f"{training.optimizer}, lr {training.lr:g}, {training.schedule}, batch {training.batch_size}",
        ),
        (
            _("Time"),
            _("{minutes} minutes, {speed} photos a second on {device} in {precision}").format(
                minutes=f"{seconds / 60:.1f}",
                speed=f"{training.photos_per_second:.1f}",
                device=training.device,
                precision=training.precision,
            ),
        ),
    ]
    if training.assumed:
        rows.append((_("Assumed, because the recipe's source does not say"), ", ".join(training.assumed)))
    rows.extend((_("Note"), note) for note in training.notes)
    return rows


@dataclass(frozen=True, slots=True)
class _Line:
    """A figure over the epochs, None where an epoch has none; see `Curve`."""

    name: str
    kind: str
    values: list[tuple[int, float | None]]

    def drawn(self) -> list[tuple[int, float]]:
        return [(epoch, value) for epoch, value in self.values if value is not None and math.isfinite(value)]


def _chart(title: str, lines: list[_Line], shipped: int, last: int, as_share: bool = False) -> Chart | None:
    values = [value for line in lines for _epoch, value in line.drawn()]
    if not values:
        return None
    low, high = (min(values), max(values)) if as_share else (min(0.0, *values), max(values))
    if high - low < 1e-9:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)

    def place(epoch: int, value: float) -> str:
        return f"{_across(epoch, last):.1f},{_BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP):.1f}"

    curves = [Curve(line.name, " ".join(place(*point) for point in line.drawn()), line.kind) for line in lines]
    marks = [
        (_BOTTOM - share * (_BOTTOM - _TOP), _mark(low + share * (high - low), as_share)) for share in (0.0, 0.5, 1.0)
    ]
    drawn = [curve for curve in curves if curve.points]
    return Chart(title, drawn, marks, _across(shipped, last) if shipped != last else None, last)


def _across(epoch: int, last: int) -> float:
    return _LEFT + (epoch - 1) / max(last - 1, 1) * (_RIGHT - _LEFT)


def _mark(value: float, as_share: bool) -> str:
    return f"{value:.0%}" if as_share else f"{value:.2f}"
