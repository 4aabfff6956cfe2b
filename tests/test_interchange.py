"""What programs read: JSON that every parser takes, and CSV in which a column has one meaning."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw

import certero
from certero.cli.main import main
from certero.errors import ModelFileError
from certero.interchange import FIXED_COLUMNS, apart, class_columns, csv_text, json_text
from certero.pipelines.train import Run
from certero.runs.stored import read_run

SOURCE = Path(certero.__file__).parent
CLASSES = (*FIXED_COLUMNS, "class_label", "group")
# Read by certero alone: keys of caches, texts of TOML, the place in a training.
_INTERNAL = {
    *("business/template.py", "data/patterns.py", "interchange.py", "learn/checkpoints.py", "photos/views.py"),
    *("probe/export.py", "probe/features.py", "runs/resume.py", "stages/look.py"),
}


@pytest.fixture(scope="module")
def named_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model whose classes are called like columns."""
    folder = tmp_path_factory.mktemp("named")
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / "photos" / name).mkdir(parents=True)
        for photo in range(8):
            image = Image.fromarray(random.integers(60, 200, (48, 48, 3), dtype=np.uint8))
            ImageDraw.Draw(image).rectangle((4 * number, 8, 4 * number + 12, 40), fill=f"hsl({number * 40}, 90%, 50%)")
            image.save(folder / "photos" / name / f"{photo}.png")
    return certero.train(folder / "photos", output=folder / "run", random_splits=0)


def test_a_figure_that_is_not_finite_is_null_wherever_it_stands() -> None:
    data = {"a": float("nan"), "b": [1.5, float("inf"), (float("-inf"), {"c": np.float64("nan")})], "d": "NaN"}
    assert json.loads(json_text(data), parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, None, [None, {"c": None}]],
        "d": "NaN",
    }
    assert json_text({"b": 1, "a": "ñ"}, sort_keys=True) == '{"a": "ñ", "b": 1}'
    assert json_text(["ñ"], ensure_ascii=True) == '["\\u00f1"]'


def test_every_json_file_is_written_by_the_one_writer() -> None:
    found = {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        if re.search(r"json\.dumps?\(", file.read_text("utf-8"))
    }
    assert found == _INTERNAL


def test_metrics_and_the_card_hold_no_nan(named_run: Run, tmp_path: Path) -> None:
    from certero.cli.terminal.summary import print_json
    from certero.runtime.model_file import read_model

    for name in ("metrics.json", "openings.jsonl"):
        json.loads((named_run.path / name).read_text("utf-8"), parse_constant=pytest.fail)
    card = read_model(named_run.model)[1]
    broken = dataclasses.replace(card, calibration=card.calibration | {"temperature": float("nan")})
    assert json.loads(broken.to_text(), parse_constant=pytest.fail)["calibration"]["temperature"] is None
    print_json({"test": {"accuracy": float("nan")}}, str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text("utf-8"), parse_constant=pytest.fail)["test"] == {
        "accuracy": None
    }


def test_the_column_of_a_class_is_called_like_nothing_else() -> None:
    assert class_columns(["lying", "standing", "Label"]) == ["lying", "standing", "Label"]
    assert class_columns(["label", "class_label", "class_class_label"]) == [
        *("class_class_class_label", "class_label", "class_class_label")
    ]
    columns = [*FIXED_COLUMNS, *class_columns(CLASSES)]
    assert len(set(columns)) == len(columns)
    assert apart(["width", "manifest_width", "camera"], {"width"}, "manifest_") == [
        *("manifest_manifest_width", "manifest_width", "camera")
    ]


def test_a_class_called_like_a_column_is_read_by_name(named_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    columns = dict(zip(sorted(CLASSES), class_columns(sorted(CLASSES)), strict=True))
    for name in ("predictions.csv", "held_out.csv"):
        with (named_run.path / name).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows[0]) == 5 + len(CLASSES)
        for row in rows:
            assert row["label"] == Path(row["path"]).parent.name
            assert float(row[columns[row["predicted"]]]) == float(row["probability"])
    photos = named_run.path.parent / "photos"
    assert main(["predict", str(named_run.path), str(photos), "-q", "--csv", "-"]) == 0
    text = capsys.readouterr().out
    header = text.partition("\n")[0].split(",")
    assert len(set(header)) == len(header) == 5 + len(CLASSES)
    for row in csv.DictReader(io.StringIO(text)):
        assert row["error"] == ""
        assert row["label"] in CLASSES
        assert row[columns[row["label"]]] == row["probability"]


def test_answers_of_such_a_run_are_compared_and_those_of_older_versions_too(named_run: Run) -> None:
    judged = read_run(named_run.path).judged
    probabilities = pl.read_csv(named_run.path / "predictions.csv")
    assert judged.classes == tuple(sorted(CLASSES))
    assert len(judged.truth) == probabilities.height
    answer = certero.compare(named_run.path, named_run.path, speed=False)
    assert answer["n"] == probabilities.height
    file = named_run.path / "predictions.csv"
    text = file.read_text("utf-8")
    try:
        # As it was written before: classes by their plain names, twice `label`.
        file.write_text(",".join([*text.split(",", 5)[:5], *sorted(CLASSES)]) + text[text.index("\n") :], "utf-8")
        again = read_run(named_run.path).judged
        assert np.array_equal(again.truth, judged.truth)
        assert np.array_equal(again.confidence, judged.confidence)
        file.write_text(text.replace(",group", ",herd", 1), "utf-8")
        with pytest.raises(ModelFileError, match="herd"):
            read_run(named_run.path)
    finally:
        file.write_text(text, "utf-8")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", " =1", "\u00a0=1", "＝1", "\n=1"])
def test_a_text_that_a_spreadsheet_would_run_is_defused_when_asked(cell: str) -> None:
    rows = [["path", cell], ["a.jpg", -0.5, None]]
    assert next(csv.reader(io.StringIO(csv_text(rows), newline=""))) == ["path", cell]
    asked = list(csv.reader(io.StringIO(csv_text(rows, for_spreadsheet=True), newline="")))
    assert asked[0] == ["path", "'" + cell]
    assert asked[1] == ["a.jpg", "-0.5", ""]
    assert csv_text([["café", "a-b", "x=1"]], for_spreadsheet=True) == "café,a-b,x=1\n"


def test_predict_writes_csv_for_a_spreadsheet_when_asked(
    named_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = next((named_run.path.parent / "photos" / "label").iterdir())
    (tmp_path / "=cmd.png").write_bytes(photo.read_bytes())
    monkeypatch.chdir(tmp_path)
    ask = ["predict", str(named_run.path), "=cmd.png", "-q"]
    assert main([*ask, "--csv", "-"]) == 0
    plain = capsys.readouterr().out
    assert main([*ask, "--csv", "-", "--csv-for", "programs"]) == 0
    assert capsys.readouterr().out == plain
    assert main([*ask, "--csv", "-", "--csv-for", "spreadsheet"]) == 0
    assert capsys.readouterr().out == plain.replace("\n=cmd", "\n'=cmd")
    assert main([*ask, "--csv", "-", "--csv-for", "excel"]) == 2
    assert "--csv-for must be one of programs, spreadsheet" in capsys.readouterr().err
    assert main([*ask, "--csv-for", "spreadsheet"]) == 2
    assert "no --csv" in capsys.readouterr().err
