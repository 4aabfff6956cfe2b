"""What models are worth under a business case: their results carried into money. Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from certero.business.case import Case, check_classes, read_case, spell_classes
from certero.business.outcomes import Outcomes, check_shares, outcomes_of_figures, outcomes_of_photos
from certero.business.sensitivity import analyse
from certero.business.threshold import ALWAYS_ASK, best_threshold, best_thresholds_per_class, curve, decide_apart
from certero.business.worth import Decisions, accept, cash, compare, measure
from certero.config.parsing import Times, parse_duration, parse_times
from certero.data.labels import encode
from certero.errors import ConfigError, DataError
from certero.interchange import Json
from certero.language import use_language
from certero.machine.files import write_whole
from certero.records.dependence import ONLY_IF, mark
from certero.records.protocols import Progress, no_progress
from certero.report.value import add_to_report
from certero.runs.model import find_model, load
from certero.runs.openings import check_log, open_test_set
from certero.runs.stored import Candidate, find_common, note_common, read_answers, read_run, tabled_outcomes
from certero.runtime.card import Card
from certero.runtime.model_file import read_model, with_card
from certero.sentences import Sentence, sentence
from certero.stages.judge import answer_photos, keep_known, list_judged
from certero.stages.look import look_at_photos, separate_judged
from certero.stages.recognise import recognise_each
from certero.stages.tools import open_tools
from certero.stats import resampling
from certero.stats.intervals import FEWEST_TO_SEE_RARE, LEVEL
from certero.stats.studentised import LEAST_ERROR

if TYPE_CHECKING:
    from numpy.typing import NDArray

Threshold = float | dict[str, float] | None


def value(
    *models: str | Path,
    case: str | Path | Mapping[str, Any],
    data: str | Path | None = None,
    split: str | None = None,
    group_by: str | None = None,
    block: str | timedelta | None = None,
    times: str | None = None,
    threshold: float | str = "best",
    per_class: bool = False,
    save_threshold: bool = False,
    report: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
    lang: str | None = None,
) -> Json:
    """Savings, payback, best threshold and sensitivity of a model under a business case, with intervals.

    Args:
        *models: runs, or model files in them; none where the case carries its own figures. Of several the first is
            the one that the others are compared with.
        case: TOML file, name of an example, or the fields as a mapping.
        data: labelled photos to judge on in place of the run's test photos.
        split: of these photos, `train`, `val` or `test`.
        group_by: which of these photos are not independent; see `TrainSettings`.
        block: length of a time block of these photos.
        times: where their capture times are taken from; see `TrainSettings`.
        threshold: `best` on photos held out from training, `model` for the model's own, `none`, or a number.
        per_class: choose one threshold for each predicted class.
        save_threshold: write the threshold into the model file, so that `predict` abstains by it.
        report: HTML file: a report of certero gets the section, any other place a page of its own.
        workers: threads; every core by default.
        progress: called with (stage, done, total).
        lang: language of the report, `en` or `es`; default: the locale's.

    Returns:
        The keys of `certero value --json`.

    Raises:
        UserError: a kind of it for each mistake that the user can mend.
    """
    use_language(lang)
    resolved = read_case(case)
    _check_options(models, resolved, data, (split, group_by, block, times), threshold, per_class, save_threshold)
    if not models:
        judged = outcomes_of_figures(_figures_of(resolved))
        answers = accept(judged, None, check_shares(judged, resolved.class_shares))
        found = _worth(resolved, None, answers, None) | {"models": [], "notes": _figure_notes(resolved)}
    else:
        paths = [Path(model) for model in models]
        if data is None:
            candidates = [read_run(path) for path in paths]
        else:
            length = parse_duration(block, "--block") if isinstance(block, str) else block
            source_of_times = parse_times(times or "auto")
            candidates = _judge_on(paths, Path(data), split, group_by, length, source_of_times, workers, progress)
        resolved, answers, found = _value_models(resolved, candidates, threshold, per_class, save_threshold)
        if not all(candidate.known_apart for candidate in candidates):
            found = mark(found)
            found["notes"].append(sentence("ranges and verdicts hold %(condition)s", condition=ONLY_IF))
    answer = {"schema": 1, "case": resolved.to_json(), **found}
    if report is not None:
        add_to_report(Path(report), answer, page_data(resolved, answers.outcomes, answer, answers.accepted))
    return answer


def _value_models(
    case: Case, candidates: list[Candidate], threshold: float | str, per_class: bool, save_threshold: bool
) -> tuple[Case, Decisions, Json]:
    """The case in the models' spelling, the first model's answers, and its figures with the others beside them."""
    candidates, notes = _on_the_same_photos(candidates)
    if case.figures is not None:
        notes.append(sentence("the figures of the case are not used: the model's own take their place"))
    rows, ruled = [], []
    for candidate in candidates:
        case = spell_classes(case, candidate.judged.classes)
        check_classes(case, candidate.judged.classes)
        chosen = _choose(case, candidate, threshold, per_class, save_threshold, notes)
        answers = _decide(case, candidate, chosen)
        rows.append(_worth(case, candidate, answers, chosen))
        ruled.append(answers)
    tails = resampling.tails()
    others = [
        row | {"compared": compare(case, ruled[0], answers, tails)}
        for row, answers in zip(rows[1:], ruled[1:], strict=True)
    ]
    found = rows[0] | {"models": others, "notes": notes}
    if save_threshold:
        _save(candidates[0], rows[0]["threshold"])
        found["threshold"]["saved"] = True
    return case, ruled[0], found


def _check_options(
    models: Sequence[str | Path],
    case: Case,
    data: str | Path | None,
    about_data: tuple[object, ...],
    threshold: float | str,
    per_class: bool,
    save_threshold: bool,
) -> None:
    if isinstance(threshold, str) and threshold not in ("best", "model", "none"):
        raise ConfigError(
            "--threshold must be best, model, none or a number from 0 to 1; found %(threshold)r.", threshold=threshold
        )
    if not isinstance(threshold, str) and not 0 <= threshold <= 1:
        raise ConfigError("--threshold must lie between 0 and 1; found %(threshold)g.", threshold=threshold)
    if per_class and threshold != "best":
        raise ConfigError(
            "--per-class chooses thresholds; found --threshold %(threshold)s beside it. Leave one out.",
            threshold=threshold,
        )
    if data is None and any(option is not None for option in about_data):
        raise ConfigError(
            "--split, --group-by, --block and --times tell about the photos of --data; found no --data. Add it."
        )
    if not models:
        _figures_of(case)
        if data is not None or save_threshold:
            raise ConfigError("--data and --save-threshold need a MODEL; found none. Name it before the options.")
    if save_threshold and (len(models) > 1 or threshold in ("model", "none")):
        raise ConfigError("--save-threshold needs one MODEL and a threshold to save; leave the rest out.")


def _figures_of(case: Case) -> Any:
    if case.figures is None:
        raise ConfigError("a case without [figures] needs a MODEL; found none. Try: certero value MODEL --case FILE")
    return case.figures


def _figure_notes(case: Case) -> list[Sentence]:
    notes: list[Sentence] = []
    if case.figures is not None and case.figures.note is not None:
        notes.append(
            sentence("precision alone counts every photo as answered, which is wrong where some photos got no label")
        )
    if case.figures is not None and case.figures.n is None:
        notes.append(sentence("the case does not say on how many photos its figures rest, so nothing has an interval"))
    return notes


def _decide(case: Case, candidate: Candidate, chosen: Json) -> Decisions:
    """What is accepted: by the rule, or, on photos that it was chosen on, by rules chosen without the photo's unit."""
    judged = candidate.judged
    shares = check_shares(judged, case.class_shares)
    if chosen["source"] == "held_out" and candidate.evaluation == "cv" and candidate.held_out is not None:
        return decide_apart(case, candidate.held_out, judged, shares, per_class=isinstance(chosen["rule"], dict))
    return accept(judged, chosen["rule"], shares)


