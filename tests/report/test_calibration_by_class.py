"""What the page says of the probabilities class by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from report_examples import BEDS, CONFIG, body_of, metrics_of, quantity

from certero.interchange import Json
from certero.records.metrics import Metrics
from certero.records.scores import Scores
from certero.report.calibration import class_rows, classes_astray, classes_untold
from certero.report.page import write_report
from certero.report.trust import _calibrated


def _row(named: int, said: float, right: float, verdict: str | None, expected: float = 0.1, share: float = 0.1) -> Json:
    return {
        "named": named,
        "said": said,
        "right": quantity(right, 0.1, named),
        "expected_share": expected,
        "share": quantity(share, 0.02),
        "verdict": verdict,
    }


def _body(**rows: Json) -> Json:
    body = body_of(np.diag([300, 120, 15]), BEDS, "wilson", 0.04)
    bins = [{"from": 0.0, "to": 1.0, "n": 435, "confidence": 0.98, "accuracy": quantity(0.985, 0.01, 435)}]
    more = {"reliability": bins, "ece": quantity(0.01, 0.01), "ece_perfect": quantity(0.008, 0.006)}
    return body | more | {"calibration_by_class": rows}


CALIBRATED = {"empty": _row(300, 0.98, 0.98, "calibrated"), "lying": _row(120, 0.97, 0.98, "calibrated")}


def test_a_class_that_is_off_takes_the_tick_and_is_named() -> None:
    body = Scores.from_json(_body(**CALIBRATED, standing=_row(40, 0.76, 0.34, "off")))
    found = _calibrated(body)
    assert found is not None
    assert (found.mark, found.title) == ("careful", "The probabilities of some classes are off")
    assert "Where it names standing it says 76\u00a0% and is right in 34\u00a0% (40 photos)." in found.text
    assert class_rows(body)[0].name == "standing"


def test_a_share_that_is_off_is_said_as_a_share() -> None:
    body = Scores.from_json(_body(**CALIBRATED, standing=_row(40, 0.76, 0.76, "off", 0.096, 0.035)))
    assert classes_astray(body) == ["By its probabilities 9.6\u00a0% of the photos would show standing; 3.5\u00a0% do."]


def test_a_class_of_too_few_photos_is_named_beside_the_tick() -> None:
    body = Scores.from_json(_body(**CALIBRATED, standing=_row(12, 0.8, 0.75, "too_few")))
    found = _calibrated(body)
    assert found is not None
    assert (found.mark, found.title) == ("good", "The probabilities mean what they say")
    assert "differ by 1.0 points; on so many photos" in found.text
    assert found.text.endswith("Of standing alone there are too few photos to tell.")
    many = {f"class {number}": _row(3, 0.8, 0.75, "too_few") for number in range(9)}
    assert classes_untold(Scores.from_json(_body(**many))) == "Of 9 classes alone there are too few photos to tell."


@pytest.mark.parametrize("old", [True, False])
def test_figures_of_an_older_version_get_no_tick_and_no_table(old: bool) -> None:
    body = _body(**CALIBRATED)
    if old:
        del body["ece_perfect"], body["calibration_by_class"]
    found = _calibrated(Scores.from_json(body))
    assert found is not None
    assert (found.mark == "careful") == old
    assert bool(class_rows(Scores.from_json(body))) != old


def test_the_page_shows_the_check_of_each_class(tmp_path: Path) -> None:
    body = _body(**CALIBRATED, standing=_row(12, 0.8, 0.75, "too_few"))
    page = tmp_path / "report.html"
    write_report(page, metrics=Metrics.from_json(metrics_of(body, BEDS)), config=CONFIG)
    text = page.read_text("utf-8")
    table = text[text.index("Do the probabilities of each class mean what they say?") :]
    table = table[: table.index("</details>")]
    assert "80.0" in table
    assert table.count("</tr>") == 4
    assert table.index("standing") < table.index("empty")
    assert "too few photos to tell" in table
