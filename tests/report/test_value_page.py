"""The page's sliders in a browser: the same figures as the command's, wherever they stand."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import certero
from certero.business.case import parse_case
from certero.business.outcomes import Outcomes, check_shares, outcomes_of_figures, outcomes_of_photos
from certero.business.sensitivity import analyse
from certero.business.threshold import best_threshold, best_thresholds_per_class, curve
from certero.business.worth import accept, cash, measure
from certero.interchange import Json
from certero.language import use_language
from certero.pipelines.train import Run
from certero.pipelines.value import page_data
from certero.report.money import figure_text
from certero.report.value import BEGIN, END, add_to_report, headline, nice_marks
from certero.stats import resampling

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BEDS = ("empty", "lying", "standing")
FARM: dict[str, Any] = {
    "title": "Beds",
    "volume_per_month": 26000,
    "by_hand_minutes": 0.1,
    "with_model_minutes": 0.005,
    "hour_cost": 60,
    "error_minutes": 0.2,
    "error_cost": {
        "empty": {"lying": 0.5, "standing": 0.5},
        "lying": {"empty": 1.5, "standing": 1.5, "lying": -0.01},
        "standing": {"empty": 0.5, "lying": 0.5},
    },
    "ask_minutes": 0.02,
    "ask_cost": 0.01,
    "development_hours": 120,
    "development_hour_cost": 250,
    "running_cost_per_month": 400,
    "discount_rate_per_year": 0.1,
    "currency_format": {"symbol": "$", "decimals": 2, "thousands": ".", "decimal": ","},
}


def beds(units: int | None, least: float = 0.5) -> Outcomes:
    random = np.random.default_rng(2)
    n = 240
    truth = np.repeat(random.choice(3, n // 4, p=[0.6, 0.3, 0.1]), 4)
    probabilities = random.dirichlet(np.ones(3), n)
    probabilities[np.arange(n), truth] += random.uniform(least, 6, n)
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32).astype(float)
    groups = None if units is None else [f"{row * units // n:03d}" for row in range(n)]
    return outcomes_of_photos(BEDS, truth, probabilities, groups, [f"{row}.jpg" for row in range(n)])


def answer_of(fields: Mapping[str, Any], rows: Outcomes, rule: Any) -> Json:
    """The command's answer on these rows."""
    case = parse_case(fields)
    shares, tails = check_shares(rows, case.class_shares), resampling.tails()
    answers = accept(rows, rule, shares)
    figures = measure(case, answers, tails)
    weights = resampling.row_weights(rows, shares)
    by_class = np.bincount(rows.truth, weights=weights, minlength=len(rows.classes)).tolist()
    value, per_class = (None, rule) if isinstance(rule, dict) else (rule, None)
    threshold = {"value": value, "per_class": per_class, "source": "held_out", "saved": False}
    return {
        "case": case.to_json(),
        "model": "runs/beds-1",
        "models": [],
        "notes": [],
        "class_shares": None if rows.counted else dict(zip(rows.classes, by_class, strict=True)),
        "class_shares_from": "photos" if shares is None else "case",
        **figures,
        "threshold": None if rows.counted else threshold,
        "accept_all": None if rows.counted else measure(case, accept(rows, None, shares), tails),
        "curve": [] if rows.counted else curve(case, rows, shares, tails),
        "sensitivity": analyse(case, answers, figures),
        "cash": cash(case, figures),
    }


def written(place: Path, fields: Mapping[str, Any], rows: Outcomes, rule: Any) -> Path:
    answer = answer_of(fields, rows, rule)
    add_to_report(place, answer, page_data(parse_case(fields), rows, answer))
    return place


def opened(browser: Browser, file: Path, **more: Any) -> tuple[Page, list[str]]:
    page = browser.new_page(**more)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("file:") else complaints.append(request.url))
    page.goto(file.as_uri())
    return page, complaints


def move(page: Page, sliders: Mapping[str, float]) -> None:
    for name, value in sliders.items():
        page.evaluate(
            """([id, value]) => { const slider = document.getElementById(id);
            slider.value = value; slider.dispatchEvent(new Event('input')); }""",
            [name, value],
        )
    settle(page)


