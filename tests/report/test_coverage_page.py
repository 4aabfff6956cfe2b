"""The page lists what the photos cover and what nothing is known of, in words."""

from __future__ import annotations

from typing import Any

import pytest
from report_examples import BEDS, beds, metrics_of, text_of

from certero.interchange import Json
from certero.language import use_language
from certero.records.metrics import Metrics
from certero.report import page
from certero.report.coverage import stretches, view_coverage

COVERED: Json = {
    "photos": 429,
    "timed": 429,
    "first": "2024-01-12T05:40:04",
    "last": "2024-01-12T17:35:05",
    "days": 1,
    "months": {"01": 429},
    "hours": {f"{hour:02d}": 33 for hour in range(5, 18)},
    "groups": 3,
    "lighting": {"night": 55, "day": 334, "glare": 40},
    "classes": {"empty": 290, "lying": 124, "standing": 15},
    "columns": {"camera": {"north": 400, "south": 29}},
}
UNKNOWN: list[Json] = [
    {"what": "dependence", "n": 429, "values": []},
    {"what": "other_days", "n": 1, "values": []},
    {"what": "other_places", "n": 3, "values": []},
    {"what": "times", "n": 429, "values": []},
    {"what": "hours", "n": 11, "values": [f"{hour % 24:02d}" for hour in range(18, 29)]},
    {"what": "seasons", "n": 1, "values": ["01"]},
    {"what": "darkness", "n": 0, "values": []},
    {"what": "class", "n": 15, "values": ["standing"]},
    {"what": "class", "n": 0, "values": ["kid"]},
    {"what": "unreadable", "n": 2, "values": []},
    {"what": "passed_over", "n": 4, "values": ["(photo without a class folder)"]},
    {"what": "lost_class", "n": 1, "values": ["calf"]},
    {"what": "a code of a newer version", "n": None, "values": []},
]


def shown(**more: Any) -> str:
    covers = {"judged": COVERED, "training": COVERED, "unknown": UNKNOWN}
    counts = beds()["counts"] | {"passed_over": {"(photo without a class folder)": 4}}
    metrics = beds() | {"covers": covers, "counts": counts} | more
    return text_of(page.render(Metrics.from_json(metrics), {}))


def test_the_page_says_what_the_photos_cover() -> None:
    text = shown()
    cover = text[text.index("What these photos cover") : text.index("What nothing is known of")]
    for words in (
        "judged and learnt from, in turn",
        "Photos 429",
        "Days 1",
        "First photo 2024-01-12 05:40",
        "Last photo 2024-01-12 17:35",
        "Hours of the day 05:00 to 18:00",
        "Light night 55, day 334, glare 40",
        "camera north 400, south 29",
        "empty 290, lying 124, standing 15",
    ):
        assert words in cover, words


def test_the_page_says_what_nothing_is_known_of() -> None:
    text = shown()
    for words in (
        "Which photos belong together.",
        "Other days. All of them are from one day.",
        "Other places and cameras.",
        "Which days, hours and seasons they show. No photo carries a capture time.",
        "Other hours of the day: 18:00 to 05:00. No photo was taken then.",
        "Other seasons. All photos are from January.",
        "Darkness. No photo is dark.",
        "Classes that no judged photo shows. kid.",
        "Classes with few photos.",
        "standing (15)",
        "2 photos that could not be read.",
        "Not looked at: 4 photo without a class folder.",
        "Not one of their photos could be read: calf.",
    ):
        assert words in text, words
    assert "newer version" not in text
    few = {"judged": COVERED, "training": COVERED, "unknown": [{"what": "darkness", "n": 3, "values": []}]}
    assert "Darkness. Only 3 photos are dark." in shown(covers=few)


def test_every_code_of_the_reference_has_words() -> None:
    every = metrics_of(None, BEDS, covers={"judged": COVERED, "training": None, "unknown": UNKNOWN})
    view = view_coverage(Metrics.from_json(every))
    assert view is not None
    assert len(view.gaps) == len(UNKNOWN) - 1


def test_photos_that_were_judged_and_those_learnt_from_stand_side_by_side() -> None:
    training = COVERED | {"photos": 3000, "days": 9}
    covers = {"judged": COVERED, "training": training, "unknown": []}
    text = shown(covers=covers, evaluation="split")
    assert "judged learnt from Photos 429 3,000 Days 1 9" in text
    assert "What nothing is known of" not in text
    sealed = shown(covers=covers | {"judged": None}, evaluation="split", test=None)
    assert "learnt from Photos 3,000 Days 9" in sealed


def test_photos_that_the_model_knows_cover_nothing() -> None:
    seen = {"exact": 429, "near": 0, "reason": None, "unseen": None}
    assert "What these photos cover" not in shown(seen=seen, evaluation="evaluate")


def test_a_file_that_does_not_tell_shows_no_empty_list() -> None:
    text = shown(covers=None)
    assert "What these photos cover" not in text
    assert "What nothing is known of" not in text


@pytest.mark.parametrize(
    ("hours", "found"),
    [
        ([], []),
        (["00"], [(0, 1)]),
        (["23"], [(23, 24)]),
        (["22", "23", "00", "05"], [(5, 6), (22, 1)]),
        ([f"{hour:02d}" for hour in range(24)], [(0, 24)]),
    ],
)
def test_hours_are_said_as_stretches(hours: list[str], found: list[tuple[int, int]]) -> None:
    assert stretches(hours) == found


def test_both_lists_are_said_in_spanish() -> None:
    use_language("es")
    text = shown()
    assert "Lo que abarcan estas fotos" in text
    assert "Otros días. Todas son de un solo día." in text
    assert "Todas las fotos son de enero." in text
