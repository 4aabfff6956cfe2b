"""Training from data to report: the order of the stages."""

from __future__ import annotations

import dataclasses
import io
import json
import shlex
import threading
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from certero.config import TrainSettings, resolve
from certero.data.files import printable
from certero.data.split import fold_training_mask
from certero.data.table import Photos
from certero.disk import write_whole
from certero.language import sentence, use_language
from certero.learn.export import count_parameters
from certero.learn.probe import check_class_weights, load_solver, weigh_classes
from certero.pipelines.fit import Fitted, Network, encode, fit_model, loading_network, versions
from certero.pipelines.measure import Answers, measure_file, run_head
from certero.pipelines.openings import Opening, open_test_set
from certero.pipelines.optimism import optimism, random_split_accuracy
from certero.pipelines.prepare import Prepared, prepare, seal
from certero.pipelines.resources import Resources, resources
from certero.pipelines.run_folder import run_folder
from certero.pipelines.tables import (
    collect_mistakes,
    describe_photos,
    describe_separation,
    score_photos,
    write_predictions,
)
from certero.records import Json, Progress, no_progress
from certero.report.page import write_report
from certero.runtime.model_file import with_card
from certero.runtime.network import Network as Runtime
from certero.stats.intervals import proportion
from certero.stats.requirements import cannot_tell, judge, parse_requirement

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
    """

    table: pl.DataFrame
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    embeddings: list[NDArray[np.float32]]
    training_counts: list[NDArray[np.int64]]
    opening: Opening


def train(
    data: str | Path,
    *,
    recipe: str = "probe",
    output: str | Path | None = None,
    progress: Progress = no_progress,
    command: Sequence[str] | None = None,
    lang: str | None = None,
    **settings: Any,
) -> Run:
    """Trains a classifier on labelled photos and measures it honestly, once.

    Args:
        data: folder of class folders, pre-split folder, or manifest.
        recipe: a recipe's name or TOML file.
        output: folder of the run; must not exist. Default: the first free `runs/NAME-1`, `runs/NAME-2`, ...
        progress: called with (stage, done, total).
        command: the command line, for the report.
        lang: language of the report and of progress, `en` or `es`; default: the locale's.
        **settings: fields of `certero.config.TrainSettings`, e.g. `group_by="parent"`, `cv=5`.

    Returns:
        The run, with its metrics as in `metrics.json`.

    Raises:
        UserError: a kind of it for each mistake that the user can mend.
    """
    use_language(lang)
    resolved = resolve(recipe, **settings)
    requirements = [parse_requirement(text) for text in resolved.require]
    data = Path(data)
    name = data.resolve().stem if data.is_file() else data.resolve().name
    place = Path(output) if output is not None else None
    with (
        resources(resolved.workers, progress) as tools,
        run_folder(place, name or "run") as folder,
        loading_network(resolved, tools) as finish_loading,
    ):
        work, goal = folder.work, folder.place
        threading.Thread(target=load_solver, daemon=True).start()
        prepared = prepare(data, resolved, tools)
        classes = prepared.photos.classes()
        check_class_weights(classes, resolved.class_weights)
        for requirement in resolved.require:
            parse_requirement(requirement, classes)  # a misspelt class costs no opening of the test set
        network = finish_loading()
        if prepared.evaluation == "cv":
            fitted, judged = _cross_validate(prepared, classes, network, resolved, tools, data, goal)
        else:
            fitted, judged = _hold_out(prepared, classes, network, resolved, tools, data, goal)
        metrics = _describe(prepared, classes, fitted, resolved, data)
        metrics["requirements"] = [cannot_tell(requirement) for requirement in requirements]
        if judged is not None:
            with tools.timed("score"):
                metrics |= _figures(prepared, classes, fitted, judged, resolved, tools)
                metrics["requirements"] = [judge(requirement, metrics["test"]) for requirement in requirements]
        model = with_card(fitted.model, dataclasses.replace(fitted.card, metrics=_headline(metrics)))
        with tools.timed("report"):
            _write(work, prepared, classes, fitted, judged, model, metrics, resolved, data, command)
            mistakes = _mistakes(prepared, classes, judged)
        metrics["seconds"] = {**tools.seconds, "total": round(sum(tools.seconds.values()), 3)}
        config = tomllib.loads(resolved.to_toml()) | {"data": str(data), "command": shlex.join(command or ())}
        write_whole(work / "metrics.json", json.dumps(metrics, indent=1, ensure_ascii=False) + "\n")
        write_report(work / "report.html", metrics=metrics, config=config, mistakes=mistakes)
    return Run(folder.place, metrics)


def _hold_out(
    prepared: Prepared,
    classes: Sequence[str],
    network: Network,
    settings: TrainSettings,
    tools: Resources,
    data: Path,
    goal: Path,
) -> tuple[Fitted, Judged | None]:
    """One model fitted without the test photos, judged on them once."""
    photos = prepared.photos
    development, sealed = seal(photos)
    fitted = fit_model(
        development,
        photos.paths(development),
        classes,
        prepared.given_val,
        prepared.separation.gap,
        network,
        settings,
        tools,
        shipped="fitted on train and val",
    )
    if not settings.open_test:
        return fitted, None
    table, opening = sealed.open(purpose="train", data=str(data), run=str(goal))
    answers = _ask(fitted, photos, table, network, tools, "evaluate")
    truth = encode(table["label"], classes)
    counts = np.bincount(encode(development["label"], classes), minlength=len(classes))
    return fitted, Judged(table, truth, answers.probabilities, [answers.embeddings], [counts], opening)


def _cross_validate(
    prepared: Prepared,
    classes: Sequence[str],
    network: Network,
    settings: TrainSettings,
    tools: Resources,
    data: Path,
    goal: Path,
) -> tuple[Fitted, Judged | None]:
    """A model a fold, each judged on the photos it never saw; the shipped one is refitted on all."""
    photos = prepared.photos
    used = photos.used()
    fold_rows = []
    gap = prepared.separation.gap
    if settings.open_test:
        opening = open_test_set(used["pixel_hash"].to_list(), purpose="cv", data=str(data), run=str(goal))
        for fold in range(prepared.folds):
            mask = fold_training_mask(photos, fold, gap)
            inside = photos.table.filter(pl.Series(mask))
            model = fit_model(
                inside, photos.paths(inside), classes, False, gap, network, settings, tools, shipped="a fold of cv"
            )
            table = used.filter(pl.col("fold") == fold)
            stage = sentence("evaluate fold %(fold)d/%(folds)d", fold=fold + 1, folds=prepared.folds)
            answers = _ask(model, photos, table, network, tools, stage)
            counts = np.bincount(encode(inside["label"], classes), minlength=len(classes))
            fold_rows.append((table, answers, counts))
    fitted = fit_model(
        used, photos.paths(used), classes, False, gap, network, settings, tools, shipped="refitted on all photos"
    )
    if not settings.open_test:
        return fitted, None
    table = pl.concat([rows for rows, _answers, _counts in fold_rows])
    judged = Judged(
        table,
        encode(table["label"], classes),
        np.concatenate([answers.probabilities for _rows, answers, _counts in fold_rows]),
        [answers.embeddings for _rows, answers, _counts in fold_rows],
        [counts for _rows, _answers, counts in fold_rows],
        opening,
    )
    return fitted, judged


def _ask(
    fitted: Fitted, photos: Photos, table: pl.DataFrame, network: Network, tools: Resources, stage: str
) -> Answers:
    """The model file's answers on rows of the photos."""
    with tools.timed("evaluate"):
        return measure_file(
            fitted.model,
            fitted.head_onnx,
            network.network_id,
            photos.paths(table),
            table["content_hash"].to_list(),
            network.preprocessing,
            tools,
            stage,
        )