def settle(page: Page) -> None:
    """Waits until what was moved is computed, which the page does before it draws its next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def shown(page: Page) -> dict[str, Json]:
    cells = page.evaluate(
        """() => [...document.querySelectorAll('td[data-kind]')].map((cell) => [cell.id.replace('figure-', ''),
        JSON.parse(cell.dataset.value), JSON.parse(cell.dataset.low), JSON.parse(cell.dataset.high),
        cell.dataset.kind, cell.textContent.trim()])"""
    )
    return {
        key: {"value": v, "low": low, "high": high, "kind": kind, "text": text}
        for key, v, low, high, kind, text in cells
    }


def agree(page: Page, answer: Json) -> None:
    """Every figure and end of the page equals the command's, and is written alike."""
    found = shown(page)
    assert len(found) >= 13
    for key, cell in found.items():
        expected = answer[key] if isinstance(answer[key], dict) else {"value": answer[key], "low": None, "high": None}
        for end in ("value", "low", "high"):
            wanted = expected[end]
            if wanted is None:
                assert cell[end] is None, (key, end, cell)
            else:
                assert cell[end] == pytest.approx(wanted, rel=1e-9, abs=1e-9), (key, end)
        assert cell["text"] == figure_text(cell["value"], cell["kind"], answer["case"]), key


WEIGHTED = {**FARM, "class_shares": {"empty": 0.5, "lying": 0.3, "standing": 0.2}}


@pytest.mark.slow
@pytest.mark.parametrize("units", [None, 24])
@pytest.mark.parametrize("fields", [FARM, WEIGHTED], ids=["own-shares", "expected-shares"])
def test_the_page_computes_what_the_command_does(
    browser: Browser, tmp_path: Path, units: int | None, fields: dict[str, Any]
) -> None:
    rows = beds(units)
    case = parse_case(fields)
    rule, _gain = best_threshold(case, rows, check_shares(rows, case.class_shares))
    page, complaints = opened(browser, written(tmp_path / "value.html", fields, rows, rule))
    as_written = shown(page)
    agree(page, answer_of(fields, rows, rule))
    # The page's own first computation, where nothing has moved, changes nothing.
    page.evaluate("document.getElementById('slider-volume').dispatchEvent(new Event('input'))")
    settle(page)
    agree(page, answer_of(fields, rows, rule))
    assert {key: cell["text"] for key, cell in shown(page).items()} == {k: c["text"] for k, c in as_written.items()}
    # Each slider, and all of them.
    moved: dict[str, Any] = dict(fields)
    for name, field, value in (("volume", "volume_per_month", 41000.0), ("hour_cost", "hour_cost", 83.5)):
        move(page, {f"slider-{name}": value})
        moved[field] = value
        agree(page, answer_of(moved, rows, rule))
    move(page, {"slider-error_factor": 0.35})
    moved["error_minutes"] = 0.2 * 0.35
    moved["error_cost"] = {a: {b: c * 0.35 for b, c in row.items()} for a, row in FARM["error_cost"].items()}
    agree(page, answer_of(moved, rows, rule))
    move(page, {"slider-threshold": 0.8125})
    agree(page, answer_of(moved, rows, 0.8125))
    move(page, {"share-0": 0.25, "share-1": 0.5, "share-2": 0.25})
    moved["class_shares"] = {"empty": 0.25, "lying": 0.5, "standing": 0.25}
    agree(page, answer_of(moved, rows, 0.8125))
    assert page.inner_text("#share-text-1") == "50.0\u00a0%"
    # And back.
    page.click("#value-reset")
    settle(page)
    agree(page, answer_of(fields, rows, rule))
    assert complaints == []
    page.close()


@pytest.mark.parametrize("rule", [0.0, 0.6, 1.01])
def test_few_groups_of_one_class_each_agree_too(browser: Browser, tmp_path: Path, rule: float) -> None:
    random = np.random.default_rng(1)
    truth = np.repeat([0] * 6 + [1] * 4 + [2] * 2, 20)
    probabilities = random.dirichlet(np.ones(3), 240)
    probabilities[np.arange(240), truth] += np.repeat(random.uniform(0, 4, 12), 20)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    groups = [f"{row // 20:02d}" for row in range(240)]
    rows = outcomes_of_photos(BEDS, truth, probabilities, groups, [f"{row}.jpg" for row in range(240)])
    page, complaints = opened(browser, written(tmp_path / "value.html", WEIGHTED, rows, rule))
    move(page, {"slider-hour_cost": 71.0})
    agree(page, answer_of({**WEIGHTED, "hour_cost": 71.0}, rows, rule))
    # A class that is not expected, and one that rests on two groups.
    move(page, {"share-0": 0.0, "share-1": 0.25, "share-2": 0.75})
    shares = {"empty": 0.0, "lying": 0.25, "standing": 0.75}
    agree(page, answer_of({**WEIGHTED, "hour_cost": 71.0, "class_shares": shares}, rows, rule))
    assert complaints == []
    page.close()


