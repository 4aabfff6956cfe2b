"""A model on other labelled photos: the honest figures, and what the model has seen of them. Imports no torch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from certero.config.parsing import parse_duration, parse_times
from certero.data.labels import encode
from certero.data.layout import LabelLevel
from certero.data.scan import list_photos
from certero.data.separation import Separation
from certero.data.table import Photos
from certero.errors import ConfigError, DataError
from certero.interchange import Json
from certero.language import use_language
from certero.photos.listing import typed
from certero.records.photos import SPLITS
from certero.records.protocols import Progress, no_progress
from certero.report.page import write_report
from certero.runs.model import load
from certero.runs.openings import check_log, open_test_set
from certero.runtime.predictor import Predictor
from certero.stages.describe import collect_mistakes, describe_photos, describe_units, score_photos
from certero.stages.judge import accept, answer_photos, keep_known, list_judged
from certero.stages.look import look_at_photos, separate_judged
from certero.stages.recognise import Recognition, recognise
from certero.stages.refusal import keep_unknown, measure_refusal
from certero.stages.tools import Resources, resources
from certero.stats.requirements import cannot_tell, judge, parse_requirement

if TYPE_CHECKING:
    from numpy.typing import NDArray


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    label: str | None = None,
    label_level: LabelLevel | None = None,
    group_by: str | None = None,
    block: str | timedelta | None = None,
    times: str = "auto",
    decide: float | None = None,
    require: Sequence[str] = (),
    unknown: bool = False,
    report: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
    command: Sequence[str] | None = None,
    lang: str | None = None,
) -> Json:
    """Measures a model on labelled photos and says how many of them it was trained on.

    Args:
        model: model file, or the folder of its run.
        data: folder of class folders, pre-split folder, manifest, or the folder of one class.
        split: judge these photos of the data alone: `train`, `val` or `test`.
        label: the class of every photo, whatever the folders are called.
        label_level: which folder names the class.
        group_by: which photos are not independent; see `TrainSettings`.
        block: length of a time block.
        times: where capture times are taken from; see `TrainSettings`.
        decide: probability a photo needs to get a label; default: the model's own threshold.
        require: bars such as `precision>=0.85`.
        unknown: no photo shows a class of the model, whatever the folders are called: count how many it refuses.
        report: HTML file to write.
        workers: threads; every core by default.
        progress: called with (stage, done, total).
        command: the command line, for the report.
        lang: language of the report and of progress, `en` or `es`; default: the locale's.

    Returns:
        The keys of metrics.json that need no training, and `seen`: `exact`, `near`, `unseen` (the figures without
        the seen photos), `warning`, `paths` and more.

    Raises:
        UserError: a kind of it for each mistake that the user can mend.
    """
    use_language(lang)
    data = typed(data)
    predictor = load(model, workers=workers)
    requirements = [parse_requirement(text, predictor.classes) for text in require]
    if split is not None and split not in SPLITS:
        raise ConfigError("--split must be one of %(splits)s; found %(split)r.", splits=", ".join(SPLITS), split=split)
    source_of_times = parse_times(times)
    length = parse_duration(block, "--block") if isinstance(block, str) else block
    if unknown:
        asked = {"--label": label, "--decide": decide, "--require": require or None, "--report": report}
        if given := [name for name, value in asked.items() if value is not None]:
            raise ConfigError(
                "--unknown counts refusals alone; found %(given)s beside it. Leave it out.", given=" and ".join(given)
            )
        with resources(workers, progress) as tools:
            listed = list_photos(data, label_level=label_level, single_label="unknown" if data.is_dir() else None)
            return judge_unknown(
                predictor, look_at_photos(listed, tools, source_of_times), split, tools, group_by, length
            )
    check_log()
    with resources(workers, progress) as tools:
        listed = look_at_photos(list_judged(data, predictor.classes, label, label_level), tools, source_of_times)
        photos = keep_known(listed, predictor.classes, split)
        strange = keep_unknown(listed, predictor.classes, split)
        with tools.timed("separate"):
            photos, separation = separate_judged(photos, group_by, length)
        opening = open_test_set(
            photos.used()["pixel_hash"].to_list(), purpose="evaluate", data=str(data), run=str(model)
        )
        with tools.timed("evaluate"):
            probabilities, embeddings = answer_photos(predictor, photos, tools)
            used = photos.used()
            known = predictor.card.fingerprints
            recognition = recognise(used, photos.paths(used), embeddings, known, tools.map)
        metrics = _figures(predictor, photos, probabilities, recognition, separation, decide, data)
        metrics["openings"] = opening.earlier
        metrics["requirements"] = _judge(requirements, metrics)
        if strange is not None:
            with tools.timed("evaluate"):
                refusals = answer_photos(predictor, strange, tools)[0]
            fresh = ~photos.used()["path"].is_in(metrics["seen"]["paths"])
            metrics["unknown"] = measure_refusal(
                strange,
                refusals,
                probabilities[fresh.to_numpy()] if fresh.any() else None,
                photos.used().filter(fresh)["unit"].to_list(),
                predictor.card,
                group_by=group_by,
                block=length,
            )
        metrics["seconds"] = {**tools.seconds, "total": round(sum(tools.seconds.values()), 3)}
    if report is not None:
        _write_report(Path(report), predictor, photos, probabilities, metrics, data, command)
    return metrics


def judge_unknown(
    predictor: Predictor,
    photos: Photos,
    split: str | None,
    tools: Resources,
    group_by: str | None,
    block: timedelta | None,
) -> Json:
    """The metrics of photos none of which shows a class of the model; `test` is null.

    Raises:
        DataError: if no photo can be used.
    """
    strange = keep_unknown(photos, () if photos.source != "manifest" else predictor.classes, split)
    if strange is None:
        raise DataError("--unknown needs readable photos of classes that the model does not know; DATA holds none.")
    with tools.timed("evaluate"):
        answers = answer_photos(predictor, strange, tools)[0]
    refusal = measure_refusal(strange, answers, None, (), predictor.card, group_by=group_by, block=block)
    return {
        "schema": 1,
        "evaluation": "evaluate",
        "test": None,
        "seen": None,
        "unknown": refusal,
        "counts": {"photos": photos.table.height, "used": strange.used().height},
        "requirements": [],
        "notes": list(photos.notes),
        "openings": 0,
        "seconds": {**tools.seconds, "total": round(sum(tools.seconds.values()), 3)},
    }


def _figures(
    predictor: Predictor,
    photos: Photos,
    probabilities: NDArray[np.float32],
    recognition: Recognition,
    separation: Separation,
    decide: float | None,
    data: Path,
) -> Json:
    card = predictor.card
    classes = predictor.classes
    used = photos.used()
    truth = encode(used["label"], classes)
    seen = recognition.seen
    fresh = ~seen
    calibrated: Json = {
        "temperature": card.calibration.get("temperature"),
        "thresholds": card.calibration.get("thresholds"),
    }
    accepted = accept(card, probabilities) if decide is None and card.threshold is not None else None
    unseen = (
        score_photos(
            used.filter(pl.Series(fresh)),
            truth[fresh],
            probabilities[fresh],
            classes,
            decide,
            None if accepted is None else accepted[fresh],
            **calibrated,
        )
        if seen.any() and fresh.any()
        else None
    )
    return {
        "schema": 1,
        "evaluation": "evaluate",
        "test": score_photos(used, truth, probabilities, classes, decide, accepted, **calibrated),
        "seen": recognition.to_json(unseen, used["path"].to_list()),
        "unknown": None,
        "random_split_accuracy": None,
        "optimism_of_random_split": None,
        "train_accuracy": None,
        "calibration": card.calibration,
        "separation": describe_units(separation),
        **describe_photos(photos, data, classes),
        "decide": decide,
        "threshold": card.threshold if decide is None else None,
        "model": {**card.training, "image_size": card.preprocessing.width},
        "versions": card.versions,
        "notes": list(photos.notes),
    }


def headline(metrics: Json) -> Json | None:
    """The figures on photos that the model has not seen, None where there are none."""
    seen = metrics["seen"]
    body: Json | None = seen["unseen"] if seen["paths"] else metrics["test"]
    return body


def _judge(requirements: Sequence[Any], metrics: Json) -> list[Json]:
    body = headline(metrics)
    if body is None:
        return [cannot_tell(requirement) for requirement in requirements]
    return [judge(requirement, body) for requirement in requirements]


def _write_report(
    output: Path,
    predictor: Predictor,
    photos: Photos,
    probabilities: NDArray[np.float32],
    metrics: Json,
    data: Path,
    command: Sequence[str] | None,
) -> None:
    used = photos.used()
    fresh = ~used["path"].is_in(metrics["seen"]["paths"]).to_numpy()
    table = used.filter(pl.Series(fresh))
    truth = encode(table["label"], predictor.classes)
    mistakes = collect_mistakes(table, photos.paths(table), truth, probabilities[fresh], predictor.classes)
    config = {"data": str(data), "command": shlex.join(command or ())}
    write_report(output, metrics=metrics, config=config, mistakes=mistakes)