def _figures(
    prepared: Prepared,
    classes: Sequence[str],
    fitted: Fitted,
    judged: Judged,
    settings: TrainSettings,
    tools: Resources,
) -> Json:
    """The honest figures, and after them what a random split would have claimed."""
    test = score_photos(judged.table, judged.truth, judged.probabilities, classes, settings.decide)
    if prepared.evaluation == "cv":
        features, truth = judged.embeddings, judged.truth
    else:
        development, _sealed = seal(prepared.photos)
        features = [fitted.embeddings, *judged.embeddings]
        truth = np.concatenate([encode(development["label"], classes), judged.truth])
    weights = weigh_classes(truth, classes, settings.class_weights)
    random_split = random_split_accuracy(
        features,
        truth,
        judged.training_counts,
        fitted.probe.strength,
        weights,
        settings.split_seed,
        tools.map,
        tools.progress,
    )
    honest = proportion(judged.probabilities.argmax(axis=1) == judged.truth, judged.table["unit"].to_list())
    return {
        "test": test,
        "random_split_accuracy": random_split.to_json(),
        "optimism_of_random_split": optimism(random_split, honest).to_json(),
        "openings": judged.opening.earlier,
    }


def _describe(prepared: Prepared, classes: Sequence[str], fitted: Fitted, settings: TrainSettings, data: Path) -> Json:
    """Everything of metrics.json that needs no test photo."""
    photos = prepared.photos
    trained = photos.used() if prepared.evaluation == "cv" else seal(photos)[0]
    truth = encode(trained["label"], classes)
    predicted = fitted.probe.head.logits(fitted.embeddings).argmax(axis=1)
    return {
        "schema": 1,
        "evaluation": prepared.evaluation,
        "cv": {"folds": prepared.folds, "reason": prepared.reason} if prepared.evaluation == "cv" else None,
        "test": None,
        "random_split_accuracy": None,
        "optimism_of_random_split": None,
        "train_accuracy": proportion(predicted == truth, trained["unit"].to_list()).to_json(),
        "parameters": count_parameters(fitted.model),
        "openings": 0,
        "seconds": {},
        "calibration": fitted.calibration,
        "export": fitted.export,
        "separation": describe_separation(prepared.separation),
        **describe_photos(photos, data, classes),
        "requirements": [],
        "decide": settings.decide,
        "model": {
            "recipe": settings.recipe,
            "backbone": settings.backbone,
            "image_size": fitted.card.preprocessing.width,
            "shipped": fitted.card.training["shipped"],
            "strength": fitted.probe.strength,
            "strength_losses": {f"{strength:g}": loss for strength, loss in fitted.probe.losses.items()},
        },
        "versions": versions(),
        "notes": list(photos.notes),
    }


