"""Training from data to report: the order of the stages."""

from __future__ import annotations

import dataclasses
import io
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from certero.config.recipes import resolve
from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.data.split import fold_training_mask
from certero.data.table import Photos
from certero.engine.blas import load_beside
from certero.errors import ConfigError
from certero.interchange import Json, json_text
from certero.language import use_language
from certero.likeness.clusters import join
from certero.machine.files import write_whole
from certero.photos.listing import printable
from certero.probe.probe import check_class_weights, load_solver
from certero.records.metrics import Folds, Metrics, Model, headline
from certero.records.protocols import Progress, no_progress
from certero.records.quantity import Quantity
from certero.report.page import write_report
from certero.report.pictures import thumbnail
from certero.runs.folder import RunFolder, name_of_run, resumed_folder, run_folder
from certero.runs.openings import Opening, check_log, open_test_set
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
from certero.runs.seal import seal
from certero.runs.versions import versions
from certero.runtime.card import Fingerprints
from certero.runtime.model_file import with_card
from certero.sentences import sentence, stored
from certero.stages.ask_model import Answers
from certero.stages.describe import (
    collect_mistakes,
    describe_photos,
    describe_separation,
    score_photos,
    write_predictions,
)
from certero.stages.fitted import Development, Everything, Fitted
from certero.stages.fitter import Fitter, loading_fitter
from certero.stages.prepare import Prepared, prepare
from certero.stages.random_split import units_to_draw
from certero.stages.recognise import remember_photos
from certero.stages.tools import Resources, resources
from certero.stats.intervals import proportion
from certero.stats.random_split import compare_splits
from certero.stats.requirements import Requirement, judge_all, parse_requirement
from certero.stats.scores import Beforehand

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


@dataclass(frozen=True, slots=True)
class Judged:
    """Photos that a model was judged on, in one order.

    Args:
        table: their rows.
        truth: class index int64 [n].
        probabilities: float32 [n, K], of models that had not seen the photo.
        embeddings: float32 [n, D], as one array for each fold.
        training_counts: photos of each class [K] in training; one entry a fold.
        opening: the logged opening.
        temperatures: float64 [n], of the model that answered.
    """

    table: pl.DataFrame
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    embeddings: list[NDArray[np.float32]]
    training_counts: list[NDArray[np.int64]]
    opening: Opening
    temperatures: NDArray[np.float64]


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
    with finding as folder, saying_how_to_resume(folder, data), resources(resolved.workers, progress) as tools:
        return _train(data, folder, resolved, requirements, tools, command)


