"""Training from data to report: the order of the stages."""

from __future__ import annotations

import dataclasses
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from certero.config.recipes import resolve
from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.engine.blas import load_beside
from certero.errors import ConfigError
from certero.interchange import Json, json_text
from certero.language import use_language
from certero.machine.files import write_whole
from certero.photos.listing import printable
from certero.probe.probe import load_solver
from certero.records.dependence import is_unknown, marked
from certero.records.metrics import Folds, Metrics, Model, headline
from certero.records.other_half import OtherHalf
from certero.records.protocols import Progress, no_progress
from certero.records.quantity import Quantity
from certero.report.page import write_report
from certero.report.pictures import Gallery, thumbnail
from certero.runs.folder import RunFolder, name_of_run, resumed_folder, run_folder
from certero.runs.openings import check_log
from certero.runs.resume import (
    check_data,
    earlier_opening,
    forget,
    keep_opening,
    remember,
    resume_command,
    saying_how_to_resume,
    settings_to_resume,
)
from certero.runs.seal import Opened, SealedTest
from certero.runs.versions import versions
from certero.runtime.card import Fingerprints
from certero.runtime.model_file import with_card
from certero.sentences import stored
from certero.stages.coverage import cover, describe_coverage, remembered
from certero.stages.describe import (
    Around,
    describe_separation,
    photos_a_day,
    score_photos,
    write_predictions,
)
from certero.stages.evaluation import Judged, fit_and_judge
from certero.stages.fitted import Everything, Fitted
from certero.stages.fitter import Fitter, loading_fitter
from certero.stages.gallery import collect_gallery
from certero.stages.other_half import measure_other_half
from certero.stages.prepare import Prepared, prepare
from certero.stages.random_split import units_to_draw
from certero.stages.recognise import remember_photos
from certero.stages.tools import Tools, open_tools
from certero.stats.intervals import proportion
from certero.stats.random_split import compare_splits
from certero.stats.requirements import Requirement, judge_all, parse_requirement

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Run:
    """A finished training run.

    Args:
        path: its folder.
        metrics: the contents of its metrics.json.
    """

    path: Path
    metrics: Json

    @property
    def model(self) -> Path:
        """The model file."""
        return self.path / "model.onnx"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"


def train(
    data: str | Path,
    *,
    recipe: str | None = None,
    output: str | Path | None = None,
    resume: str | Path | None = None,
    progress: Progress = no_progress,
    command: Sequence[str] | None = None,
    lang: str | None = None,
    **settings: Any,
) -> Run:
    """Trains a classifier on labelled photos and measures it honestly, once.

    Args:
        data: folder of class folders, pre-split folder, or manifest.
        recipe: a recipe's name or TOML file; `probe` by default.
        output: folder of the run; must not exist. Default: the first free `runs/NAME-1`, `runs/NAME-2`, ...
        resume: the place of a run that was cut off while it trained a network, to go on with it.
        progress: called with (stage, done, total).
        command: the command line, for the report.
        lang: language of the report and of progress, `en` or `es`; default: the locale's.
        **settings: fields of `certero.config.settings.TrainSettings`, e.g. `group_by="parent"`, `cv=5`.

    Returns:
        The run, with its metrics as in `metrics.json`.

    Raises:
        UserError: a kind of it for each mistake that the user can mend.
        Interrupted: by Ctrl-C, where a training was saved; its message says how to go on.
    """
    use_language(lang)
    if resume is not None and output is not None and Path(output) != Path(resume):
        raise ConfigError(
            "--resume goes on where the run is; found --output %(output)s beside it. Leave --output out.", output=output
        )
    resolved = (
        resolve(recipe or "probe", **settings) if resume is None else settings_to_resume(Path(resume), recipe, settings)
    )
    requirements = [parse_requirement(text) for text in resolved.require]
    data = Path(data)
    place = Path(output) if output is not None else None
    finding = (
        run_folder(place, name_of_run(data), resumable=resolved.fitting == "network")
        if resume is None
        else resumed_folder(Path(resume))
    )
    with finding as folder, saying_how_to_resume(folder, data), open_tools(resolved.workers, progress) as tools:
        return _train(data, folder, resolved, requirements, tools, command)


