"""What a model is worth: the shop's figures, runs, saved thresholds, mistakes and the template."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from value_examples import BEDS, FARM, SHOP

import certero
from certero.business.case import example_names, read_case
from certero.business.template import template
from certero.cli.main import main
from certero.errors import ConfigError
from certero.interchange import Json
from certero.pipelines.train import Run
from certero.runtime.model_file import read_model


def run_json(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Json:
    assert main([*arguments, "--json", "-", "--quiet"]) == 0
    answer: Json = json.loads(capsys.readouterr().out)
    return answer


# --- the shop's figures


def test_the_shop_as_its_report_computed_it(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run_json(["value", "--case", "shop-as-reported"], capsys)
    assert answer["schema"] == 1
    expected = {
        "gain_per_item_minutes": 0.88,
        "minutes_per_month": 880,
        "money_per_month": 146666.66666666666,
        "payback_months": 16.363636363636363,
    }
    for key, figure in expected.items():
        assert answer[key]["value"] == pytest.approx(figure, abs=1e-9, rel=1e-12), key
        assert answer[key]["low"] is None, "a precision without its number of photos has no interval"
        assert answer[key]["method"] == "photos_unknown"
    assert answer["probability_never"] is None
    assert any("counts every photo as answered" in note for note in answer["notes"])


def test_the_shop_as_it_should_be_counts_photos_without_label_and_has_an_interval() -> None:
    answer = certero.value(case="shop")
    right, wrong = 0.40, 0.40 / 0.47 - 0.40
    gain = right * 3 + wrong * (3 - 4)
    assert answer["gain_per_item_minutes"]["value"] == pytest.approx(gain, abs=1e-9)
    assert answer["asked"]["value"] == pytest.approx(1 - 0.40 / 0.47, abs=1e-9)
    months = answer["payback_months"]
    assert months["value"] == pytest.approx(2_400_000 / (1000 * gain * 10000 / 60), abs=1e-9)
    assert months["low"] < months["value"] < months["high"]
    assert answer["n"] == 2266
    # Its other model: no photo without label, and less money for it.
    case = {**SHOP, "figures": {"precision": 0.38, "recall": 0.38, "n": 2266}}
    assert certero.value(case=case)["gain_per_item_minutes"]["value"] < gain - 0.2


@pytest.mark.parametrize("name", example_names())
def test_every_example_works_alone_and_counts_are_the_same_as_shares(name: str) -> None:
    answer = certero.value(case=name)
    payback, gain = answer["payback_months"]["value"], answer["gain_per_item_money"]["value"]
    # A case that loses with every answer accepted never pays back, and says so.
    assert payback is not None or gain < 0
    assert answer["models"] == []


def test_counts_give_what_precision_and_recall_give() -> None:
    counted = certero.value(case={**SHOP, "figures": {"right": 400, "wrong": 451, "no_label": 149}})
    shares = certero.value(case={**SHOP, "figures": {"precision": 400 / 851, "recall": 0.4, "n": 1000}})
    for key in ("gain_per_item_money", "payback_months", "asked"):
        for end in ("value", "low", "high"):
            assert counted[key][end] == pytest.approx(shares[key][end], abs=1e-9)


# --- a run


def test_a_run_is_judged_on_photos_that_it_never_saw_and_its_threshold_chosen_on_others(small_run: Run) -> None:
    answer = certero.value(small_run.path, case=FARM)
    test = small_run.metrics["test"]
    assert answer["n"] == test["n"]
    accuracy = answer["accept_all"]["accuracy"]["value"]
    assert accuracy == pytest.approx(test["accuracy"]["value"], abs=1e-12)
    gain = (0.1 - 0.005) - (1 - accuracy) * 2.0
    assert answer["accept_all"]["gain_per_item_money"]["value"] == pytest.approx(gain, abs=1e-9)
    assert answer["threshold"]["source"] == "held_out"
    assert answer["class_shares_from"] == "photos"
    held_out = pl.read_csv(small_run.path / "held_out.csv")
    assert answer["threshold"]["n"] == held_out.height
    assert any(row["threshold"] == 0 for row in answer["curve"])
    assert sum(answer["class_shares"].values()) == pytest.approx(1)


def test_held_out_answers_are_not_those_of_a_model_that_knows_the_photos(small_run: Run) -> None:
    held_out = pl.read_csv(small_run.path / "held_out.csv")
    assert held_out.columns == pl.read_csv(small_run.path / "predictions.csv").columns
    table = pl.read_parquet(small_run.path / "data.parquet")
    if small_run.metrics["evaluation"] != "cv":
        assert set(held_out["split"]) <= {"train", "val"}
        test = set(table.filter(pl.col("split") == "test")["path"])
        assert not test & set(held_out["path"])
        known = pl.read_csv(small_run.path / "predictions.csv").filter(pl.col("split") != "test")
        both = held_out.join(known, on="path")
        assert (both["probability"] - both["probability_right"]).abs().max() > 1e-3  # type: ignore[operator]


def copied(run: Run, place: Path) -> Path:
    shutil.copytree(run.path, place)
    return place


def test_predict_and_evaluate_abstain_by_the_saved_threshold(
    small_run: Run, small_barn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(small_run, tmp_path / "run")
    answer = run_json(
        ["value", str(run), "--case", _write(tmp_path, FARM), "--threshold", "0.9", "--save-threshold"], capsys
    )
    assert answer["threshold"]["saved"]
    assert read_model(run / "model.onnx")[1].threshold == 0.9
    photos = sorted((small_barn / "beds").rglob("*.jpg"))
    before = certero.load(small_run.path).predict(photos)
    after = certero.load(run).predict(photos)
    for old, new in zip(before, after, strict=True):
        assert old.probabilities == new.probabilities
        assert new.abstained == (old.probability < 0.9)
        assert new.label == (None if new.abstained else old.label)
    assert any(row.abstained for row in after)
    assert not all(row.abstained for row in after)
    metrics = certero.evaluate(run, small_barn / "beds.csv")
    assert metrics["threshold"] == 0.9
    assert sum(metrics["test"]["confusion"]["no_label"]) == sum(row.abstained for row in after)
    # 0 accepts everything again.
    run_json(["value", str(run), "--case", _write(tmp_path, FARM), "--threshold", "0", "--save-threshold"], capsys)
    assert read_model(run / "model.onnx")[1].threshold is None


def test_thresholds_per_class_are_saved_and_obeyed(small_run: Run, small_barn: Path, tmp_path: Path) -> None:
    run = copied(small_run, tmp_path / "run")
    costly = {**FARM, "error_cost": 4.0, "ask_minutes": 0}
    answer = certero.value(run, case=costly, per_class=True, save_threshold=True)
    rule = answer["threshold"]["per_class"]
    card = read_model(run / "model.onnx")[1]
    assert card.threshold == rule
    assert card.schema == 2, "an older certero must not read what it cannot obey"
    assert set(rule) == set(card.classes)
    for row in certero.load(run).predict(sorted((small_barn / "beds").rglob("*.jpg"))):
        assert row.probabilities is not None
        best = max(row.probabilities, key=lambda name: row.probabilities[name])  # type: ignore[index]
        assert row.abstained == (row.probability < rule[best])
    again = certero.value(run, case=costly, threshold="model")
    if small_run.metrics["evaluation"] == "cv":
        # Judged on the photos that it was chosen on it looks better than it is, and certero says so.
        assert again["gain_per_item_money"]["value"] >= answer["gain_per_item_money"]["value"]
        assert any("then the figures are too good" in note for note in again["notes"])
    else:
        assert again["gain_per_item_money"]["value"] == pytest.approx(answer["gain_per_item_money"]["value"], abs=1e-12)


def test_models_are_compared_on_the_same_photos_by_the_same_draws(small_run: Run, tmp_path: Path) -> None:
    other = copied(small_run, tmp_path / "other")
    rows = (other / "predictions.csv").read_text("utf-8").splitlines()
    # The other model names everything lying, with the same sureness.
    changed = []
    for line in rows[1:]:
        cells = line.split(",")
        changed.append(",".join([*cells[:3], "lying", "0.9", "0.05", "0.9", "0.05"]))
    (other / "predictions.csv").write_text("\n".join([rows[0], *changed]) + "\n", "utf-8")
    answer = certero.value(small_run.path, small_run.path, other, case=FARM, threshold="none")
    same, worse = (row["compared"] for row in answer["models"])
    assert same["money_per_month"]["value"] == 0
    assert same["verdict"] == "cannot tell"
    difference = answer["models"][1]["money_per_month"]["value"] - answer["money_per_month"]["value"]
    assert worse["money_per_month"]["value"] == pytest.approx(difference, abs=1e-9)
    if worse["money_per_month"]["low"] is not None:
        assert worse["verdict"] == "worse"
        assert worse["money_per_month"]["low"] <= difference <= worse["money_per_month"]["high"]


def test_other_photos_are_judged_without_those_that_were_trained_on(
    small_run: Run, small_barn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = _write(tmp_path, FARM)
    if small_run.metrics["evaluation"] == "cv":
        assert main(["value", str(small_run.path), "--case", case, "--data", str(small_barn / "beds.csv"), "-q"]) == 2
        assert "were in training" in capsys.readouterr().err
    from PIL import Image, ImageOps

    for name in BEDS:
        (tmp_path / "new" / name).mkdir(parents=True)
        for file in sorted((small_barn / "beds" / name).iterdir())[:6]:
            ImageOps.flip(Image.open(file)).save(tmp_path / "new" / name / file.name)
    answer = run_json(["value", str(small_run.path), "--case", case, "--data", str(tmp_path / "new")], capsys)
    assert answer["evaluation"] == "data"
    assert 0 < answer["n"] <= 18


def test_value_imports_no_torch(small_run: Run) -> None:
    code = (
        "import sys; from certero.cli.main import main; "
        f"assert main(['value', {str(small_run.path)!r}, '--case', 'shop', '-q', '--json', '-']) == 0; "
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _write(folder: Path, fields: Mapping[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items() if not isinstance(value, dict)]
    for key, table in fields.items():
        if isinstance(table, dict):
            lines.append(f"[{key}]")
            lines += [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in table.items()]
    file = folder / "case.toml"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return str(file)


# --- mistakes

ALONE = {**SHOP, "figures": {"accuracy": 0.5, "n": 100}}
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "zero volume": ({**ALONE, "volume_per_month": 0}, "volume_per_month must be a number, above 0; found 0"),
    "negative rate": ({**ALONE, "hour_cost": -1}, "hour_cost must be a number, at least 0; found -1"),
    "negative discount": (
        {**ALONE, "discount_rate_per_year": -0.1},
        "discount_rate_per_year must be a number, at least",
    ),
    "percent": ({**ALONE, "discount_rate_per_year": 10}, "must be a share, 0.1 for 10 %"),
    "unknown field": ({**ALONE, "volume_month": 5}, "found volume_month. Did you mean volume_per_month?"),
    "missing field": ({"volume_per_month": 5}, "found no by_hand_minutes, with_model_minutes, hour_cost"),
    "text": ({**ALONE, "hour_cost": "much"}, "hour_cost must be a number, at least 0; found 'much'"),
    "true": ({**ALONE, "hour_cost": True}, "hour_cost must be a number"),
    "two ways": ({**SHOP, "figures": {"accuracy": 0.5, "precision": 0.4}}, "must be given in one way"),
    "recall above precision": ({**SHOP, "figures": {"precision": 0.4, "recall": 0.5}}, "recall must not be above"),
    "share above one": ({**SHOP, "figures": {"accuracy": 47}}, "share from 0 to 1, 0.47 for 47 %"),
    "no figures": (SHOP, "a case without [figures] needs a MODEL"),
    "classes without counts": ({**ALONE, "error_cost": {"a": 1}}, "error_cost by class needs figures by class"),
    "decimal sign": ({**ALONE, "currency_format": {"thousands": ".", "decimal": "."}}, "must differ from thousands"),
    "n does not fit": ({**SHOP, "figures": {"right": 3, "wrong": 3, "n": 9}}, "sum to the photos; found 6 and n = 9"),
}
RUN_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "shares do not sum to one": ({**FARM, "class_shares": {"empty": 0.5, "lying": 0.3, "standing": 0.3}}, "sum to 1.1"),
    "shares of unknown classes": (
        {**FARM, "class_shares": {"cow": 1.0}},
        "found unknown cow; no empty, lying, standing",
    ),
    "matrix with the wrong classes": (
        {**FARM, "error_cost": {"empty": 1, "lying": 1}},
        "error_cost must name every class of the model (empty, lying, standing); found no standing",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_case_is_one_clear_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields, message = MISTAKES[name]
    assert main(["value", "--case", _write(tmp_path, fields)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize("name", RUN_MISTAKES)
def test_a_case_that_does_not_fit_the_model_is_one_clear_line(
    name: str, small_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields, message = RUN_MISTAKES[name]
    assert main(["value", str(small_run.path), "--case", _write(tmp_path, fields), "-q"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_class_that_the_case_expects_must_be_among_the_test_photos(
    small_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(small_run, tmp_path / "run")
    lines = (run / "predictions.csv").read_text("utf-8").splitlines()
    kept = [line for line in lines if line.split(",")[2] != "standing"]
    (run / "predictions.csv").write_text("\n".join(kept) + "\n", "utf-8")
    fields = {**FARM, "class_shares": {"empty": 0.5, "lying": 0.3, "standing": 0.2}}
    assert main(["value", str(run), "--case", _write(tmp_path, fields), "-q"]) == 2
    assert "found none of standing" in capsys.readouterr().err
    fields["class_shares"] = {"empty": 0.5, "lying": 0.5, "standing": 0.0}
    assert main(["value", str(run), "--case", _write(tmp_path, fields), "-q"]) == 0


def test_a_model_without_stored_answers_is_one_clear_line(
    small_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = _write(tmp_path, FARM)
    shutil.copy(small_run.model, tmp_path / "model.onnx")
    assert main(["value", str(tmp_path / "model.onnx"), "--case", case, "-q"]) == 2
    assert "with predictions.csv and data.parquet" in capsys.readouterr().err
    run = copied(small_run, tmp_path / "sealed")
    lines = (run / "predictions.csv").read_text("utf-8").splitlines()
    kept = [line for line in lines if line.split(",")[1] in ("split", "train", "val")]
    (run / "predictions.csv").write_text("\n".join(kept) + "\n", "utf-8")
    assert main(["value", str(run), "--case", case, "-q"]) == 2
    assert "never opened them (--no-test)" in capsys.readouterr().err
    old = copied(small_run, tmp_path / "old")
    (old / "held_out.csv").unlink()
    assert main(["value", str(old), "--case", case, "--save-threshold", "-q"]) == 2
    assert "held_out.csv" in capsys.readouterr().err
    assert main(["value", str(old), "--case", case, "-q"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--case must name the assumptions"),
        (["--case", "nowhere.toml"], "nowhere.toml: No such file"),
        (["--case", "shop", "--threshold", "high"], "--threshold must be best, model, none or a number"),
        (["--case", "shop", "--threshold", "1.5"], "--threshold must lie between 0 and 1"),
        (["--case", "shop", "--save-threshold"], "need a MODEL"),
        (["--case", "shop", "--split", "test"], "found no --data"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["value", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_threshold_at_which_nothing_earns_is_not_saved(small_run: Run, tmp_path: Path) -> None:
    run = copied(small_run, tmp_path / "run")
    before = (run / "model.onnx").read_bytes()
    ruinous = {**FARM, "with_model_minutes": 5.0, "ask_minutes": 0.0}
    with pytest.raises(ConfigError, match="asking a person always is best"):
        certero.value(run, case=ruinous, save_threshold=True)
    assert (run / "model.onnx").read_bytes() == before


# --- the template


def test_init_writes_a_case_that_works_and_never_overwrites(
    small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["value", "--init"]) == 0
    assert main(["value", str(small_run.path), "--case", "case.toml", "-q"]) == 0
    assert "Payback" in capsys.readouterr().out
    before = Path("case.toml").read_text("utf-8")
    assert main(["value", "--init"]) == 2
    assert "must not overwrite" in capsys.readouterr().err
    assert Path("case.toml").read_text("utf-8") == before
    assert main(["value", str(small_run.path), "--init", "--case", "mine.toml"]) == 0
    assert "lying" in Path("mine.toml").read_text("utf-8")


def test_the_template_names_every_field_and_its_comments_work_too() -> None:
    from dataclasses import fields

    from certero.business.case import Case, CurrencyFormat

    text = template(BEDS)
    for field in [*fields(Case), *fields(CurrencyFormat)]:
        assert field.name in text, field.name
    classes = ("plain", 'with "quotes" and.dots', "señal")
    lines = template(classes).splitlines()
    start = lines.index("# [class_shares]")
    shares = [line.removeprefix("# ") for line in lines[start : start + 4]]
    assert set(tomllib.loads("\n".join(shares))["class_shares"]) == set(classes)
    pairs = [line.removeprefix("# ") for line in lines if line.startswith("# error_cost.")]
    assert set(tomllib.loads("\n".join(pairs))["error_cost"]) == set(classes)


def test_the_shipped_farm_fits_the_demo() -> None:
    case = read_case("farm")
    assert set(case.class_shares or {}) == set(BEDS)
