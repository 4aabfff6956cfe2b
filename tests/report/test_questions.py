"""Ten questions of somebody who knows cows and no statistics, each answered one click from the top of the page."""

from __future__ import annotations

import re

import pytest
from report_examples import BEDS, CONFIG, beds, metrics_of, pictures, shop, text_of

from certero.interchange import Json
from certero.records.metrics import Metrics
from certero.report.page import render
from certero.report.questions import KEYS, count

ALARMS: Json = {
    "per": "day",
    "photos": 429.0,
    "per_class": {
        "standing": {
            "shown": 15.0,
            "missed": {"value": 6.0, "low": 1.3, "high": 12.4, "method": "wilson", "n": 15},
            "false_alarms": {"value": 3.0, "low": 0.2, "high": 18.7, "method": "wilson", "n": 414},
        }
    },
}


def _page(metrics: Json) -> str:
    return render(Metrics.from_json(metrics), CONFIG, pictures(BEDS, 4))


def _answers(page: str) -> dict[str, str]:
    found = re.findall(r'<details id="ask-(\w+)"><summary>(.*?)</summary>(.*?)</details>', page, re.DOTALL)
    return {key: text_of(answer).strip() for key, _title, answer in found}


@pytest.mark.parametrize("metrics", [beds(), shop()], ids=["beds", "shop"])
def test_ten_questions_are_answered_before_anything_else_is_explained(metrics: Json) -> None:
    page = _page(metrics)
    answers = _answers(page)
    assert tuple(answers) == KEYS
    assert len(answers) == 10
    assert all(len(answer) > 30 for answer in answers.values()), answers
    assert page.index('id="questions"') < page.index('id="trust"')


def test_where_an_answer_says_more_the_page_has_it() -> None:
    page = _page(beds())
    places = set(re.findall(r'class="more" href="#([\w-]+)"', page))
    assert places
    assert all(f'id="{place}"' in page for place in places - {"sure"})


def test_missed_and_false_alarms_are_counted_a_day_with_their_range() -> None:
    metrics = beds()
    metrics["test"]["alarms"] = ALARMS
    answers = _answers(_page(metrics))
    assert "A day brings about 429 photos here." in answers["missed"]
    assert "standing: of about 15, 6 (1.3 to 12) are missed." in answers["missed"]
    assert "3 (0.2 to 19) photos are called standing and show something else." in answers["false_alarms"]


def test_without_times_hundred_photos_are_spoken_of() -> None:
    metrics = beds()
    metrics["test"]["alarms"] = ALARMS | {"per": "hundred", "photos": 100.0}
    page = _page(metrics)
    assert "How many are missed in 100 photos?" in page
    assert "in a day" not in page


def test_of_one_day_nobody_is_told_that_it_works_tomorrow() -> None:
    metrics = beds()
    metrics["separation"] |= {"speaks_of": "hours"}
    assert _answers(_page(metrics))["tomorrow"].startswith("Nobody can tell yet")


def test_without_a_figure_nothing_is_answered() -> None:
    assert _answers(_page(metrics_of(None, BEDS))) == {}


def test_counts_are_said_as_one_would_say_them() -> None:
    assert [count(value) for value in (14.7, 3.2, 0.31, 0.04, 0.0, 12345.6)] == [
        "15",
        "3.2",
        "0.3",
        "0.04",
        "0",
        "12,346",
    ]
