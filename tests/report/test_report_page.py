"""The report in a browser: asks for nothing, fits a phone and a sheet of paper, works without script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import PAPER_PX, WEAK_CONTRAST
from report_examples import BEDS, CONFIG, SHOP, beds, pictures, shop

from certero.language import use_language
from certero.records.metrics import Metrics
from certero.report.page import write_report

# Height of what is printed on a sheet of US letter, at 96 pixels an inch, without margins of 13 mm.
LETTER_PX = (279 - 26) / 25.4 * 96

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module", params=["en", "es"])
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of few classes and one of many, in one language."""
    folder = tmp_path_factory.mktemp(request.param)
    use_language(request.param)
    separation = beds()["separation"] | {"decay": [[5, 0.86], [60, 0.72], [720, 0.54]]}
    examples = {"beds": (beds() | {"separation": separation}, BEDS), "shop": (shop(), SHOP)}
    for name, (metrics, classes) in examples.items():
        page = folder / f"{name}.html"
        write_report(page, metrics=Metrics.from_json(metrics), config=CONFIG, gallery=pictures(classes, 24))
    use_language("en")
    return {name: folder / f"{name}.html" for name in examples}


def opened(browser: Browser, report: Path, width: int, **more: object) -> tuple[Page, list[str], list[str]]:
    """The page, the addresses it asked for beside itself, and what the browser complained of."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **more)  # type: ignore[arg-type]
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri(), wait_until="networkidle")
    return page, [url for url in asked if url != report.as_uri() and not url.startswith("data:")], complaints


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beds", "shop"])
@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_page_asks_for_nothing_and_fits_the_screen(
    browser: Browser, reports: dict[str, Path], name: str, width: int
) -> None:
    page, asked, complaints = opened(browser, reports[name], width)
    assert asked == []
    assert complaints == []
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """width => [...document.querySelectorAll('main *')]
        .filter(e => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > width + 1)
        .map(e => e.tagName + ' ' + e.textContent.slice(0, 40))""",
        width,
    )
    assert outside == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_can_be_read_in_light_and_dark(browser: Browser, reports: dict[str, Path], scheme: str) -> None:
    page, _asked, _complaints = opened(browser, reports["beds"], 1000, color_scheme=scheme)
    # Contrast by WCAG 2.2, of every element with words of its own against the nearest opaque ground.
    weak = page.evaluate(WEAK_CONTRAST)
    assert weak == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beds", "shop"])
def test_on_paper_nothing_is_cut_or_folded(
    browser: Browser, reports: dict[str, Path], name: str, tmp_path: Path
) -> None:
    page, _asked, _complaints = opened(browser, reports[name], PAPER_PX)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER_PX
    heights = page.evaluate(
        "[...document.querySelectorAll('details:not(.not-on-paper) > :not(summary)')]"
        ".map(e => e.getBoundingClientRect().height)"
    )
    assert heights
    assert all(height > 0 for height in heights)
    file = tmp_path / "report.pdf"
    page.pdf(path=str(file), prefer_css_page_size=True, print_background=True)
    assert file.read_bytes().startswith(b"%PDF-")
    page.close()


def test_without_script_every_picture_and_chart_is_there(browser: Browser, reports: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1000, "height": 900})
    page = context.new_page()
    page.goto(reports["beds"].as_uri())
    assert page.locator("svg.dot-plot").count() > 8
    assert page.locator("svg.chart polyline").count() == 1
    for picture in page.locator(".photo img").all()[:5]:
        box = picture.bounding_box()
        assert box is not None
        assert box["height"] > 40
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beds", "shop"])
def test_the_summary_fills_the_first_sheet_and_no_more(browser: Browser, reports: dict[str, Path], name: str) -> None:
    page, _asked, _complaints = opened(browser, reports[name], PAPER_PX)
    page.emulate_media(media="print")
    summary = page.evaluate("document.querySelector('#trust').getBoundingClientRect().top")
    assert 400 < summary <= LETTER_PX
    assert page.locator(".only-print img").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('#trust')).breakBefore") == "page"
    page.close()


def test_a_picture_is_enlarged_and_put_back_without_script(browser: Browser, reports: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1000, "height": 900})
    page = context.new_page()
    page.goto(reports["beds"].as_uri())
    picture = page.locator("#wrong-0 img")
    small = picture.bounding_box()
    page.locator("#wrong-0 .open").focus()
    page.keyboard.press("Enter")
    large = picture.bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 2 * small["width"]
    page.locator("#wrong-0 .close").click()
    back = picture.bounding_box()
    assert back is not None
    assert back["width"] == small["width"]
    context.close()


def test_a_cell_of_the_confusion_matrix_leads_to_its_photos(browser: Browser, reports: dict[str, Path]) -> None:
    page, _asked, _complaints = opened(browser, reports["beds"], 1000)
    links = page.locator(".matrix td a").all()
    assert links
    for link in links:
        place = link.get_attribute("href")
        assert place is not None
        title = link.get_attribute("title") or ""
        shown = page.locator(f"{place} figcaption b").all_inner_texts()
        assert all(name in title for name in shown), (title, shown)
    links[0].click()
    assert page.locator(".place:target").count() == 1
    page.close()