def _worth(case: Case, candidate: Candidate | None, answers: Decisions, chosen: Json | None) -> Json:
    """One model's keys."""
    judged, shares = answers.outcomes, answers.shares
    tails = resampling.tails()
    figures = measure(case, answers, tails)
    weights = resampling.row_weights(judged, shares)
    by_class = np.bincount(judged.truth, weights=weights, minlength=len(judged.classes))
    named = candidate is not None or (case.figures is not None and case.figures.counts is not None)
    return {
        "model": None if candidate is None else candidate.name,
        "evaluation": "figures" if candidate is None else candidate.evaluation,
        "n": None if judged.photos is None else round(judged.photos),
        "groups": None if judged.units is None else judged.n_units,
        "class_shares": dict(zip(judged.classes, by_class.tolist(), strict=True)) if named else None,
        "class_shares_from": "case" if shares is not None else "photos",
        **figures,
        "threshold": None if chosen is None else {key: cell for key, cell in chosen.items() if key != "rule"},
        "accept_all": None if candidate is None else measure(case, accept(judged, None, shares), tails),
        "curve": [] if candidate is None else curve(case, judged, shares, tails),
        "sensitivity": analyse(case, answers, figures),
        "cash": cash(case, figures),
    }


def _choose(
    case: Case, candidate: Candidate, asked: float | str, per_class: bool, needed: bool, notes: list[Sentence]
) -> Json:
    """The rule, where it comes from and what it gained on the photos it was chosen on."""
    source: str
    rule: Threshold = None
    chosen_on, gain = None, None
    if asked == "best" and candidate.held_out is not None:
        held = candidate.held_out
        shares = check_shares(held, case.class_shares)
        rule, gain = (best_thresholds_per_class if per_class else best_threshold)(case, held, shares)
        source, chosen_on = "held_out", len(held.truth)
        if candidate.evaluation == "cv":
            notes.append(
                sentence(
                    "in the figures each photo is judged by a threshold that was chosen without the photos of its "
                    "time or group; the threshold shown was chosen on all of them"
                )
            )
    elif asked == "best" and (needed or per_class):
        raise DataError(
            "a threshold is chosen on held_out.csv of the run, which %(parent)s lacks. Train "
            "again, or give one with --threshold 0.8.",
            parent=candidate.model.parent,
        )
    elif asked == "best" or asked == "model":
        rule, source = candidate.card.threshold, "none" if candidate.card.threshold is None else "model"
        if rule is not None and candidate.evaluation == "cv":
            notes.append(
                sentence(
                    "the model's threshold was set after its training, perhaps on these very photos; then the figures "
                    "are too good"
                )
            )
        if asked == "best":
            notes.append(
                sentence("no threshold was chosen: the folder of the model has no held_out.csv to choose it on")
            )
    elif asked == "none":
        source = "none"
    else:
        rule, source = float(asked), "given"
    return {
        "rule": rule,
        "value": rule if isinstance(rule, float) else None,
        "per_class": rule if isinstance(rule, dict) else None,
        "source": source,
        "n": chosen_on,
        "gain_per_item_money_there": gain,
        "saved": False,
    }