def _train(
    data: Path,
    folder: RunFolder,
    resolved: TrainSettings,
    requirements: Sequence[Requirement],
    tools: Resources,
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
        classes = prepared.photos.classes()
        check_class_weights(classes, resolved.class_weights)
        for requirement in resolved.require:
            parse_requirement(requirement, classes)  # a misspelt class costs no opening of the test set
        if folder.resumed:
            check_data(folder, prepared.photos.table)
        elif resolved.fitting == "network":
            remember(folder, resolved, prepared.photos.table)
        fitter = finish_loading()
        fitter.check(prepared.photos.table, classes)
        if prepared.evaluation == "cv":
            fitted, judged = _cross_validate(prepared, classes, fitter, resolved, tools, data, folder)
        else:
            fitted, judged = _hold_out(prepared, classes, fitter, resolved, tools, data, folder)
        metrics = _describe(prepared, classes, fitted, resolved, data)
        if judged is not None:
            with tools.timed("score"):
                metrics = _measure(metrics, prepared, classes, fitter, fitted, judged, resolved)
        bars = judge_all(requirements, headline(metrics).body)
        metrics = dataclasses.replace(metrics, requirements=bars)
        with tools.timed("fingerprints"):
            known = _remember(prepared, fitted, tools)
        card = dataclasses.replace(fitted.card, metrics=_of_itself(metrics), fingerprints=known)
        model = with_card(fitted.model, card)
        with tools.timed("report"):
            write_whole(work / "model.onnx", model)
            _write_settings(work, metrics, resolved, data, command)
            _write_photos(work, prepared, classes, fitted, judged, resolved)
            mistakes = _mistakes(prepared, classes, judged)
        metrics = dataclasses.replace(metrics, seconds=tools.all_seconds())
        config = tomllib.loads(resolved.to_toml()) | {"data": str(data), "command": shlex.join(command or ())}
        answer = metrics.to_json()
        write_whole(work / "metrics.json", json_text(answer, indent=1) + "\n")
        write_report(work / "report.html", metrics=answer, config=config, mistakes=mistakes, augmented=_sheet(fitted))
        forget(folder)
    return Run(folder.place, answer)


def _hold_out(
    prepared: Prepared,
    classes: Sequence[str],
    fitter: Fitter,
    settings: TrainSettings,
    tools: Resources,
    data: Path,
    folder: RunFolder,
) -> tuple[Fitted, Judged | None]:
    """One model fitted without the test photos, judged on them once."""
    photos = prepared.photos
    development, sealed = seal(photos)
    fitted = fitter.fit(
        Development(
            development,
            photos.paths(development),
            prepared.given_val,
            prepared.separation.gap,
            shipped=_what_ships(settings),
            name="final",
        ),
        classes,
    )
    if not settings.open_test:
        return fitted, None
    table, opening = sealed.open(
        purpose="train", data=str(data), run=str(folder.place), earlier=earlier_opening(folder)
    )
    keep_opening(folder, opening)
    answers = _ask(fitter, fitted, photos, table, tools, "evaluate")
    truth = encode(table["label"], classes)
    counts = np.bincount(encode(development["label"], classes), minlength=len(classes))
    return fitted, Judged(
        table, truth, answers.probabilities, [answers.embeddings], [counts], opening, _temperatures(fitted, table)
    )


def _what_ships(settings: TrainSettings) -> str:
    if settings.fitting == "probe":
        return "fitted on train and val"
    return "fitted on train, judged on val" + (", then fitted on both" if settings.refit_epochs else "")


def _cross_validate(
    prepared: Prepared,
    classes: Sequence[str],
    fitter: Fitter,
    settings: TrainSettings,
    tools: Resources,
    data: Path,
    folder: RunFolder,
) -> tuple[Fitted, Judged | None]:
    """A model a fold, each judged on the photos it never saw; the shipped one is refitted on all."""
    photos = prepared.photos
    used = photos.used()
    fold_rows = []
    gap = prepared.separation.gap
    if settings.open_test:
        opening = earlier_opening(folder) or open_test_set(
            used["pixel_hash"].to_list(), purpose="cv", data=str(data), run=str(folder.place)
        )
        keep_opening(folder, opening)
        for fold in range(prepared.folds):
            mask = fold_training_mask(photos, fold, gap)
            inside = photos.table.filter(pl.Series(mask))
            part = Development(inside, photos.paths(inside), False, gap, "a fold of cv", f"fold-{fold + 1}")
            model = fitter.fit(part, classes)
            table = used.filter(pl.col("fold") == fold)
            stage = sentence("evaluate fold %(fold)d/%(folds)d", fold=fold + 1, folds=prepared.folds)
            answers = _ask(fitter, model, photos, table, tools, stage)
            counts = np.bincount(encode(inside["label"], classes), minlength=len(classes))
            fold_rows.append((table, answers, counts, _temperatures(model, table)))
    fitted = fitter.fit(Development(used, photos.paths(used), False, gap, "refitted on all photos", "final"), classes)
    if not settings.open_test:
        return fitted, None
    table = pl.concat([fold[0] for fold in fold_rows])
    judged = Judged(
        table,
        encode(table["label"], classes),
        np.concatenate([fold[1].probabilities for fold in fold_rows]),
        [fold[1].embeddings for fold in fold_rows],
        [fold[2] for fold in fold_rows],
        opening,
        np.concatenate([fold[3] for fold in fold_rows]),
    )
    return fitted, judged


def _temperatures(fitted: Fitted, table: pl.DataFrame) -> NDArray[np.float64]:
    return np.full(table.height, fitted.calibration.divisor)


def _ask(fitter: Fitter, fitted: Fitted, photos: Photos, table: pl.DataFrame, tools: Resources, stage: str) -> Answers:
    """The model file's answers on rows of the photos."""
    with tools.timed("evaluate"):
        return fitter.ask(fitted, photos.paths(table), table["content_hash"].to_list(), stage)


def _measure(
    metrics: Metrics,
    prepared: Prepared,
    classes: Sequence[str],
    fitter: Fitter,
    fitted: Fitted,
    judged: Judged,
    settings: TrainSettings,
) -> Metrics:
    """The honest figures, and after them what a random split would have claimed."""
    test = score_photos(
        judged.table,
        judged.truth,
        judged.probabilities,
        classes,
        settings.decide,
        beforehand=Beforehand(judged.temperatures, fitted.calibration.thresholds),
    )
    if prepared.evaluation == "cv":
        features, table = judged.embeddings, judged.table
    else:
        development, _sealed = seal(prepared.photos)
        features = [fitted.embeddings, *judged.embeddings]
        table = pl.concat([development, judged.table])
    random_split = gain = Quantity(None, None, None, "not_measured", 0)
    if settings.random_splits:
        claims = fitter.claim_at_random(
            Everything(table, prepared.photos.paths(table), judged.training_counts, fitted, features), classes
        )
        # The judged photos are the last ones; without cross-validation those of development come before them.
        before = table.height - judged.table.height
        right = np.zeros(table.height, dtype=bool)
        right[before:] = judged.probabilities.argmax(axis=1) == judged.truth
        random_split, gain = compare_splits(claims, right, np.arange(table.height) >= before, units_to_draw(table))
    return dataclasses.replace(
        metrics,
        test=test,
        random_split_accuracy=random_split,
        optimism_of_random_split=gain,
        openings=judged.opening.earlier,
    )


def _remember(prepared: Prepared, fitted: Fitted, tools: Resources) -> Fingerprints:
    """What the shipped model file remembers of the photos it was fitted on."""
    photos = prepared.photos
    table = photos.used() if prepared.evaluation == "cv" else seal(photos)[0]
    cluster = dict(zip(photos.table["path"], join(photos.table.height, prepared.copies).tolist(), strict=True))
    return remember_photos(
        table,
        photos.paths(table),
        fitted.embeddings,
        prepared.separation,
        np.array([cluster[path] for path in table["path"]], dtype=np.int64),
        fitted.model,
        fitted.card.preprocessing,
        tools.map,
    )


def _describe(
    prepared: Prepared, classes: Sequence[str], fitted: Fitted, settings: TrainSettings, data: Path
) -> Metrics:
    """Everything that needs no test photo."""
    photos = prepared.photos
    trained = photos.used() if prepared.evaluation == "cv" else seal(photos)[0]
    right = fitted.probabilities.argmax(axis=1) == encode(trained["label"], classes)
    rows = np.flatnonzero(fitted.fitted_on)
    described = describe_photos(photos, data, classes)
    why = None if prepared.reason is None else stored(prepared.reason)
    reason = fitted.calibration.reason
    return Metrics(
        evaluation=prepared.evaluation,
        cv=Folds(prepared.folds, why) if prepared.evaluation == "cv" else None,
        test=None,
        train_accuracy=proportion(right[rows], trained[rows]["unit"].to_list()),
        parameters=fitted.parameters,
        seconds={},
        calibration=fitted.calibration,
        export=fitted.export,
        separation=describe_separation(prepared.separation),
        data=described.data,
        counts=described.counts,
        listed=described.listed,
        splits=described.splits,
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
        notes=(*map(stored, photos.notes), *([reason] if reason else [])),
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
        "openings": metrics.openings,
    }


def _write_settings(
    work: Path, metrics: Metrics, settings: TrainSettings, data: Path, command: Sequence[str] | None
) -> None:
    """config.toml."""
    made_by = f"# certero {metrics.versions['certero']}: {_comment(shlex.join(command or ()))}\n"
    write_whole(work / "config.toml", made_by + f"# data: {_comment(data)}\n" + settings.to_toml())


def _write_photos(
    work: Path,
    prepared: Prepared,
    classes: Sequence[str],
    fitted: Fitted,
    judged: Judged | None,
    settings: TrainSettings,
) -> None:
    """data.parquet, history.csv, predictions.csv and held_out.csv."""
    # Polars' own file writer does not say that the disk is full.
    table = io.BytesIO()
    prepared.photos.table.write_parquet(table)
    write_whole(work / "data.parquet", table.getvalue())
    write_whole(work / "history.csv", _history(fitted))
    parts: list[tuple[pl.DataFrame, NDArray[np.float64] | NDArray[np.float32]]] = []
    if prepared.evaluation != "cv":
        development, _sealed = seal(prepared.photos)
        parts.append((development, fitted.probabilities))
    if judged is not None:
        parts.append((judged.table, judged.probabilities))
    write_predictions(work / "predictions.csv", parts, classes, settings.decide)
    # What a threshold may be chosen on: the rows of train and val in predictions.csv come from a model that knows them.
    fitted_on = prepared.photos.used() if prepared.evaluation == "cv" else seal(prepared.photos)[0]
    held = fitted.held_out
    held_out = (fitted_on.filter(pl.Series(held)), fitted.held_out_probabilities[held])
    write_predictions(work / "held_out.csv", [held_out], classes, settings.decide)


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


def _mistakes(prepared: Prepared, classes: Sequence[str], judged: Judged | None) -> list[Any]:
    if judged is None:
        return []
    paths = prepared.photos.paths(judged.table)
    return collect_mistakes(judged.table, paths, judged.truth, judged.probabilities, classes)
