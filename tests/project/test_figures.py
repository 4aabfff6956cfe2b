"""The figures that README, guide, questions and the example case quote are those that the command beside them gives.

`tests/project/figures` holds, a file a command, what its run gave. The pages are compared with these files, everywhere;
the files with the commands, where there is time (`slow`) and, for real photos, where those are beside the checkout.
The groceries take minutes: their file is made anew by hand.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from certero.business.case import read_case
from certero.cli.main import main
from certero.stats.intervals import wilson

FIGURES = Path(__file__).with_name("figures")
Json = dict[str, Any]

# Half of the last digit that the pages show, 0.1 %: a figure further away reads differently.
_HALF_A_DIGIT = 0.0005


def _stored(name: str) -> Json:
    figures: Json = json.loads((FIGURES / f"{name}.json").read_text("utf-8"))
    return figures


BEDS, DEMO, GROCERY, FARM = (_stored(name) for name in ("beds", "demo", "grocery36", "demo-farm"))


# --- the pages against the stored figures


def test_the_readme_shows_what_the_barn_gave() -> None:
    block = _console("README.md", BEDS["command"])
    assert block[:-2] == [
        f"Accuracy on other hours of this day: {_shown(BEDS['accuracy'])}, on {BEDS['n']} photos, each judged by a "
        "model that had not seen it.",
        "On other days: not measured. Trained on one half of the day and asked about the other: "
        f"{_percent(BEDS['later'])}% and {_percent(BEDS['earlier'])}%. Bring photos of at least 3 days.",
        "Weakest of 3 classes (share of their photos that was found, and what to expect of it):",
        *(
            f"  {label}: {_percent(BEDS['recall'][label])}% of {expected['n']}, expect {_shown(expected)}"
            for label, expected in BEDS["weakest"].items()
        ),
        f"Always naming the commonest class: {_shown(BEDS['majority_class_accuracy'])}.",
        f"A random split would have claimed {_percent(BEDS['random_split_accuracy'])}%, "
        f"{_points(BEDS['optimism_of_random_split'])}.",
    ]
    assert [line.split(":")[0] for line in block[-2:]] == ["Report", "Model"]
    assert f"Only {BEDS['recall']['standing']['n']} of the photos show a standing cow" in _text("README.md")


def test_the_guide_shows_what_the_three_data_sets_gave() -> None:
    rows = re.findall(r"^\| .* \| (.*) \| (.*) \| `(certero .*)` \|$", _page("docs/guide.md"), re.MULTILINE)
    assert rows == [
        (_shown(run["accuracy"]).replace("%", " %"), _percent(run["random_split_accuracy"]) + " %", run["command"])
        for run in (DEMO, BEDS, GROCERY)
    ]
    guide = _text("docs/guide.md")
    assert f"| the demo's barn: {DEMO['n']:,} photos of 3 beds" in guide
    assert f"| {BEDS['n']} photos of 3 beds, a real barn camera" in guide
    assert f"`{_shown(DEMO['accuracy'])}`: if you measured again on other photos" in guide


def test_the_question_of_rare_classes_shows_what_the_barn_gave() -> None:
    standing = BEDS["recall"]["standing"]
    found = BEDS["confusion"]["standing"]["standing"]
    value, low, high = (f"{100 * standing[end]:.0f}" for end in ("value", "low", "high"))
    assert (
        f"of {standing['n']} standing cows {found} were found, which is {value} % "
        f"and may be anything from {low} to {high} % (`{BEDS['command']}`)"
    ) in _text("docs/questions.md")


def test_the_question_of_tomorrow_shows_what_the_barn_gave() -> None:
    questions = _text("docs/questions.md")
    assert f"Of one day's photos, {_percent(BEDS['accuracy'])} % were labelled correctly" in questions
    assert (
        f"it was right on {_percent(BEDS['later'])} and {_percent(BEDS['earlier'])} % (`{BEDS['command']}`)"
        in questions
    )


def test_the_question_of_optimism_shows_what_the_groceries_gave() -> None:
    points = f"{100 * GROCERY['optimism_of_random_split']['value']:.0f}"
    assert f"On groceries it is [{points} points too high]" in _text("docs/questions.md")
    promised, honest = (f"{100 - 100 * GROCERY[key]['value']:.0f}" for key in ("random_split_accuracy", "accuracy"))
    assert f"promised {promised} mistakes in 100 where there are {honest}." in _text("docs/guide.md")


def test_the_shipped_farm_counts_what_the_barn_gave() -> None:
    case = read_case("farm")
    assert case.figures is not None
    counts = case.figures.counts or {}
    assert {label: {other: row[other] for other in counts} for label, row in counts.items()} == BEDS["confusion"]
    assert sum(row["no_label"] for row in counts.values()) == 0
    comments = (ROOT / "src" / "certero" / "business" / "examples" / "farm.toml").read_text("utf-8")
    assert f"{BEDS['n']} crops of one day, cross-validated ({BEDS['command']})" in comments


def test_the_guide_shows_what_the_demo_is_worth() -> None:
    asked = FARM["asked"]
    gain, low, high = (_dollars(FARM["accept_all_gain_per_item_money"][end]) for end in ("value", "low", "high"))
    threshold = f"{FARM['threshold']['value']:.4g}"
    assert _console("docs/guide.md", FARM["command"]) == [
        f"Payback: {_months(FARM['payback_months'])}.",
        f"Threshold: {threshold}; below it a person is asked, for {_percent(asked)}% of the photos.",
        f"Accepting every answer would gain {gain} ({low} to {high}) an item.",
    ]
    guide = _text("docs/guide.md")
    assert f"with a threshold that asks about {100 * asked['value']:.0f} % of the photos it pays back" in guide


def test_the_guide_shows_what_the_shop_is_worth(capsys: pytest.CaptureFixture[str]) -> None:
    command = "certero value --case shop"
    assert main([*shlex.split(command)[1:], "--lang", "en"]) == 0
    said = " ".join(capsys.readouterr().out.split())  # a narrow terminal breaks lines
    for line in _console("docs/guide.md", command):
        assert line in said


def test_the_question_of_test_photos_shows_the_interval_of_wilson() -> None:
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) to ([\d.]+) % \|$", _page("docs/questions.md"), re.MULTILINE)
    assert len(rows) == 6
    for n, low, high in rows:
        ends = wilson(0.9, int(n.replace(",", "")))
        assert (low, high) == tuple(f"{100 * end:.1f}" for end in ends), n


# --- the stored figures against the commands


@pytest.mark.slow
def test_the_barn_gives_the_stored_figures(caetec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = BEDS["command"].replace("path/to", str(caetec))
    _compare(_figures(_run([*shlex.split(command), "-o", str(tmp_path / "run")], capsys)), BEDS)


@pytest.mark.slow
def test_the_demo_and_its_worth_give_the_stored_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    _compare(_figures(_run([*shlex.split(DEMO["command"]), "--no-open", "-o", str(folder)], capsys)), DEMO)
    worth = _run(shlex.split(FARM["command"].replace("demo/", f"{folder}/")), capsys)
    _compare(_worth(worth), FARM)


def _run(words: list[str], capsys: pytest.CaptureFixture[str]) -> Json:
    pytest.importorskip("onnx", reason="training needs the [train] extra")
    capsys.readouterr()
    assert main([*words[1:], "--json", "-", "--quiet"]) == 0
    answer: Json = json.loads(capsys.readouterr().out)
    return answer


def _figures(metrics: Json) -> Json:
    """What the pages quote of a run's metrics."""
    test = metrics["test"]
    classes, counts = test["confusion"]["classes"], test["confusion"]["counts"]
    figures = {
        "n": test["accuracy"]["n"],
        "accuracy": _quantity(test["accuracy"]),
        "majority_class_accuracy": _quantity(test["majority_class_accuracy"]),
        "random_split_accuracy": _quantity(metrics["random_split_accuracy"]),
        "optimism_of_random_split": _quantity(metrics["optimism_of_random_split"]),
    }
    if metrics["other_half"] is not None:
        halves = ("later", "earlier")
        figures |= {half: {"value": round(metrics["other_half"][half]["accuracy"]["value"], 6)} for half in halves}
    if len(classes) > 3:  # no page quotes single classes of so many
        return figures
    return figures | {
        "recall": {label: _quantity(test["per_class"][label]["recall"]) for label in classes},
        "weakest": {
            weak["class"]: _quantity(weak["recall"]) for weak in (test["weakest_class"], *test["weakest_class"]["next"])
        },
        "confusion": {label: dict(zip(classes, row, strict=True)) for label, row in zip(classes, counts, strict=True)},
    }


