"""The headline says what it speaks of, on the page as on the terminal, and the reasons below it say no other thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from report_examples import BEDS, SHOP, beds, body_of, metrics_of, quantity, shop, text_of

from certero.cli.terminal.summary import summarise
from certero.interchange import Json
from certero.language import use_language
from certero.records.metrics import Metrics, headline
from certero.records.scores import Scores
from certero.report import answer, page
from certero.report.trust import Reason, reasons, verdict

COVERED: Json = {"photos": 429, "timed": 429, "days": 1, "classes": {}, "months": {}, "hours": {}, "lighting": {}}
HOURS = {"rule": "time", "block_minutes": 60.0, "gap_minutes": 10.0, "units": 12, "speaks_of": "hours"}
DAYS = HOURS | {"block_minutes": 1440.0, "speaks_of": "days"}


def half(accuracy: float) -> Json:
    return {"n_train": 200, "n": 200, "accuracy": quantity(accuracy, None, 200), "per_class": {}}


def one_day(**more: Any) -> Json:
    """Photos of one day, trained on one half and asked about the other, too."""
    halves = {"cut": "2024-01-12T11:00:00", "between": "hours", "model": "probe"}
    return beds() | {
        "openings": 0,
        "separation": HOURS,
        "covers": {"judged": COVERED, "training": COVERED, "unknown": []},
        "other_half": halves | {"later": half(0.91), "earlier": half(0.917)},
        **more,
    }


def shown(metrics: Json) -> tuple[str, str]:
    """The page's text, and the terminal's."""
    records = Metrics.from_json(metrics)
    return text_of(page.render(records, {})), "\n".join(summarise(records))


def reasons_of(metrics: Json) -> dict[str, Reason]:
    records = Metrics.from_json(metrics)
    return {reason.title: reason for reason in reasons(records, headline(records))}


def verdict_of(metrics: Json) -> str:
    records = Metrics.from_json(metrics)
    return verdict(reasons(records, headline(records)), records, headline(records))


def test_photos_of_one_day_claim_nothing_of_others() -> None:
    text, terminal = shown(one_day())
    assert "On other hours of this day, about 88 of every 100 photos are named rightly in the long run" in text
    assert (
        "On other days: not measured. Trained on one half of the day and asked about the other: 91.0 % and 91.7 %. "
        "Bring photos of at least 3 days."
    ) in text
    assert terminal.splitlines()[4:6] == [
        "Accuracy on other hours of this day: 87.9% (83.3 to 92.5), on 429 photos, each judged by a model that had not "
        "seen it.",
        "On other days: not measured. Trained on one half of the day and asked about the other: 91.0% and 91.7%. Bring "
        "photos of at least 3 days.",
    ]
    assert reasons_of(one_day())["All photos come from one day"].mark == "bad"
    assert "Bring photos of other days. Days differ in weather" in text
    assert verdict_of(one_day()) == "For other days, no: this is the figure on other hours of this day only."


def test_two_days_are_asked_about_one_another() -> None:
    covered = COVERED | {"days": 2}
    halves = one_day()["other_half"] | {"between": "days"}
    metrics = one_day(other_half=halves, covers={"judged": covered, "training": covered, "unknown": []})
    text, _terminal = shown(metrics)
    assert "On other hours of these days, about" in text
    assert "Trained on one day and asked about the other: 91.0 % and 91.7 %." in text
    assert reasons_of(metrics)["All photos come from 2 days"].mark == "bad"


def test_days_that_were_not_kept_apart_are_no_other_days() -> None:
    covered = COVERED | {"days": 9}
    metrics = one_day(other_half=None, covers={"judged": covered, "training": covered, "unknown": []})
    text, _terminal = shown(metrics)
    assert "On other days: not measured. Weakest of 3 classes" in text
    assert "Bring photos" not in text  # neither beside the figure nor as advice
    assert reasons_of(metrics)["It speaks of other hours of the same days"].mark == "careful"


@pytest.mark.parametrize(
    ("speaks_of", "scope", "single"),
    [
        ("days", "On other days", "new day"),
        ("places", "In other places", "new place"),
        ("groups", "In other groups", "new group"),
    ],
)
def test_a_figure_of_other_days_places_or_groups_says_so_and_how_far_a_single_one_may_lie(
    speaks_of: str, scope: str, single: str
) -> None:
    body = beds()["test"] | {"new_unit": quantity(0.88, 0.08, 12, "new_group")}
    metrics = beds() | {"test": body, "separation": DAYS | {"speaks_of": speaks_of, "group_by": "bed"}}
    text, terminal = shown(metrics)
    assert f"{scope}, about 88 of every 100 photos" in text
    assert f"A single {single} may give anything from 80.0 % to 96.0 %." in text
    assert f"Accuracy {scope[0].lower()}{scope[1:]}: 87.9%" in terminal
    assert f"A single {single} may give anything from 80.0% to 96.0%." in terminal
    assert "not measured" not in text + terminal


@pytest.mark.parametrize("evaluation", ["split", "cv"])
def test_without_times_and_groups_nobody_can_tell(evaluation: str) -> None:
    metrics = shop() | {"evaluation": evaluation}
    text, terminal = shown(metrics)
    for said in (text, terminal):
        assert "If photos of the same scene were learnt from and asked about, the figure is too good." in said
    assert "if no two show the same scene" in text
    assert "random split would" not in text + terminal
    assert "no sign that it would flatter" not in text
    assert "separate times or groups" not in text
    assert reasons_of(metrics)["Nothing tells which photos belong together"].mark == "bad"
    assert verdict_of(metrics) == "Nobody can tell: nothing says which photos belong together."


def test_a_split_that_came_with_the_data_is_its_makers_word() -> None:
    _text, terminal = shown(shop())
    assert "A random split would have claimed 81.9%" in terminal
    assert reasons_of(shop())["The split is the one that came with the data"].mark == "careful"
    assert verdict_of(shop()).startswith("With care")


def test_a_class_that_is_known_only_roughly_forbids_a_yes() -> None:
    metrics = one_day(separation=DAYS, other_half=None)
    body = metrics["test"]
    body["per_class"]["standing"]["recall"] = {"value": 0.8, "low": 0.463, "high": 0.949, "method": "wilson", "n": 15}
    for label in ("empty", "lying"):
        body["per_class"][label]["recall"] = quantity(0.97, 0.03)
    body["ece"] = quantity(0.01, 0.005)
    reason = reasons_of(metrics)["One class is known only roughly"]
    assert reason.mark == "careful"
    assert "standing 80\u00a0% (46 to 95)" in reason.text
    assert verdict_of(metrics).startswith("With care")
    body["per_class"]["standing"]["recall"] = quantity(0.95, 0.03)
    assert "One class is known only roughly" not in reasons_of(metrics)
    assert verdict_of(metrics) == "Yes, on other days: nothing below speaks against it."


def test_of_many_classes_the_widest_are_named_and_the_others_counted() -> None:
    metrics = shop()
    for index, scores in enumerate(metrics["test"]["per_class"].values()):
        scores["recall"] = quantity(0.7, 0.2 if index < 9 else 0.05)
    reason = reasons_of(metrics)["9 of 36 classes are known only roughly"]
    assert reason.text.count("(50 to 90)") == 5
    assert "The others are in the table" in reason.text


def test_all_right_is_no_promise() -> None:
    body = body_of(np.diag([40, 30, 30]), BEDS, "wilson", 0.04)
    text, _terminal = shown(metrics_of(body, BEDS, separation=DAYS, evaluation="split"))
    assert (
        "On other days: all of these photos were named rightly. In the long run it may be 96 to 100 of every 100."
    ) in text
    none = body_of(np.array([[0, 40, 0], [30, 0, 0], [30, 0, 0]]), BEDS, "wilson", 0.04)
    text, _terminal = shown(metrics_of(none, BEDS, separation=DAYS, evaluation="split"))
    assert "On other days: none of these photos was named rightly." in text


def test_photos_of_one_class_are_named() -> None:
    body = body_of(np.array([[0, 0, 0], [2, 97, 1], [0, 0, 0]]), BEDS, "wilson", 0.02)
    seen = {"exact": 0, "near": 0, "reason": None, "unseen": None}
    metrics = metrics_of(body, BEDS, separation=HOURS, evaluation="evaluate", seen=seen)
    text, terminal = shown(metrics)
    assert "about 97 of every 100 photos of lying are named rightly" in text
    assert "Weakest" not in text + terminal
    assert "on 100 photos that the model had not seen." in terminal


def test_too_few_days_are_counted_in_days() -> None:
    metrics = one_day(separation=DAYS, other_half=None)
    metrics["test"] |= {"accuracy": quantity(0.9, None, 429, "too_few_groups"), "groups": 2}
    text, _terminal = shown(metrics)
    assert "How far that may be off cannot be said: it takes test photos from at least 3 days." in text
    assert "The test photos come from 2 days. It takes at least 3 to see how they differ." in text


def test_cross_validated_figures_are_of_models_that_had_not_seen_the_photo() -> None:
    text, terminal = shown(one_day())
    for said in (text, terminal):
        assert "on 429 photos, each judged by a model that had not seen it" in said
        assert "the model never saw" not in said
    assert "The model file is another one, which learnt all of them." in shown(one_day(cv={"folds": 5}))[0]
    assert "There are too few photos" not in text
    assert "Every figure is that of model files made like the one of this run" in text


def test_older_files_speak_by_their_rule() -> None:
    for rule, words in (("time", "hours"), ("group", "groups"), ("copies", "unknown"), (None, "unknown")):
        metrics = Metrics.from_json(beds() | {"separation": {"rule": rule}})
        assert answer.speaks_of(metrics) == words


def picked(**more: Any) -> Json:
    weak = {"class": "standing", "n": 15, "found": 0.8, "recall": quantity(0.83, 0.1, 15, "picked")}
    return weak | {"of": 3, "by_chance": 0.88, "p": 0.4, "worse": False, "next": []} | more


def test_the_weakest_class_is_one_that_was_picked() -> None:
    metrics = one_day()
    metrics["test"]["weakest_class"] = picked()
    text, terminal = shown(metrics)
    assert "Weakest of 3 classes: standing. Of its 15 photos 80 % were found; expect 83 % (73 to 93)." in text
    assert "  standing: 80.0% of 15, expect 83.0% (73.0 to 93.0)" in terminal.splitlines()
    chance = "of 3 classes that are all alike, the lowest shows about 88 % by chance."
    assert f"No class is surely weaker than the others: {chance}" in text
    metrics["test"]["weakest_class"] = picked(worse=True)
    assert f"standing is weaker than the others: {chance}" in shown(metrics)[0]


def test_the_weakest_class_needs_two() -> None:
    found = answer.weak_classes(Scores.from_json(body_of(np.diag([9, 9, 9]), BEDS, "wilson", 0.1)))
    assert [weak.name for weak in found] == BEDS
    only = body_of(np.array([[9]]), SHOP[:1], "wilson", 0.1)
    assert answer.weak_classes(Scores.from_json(only)) == []


def test_the_headline_is_said_in_spanish() -> None:
    use_language("es")
    text, terminal = shown(one_day())
    assert "En otras horas de este día, a la larga se clasifican bien unas 88 de cada 100 fotos" in text
    assert "En otros días: no se ha medido." in text
    assert "Exactitud en otras horas de este día: 87.9%" in terminal


def test_of_few_days_no_count_of_photos_is_promised() -> None:
    metrics = one_day(separation=DAYS, other_half=None, requirements=[])
    metrics["test"] |= {"groups": 4, "accuracy": quantity(0.9, 0.08, 429)}
    for scores in metrics["test"]["per_class"].values():
        scores["recall"] = quantity(0.8, 0.15, scores["n"])
    text, _terminal = shown(metrics)
    advice = text[text.index("What to do next") : text.index("How it was measured")]
    assert "more photos of the same days would hardly narrow that: there are only 4" in advice.replace("More", "more")
    assert "Measure on photos of more days." in advice
    assert "Add photos of standing." in advice  # of which there are 15
    assert "Add photos of empty." not in advice
    assert "To halve that takes" not in advice
    metrics["test"]["groups"] = 12
    assert "To halve that takes about" in shown(metrics)[0]


def test_few_days_cannot_tell_a_model_from_guessing_and_say_so() -> None:
    metrics = one_day(requirements=[])
    metrics["test"] |= {"groups": 4, "gain_over_majority": quantity(0.28, 0.4, 429)}
    reason = reasons_of(metrics)["It was better than guessing here"]
    assert reason.mark == "careful"
    assert "28.0 points more often" in reason.text
    assert "4 blocks of time are too few to tell" in reason.text
    assert "Do not use the model yet" not in shown(metrics)[0]
    assert verdict_of(metrics).startswith("For other days, no")
    metrics["test"]["groups"] = 40
    assert reasons_of(metrics)["It may be no better than guessing"].mark == "bad"
    assert "Do not use the model yet" in shown(metrics)[0]