def _save(candidate: Candidate, threshold: Json) -> None:
    rule = threshold["per_class"] if threshold["per_class"] is not None else threshold["value"]
    if rule == ALWAYS_ASK or (isinstance(rule, dict) and min(rule.values()) >= ALWAYS_ASK):
        raise ConfigError(
            "--save-threshold needs a threshold at which the model earns; by this case asking a "
            "person always is best. Nothing was saved: look at the costs of the case, or improve "
            "the model."
        )
    data, card = read_model(candidate.model)
    card = dataclasses.replace(card, threshold=rule or None, schema=1)
    write_whole(candidate.model, with_card(data, card))


def _judge_on(
    models: Sequence[Path],
    data: Path,
    split: str | None,
    group_by: str | None,
    block: timedelta | None,
    times: Times,
    workers: int | None,
    progress: Progress,
) -> list[Candidate]:
    """The models' answers on other labelled photos, without those that any of them was trained on."""
    predictors = [load(model, workers=workers) for model in models]
    classes = predictors[0].classes
    check_log()
    with open_tools(workers, progress) as tools:
        photos = look_at_photos(list_judged(data, classes, None, None), tools, times)
        photos = keep_known(photos, classes, split)
        photos, separation = separate_judged(photos, group_by, block)
        used = photos.used()
        open_test_set(used["pixel_hash"].to_list(), purpose="value", data=str(data), run=str(models[0]))
        files = photos.paths(used)
        answers = [answer_photos(predictor, photos, tools) for predictor in predictors]
        known = [
            (predictor.card.fingerprints, embeddings)
            for predictor, (_probabilities, embeddings) in zip(predictors, answers, strict=True)
        ]
        _seen, fresh = recognise_each(used, files, known, tools.map)
        table = used.filter(pl.Series(fresh))
        found = []
        for path, predictor, (given, _embeddings) in zip(models, predictors, answers, strict=True):
            probabilities = given[fresh].astype(np.float64)
            if not set(table["label"]) <= set(predictor.classes):
                raise _other_classes(predictors[0].classes, predictor.classes)
            truth = encode(table["label"], predictor.classes)
            judged = outcomes_of_photos(
                predictor.classes, truth, probabilities, table["unit"].to_list(), table["path"].to_list()
            )
            model = find_model(path)
            found.append(
                Candidate(
                    str(path),
                    model,
                    predictor.card,
                    judged,
                    table,
                    _held_out(model, predictor.card),
                    "data",
                    separation.speaks_of != "unknown",
                )
            )
    return found


