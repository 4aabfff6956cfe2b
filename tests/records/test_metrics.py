"""One rule says which figures stand at the top: the report, the summary and the bars judge the same ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
from report_examples import BEDS, beds, body_of, metrics_of, shop

from certero.cli.terminal.summary import summarise
from certero.interchange import Json, json_text
from certero.records.metrics import Headline, Metrics, headline
from certero.report.page import render
from certero.stats.requirements import judge_all, parse_requirement


def _scores(right: int) -> Json:
    """Of 100 photos of each class, so many named rightly."""
    wrong = (100 - right) // 2
    counts = np.full((3, 3), wrong)
    np.fill_diagonal(counts, 100 - 2 * wrong)
    return body_of(counts, BEDS, "wilson", 0.02)


def _seen(exact: int, near: int | None, unseen: Json | None) -> Json:
    return {"exact": exact, "near": near, "reason": None, "warning": None, "unseen": unseen, "paths": []}


_ALL, _NEW = _scores(94), _scores(80)
CASES: dict[str, tuple[Json, float | None]] = {
    "cv": (metrics_of(_ALL, BEDS, evaluation="cv", cv={"folds": 5, "reason": "few"}), 0.94),
    "split": (metrics_of(_ALL, BEDS, evaluation="split"), 0.94),
    "given": (metrics_of(_ALL, BEDS, evaluation="given"), 0.94),
    "no test": (metrics_of(None, BEDS, evaluation="split"), None),
    "evaluate": (metrics_of(_ALL, BEDS, evaluation="evaluate", seen=_seen(0, 0, None)), 0.94),
    "some seen": (metrics_of(_ALL, BEDS, evaluation="evaluate", seen=_seen(20, None, _NEW)), 0.80),
    "near copies seen": (metrics_of(_ALL, BEDS, evaluation="evaluate", seen=_seen(0, 20, _NEW)), 0.80),
    "all seen": (metrics_of(_ALL, BEDS, evaluation="evaluate", seen=_seen(300, 0, None)), None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_report_the_summary_and_the_bars_judge_the_same_figures(case: str) -> None:
    stored, accuracy = CASES[case]
    metrics = Metrics.from_json(stored)
    found = headline(metrics)
    page = render(metrics, {})
    said = " ".join(summarise(metrics))
    (bar,) = judge_all([parse_requirement("accuracy>=0.5")], found.body)
    if accuracy is None:
        assert found.body is None
        assert '<div class="figure">' not in page
        assert "Accuracy:" not in said
        assert (bar.verdict, bar.figures) == ("cannot tell", ())
    else:
        assert f'<div class="figure">{100 * accuracy:.1f}\u00a0%</div>' in page
        assert f": {100 * accuracy:.1f}%" in said
        assert bar.figures[0].quantity.value == pytest.approx(accuracy)


def test_what_was_seen_in_training_is_never_a_headline() -> None:
    found = {case: headline(Metrics.from_json(stored)) for case, (stored, _accuracy) in CASES.items()}
    assert found["no test"] == Headline(None, sealed=True, seen=0, contaminated=False)
    assert found["all seen"] == Headline(None, sealed=False, seen=300, contaminated=True)
    assert (found["some seen"].seen, found["near copies seen"].seen) == (20, 20)
    assert "WARNING" in " ".join(summarise(Metrics.from_json(CASES["some seen"][0])))


@pytest.mark.parametrize("stored", [shop(), beds()], ids=["shop", "beds"])
def test_what_is_read_back_and_stored_again_says_the_same(stored: Json) -> None:
    once = Metrics.from_json(stored)
    text = json_text(once.to_json())
    assert json_text(Metrics.from_json(json.loads(text)).to_json()) == text
    again = Metrics.from_json(json.loads(text))
    assert render(again, {}) == render(once, {})


def test_an_older_file_lacks_keys_and_they_are_unknown_not_0() -> None:
    metrics = Metrics.from_json({"schema": 1, "test": {"n": 4, "accuracy": {"value": 0.5}}, "later": 1})
    assert metrics.test is not None
    assert (metrics.test.accuracy.value, metrics.test.accuracy.interval) == (0.5, None)
    assert (metrics.test.macro_f1.value, metrics.counts.photos, metrics.openings) == (None, None, None)
    assert Metrics.from_json("nonsense").test is None
