"""Bars are judged by interval: met, not met, or cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from certero.errors import ConfigError
from certero.records.scores import Scores
from certero.stats.intervals import proportion
from certero.stats.requirements import FIGURES, judge, parse_requirement
from certero.stats.scores import score


def _quantity(low: float | None, high: float | None) -> dict[str, object]:
    return {"value": 0.8, "low": low, "high": high, "method": "wilson", "n": 50}


@pytest.mark.parametrize(
    ("text", "low", "high", "verdict"),
    [
        ("accuracy>=0.85", 0.85, 0.95, "met"),
        ("accuracy>=0.85", 0.84, 0.95, "cannot tell"),
        ("accuracy>=0.85", 0.70, 0.84, "not met"),
        ("accuracy>=0.85", 0.70, 0.85, "cannot tell"),
        ("accuracy>0.85", 0.85, 0.95, "cannot tell"),
        ("accuracy>0.85", 0.70, 0.85, "not met"),
        ("accuracy>=0.85", None, None, "cannot tell"),
        ("accuracy<=0.9", 0.70, 0.90, "met"),
        ("accuracy<=0.9", 0.91, 0.95, "not met"),
        ("accuracy<0.9", 0.70, 0.90, "cannot tell"),
    ],
)
def test_a_bar_is_judged_by_the_whole_interval(text: str, low: float | None, high: float | None, verdict: str) -> None:
    found = judge(parse_requirement(text), Scores.from_json({"accuracy": _quantity(low, high)}))
    assert (found.require, found.verdict) == (text, verdict)


def test_recall_without_a_class_is_asked_of_every_class() -> None:
    rows = {"empty": (0.9, 0.99), "lying": (0.82, 0.95), "standing": (0.3, 0.9)}
    metrics = Scores.from_json({"per_class": {name: {"recall": _quantity(*ends)} for name, ends in rows.items()}})
    everyone = judge(parse_requirement("recall >= 0.8"), metrics)
    assert everyone.verdict == "cannot tell"
    assert [f.label for f in everyone.figures] == list(rows)
    assert [f.verdict for f in everyone.figures] == ["met", "met", "cannot tell"]
    assert judge(parse_requirement("recall>=0.9"), metrics).verdict == "cannot tell"
    assert judge(parse_requirement("recall>=0.96"), metrics).verdict == "not met"
    assert judge(parse_requirement("recall[lying]>=0.8"), metrics).verdict == "met"
    assert judge(parse_requirement("recall:lying>=0.8"), metrics).verdict == "met"
    with pytest.raises(ConfigError, match="unknown class 'grazing'"):
        judge(parse_requirement("recall[grazing]>=0.8"), metrics)


def test_many_classes_that_just_meet_a_bar_are_seldom_said_to_miss_it() -> None:
    draw = np.random.default_rng(0)
    bar, one, missed, missed_alone, found = parse_requirement("recall>=0.85"), "recall[7]>=0.85", 0, 0, 0
    for _ in range(120):
        hits = draw.binomial(30, np.full(36, 0.85))
        missed += judge(bar, _recalls(hits)).verdict == "not met"
        # One class that was named beforehand is asked for by itself.
        missed_alone += judge(parse_requirement(one), _recalls(hits)).verdict == "not met"
        hits[7] = draw.binomial(30, 0.45)
        found += judge(bar, _recalls(hits)).verdict == "not met"
    assert missed / 120 < 0.07
    assert missed_alone / 120 < 0.07
    assert found / 120 > 0.8


def _recalls(hits: NDArray[np.int64]) -> Scores:
    shares = {str(place): proportion(np.arange(30) < count).to_json() for place, count in enumerate(hits.tolist())}
    return Scores.from_json({"per_class": {name: {"n": 30, "recall": recall} for name, recall in shares.items()}})


def test_every_known_figure_is_found_among_the_scores() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(5), 60)
    metrics = score(probabilities, generator.integers(0, 5, 60), list("abcde"))
    for figure in FIGURES:
        assert judge(parse_requirement(f"{figure}>=0"), metrics).verdict == "met"


def test_class_names_with_spaces_and_signs_are_read() -> None:
    assert parse_requirement("f1[Sour-Cream, 3 %] >= 0.5").label == "Sour-Cream, 3 %"
    assert parse_requirement("f1[a[b]>=c]>=0.5").label == "a[b]>=c"
    assert parse_requirement("recall:echada ñ>=1").label == "echada ñ"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("accuracy", "must look like"),
        ("accuracy=0.9", "must look like"),
        ("precisoin>=0.9", "known are accuracy, balanced_accuracy, precision"),
        ("accuracy[cow]>=0.9", "can be asked of one class"),
        ("accuracy>=85", "0.85 for 85 %"),
        ("accuracy>=nan", "must lie in"),
        ("accuracy>=high", "must be a number"),
        ("recall[cow]>=0.9", "unknown class 'cow'; the model knows empty, lying"),
    ],
)
def test_a_bad_bar_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_requirement(text, ["empty", "lying"])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
