"""A model on other labelled photos: the honest figures, and what the model has seen of them. Imports no torch."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.config.parsing import Shares, parse_duration, parse_figure_for, parse_shares, parse_times
from certero.data.labels import encode
from certero.data.layout import LabelLevel
from certero.data.scan import list_photos
from certero.data.separation import Separation
from certero.data.table import Photos
from certero.errors import ConfigError, DataError
from certero.interchange import Json
from certero.language import use_language
from certero.photos.listing import typed
from certero.records.dependence import is_unknown, marked
from certero.records.metrics import Calibration, Metrics, Model, Seen, Unknown, headline
from certero.records.photo_counts import Counts
from certero.records.photos import SPLITS
from certero.records.protocols import Progress, no_progress
from certero.records.scores import Scores
from certero.report.page import write_report
from certero.runs.model import load
from certero.runs.openings import check_log, open_test_set
from certero.runtime.predictor import Predictor
from certero.sentences import both, stored
from certero.stages.coverage import cover, describe_coverage, recalled
from certero.stages.describe import Around, describe_photos, describe_units, photos_a_day, score_photos
from certero.stages.gallery import collect_gallery
from certero.stages.judge import accept, answer_photos, keep_known, list_judged, without_known_units
from certero.stages.look import look_at_photos, separate_judged
from certero.stages.recognise import recognise
from certero.stages.refusal import keep_unknown, measure_refusal
from certero.stages.tools import Tools, open_tools
from certero.stages.weigh import check_wish, weigh
from certero.stats.requirements import judge_all, parse_requirement
from certero.stats.scores import Beforehand

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
    figure_for: str | None = None,
    times: str = "auto",
    decide: float | None = None,
    require: Sequence[str] = (),
    unknown: bool = False,
    shares: str | Mapping[str, float] | None = None,
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
        figure_for: what the figure must speak of: `hours`, `days` or `places`; see `TrainSettings`.
        times: where capture times are taken from; see `TrainSettings`.
        decide: probability a photo needs to get a label; default: the model's own threshold.
        require: bars such as `precision>=0.85`.
        unknown: no photo shows a class of the model, whatever the folders are called: count how many it refuses.
        shares: weigh the outputs for other shares of the classes than in training, and give the figures with them
            beside the others: `adapt` finds them from the photos, labels are not used; else shares by class.
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
    wish = None if shares is None else parse_shares(shares)
    target = parse_figure_for(figure_for)
    if unknown:
        _check_alone(
            {"--label": label, "--decide": decide, "--require": require or None, "--report": report, "--shares": wish}
        )
        with open_tools(workers, progress) as tools:
            listed = list_photos(data, label_level=label_level, single_label="unknown" if data.is_dir() else None)
            photos = look_at_photos(listed, tools, source_of_times)
            return _judge_unknown(predictor, photos, split, tools, group_by, length).to_json()
    check_wish(predictor.card, wish)
    check_log()
    with open_tools(workers, progress) as tools:
        listed = look_at_photos(list_judged(data, predictor.classes, label, label_level), tools, source_of_times)
        photos = keep_known(listed, predictor.classes, split)
        strange = keep_unknown(listed, predictor.classes, split)
        with tools.timed("separate"):
            photos, separation = separate_judged(photos, group_by, length, target)
        opening = open_test_set(
            photos.used()["pixel_hash"].to_list(), purpose="evaluate", data=str(data), run=str(model)
        )
        with tools.timed("evaluate"):
            probabilities, embeddings = answer_photos(predictor, photos, tools)
            used = photos.used()
            known = predictor.card.fingerprints
            recognition = recognise(used, photos.paths(used), embeddings, known, tools.map)
        judged = _Judged(photos, probabilities, recognition.describe(None, used["path"].to_list()), ~recognition.seen)
        separation = without_known_units(separation, used["unit"].to_list(), judged.fresh)
        metrics = _measure(predictor, judged, separation, decide, data, wish)
        if strange is not None:
            metrics = dataclasses.replace(metrics, unknown=_refuse(predictor, strange, judged, tools, group_by, length))
        if is_unknown(metrics.separation):
            metrics = marked(metrics)
        metrics = dataclasses.replace(
            metrics,
            openings=opening.earlier,
            requirements=judge_all(requirements, _held_against(metrics)),
            seconds=tools.all_seconds(),
        )
    answer = metrics.to_json()
    if report is not None:
        _write_report(Path(report), predictor, judged, metrics, data, command)
    return answer


def _check_alone(beside: Mapping[str, object]) -> None:
    """Raises where --unknown does not stand alone."""
    if given := [name for name, value in beside.items() if value is not None]:
        raise ConfigError(
            "--unknown counts refusals alone; found %(given)s beside it. Leave it out.", given=both(given)
        )


def _held_against(metrics: Metrics) -> Scores | None:
    """The figures that bars are held against: those of the model as it is asked to be used."""
    weighed = metrics.shares
    return headline(metrics).body if weighed is None or weighed.adapted is None else weighed.adapted


@dataclass(frozen=True, slots=True)
class _Judged:
    """Photos of known classes, with what the model said of them.

    Args:
        photos: of which the used ones were judged.
        probabilities: float32 [n, K].
        seen: how many of them the model was trained on; the figures on the others are yet to come.
        fresh: bool [n], those others.
    """

    photos: Photos
    probabilities: NDArray[np.float32]
    seen: Seen
    fresh: NDArray[np.bool_]


def _refuse(
    predictor: Predictor,
    strange: Photos,
    judged: _Judged,
    tools: Tools,
    group_by: str | None,
    block: timedelta | None,
) -> Unknown:
    """What became of the photos of unknown classes, beside the known ones that are new to the model."""
    with tools.timed("evaluate"):
        refusals = answer_photos(predictor, strange, tools)[0]
    return measure_refusal(
        strange,
        refusals,
        judged.probabilities[judged.fresh] if judged.fresh.any() else None,
        judged.photos.used().filter(pl.Series(judged.fresh))["unit"].to_list(),
        predictor.card,
        group_by=group_by,
        block=block,
    )


def _judge_unknown(
    predictor: Predictor,
    photos: Photos,
    split: str | None,
    tools: Tools,
    group_by: str | None,
    block: timedelta | None,
) -> Metrics:
    """What becomes of photos none of which shows a class of the model.

    Raises:
        DataError: if no photo can be used.
    """
    strange = keep_unknown(photos, () if photos.source != "manifest" else predictor.classes, split)
    if strange is None:
        raise DataError("--unknown needs readable photos of classes that the model does not know; DATA holds none.")
    with tools.timed("evaluate"):
        answers = answer_photos(predictor, strange, tools)[0]
    return Metrics(
        evaluation="evaluate",
        test=None,
        unknown=measure_refusal(strange, answers, None, (), predictor.card, group_by=group_by, block=block),
        counts=Counts(photos=photos.table.height, used=strange.used().height),
        notes=tuple(map(stored, photos.notes)),
        seconds=tools.all_seconds(),
    )


def _measure(
    predictor: Predictor,
    judged: _Judged,
    separation: Separation,
    decide: float | None,
    data: Path,
    wish: Shares | None,
) -> Metrics:
    card, classes, photos, probabilities = predictor.card, predictor.classes, judged.photos, judged.probabilities
    used = photos.used()
    truth = encode(used["label"], classes)
    calibration = Calibration.from_json(card.calibration)
    guess = max(card.shares, key=card.shares.__getitem__) if card.shares else None
    beforehand = Beforehand(
        calibration.temperature,
        calibration.thresholds,
        calibration.offsets_of(classes),
        None if guess is None else classes.index(guess),
    )
    accepted = accept(card, probabilities) if decide is None and card.threshold is not None else None
    everything, fresh = np.ones(len(truth), dtype=bool), judged.fresh
    around = Around(separation.speaks_of, photos_a_day(used, separation.day_start))

    def scores(rows: NDArray[np.bool_]) -> Scores:
        taken = None if accepted is None else accepted[rows]
        table = used.filter(pl.Series(rows))
        return score_photos(table, truth[rows], probabilities[rows], classes, decide, taken, beforehand, around)

    unseen = scores(fresh) if fresh.any() and not fresh.all() else None
    described = describe_photos(photos, data, classes)

    def score_weighed(adapted: NDArray[np.float64]) -> Scores:
        taken = None if accepted is None else accept(card, adapted)
        table = used.filter(pl.Series(fresh))
        return score_photos(
            table, truth[fresh], adapted, classes, decide, taken, around=Around(photos_a_day=around.photos_a_day)
        )

    new = used.filter(pl.Series(fresh))["unit"].to_list()
    return Metrics(
        evaluation="evaluate",
        test=scores(everything),
        seen=dataclasses.replace(judged.seen, unseen=unseen),
        shares=None if wish is None else weigh(card, wish, probabilities[fresh], new, score_weighed),
        calibration=calibration,
        separation=describe_units(separation),
        covers=describe_coverage(
            cover(used.filter(pl.Series(fresh)) if fresh.any() else used, classes, separation),
            recalled(card.training),
            separation,
            described.counts,
        ),
        data=described.data,
        counts=described.counts,
        listed=described.listed,
        splits=described.splits,
        decide=decide,
        threshold=card.threshold if decide is None else None,
        model=Model.from_json({**card.training, "image_size": card.preprocessing.width}),
        versions=card.versions,
        notes=tuple(map(stored, photos.notes)),
        seconds={},
    )


def _write_report(
    output: Path,
    predictor: Predictor,
    judged: _Judged,
    metrics: Metrics,
    data: Path,
    command: Sequence[str] | None,
) -> None:
    photos, fresh = judged.photos, judged.fresh
    table = photos.used().filter(pl.Series(fresh))
    truth = encode(table["label"], predictor.classes)
    gallery = collect_gallery(table, photos.paths(table), truth, judged.probabilities[fresh], predictor.classes)
    config = {"data": str(data), "command": shlex.join(command or ())}
    write_report(output, metrics=metrics, config=config, gallery=gallery)