def _held_out(model: Path, card: Card) -> Outcomes | None:
    file = model.parent / "held_out.csv"
    if not file.is_file():
        return None
    rows = read_answers(file, card.classes)
    return None if rows.is_empty() else tabled_outcomes(rows, card.classes, {})


def _other_classes(ours: Sequence[str], theirs: Sequence[str]) -> ConfigError:
    differ = ", ".join(sorted(set(ours) ^ set(theirs)))
    return ConfigError(
        "models are compared on the same classes; these differ in %(differ)s. Compare others.", differ=differ
    )


def _on_the_same_photos(candidates: list[Candidate]) -> tuple[list[Candidate], list[Sentence]]:
    """Every model on the photos that all were judged on, in one order.

    Raises:
        DataError: if no photo is common.
        ConfigError: if their classes differ.
    """
    first = candidates[0]
    if len(candidates) == 1:
        return candidates, []
    for other in candidates[1:]:
        if set(other.judged.classes) != set(first.judged.classes):
            raise _other_classes(first.judged.classes, other.judged.classes)
    found = find_common([candidate.photos for candidate in candidates])
    if not len(found.rows[0]):
        raise DataError("models are compared on the same test photos; these have none in common. Use --data.")
    n = len(found.rows[0])
    notes: list[Sentence] = [note_common(n, found.most)] if n < found.most else []
    kept = [candidate.judged.take(rows) for candidate, rows in zip(candidates, found.rows, strict=True)]
    # Paired: the same units are drawn for all.
    units = kept[found.grouped_by].units
    return [
        dataclasses.replace(candidate, judged=dataclasses.replace(judged, units=units), photos=candidate.photos[rows])
        for candidate, judged, rows in zip(candidates, kept, found.rows, strict=True)
    ], notes


def page_data(case: Case, judged: Outcomes, answer: Json, accepted: NDArray[np.bool_] | None = None) -> Json:
    """What the page's sliders compute from: the answers themselves and the constants of the resampling.

    `accepted` are the answers that the case's own threshold accepts, which may be another one for each photo.
    """
    threshold = answer["threshold"] or {}
    photos: Json = {
        "truth": judged.truth.tolist(),
        "predicted": judged.predicted.tolist(),
        "confidence": None if judged.counted else judged.confidence.tolist(),
        "weights": judged.weights.tolist() if judged.counted else None,
        "units": None if judged.units is None else judged.units.tolist(),
        "accepted": None if judged.counted or accepted is None else accepted.astype(int).tolist(),
    }
    reason = resampling.why_no_interval(judged)
    return {
        "classes": list(judged.classes),
        "case": case.to_json(),
        "photos": photos,
        "n": judged.photos,
        "n_units": judged.n_units,
        "resamples": 0 if reason else resampling.RESAMPLES,
        "tails": resampling.tails(),
        "tail": (1 - LEVEL) / 2,
        "quantiles": resampling.student_quantiles(),
        "least_error": LEAST_ERROR,
        "fewest_to_see_rare": FEWEST_TO_SEE_RARE,
        "threshold": threshold.get("value"),
        "per_class": threshold.get("per_class"),
        "class_shares": answer["class_shares"],
    }