def _headline(metrics: Json) -> Json | None:
    """What the model file says of itself."""
    test = metrics["test"]
    if test is None:
        return None
    return {
        "evaluation": metrics["evaluation"],
        "n": test["n"],
        "accuracy": test["accuracy"],
        "macro_f1": test["macro_f1"],
        "openings": metrics["openings"],
    }


def _write(
    work: Path,
    prepared: Prepared,
    classes: Sequence[str],
    fitted: Fitted,
    judged: Judged | None,
    model: bytes,
    metrics: Json,
    settings: TrainSettings,
    data: Path,
    command: Sequence[str] | None,
) -> None:
    """Every file of the run but metrics.json and the report."""
    write_whole(work / "model.onnx", model)
    header = (
        f"# certero {metrics['versions']['certero']}: {_comment(shlex.join(command or ()))}\n# data: {_comment(data)}\n"
    )
    write_whole(work / "config.toml", header + settings.to_toml())
    # Polars' own file writer does not say that the disk is full.
    table = io.BytesIO()
    prepared.photos.table.write_parquet(table)
    write_whole(work / "data.parquet", table.getvalue())
    history = ["strength,log_loss", *(f"{strength:g},{loss:.6f}" for strength, loss in fitted.probe.losses.items())]
    write_whole(work / "history.csv", "\n".join(history) + "\n")
    parts: list[tuple[pl.DataFrame, NDArray[np.float64] | NDArray[np.float32]]] = []
    if prepared.evaluation != "cv":
        development, _sealed = seal(prepared.photos)
        parts.append((development, _probabilities(fitted)))
    if judged is not None:
        parts.append((judged.table, judged.probabilities))
        write_whole(work / "openings.jsonl", json.dumps(judged.opening.record) + "\n")
    write_predictions(work / "predictions.csv", parts, classes, settings.decide)
    # What a threshold may be chosen on: the rows of train and val in predictions.csv come from a model that knows them.
    fitted_on = prepared.photos.used() if prepared.evaluation == "cv" else seal(prepared.photos)[0]
    held = fitted.probe.held_out
    held_out = (fitted_on.filter(pl.Series(held)), fitted.held_out_probabilities()[held])
    write_predictions(work / "held_out.csv", [held_out], classes, settings.decide)


def _comment(text: str | Path) -> str:
    """Text as a TOML comment may hold it: valid Unicode, one line."""
    return "".join(c if c.isprintable() else " " for c in printable(str(text)))


def _probabilities(fitted: Fitted) -> NDArray[np.float32]:
    """The shipped head, through the runtime, on the development photos."""
    return run_head(Runtime(fitted.head_onnx), fitted.embeddings)


def _mistakes(prepared: Prepared, classes: Sequence[str], judged: Judged | None) -> list[Any]:
    if judged is None:
        return []
    paths = prepared.photos.paths(judged.table)
    return collect_mistakes(judged.table, paths, judged.truth, judged.probabilities, classes)
