"""Models judged on the same photos, pair by pair: is one better, by how much, at what cost. Imports no torch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.config.parsing import FigureFor, Times, parse_duration, parse_figure_for, parse_times
from certero.data.labels import encode
from certero.data.layout import LabelLevel
from certero.data.table import SCHEMA
from certero.errors import ConfigError, DataError
from certero.interchange import Json
from certero.language import use_language
from certero.machine.files import read_file
from certero.records.dependence import ONLY_IF, is_unknown, marked
from certero.records.photos import SPLITS
from certero.records.protocols import Progress, no_progress
from certero.report.comparison import write_comparison
from certero.runs.model import find_model
from certero.runs.openings import check_log, open_test_set
from certero.runs.stored import find_common, note_common, read_metrics, read_run
from certero.runtime.inference import Photo, require_all
from certero.sentences import Sentence, sentence, sentences
from certero.stages.contenders import Contender, open_contenders
from certero.stages.describe import describe_photos, describe_units
from certero.stages.judge import keep_known, list_judged
from certero.stages.look import look_at_photos, separate_judged
from certero.stages.recognise import recognise_each
from certero.stages.time_models import time_contenders
from certero.stages.tools import Tools, open_tools
from certero.stages.verdict import best, caution, say
from certero.stats.intervals import group_codes
from certero.stats.paired import Answers, compare_answers
from certero.stats.slices import hour, lighting, slice_rows
from certero.version import version

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The photos that models are timed on.
_TIMED = 48
# Waiting for the processor this many times longer than computing spoils the figures of speed.
_BUSY = 1.5


@dataclass(frozen=True, slots=True)
class Judged:
    """The photos that all models answered.

    Args:
        table: one row a photo, the columns of `data.parquet`; `unit` tells which are not independent.
        named: for each model the class it named, str [n].
        files: where the photos are; empty where only stored answers are compared.
        seen: for each model bool [photos before those that any model has seen were left out], near copies included;
            None where unknown.
        known_apart: whether the units tell which photos depend on each other.
    """

    table: pl.DataFrame
    named: list[list[str]]
    files: list[Path]
    seen: list[NDArray[np.bool_] | None]
    known_apart: bool


def compare(
    *models: str | Path,
    data: str | Path | None = None,
    card: Sequence[str | Path] = (),
    split: str | None = None,
    label: str | None = None,
    label_level: LabelLevel | None = None,
    group_by: str | None = None,
    block: str | timedelta | None = None,
    figure_for: str | None = None,
    times: str | None = None,
    speed: bool = True,
    report: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
    command: Sequence[str] | None = None,
    lang: str | None = None,
) -> Json:
    """Compares two or more models on the same photos, paired by photo.

    Args:
        *models: runs, model files, or foreign ONNX classifiers with a card.
        data: labelled photos that all models judge; without it, runs are compared by their stored answers on the test
            photos that they share.
        card: TOML cards of the foreign models that have none beside them, in their order.
        split: judge these photos of the data alone: `train`, `val` or `test`.
        label: the class of every photo of the data, whatever the folders are called.
        label_level: which folder of the data names the class.
        group_by: which photos of the data are not independent; see `TrainSettings`.
        times: where capture times of the data are taken from; see `TrainSettings`.
        block: length of a time block of the data.
        figure_for: what the figures must speak of: `hours`, `days` or `places`; see `TrainSettings`.
        speed: measure latency and throughput on this machine.
        report: HTML file to write.
        workers: threads; every core by default.
        progress: called with (stage, done, total).
        command: the command line, for the report.
        lang: language of the report and of progress, `en` or `es`; default: the locale's.

    Returns:
        The keys of `certero compare --json`.

    Raises:
        UserError: a kind of it for each mistake that the user can mend.
    """
    use_language(lang)
    if split is not None and split not in SPLITS:
        raise ConfigError("--split must be one of %(splits)s; found %(split)r.", splits=", ".join(SPLITS), split=split)
    if data is None and (split, label, label_level, group_by, block, times, figure_for) != (None,) * 7:
        raise ConfigError(
            "--split, --label, --label-level, --group-by, --block, --for and --times speak of --data; name the photos."
        )
    length = parse_duration(block, "--block") if isinstance(block, str) else block
    with open_tools(workers, progress) as tools:
        contenders = open_contenders(models, card, tools.map)
        classes = _common_classes(contenders)
        answer = _empty(contenders, classes)
        if data is None:
            judged = _join_runs(contenders, classes, answer)
        else:
            judged = _judge_data(
                contenders,
                classes,
                Path(data),
                (
                    split,
                    label,
                    label_level,
                    group_by,
                    length,
                    parse_figure_for(figure_for),
                    parse_times(times or "auto"),
                ),
                tools,
                answer,
            )
        with tools.timed("score"):
            if judged is not None:
                _fill(contenders, classes, judged, answer)
        if speed:
            with tools.timed("measure"):
                _time(contenders, judged, tools, answer)
        answer["seconds"] = {**tools.seconds, "total": round(sum(tools.seconds.values()), 3)}
    if report is not None:
        write_comparison(Path(report), answer, shlex.join(command or ()))
    return answer


def _common_classes(contenders: Sequence[Contender]) -> list[str]:
    """The classes that every model knows, by code point: models are mapped to each other by name.

    Raises:
        ConfigError: if there is none.
    """
    common = set.intersection(*(set(contender.classes) for contender in contenders))
    if not common:
        first, other = contenders[0], next(c for c in contenders[1:] if set(c.classes) != set(contenders[0].classes))
        raise ConfigError(
            "models are compared on classes that all of them know; %(name)s knows %(classes)s, "
            "%(other)s %(other_classes)s: none in common. Compare others, or write the names of your "
            "classes into the card.",
            name=first.name,
            classes=", ".join(first.classes[:5]),
            other=other.name,
            other_classes=", ".join(other.classes[:5]),
        )
    return sorted(common)


def _empty(contenders: Sequence[Contender], classes: Sequence[str]) -> Json:
    """The answer before any photo was judged."""
    notes: list[Sentence] = []
    others = sorted({name for contender in contenders for name in contender.classes} - set(classes))
    if others:
        notes.append(
            sentence(
                "the models' classes differ: only photos of %(classes)s are judged, and %(others)s as an answer "
                "is wrong",
                classes=", ".join(classes),
                others=", ".join(others),
            )
        )
    notes += [
        sentence(
            "the threshold of %(letter)s is not applied here: each photo gets its likeliest class; "
            "certero value compares with thresholds",
            letter=contender.letter,
        )
        for contender in contenders
        if contender.threshold is not None
    ]
    return {
        "schema": 1,
        "evaluation": "none",
        "n": 0,
        "groups": None,
        "classes": list(classes),
        "models": [
            {
                "letter": contender.letter,
                "name": contender.name,
                **contender.facts,
                "n": 0,
                "accuracy": None,
                "macro_f1": None,
                "per_class": None,
                "slices": [],
                "seen": None,
                "latency_ms": None,
                "photos_per_second": None,
            }
            for contender in contenders
        ],
        "pairs": [],
        "best": None,
        "speed_on": None,
        "separation": None,
        "data": None,
        "counts": None,
        "listed": None,
        "splits": None,
        "openings": None,
        "versions": {"certero": version()},
        "notes": notes,
        "seconds": {},
    }


def _judge_data(
    contenders: Sequence[Contender],
    classes: Sequence[str],
    data: Path,
    asked: tuple[str | None, str | None, LabelLevel | None, str | None, timedelta | None, FigureFor | None, Times],
    tools: Tools,
    answer: Json,
) -> Judged:
    """Every model on the labelled photos, without those that any of them was trained on."""
    split, label, label_level, group_by, block, figure_for, times = asked
    check_log()
    photos = look_at_photos(list_judged(data, classes, label, label_level), tools, times)
    photos = keep_known(photos, classes, split)
    with tools.timed("separate"):
        photos, separation = separate_judged(photos, group_by, block, figure_for)
    used = photos.used()
    opening = open_test_set(
        used["pixel_hash"].to_list(), purpose="compare", data=str(data), run=" ".join(c.name for c in contenders)
    )
    with tools.timed("evaluate"):
        files = photos.paths(used)
        answers = _answer(contenders, used, files, tools)
        models = [(contender.fingerprints, told) for contender, (_names, told) in zip(contenders, answers, strict=True)]
        seen, fresh = recognise_each(used, files, models, tools.map)
        table = used.filter(pl.Series(fresh))
        named = [names[fresh].tolist() for names, _embeddings in answers]
    answer |= {
        "evaluation": "data",
        "separation": describe_units(separation).to_json(),
        **describe_photos(photos, data, classes).to_json(),
        "openings": opening.earlier,
    }
    left_out = int((~fresh).sum())
    answer["notes"] += [
        *photos.notes,
        *(
            [
                sentences(
                    "%(count)d photo that a model was trained on was left out",
                    "%(count)d photos that a model was trained on were left out",
                    count=left_out,
                )
            ]
            if left_out
            else []
        ),
        *(
            sentence(
                "%(letter)s carries no fingerprints: whether it was trained on these photos cannot be told",
                letter=contender.letter,
            )
            for contender in contenders
            if contender.fingerprints is None
        ),
    ]
    return Judged(table, named, photos.paths(table), seen, separation.speaks_of != "unknown")


def _answer(
    contenders: Sequence[Contender], table: pl.DataFrame, files: list[Path], tools: Tools
) -> list[tuple[NDArray[np.object_], NDArray[np.float32] | None]]:
    """For each model the classes it names, str [n], and its embeddings [n, D]; None where it tells none."""
    found: list[tuple[NDArray[np.object_], NDArray[np.float32] | None]] = []
    total = len(contenders) * len(files)
    for contender in contenders:
        names: list[str] = []
        embeddings: list[NDArray[np.float32]] = []
        for probabilities, *rest in require_all(table["path"], contender.answer(files, tools.map)):
            names.append(contender.classes[int(probabilities.argmax())])
            embeddings += rest
            tools.progress("evaluate", len(found) * len(files) + len(names), total)
        found.append((np.array(names, dtype=object), np.stack(embeddings) if embeddings else None))
    return found


def _join_runs(contenders: Sequence[Contender], classes: Sequence[str], answer: Json) -> Judged | None:
    """The stored answers of runs on the test photos that they share; None where they share none.

    Raises:
        DataError: if a model is no run with stored answers.
    """
    tables: list[pl.DataFrame] = []
    for contender in contenders:
        if contender.run is None:
            raise DataError(
                "without --data every MODEL must be a run with stored answers; %(name)s is none. "
                "Name labelled photos with --data.",
                name=contender.name,
            )
        tables.append(_stored_answers(contender, answer))
    common = find_common(tables)
    judged = tables[0]["label"][common.rows[0]].is_in(list(classes)).to_numpy()
    rows = [each[judged] for each in common.rows]
    if not judged.any():
        answer["notes"].append(
            sentence(
                "the runs share no test photos, so each figure is of other photos and nothing tells which model is "
                "better; name photos for all of them with --data"
            )
        )
        _own_figures(contenders, tables, answer)
        return None
    if len(rows[0]) < common.most:
        answer["notes"].append(note_common(len(rows[0]), common.most))
    answer["evaluation"] = "stored"
    unit = tables[common.grouped_by]["unit"][rows[common.grouped_by]]
    named = [table["named"][each].to_list() for table, each in zip(tables, rows, strict=True)]
    run = find_model(contenders[common.grouped_by].model).parent
    known_apart = not is_unknown(read_metrics(run).separation)
    table = tables[0].drop("named")[rows[0]].with_columns(unit)
    return Judged(table, named, [], [None] * len(contenders), known_apart)


def _stored_answers(contender: Contender, answer: Json) -> pl.DataFrame:
    """The judged photos of a run by path, with the class it `named` each."""
    candidate = read_run(contender.model)
    if candidate.evaluation == "cv":
        answer["notes"].append(
            sentence(
                "%(letter)s was cross-validated: its answers are those of the models of its folds, each on photos it "
                "had not seen",
                letter=contender.letter,
            )
        )
    judged = candidate.judged
    named = pl.Series("named", [judged.classes[index] for index in judged.predicted], dtype=pl.String)
    return candidate.photos.with_columns(named).sort("path")


def _fill(contenders: Sequence[Contender], classes: Sequence[str], judged: Judged, answer: Json) -> None:
    """Figures of every model and every pair."""
    table = judged.table
    names = [*classes, *sorted({name for contender in contenders for name in contender.classes} - set(classes))]
    truth = encode(table["label"], names)
    predicted = [encode(named, names) for named in judged.named]
    units = table["unit"].to_list()
    columns: dict[str, Sequence[str | None]] = {
        "lighting": lighting(table["brightness"].to_numpy()),
        "hour": hour(table["captured_at"].to_numpy()),
        "group": table["group"].to_list(),
        **{name: table[name].cast(pl.String).to_list() for name in table.columns if name not in SCHEMA},
    }
    models, pairs = compare_answers(Answers(truth, predicted, names, len(classes), units, columns))
    if not judged.known_apart:
        models, pairs = [marked(each) for each in models], [marked(each) for each in pairs]
        answer["notes"].append(sentence("ranges and verdicts hold %(condition)s", condition=ONLY_IF))
    codes = group_codes(units, len(truth))
    answer["n"], answer["groups"] = len(truth), None if codes is None else int(codes.max()) + 1
    for row, figures, given, seen in zip(answer["models"], models, predicted, judged.seen, strict=True):
        row |= figures.to_json() | {
            "n": len(truth),
            "slices": [
                (each if judged.known_apart else marked(each)).to_json()
                for each in slice_rows(given == truth, units, columns)
            ],
            "seen": None if seen is None else int(seen.sum()),
        }
    letters = [contender.letter for contender in contenders]
    couples = [(a, b) for place, a in enumerate(letters) for b in letters[place + 1 :]]
    for (first, second), pair in zip(couples, pairs, strict=True):
        says = {"says": say(first, second, pair), "caution": caution(pair)}
        answer["pairs"].append({"first": first, "second": second, **pair.to_json(), **says})
    answer["best"] = best(answer)
    commonest = int(np.bincount(truth).max()) / len(truth)
    answer["notes"] += [
        sentence(
            "%(letter)s is right less often than always naming the commonest class would be: check its card, above all "
            "range, channels and the order of classes",
            letter=row["letter"],
        )
        for row in answer["models"]
        if row["kind"] == "foreign" and row["accuracy"]["value"] < commonest
    ]


def _own_figures(contenders: Sequence[Contender], tables: Sequence[pl.DataFrame], answer: Json) -> None:
    """Each run's own figures, on photos of its own."""
    for row, contender, table in zip(answer["models"], contenders, tables, strict=True):
        stored = table.filter(pl.col("label").is_in(answer["classes"]))
        if stored.is_empty():
            continue
        names = list(dict.fromkeys([*answer["classes"], *contender.classes]))
        truth, given = encode(stored["label"], names), encode(stored["named"], names)
        alone = Answers(truth, [given], names, len(answer["classes"]), stored["unit"].to_list(), {})
        row |= compare_answers(alone)[0][0].to_json() | {"n": len(truth)}


def _time(contenders: Sequence[Contender], judged: Judged | None, tools: Tools, answer: Json) -> None:
    files = [] if judged is None else judged.files
    photos: list[Photo] = [read_file(file) for file in files[:: max(1, len(files) // _TIMED)][:_TIMED]]
    answer["speed_on"] = "photos" if photos else "noise"
    if not photos:
        photos = [np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)]
    timed, busy = time_contenders(contenders, photos, tools.map, tools.progress)
    if busy > _BUSY:
        times = f"{busy:.0f}" if busy >= 10 else f"{busy:.1f}"
        answer["notes"].append(
            sentence(
                "other programs kept this machine busy while speed was measured: a photo took about %(times)s times as "
                "long as its computing; measure again when it is idle",
                times=times,
            )
        )
    for row, (latency, rate) in zip(answer["models"], timed, strict=True):
        row |= {"latency_ms": latency.to_json(), "photos_per_second": rate.to_json()}