def _train(
    data: Path,
    folder: RunFolder,
    resolved: TrainSettings,
    requirements: Sequence[Requirement],
    tools: Tools,
    command: Sequence[str] | None,
) -> Run:
    """The stages in their order, and every file of the run."""
    work = folder.work
    if resolved.open_test and earlier_opening(folder) is None:
        check_log()  # before anything is computed that could not be judged then
    with loading_fitter(resolved, tools, folder.checkpoints, resume_command(folder, data)) as finish_loading:
        if resolved.fitting == "probe":
            load_beside(load_solver)
        prepared = prepare(data, resolved, tools)
        if folder.resumed:
            check_data(folder, prepared.catalogue)
        elif resolved.fitting == "network":
            remember(folder, resolved, prepared.catalogue)
        fitter = finish_loading(len(prepared.development))
        fitter.check(prepared.development.table.columns, prepared.classes)
        fitted, judged = fit_and_judge(prepared, fitter, resolved, tools, partial(_open, folder, data))
        metrics = _describe(prepared, fitted, resolved)
        if judged is not None:
            with tools.timed("score"):
                metrics = _measure(metrics, prepared, fitter, fitted, judged, resolved)
        if is_unknown(metrics.separation):
            metrics = marked(metrics)
        bars = judge_all(requirements, headline(metrics).body)
        metrics = dataclasses.replace(metrics, requirements=bars)
        with tools.timed("fingerprints"):
            known = _remember(prepared, fitted, tools)
        card = dataclasses.replace(
            fitted.card,
            training={**fitted.card.training, "covers": remembered(metrics.covers)},
            metrics=_of_itself(metrics),
            fingerprints=known,
        )
        model = with_card(fitted.model, card)
        with tools.timed("report"):
            write_whole(work / "model.onnx", model)
            _write_settings(work, metrics, resolved, data, command)
            _write_photos(work, prepared, fitted, judged, resolved)
            gallery = _gallery(prepared.classes, judged)
        metrics = dataclasses.replace(metrics, seconds=tools.all_seconds())
        config = tomllib.loads(resolved.to_toml()) | {"data": str(data), "command": shlex.join(command or ())}
        answer = metrics.to_json()
        write_whole(work / "metrics.json", json_text(answer, indent=1) + "\n")
        write_report(work / "report.html", metrics=metrics, config=config, gallery=gallery, augmented=_sheet(fitted))
        forget(folder)
    return Run(folder.place, answer)


def _open(folder: RunFolder, data: Path, sealed: SealedTest, purpose: str) -> Opened:
    """Opens the test photos for this run, and keeps the opening in it."""
    opened = sealed.open(purpose=purpose, data=str(data), run=str(folder.place), earlier=earlier_opening(folder))
    keep_opening(folder, opened.opening)
    return opened


def _measure(
    metrics: Metrics, prepared: Prepared, fitter: Fitter, fitted: Fitted, judged: Judged, settings: TrainSettings
) -> Metrics:
    """The honest figures, and after them what a random split would have claimed."""
    everything = judged.with_development(prepared, fitted)
    test = score_photos(
        judged.table,
        judged.truth,
        judged.probabilities,
        prepared.classes,
        settings.decide,
        beforehand=judged.beforehand,
        around=Around(prepared.separation.speaks_of, photos_a_day(everything.table, prepared.separation.day_start)),
    )
    random_split = gain = Quantity(None, None, None, "not_measured", 0)
    if settings.random_splits:
        claims = fitter.claim_at_random(everything, prepared.classes)
        table = everything.table
        # The judged photos are the last ones; without cross-validation those of development come before them.
        before = table.height - judged.table.height
        right = np.zeros(table.height, dtype=bool)
        right[before:] = judged.probabilities.argmax(axis=1) == judged.truth
        random_split, gain = compare_splits(claims, right, np.arange(table.height) >= before, units_to_draw(table))
    learnt_from = None if metrics.covers is None else metrics.covers.training
    judged_photos = cover(judged.table, prepared.classes, prepared.separation)
    return dataclasses.replace(
        metrics,
        test=test,
        covers=describe_coverage(judged_photos, learnt_from, prepared.separation, metrics.counts),
        random_split_accuracy=random_split,
        other_half=_ask_other_half(prepared, fitter, everything),
        optimism_of_random_split=gain,
        openings=judged.opened.opening.earlier,
    )


def _ask_other_half(prepared: Prepared, fitter: Fitter, everything: Everything) -> OtherHalf | None:
    """What half of the time says of the other half, where one or two days are all there is."""
    classes, separation = prepared.classes, prepared.separation
    truth = encode(everything.table["label"], classes)
    ask = partial(fitter.ask_probes, everything, classes, separation.gap)
    return measure_other_half(everything.table, truth, classes, separation, ask)


def _remember(prepared: Prepared, fitted: Fitted, tools: Tools) -> Fingerprints:
    """What the shipped model file remembers of the photos it was fitted on."""
    return remember_photos(
        prepared.development.table,
        prepared.development.paths(),
        fitted.embeddings,
        prepared.separation,
        prepared.copied,
        fitted.model,
        fitted.card.preprocessing,
        tools.map,
    )