def test_thresholds_per_class_hold_until_the_slider_sets_one(browser: Browser, tmp_path: Path) -> None:
    rows = beds(24)
    rule, _gain = best_thresholds_per_class(parse_case(FARM), rows, None)
    page, complaints = opened(browser, written(tmp_path / "value.html", FARM, rows, rule))
    move(page, {"slider-hour_cost": 70.0})
    agree(page, answer_of({**FARM, "hour_cost": 70.0}, rows, rule))
    assert page.inner_text("#value-of-threshold") == "one a class"
    move(page, {"slider-threshold": 0.5})
    agree(page, answer_of({**FARM, "hour_cost": 70.0}, rows, 0.5))
    assert complaints == []
    page.close()


@pytest.mark.parametrize("name", ["shop", "shop-as-reported", "farm"])
def test_a_case_of_its_own_figures_has_sliders_too(browser: Browser, tmp_path: Path, name: str) -> None:
    answer = certero.value(case=name, report=tmp_path / "value.html", lang="en")
    page, complaints = opened(browser, tmp_path / "value.html")
    agree(page, answer)
    move(page, {"slider-volume": 1700.0})
    from certero.business.case import read_case

    fields = {key: cell for key, cell in read_case(name).to_json().items() if key not in ("figures", "currency_format")}
    case = parse_case({key: cell for key, cell in fields.items() if cell is not None} | {"volume_per_month": 1700})
    rows = outcomes_of_figures(read_case(name).figures)  # type: ignore[arg-type]
    moved = measure(case, accept(rows, None, check_shares(rows, case.class_shares)))
    agree(page, {**answer, **moved})
    assert complaints == []
    page.close()


def test_a_loss_is_said_as_it_is_computed(browser: Browser, tmp_path: Path) -> None:
    page, _complaints = opened(browser, written(tmp_path / "value.html", FARM, beds(24), 0.9))
    move(page, {"slider-hour_cost": 1.0})
    assert page.inner_text("#value-headline").startswith("It does not pay back")
    assert shown(page)["payback_months"]["text"] == "never"
    page.close()


def test_no_payback_is_promised_while_the_interval_holds_a_loss() -> None:
    random, heard = np.random.default_rng(0), set()
    for _draw in range(24):
        drawn = {"error_cost": random.uniform(0, 2), "development_hours": random.uniform(5, 200)}
        answer = answer_of({**FARM, **drawn}, beds(24, -0.2), 0.0)
        worth, said = answer["return_at_horizon"], headline(answer)
        if answer["payback_months"]["value"] is None:
            expected = "It does not pay back"
        elif worth["low"] < 0 < worth["high"]:
            expected = "These photos cannot tell whether it pays"
        else:
            expected = "It pays back after"
            assert ("later than" in said) == (worth["value"] < 0)
        assert said.startswith(expected)
        heard.add(expected)
    assert len(heard) == 3


def test_the_page_says_like_the_command_that_photos_cannot_tell(browser: Browser, tmp_path: Path) -> None:
    # Development costs what is gained by the horizon, so that the return lies around 0.
    cheap = {**FARM, "error_cost": 0.5}
    case = parse_case(cheap)
    gained = case.horizon_months * answer_of(cheap, beds(24, -0.2), 0.0)["net_per_month"]["value"]
    fields = {**cheap, "development_hours": gained / case.development_hour_cost}
    said = headline(answer_of(fields, beds(24, -0.2), 0.0))
    assert said.startswith("These photos cannot tell")
    page, _complaints = opened(browser, written(tmp_path / "value.html", fields, beds(24, -0.2), 0.0))
    assert page.inner_text("h1") == "Does it pay?"
    assert page.inner_text("#value-headline") == said
    move(page, {"slider-hour_cost": 1.0})
    assert page.inner_text("#value-headline").startswith("It does not pay back")
    move(page, {"slider-hour_cost": case.hour_cost})
    assert page.inner_text("#value-headline") == said
    page.close()


