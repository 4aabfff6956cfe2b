"""Why to trust a figure and what to do next follow from the figures by rules; each rule speaks when it should."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from report_examples import BEDS, beds, body_of, metrics_of, quantity, shop

from certero.interchange import Json
from certero.photos.listing import NO_CLASS
from certero.records.metrics import Headline, Metrics
from certero.records.metrics import headline as choose
from certero.records.scores import ReliabilityBin, Scores
from certero.report import advice as advices
from certero.report import trust
from certero.report.advice import MOST_ADVICE, Advice
from certero.report.trust import Reason, _calibrated, _complete
from certero.stats import requirements, scores
from certero.stats.intervals import proportion
from certero.stats.requirements import Requirement, parse_requirement


def judge(requirement: Requirement, body: Json) -> Json:
    return requirements.judge(requirement, Scores.from_json(body)).to_json()


def score(*photos: Any, **settings: Any) -> Json:
    return scores.score(*photos, **settings).to_json()


def headline_of(metrics: Json) -> Headline:
    return choose(Metrics.from_json(metrics))


def advise(metrics: Json) -> list[Advice]:
    return advices.advise(Metrics.from_json(metrics), headline_of(metrics))


def reasons(metrics: Json) -> list[Reason]:
    return trust.reasons(Metrics.from_json(metrics), headline_of(metrics))


def calibration_sentence(rows: list[Json]) -> str | None:
    return trust.calibration_sentence([ReliabilityBin.from_json(row) for row in rows])


def advice_on(metrics: Json) -> dict[str, Advice]:
    """The first advice of each rule."""
    found: dict[str, Advice] = {}
    for item in advise(metrics):
        found.setdefault(item.rule, item)
    return found


def verdict(metrics: Json) -> str:
    return trust.verdict(reasons(metrics), Metrics.from_json(metrics), headline_of(metrics))


def reasons_on(metrics: Json) -> dict[str, Reason]:
    return {reason.title: reason for reason in reasons(metrics)}


def good(**more: Any) -> Json:
    """A run that leaves nothing to be desired: 600 photos that speak of other days, 96 % right."""
    counts = np.array([[192, 4, 4], [4, 192, 4], [4, 4, 192]])
    days = {"rule": "time", "block_minutes": 1440.0, "gap_minutes": 10.0, "speaks_of": "days"}
    return metrics_of(body_of(counts, BEDS, "wilson", 0.02), BEDS, **({"separation": days} | more))


def test_a_good_run_gets_no_advice_but_to_measure_elsewhere_and_full_trust() -> None:
    metrics = good()
    assert set(advice_on(metrics)) == {"nothing"}
    assert verdict(metrics) == "Yes, on other days: nothing below speaks against it."


def test_a_sealed_test_is_to_be_opened_and_is_neither_trusted_nor_doubted() -> None:
    metrics = metrics_of(None, BEDS)
    assert set(advice_on(metrics)) == {"sealed"}
    assert "no figure yet" in verdict(metrics)


def test_photos_seen_in_training_are_not_trusted() -> None:
    seen = {"exact": 600, "near": None, "reason": "x", "unseen": None}
    metrics = good(seen=seen, evaluation="evaluate")
    assert set(advice_on(metrics)) == {"contaminated"}
    assert verdict(metrics) == "Not yet."
    partly = good(seen=seen | {"exact": 20, "unseen": good()["test"]}, evaluation="evaluate")
    assert reasons_on(partly)["Photos that the model knows were taken out"].mark == "careful"


def test_no_better_than_the_most_frequent_class_is_said_first() -> None:
    counts = np.array([[90, 0, 0], [6, 1, 0], [3, 0, 0]])
    metrics = metrics_of(body_of(counts, BEDS, "wilson", 0.05), BEDS)
    assert advise(metrics)[0].rule == "guessing"
    assert reasons_on(metrics)["It may be no better than guessing"].mark == "bad"
    assert "guessing" not in advice_on(good())


def test_a_bar_that_is_missed_or_open_says_by_whom_and_what_it_takes() -> None:
    metrics = beds()
    body = metrics["test"]
    metrics["requirements"] = [judge(parse_requirement("recall[lying]>=0.99"), body)]
    body["per_class"]["lying"]["recall"] = quantity(0.8, 0.1, 124, "wilson_effective_n")
    open_bar = judge(parse_requirement("recall[lying]>=0.85"), body)
    missed = judge(parse_requirement("recall[lying]>=0.95"), body)
    unknown = judge(parse_requirement("recall[standing]>=0.85"), body)
    assert [bar["verdict"] for bar in (open_bar, missed, unknown)] == ["cannot tell", "not met", "cannot tell"]
    advice = advice_on(metrics | {"requirements": [open_bar]})["bar_open"]
    assert "the interval of lying" in advice.text
    assert "more photos" in advice.text
    assert "other times or places" in advice.text
    advice = advice_on(metrics | {"requirements": [missed]})["bar_not_met"]
    assert advice.title == "recall[lying]>=0.95 is not met"
    assert "lying" in advice.text
    advice = advice_on(metrics | {"requirements": [unknown]})["bar_open"]
    assert "no interval" in advice.text
    met = judge(parse_requirement("recall[lying]>=0.5"), body)
    assert {"bar_open", "bar_not_met"}.isdisjoint(advice_on(metrics | {"requirements": [met]}))


def test_too_few_groups_ask_for_more_times_or_places_not_more_photos() -> None:
    metrics = beds()
    metrics["test"]["groups"] = 6
    metrics["test"]["accuracy"] = quantity(0.88, None, 429, "too_few_groups")
    advice = advice_on(metrics)
    assert "here there are 6" in advice["too_few_groups"].text
    assert "few_photos" not in advice
    assert "wide" not in advice
    assert reasons_on(metrics)["How far it may be off cannot be said"].mark == "bad"


def slices(*rows: tuple[str, str | None, int, float, bool]) -> list[Json]:
    return [
        {"slice": name, "value": value, "n": n, "accuracy": quantity(share, 0.1, n), "p": 0.01, "worse": worse}
        for name, value, n, share, worse in rows
    ]


def test_advice_speaks_of_parts_that_are_surely_and_clearly_worse_and_of_no_other() -> None:
    metrics = good()
    metrics["test"]["slices"] = slices(("lighting", "night", 60, 0.7, True), ("lighting", "day", 540, 0.98, False))
    assert advice_on(metrics)["weak_part"].title == "Add photos taken in the dark"
    metrics["test"]["slices"] = slices(("lighting", "glare", 60, 0.7, True))
    assert advice_on(metrics)["weak_part"].title == "Add photos with glare"
    metrics["test"]["slices"] = slices(("group", "bed2", 60, 0.7, True))
    assert advice_on(metrics)["weak_part"].title == "Add photos of group: bed2"
    # Surely, but hardly worse; and an interval below the accuracy that chance gives among so many parts.
    for row in (("hour", "05:00", 6000, 0.93, True), ("hour", "06:00", 60, 0.5, False)):
        metrics["test"]["slices"] = slices(row)
        assert "weak_part" not in advice_on(metrics), row


def test_a_confusable_pair_is_named_once_whichever_way_it_goes() -> None:
    counts = np.array([[170, 30, 0], [28, 172, 0], [2, 0, 198]])
    metrics = metrics_of(body_of(counts, BEDS, "wilson", 0.02), BEDS)
    pairs = [item for item in advise(metrics) if item.rule == "pair"]
    assert [pair.title for pair in pairs] == ["Look at empty and lying side by side"]
    assert "30 of 200 photos of empty were called lying" in pairs[0].text


def test_a_class_of_few_photos_hears_how_many_more_would_halve_its_interval() -> None:
    metrics = good()
    metrics["test"]["per_class"]["standing"]["n"] = 15
    metrics["test"]["per_class"]["standing"]["recall"] = proportion([True] * 12 + [False] * 3).to_json()
    advice = advice_on(metrics)["few_photos"]
    assert advice.title == "Add photos of standing"
    assert "15 photos" in advice.text
    assert "51 more test photos" in advice.text
    assert "other times" not in advice.text, "independent photos do not repeat each other"


def test_of_new_photos_only_a_part_becomes_test_photos() -> None:
    metrics = good(evaluation="split")
    metrics["counts"] |= {"photos": 6000, "used": 6000}
    metrics["test"]["per_class"]["standing"]["recall"] = proportion([True] * 12 + [False] * 3).to_json()
    assert "about 510 more photos (a part of them becomes test photos)" in advice_on(metrics)["few_photos"].text


def test_a_wide_interval_asks_for_more_photos() -> None:
    metrics = good()
    metrics["test"]["accuracy"] = quantity(0.9, 0.08)
    assert "16.0 points wide" in advice_on(metrics)["wide"].text
    assert reasons_on(metrics)["The interval is wide"].mark == "careful"
    assert "wide" not in advice_on(good())


def test_probabilities_that_are_off_are_not_to_be_relied_on() -> None:
    random = np.random.default_rng(0)
    probabilities = np.tile([0.97, 0.02, 0.01], (400, 1))
    truth = (random.random(400) > 0.6).astype(int)
    body = score(probabilities, truth, BEDS, resamples=scores.Resamples(100))
    metrics = metrics_of(body, BEDS)
    assert "probabilities" in advice_on(metrics)
    assert reasons_on(metrics)["The probabilities are off"].mark == "careful"
    assert "probabilities" not in advice_on(good())


def test_near_the_ceiling_each_mistake_is_to_be_looked_at() -> None:
    counts = np.array([[199, 1, 0], [2, 198, 0], [0, 1, 199]])
    metrics = metrics_of(body_of(counts, BEDS, "wilson", 0.01), BEDS)
    assert "Only 4 photos" in advice_on(metrics)["ceiling"].text
    perfect = metrics_of(body_of(np.diag([200, 200, 200]), BEDS, "wilson", 0.01), BEDS)
    assert "ceiling" not in advice_on(perfect)
    assert "ceiling" not in advice_on(good())


def test_many_openings_ask_for_fresh_photos() -> None:
    assert "opened 3 times" in advice_on(good(openings=3))["openings"].text
    assert "openings" not in advice_on(good(openings=2))
    metrics = good(openings=1)
    assert reasons_on(metrics)["The test photos are no longer fresh"].mark == "careful"
    assert verdict(metrics).startswith("With care")


@pytest.mark.parametrize("evaluation", ["split", "cv"])
def test_where_only_copies_kept_photos_apart_times_or_groups_are_asked_for(evaluation: str) -> None:
    metrics = good(evaluation=evaluation, separation={"rule": "copies", "speaks_of": "unknown"})
    assert "captured_at" in advice_on(metrics)["separation"].text
    assert "separation" not in advice_on(good(evaluation=evaluation))


def test_unreadable_files_are_to_be_repaired_and_counted() -> None:
    metrics = good()
    metrics["counts"] |= {"unreadable": 2, "damaged": 1}
    assert advice_on(metrics)["unreadable"].title == "Repair or remove 2 files"
    reason = reasons_on(metrics)["Every photo is accounted for"]
    assert "2 could not be read, 1 is damaged but was used" in reason.text
    assert reason.mark == "note"
    metrics["counts"]["unreadable"] = 400
    assert reasons_on(metrics)["Every photo is accounted for"].mark == "careful"


def test_the_advice_stays_short() -> None:
    metrics = shop()
    metrics["openings"] = 9
    metrics["counts"]["unreadable"] = 3
    metrics["test"]["slices"] = slices(*(("hour", f"{hour:02d}:00", 60, 0.3, True) for hour in range(9)))
    bars = [
        judge(parse_requirement(f"recall[Product-{number:02d}]>=0.999"), metrics["test"]) for number in range(1, 10)
    ]
    metrics["requirements"] = bars
    assert len(advise(metrics)) == MOST_ADVICE


def test_any_part_of_the_metrics_may_be_missing() -> None:
    whole = beds()
    for key in whole:
        for metrics in ({k: v for k, v in whole.items() if k != key}, whole | {key: None}):
            advise(metrics)
            reasons(metrics)
    for key in whole["test"]:
        metrics = copy.deepcopy(whole)
        metrics["test"][key] = None
        advise(metrics)
        reasons(metrics)


def test_the_sentence_on_calibration_speaks_of_the_photos_near_90_percent() -> None:
    def row(confidence: float, right: float, n: int) -> Json:
        return {"from": 0.0, "to": 1.0, "n": n, "confidence": confidence, "accuracy": quantity(right, 0.1, n)}

    near = calibration_sentence([row(0.5, 0.4, 30), row(0.91, 0.84, 30), row(0.99, 0.99, 30)])
    assert near == "Where the model says about 91\u00a0%, it is right in 84\u00a0% (30 photos)."
    none = calibration_sentence([row(0.5, 0.4, 10), row(0.99, 0.99, 30)])
    assert none == "On average the model says 87\u00a0%, and it is right in 84\u00a0% (40 photos)."
    assert calibration_sentence([]) is None


def _sure(photos: int, confidence: float, right: float, before: float | None = None) -> Reason:
    """What the page says of probabilities that all are alike."""
    accuracy = {"value": right, "low": None, "high": None, "method": "too_few_groups", "n": photos}
    body = {
        "reliability": [{"from": 0.0, "to": 1.0, "n": photos, "confidence": confidence, "accuracy": accuracy}],
        "ece": {"value": abs(confidence - right), "low": None, "high": None, "method": "bootstrap", "n": photos},
        "ece_perfect": {"value": 0.0, "low": 0.0, "high": 1.96 * (confidence * (1 - confidence) / photos) ** 0.5},
        "before_calibration": None if before is None else {"ece": before, "reliability": []},
    }
    found = _calibrated(Scores.from_json(body))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("photos", "confidence", "right", "before", "mark", "title"),
    [
        (2, 0.97, 1.0, None, "careful", "cannot be told"),
        (24, 0.958, 1.0, 0.004, "careful", "made the probabilities worse"),
        (24, 0.999, 1.0, 0.004, "careful", "cannot be told"),
        (60, 0.9, 0.9, 0.1, "careful", "cannot be told"),
        (1000, 0.9, 0.86, 0.004, "careful", "made the probabilities worse"),
        (1000, 0.9, 0.89, 0.05, "good", "mean what they say"),
        (10_000, 0.9, 0.89, 0.05, "good", "mean what they say"),  # no chance, but of no consequence
        (1000, 0.9, 0.87, 0.05, "careful", "are off"),
        (1000, 0.9, 0.82, 0.05, "careful", "are off"),
        (429, 0.48, 0.92, 0.05, "careful", "made the probabilities worse"),
    ],
)
def test_the_tick_of_calibration_takes_photos_enough_and_probabilities_that_are_good(
    photos: int, confidence: float, right: float, before: float | None, mark: str, title: str
) -> None:
    found = _sure(photos, confidence, right, before)
    assert (found.mark, title in found.title) == (mark, True)


def test_nothing_was_lost_is_not_said_beside_files_that_were_passed_over() -> None:
    counts = {"photos": 60, "used": 60, "passed_over": {}}
    complete = _complete(Metrics.from_json({"counts": counts}))
    assert complete == Reason("good", "No photo was lost", "All 60 were read and used.")
    beside = _complete(Metrics.from_json({"counts": counts | {"passed_over": {".xyz": 15}}}))
    assert beside is not None
    assert (beside.mark, "15 .xyz" in beside.text, "lost" in beside.title) == ("note", True, False)
    lost = _complete(Metrics.from_json({"counts": counts | {"passed_over": {NO_CLASS: 3}}}))
    assert lost is not None
    assert lost.mark == "careful"
