"""`certero evaluate --shares`: both figures, and what they rest on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("polars", reason="evaluating needs the [report] extra")

from certero.barn.render import render_barn
from certero.cli.main import main
from certero.errors import ConfigError
from certero.pipelines.evaluate import evaluate
from certero.records.metrics import Metrics

if TYPE_CHECKING:
    from certero.pipelines.train import Run


@pytest.fixture(scope="module")
def standing_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day on which most cows stand: class folders of photos that the model of `small_run` has not seen."""
    folder = tmp_path_factory.mktemp("standing") / "barn"
    render_barn(folder, days=1, interval_minutes=30, seed=11)
    for label, kept in (("empty", 25), ("lying", 10)):
        for photo in sorted((folder / "beds" / label).iterdir())[kept:]:
            photo.unlink()
    return folder / "beds"


@pytest.fixture(scope="module")
def adapted(small_run: Run, standing_day: Path) -> dict[str, Any]:
    return evaluate(small_run.path, standing_day, shares="adapt")


def test_both_figures_are_there_and_the_shares_are_near_the_truth(adapted: dict[str, Any], standing_day: Path) -> None:
    shares = adapted["shares"]
    assert shares["method"] == "adapt"
    assert shares["reason"] is None, shares["reason"]
    assert adapted["test"]["n"] == shares["adapted"]["n"] == shares["n"]
    counts = {name: len(list((standing_day / name).iterdir())) for name in shares["now"]}
    for name, count in counts.items():
        truth, found = count / sum(counts.values()), shares["now"][name]
        assert found["value"] == pytest.approx(truth, abs=0.15)
        assert abs(found["value"] - truth) <= abs(shares["before"][name] - truth) + 0.05
    assert sum(share["value"] for share in shares["now"].values()) == pytest.approx(1)
    # More of the standing cows are found; that all photos together gain is not promised for another barn.
    recalls = [scores["per_class"]["standing"]["recall"]["value"] for scores in (adapted["test"], shares["adapted"])]
    assert recalls[1] >= recalls[0]


def test_labels_are_never_used(small_run: Run, standing_day: Path, tmp_path: Path, adapted: dict[str, Any]) -> None:
    # The same photos under exchanged labels: the same shares.
    for label, other in (("empty", "lying"), ("lying", "standing"), ("standing", "empty")):
        shutil.copytree(standing_day / label, tmp_path / "beds" / other)
    exchanged = evaluate(small_run.path, tmp_path / "beds", shares="adapt")["shares"]
    for name, share in adapted["shares"]["now"].items():
        assert exchanged["now"][name]["value"] == pytest.approx(share["value"], abs=1e-6)
    assert exchanged["changed"] == adapted["shares"]["changed"]


def test_without_shares_nothing_is_said_of_them(small_run: Run, standing_day: Path, adapted: dict[str, Any]) -> None:
    plain = evaluate(small_run.path, standing_day)
    assert "shares" not in plain
    assert plain["test"] == adapted["test"]


def test_bars_are_held_against_the_figures_with_the_shares(small_run: Run, standing_day: Path) -> None:
    found = evaluate(small_run.path, standing_day, shares={"standing": 1.0}, require=["recall[standing]>=0.99"])
    assert found["shares"]["adapted"]["per_class"]["standing"]["recall"]["value"] == 1
    assert found["requirements"][0]["figures"][0]["value"] == 1
    assert found["shares"]["now"]["empty"] == {"value": 0, "low": None, "high": None, "method": "given", "n": 0}
    assert Metrics.from_json(found).to_json()["shares"] == found["shares"]


def test_photos_that_were_trained_on_are_not_adapted_to(small_run: Run, small_barn: Path) -> None:
    shares = evaluate(small_run.path, small_barn / "beds", shares="adapt")["shares"]
    assert shares["adapted"] is None
    assert shares["reason"] == "the model was trained on all of these photos"


def test_too_few_photos_keep_their_figures_and_a_reason(
    small_run: Run, standing_day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lying").mkdir()
    for photo in sorted((standing_day / "lying").iterdir())[:5]:
        shutil.copy(photo, tmp_path / "lying")
    report = tmp_path / "report.html"
    assert (
        main(["evaluate", str(small_run.path), str(tmp_path), "--shares", "adapt", "-q", "--report", str(report)]) == 0
    )
    told = capsys.readouterr().out
    assert "--shares changes nothing here: the shares cannot be found from so few photos: 5 of the 30" in told
    assert "The figures stay as they are: the shares cannot be found" in report.read_text("utf-8")


def test_the_summary_and_the_page_show_both(
    small_run: Run, standing_day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    words = ["evaluate", str(small_run.path), str(standing_day), "--shares", "standing=60%", "-q"]
    assert main([*words, "--report", str(report), "--lang", "es"]) == 0
    told = capsys.readouterr().out
    assert "Con las proporciones de las clases que se dieron:" in told
    assert "standing: " in told
    page = report.read_text("utf-8")
    assert 'id="shares"' in page
    assert "60.0" in page


def test_wrong_shares_are_refused_before_any_work(small_run: Run, standing_day: Path) -> None:
    with pytest.raises(ConfigError, match="found 'calf'"):
        evaluate(small_run.path, standing_day, shares={"calf": 0.5})
    with pytest.raises(ConfigError, match="found --shares beside it"):
        evaluate(small_run.path, standing_day, unknown=True, shares="adapt")