def _worth(answer: Json) -> Json:
    """What the pages quote of `certero value --json`."""
    return {
        "payback_months": _quantity(answer["payback_months"]),
        "threshold": {"value": answer["threshold"]["value"]},
        "asked": _quantity(answer["asked"]),
        "accept_all_gain_per_item_money": _quantity(answer["accept_all"]["gain_per_item_money"]),
    }


def _quantity(quantity: Json) -> Json:
    ends = {end: None if quantity[end] is None else round(quantity[end], 6) for end in ("value", "low", "high")}
    return ends | {"n": quantity["n"]}


def _compare(found: Json, stored: Json) -> None:
    """Counts are to be equal, shares within half of what is shown, months and money within half a per cent."""
    expected = {key: value for key, value in stored.items() if key != "command"}
    new = json.dumps({"command": stored["command"], **found}, indent=2)
    message = (
        f"`{stored['command']}` gives other figures than tests/project/figures and the pages say; now they are\n{new}"
    )
    now, before = _numbers(found), _numbers(expected)
    assert now.keys() == before.keys(), message
    for key, value in before.items():
        close = (
            value if isinstance(value, int) else pytest.approx(value, rel=0.005 if value > 1 else 0, abs=_HALF_A_DIGIT)
        )
        assert now[key] == close, f"{key}: {message}"


def _numbers(value: Any, path: str = "") -> dict[str, float]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return {key: n for name, item in value.items() for key, n in _numbers(item, f"{path}.{name}").items()}
    return {path: value}


# --- as the pages write it


def _page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _text(name: str) -> str:
    """A page without its line breaks."""
    return " ".join(_page(name).split())


def _console(page: str, command: str) -> list[str]:
    """What a page shows as the answer to a command."""
    blocks = re.findall(rf"^```console\n\$ {re.escape(command)}\n(.*?)^```", _page(page), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"{page}: {command}"
    lines: list[str] = blocks[0].splitlines()
    return lines


def _percent(quantity: Json) -> str:
    return f"{100 * quantity['value']:.1f}"


def _shown(quantity: Json) -> str:
    return f"{_percent(quantity)}% ({100 * quantity['low']:.1f} to {100 * quantity['high']:.1f})"


def _points(quantity: Json) -> str:
    value, low, high = (f"{100 * quantity[end]:.1f}" for end in ("value", "low", "high"))
    return f"{value} points more than measured ({low} to {high})"


def _months(quantity: Json) -> str:
    # A payback without an upper end may never come.
    low, high = ("never" if quantity[end] is None else f"{quantity[end]:.1f}" for end in ("low", "high"))
    return f"{quantity['value']:.1f} months ({low} to {high})"


def _dollars(amount: float) -> str:
    return f"{'−' if amount < 0 else ''}${abs(amount):.4f}"