def _describe(prepared: Prepared, fitted: Fitted, settings: TrainSettings) -> Metrics:
    """Everything that needs no test photo."""
    development, facts = prepared.development.table, prepared.facts
    right = fitted.probabilities.argmax(axis=1) == encode(development["label"], prepared.classes)
    rows = np.flatnonzero(fitted.fitted_on)
    learnt_from = cover(development[rows], prepared.classes, prepared.separation)
    why = None if prepared.reason is None else stored(prepared.reason)
    reason = fitted.calibration.reason
    return Metrics(
        evaluation=prepared.evaluation,
        cv=Folds(prepared.folds, why) if prepared.evaluation == "cv" else None,
        test=None,
        train_accuracy=proportion(right[rows], development[rows]["unit"].to_list()),
        parameters=fitted.parameters,
        seconds={},
        calibration=fitted.calibration,
        export=fitted.export,
        separation=describe_separation(prepared.separation),
        covers=describe_coverage(None, learnt_from, prepared.separation, facts.counts),
        data=facts.data,
        counts=facts.counts,
        listed=facts.listed,
        splits=facts.splits,
        decide=settings.decide,
        model=Model(
            recipe=settings.recipe,
            backbone=None if settings.layers else settings.backbone,
            image_size=fitted.card.preprocessing.width,
            shipped=fitted.card.training["shipped"],
            strength=None if fitted.probe is None else fitted.probe.strength,
            strength_losses={f"{strength:g}": loss for strength, loss in _strengths(fitted).items()},
        ),
        training=fitted.training,
        versions=versions(),
        notes=(*map(stored, prepared.notes), *([reason] if reason else [])),
        names=prepared.names,
    )


def _of_itself(metrics: Metrics) -> Json | None:
    """What the model file says of itself."""
    scores = headline(metrics).body
    if scores is None:
        return None
    return {
        "evaluation": metrics.evaluation,
        "n": scores.n,
        "accuracy": scores.accuracy.to_json(),
        "macro_f1": scores.macro_f1.to_json(),
        "speaks_of": metrics.separation.speaks_of,
        "openings": metrics.openings,
    }


def _write_settings(
    work: Path, metrics: Metrics, settings: TrainSettings, data: Path, command: Sequence[str] | None
) -> None:
    """config.toml."""
    made_by = f"# certero {metrics.versions['certero']}: {_comment(shlex.join(command or ()))}\n"
    write_whole(work / "config.toml", made_by + f"# data: {_comment(data)}\n" + settings.to_toml())


def _write_photos(
    work: Path, prepared: Prepared, fitted: Fitted, judged: Judged | None, settings: TrainSettings
) -> None:
    """data.parquet, history.csv, predictions.csv and held_out.csv."""
    write_whole(work / "data.parquet", prepared.catalogue.to_parquet())
    write_whole(work / "history.csv", _history(fitted))
    parts: list[tuple[pl.DataFrame, NDArray[np.float64] | NDArray[np.float32]]] = []
    if prepared.evaluation != "cv":
        parts.append((prepared.development.table, fitted.probabilities))
    if judged is not None:
        parts.append((judged.table, judged.probabilities))
    write_predictions(work / "predictions.csv", parts, prepared.classes, settings.decide)
    # For choosing a threshold: the model was fitted on the rows of train and val in predictions.csv.
    held = fitted.held_out
    held_out = (prepared.development.where(held).table, fitted.held_out_probabilities[held])
    write_predictions(work / "held_out.csv", [held_out], prepared.classes, settings.decide)


def _comment(text: str | Path) -> str:
    """Text as a TOML comment may hold it: valid Unicode, one line."""
    return "".join(c if c.isprintable() else " " for c in printable(str(text)))


def _strengths(fitted: Fitted) -> dict[float, float]:
    return fitted.probe.losses if fitted.probe is not None else {}


def _history(fitted: Fitted) -> str:
    """history.csv: a row a strength that was tried, or a row an epoch."""
    if fitted.training is None:
        rows = [
            {"strength": f"{strength:g}", "log_loss": f"{loss:.6f}"} for strength, loss in _strengths(fitted).items()
        ]
    else:
        rows = [epoch.to_json() for epoch in fitted.training.history]
    lines = [",".join(rows[0]), *(",".join("" if cell is None else str(cell) for cell in row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


def _sheet(fitted: Fitted) -> bytes | None:
    return None if fitted.sheet is None else thumbnail(fitted.sheet, max(fitted.sheet.shape[:2]), limit_bytes=60_000)


def _gallery(classes: Sequence[str], judged: Judged | None) -> Gallery:
    if judged is None:
        return Gallery()
    return collect_gallery(judged.table, judged.opened.paths(), judged.truth, judged.probabilities, classes)