def test_the_page_reads_without_script_and_shows_no_dead_slider(browser: Browser, tmp_path: Path) -> None:
    file = written(tmp_path / "value.html", FARM, beds(24), 0.9)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert not page.locator("#value-sliders").is_visible()
    assert page.locator("#figure-payback_months").is_visible()
    assert page.locator("#chart-cash polyline").count() == 1
    context.close()


@pytest.mark.parametrize("width", [360, 1000])
def test_nothing_overflows(browser: Browser, tmp_path: Path, width: int) -> None:
    file = written(tmp_path / "value.html", FARM, beds(24), 0.9)
    page, _complaints = opened(browser, file, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.emulate_media(media="print")
    assert not page.locator("#value-sliders").is_visible()
    page.close()


def test_only_this_script_may_run(browser: Browser, tmp_path: Path) -> None:
    file = written(tmp_path / "value.html", FARM, beds(24), 0.9)
    text = file.read_text("utf-8")
    policy = re.search(r'content="(default-src[^"]*)"', text)
    assert policy is not None
    assert "script-src 'sha256-" in policy[1]
    assert "unsafe-inline'; script" not in policy[1].replace("style-src 'unsafe-inline'; script", "")
    file.write_text(text.replace("</section>", "<script>document.title = 'hacked'</script></section>"), "utf-8")
    page, complaints = opened(browser, file)
    assert page.title() != "hacked"
    assert any("Content Security Policy" in text for text in complaints)
    page.close()


def test_a_class_name_cannot_leave_the_data(browser: Browser, tmp_path: Path) -> None:
    evil = "</script><script>document.title='hacked'</script>"
    classes = (evil, "b", "<!-- /value -->")
    rows = beds(24)
    renamed = dataclasses.replace(rows, classes=classes)
    fields = {key: cell for key, cell in FARM.items() if key != "error_cost"} | {"error_cost": 0.5}
    page, complaints = opened(browser, written(tmp_path / "value.html", fields, renamed, 0.8))
    assert page.title() != "hacked"
    move(page, {"slider-threshold": 0.7})
    agree(page, answer_of(fields, renamed, 0.7))
    assert complaints == []
    page.close()


def test_a_run_s_report_gets_the_section_once_and_keeps_the_rest(small_run: Run, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    shutil.copy(small_run.report, report)
    before = report.read_text("utf-8")
    for _time in range(2):
        certero.value(small_run.path, case="farm", report=report, lang="en")
        after = report.read_text("utf-8")
        assert after.count('<section class="value"') == 1
        # Of a cross-validated run the same photos chose and judge.
        assert ("judged here on test photos" in after) == (small_run.metrics["evaluation"] != "cv")
        assert after.count("script-src 'sha256-") == 1
    start, end = after.index(BEGIN), after.index(END)
    assert after[end:].split("page-size")[0] == before[before.index(END) :].split("page-size")[0]
    assert after[after.index("<body>") : start] == before[before.index("<body>") : before.index(BEGIN)]
    size = int(re.findall(r'id="page-size">([\d,]+)<', after)[0].replace(",", ""))
    assert 0 <= size - len(after.encode()) / 1000 < 1
    assert size > int(re.findall(r'id="page-size">([\d,]+)<', before)[0].replace(",", ""))


def test_the_section_speaks_spanish(tmp_path: Path) -> None:
    certero.value(case="shop", report=tmp_path / "valor.html", lang="es")
    use_language("en")
    text = (tmp_path / "valor.html").read_text("utf-8")
    assert '<html lang="es">' in text
    assert "Cuánto vale" in text
    assert "What it is worth" not in text


def test_marks_of_an_axis_hold_what_is_drawn() -> None:
    for low, high in ((0, 1), (-3, 14), (-2_400_000, 3), (0, 0), (1e-3, 2e-3)):
        marks = nice_marks(low, high, 5)
        assert marks[0] <= low
        assert marks[-1] >= high
        assert len(marks) <= 9


def test_the_data_of_a_page_is_json(tmp_path: Path) -> None:
    text = written(tmp_path / "value.html", FARM, beds(24), 0.9).read_text("utf-8")
    data = re.search(r'<script type="application/json" id="value-data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["classes"] == list(BEDS)
