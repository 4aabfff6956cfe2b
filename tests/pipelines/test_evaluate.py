"""`certero evaluate`: what a model is worth on other photos, and how many of them it has seen."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("polars", reason="evaluating needs the [report] extra")

import numpy as np
from PIL import Image

from certero.barn.render import render_barn
from certero.cli.main import main
from certero.errors import ConfigError, DataError
from certero.pipelines.evaluate import evaluate
from certero.runs.model import load

if TYPE_CHECKING:
    from certero.pipelines.train import Run

CLASSES = ("empty", "lying", "standing")


@pytest.fixture(scope="module")
def fresh_barn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another barn: photos that the model of `small_run` has not seen."""
    folder = tmp_path_factory.mktemp("fresh") / "barn"
    render_barn(folder, days=1, interval_minutes=60, seed=7)
    return folder


@pytest.fixture(scope="module")
def fresh_metrics(small_run: Run, fresh_barn: Path) -> dict[str, Any]:
    return evaluate(small_run.path, fresh_barn / "beds")


def _reencode(barn: Path, target: Path, each: int, suffix: str) -> list[Path]:
    """Photos of every class under new names, as another program would save them."""
    written = []
    for label in CLASSES:
        (target / label).mkdir(parents=True)
        for number, photo in enumerate(sorted((barn / "beds" / label).iterdir())[:each]):
            written.append(target / label / f"renamed {number}.{suffix}")
            Image.open(photo).save(written[-1], **({"quality": 85} if suffix == "jpg" else {}))
    return written


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_photos_of_the_training_set_are_recognised_renamed_and_re_encoded(
    small_run: Run, small_barn: Path, tmp_path: Path, suffix: str
) -> None:
    copies = _reencode(small_barn, tmp_path / "photos", 3, suffix)
    seen = evaluate(small_run.path, tmp_path / "photos")["seen"]
    names = {path.relative_to(tmp_path / "photos").as_posix() for path in copies}
    assert len(names) == 9
    assert seen["exact"] == len(seen["paths"])
    assert set(seen["paths"]) <= names
    assert seen["exact"] == 9
    assert seen["unseen"] is None
    assert "the model was trained on 9 of these 9 photos" in seen["warning"]


def test_fresh_photos_count_as_unseen(fresh_metrics: dict[str, Any]) -> None:
    assert fresh_metrics["test"]["n"] == 48
    assert fresh_metrics["seen"]["exact"] == 0
    assert fresh_metrics["seen"]["near"] is None
    assert fresh_metrics["seen"]["reason"] == "fixed camera: near copies cannot be told apart"
    assert fresh_metrics["seen"]["warning"] is None
    assert fresh_metrics["seen"]["paths"] == []
    assert fresh_metrics["seen"]["near_paths"] is None


def test_seen_photos_are_left_out_of_the_headline(
    small_run: Run, small_barn: Path, fresh_barn: Path, tmp_path: Path
) -> None:
    shutil.copytree(fresh_barn / "beds", tmp_path / "photos")
    alone = evaluate(small_run.path, tmp_path / "photos")["test"]
    for number, photo in enumerate(sorted((small_barn / "beds" / "lying").iterdir())[:5]):
        shutil.copyfile(photo, tmp_path / "photos" / "lying" / f"old-{number}.jpg")
    mixed = evaluate(small_run.path, tmp_path / "photos")
    assert mixed["seen"]["exact"] == 5
    assert mixed["test"]["n"] == alone["n"] + 5
    assert mixed["seen"]["unseen"]["n"] == alone["n"]
    assert mixed["seen"]["unseen"]["accuracy"]["value"] == pytest.approx(alone["accuracy"]["value"])


def test_mostly_seen_photos_raise_a_warning_that_cannot_be_overlooked(
    small_run: Run, small_barn: Path, fresh_barn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _reencode(small_barn, tmp_path / "photos", 8, "jpg")
    for label in CLASSES:
        for photo in sorted((fresh_barn / "beds" / label).iterdir())[:3]:
            shutil.copyfile(photo, tmp_path / "photos" / label / photo.name)
    arguments = ["evaluate", str(small_run.path), str(tmp_path / "photos"), "-q"]
    assert main([*arguments, "--report", str(tmp_path / "report.html")]) == 0
    first = capsys.readouterr().out.splitlines()
    warned = next(number for number, line in enumerate(first) if line.startswith("WARNING: the model was trained on"))
    assert set(first[warned - 1]) == set(first[warned + 1]) == {"!"}
    assert warned < next(number for number, line in enumerate(first) if line.startswith("Accuracy"))
    html = (tmp_path / "report.html").read_text("utf-8")
    assert 'class="warning loud" role="alert"' in html
    assert "Most of these photos are known to the model" in html
    assert "Not yet" in html
    # Where only a program reads standard output, a person still reads the other one.
    assert main([*arguments, "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["seen"]["warning"].startswith("the model was trained on 2")
    assert captured.err.startswith("WARNING: the model was trained on 2")


def test_a_folder_of_one_class_has_recall_and_no_precision(small_run: Run, fresh_barn: Path) -> None:
    body = evaluate(small_run.path, fresh_barn / "beds" / "lying")["test"]
    row = body["per_class"]["lying"]
    assert row["n"] == body["n"] > 0
    assert 0 <= row["recall"]["value"] <= 1
    assert row["precision"]["value"] is None
    assert row["f1"]["value"] is None
    assert body["per_class"]["empty"]["recall"]["value"] is None
    assert sum(map(sum, body["confusion"]["counts"])) == body["n"]


def test_label_names_the_class_of_every_photo_whatever_the_folders_are_called(
    small_run: Run, fresh_barn: Path, tmp_path: Path
) -> None:
    shutil.copytree(fresh_barn / "beds" / "lying", tmp_path / "monday" / "bed 1")
    named = evaluate(small_run.path, tmp_path / "monday", label="lying")["test"]
    folder = evaluate(small_run.path, fresh_barn / "beds" / "lying")["test"]
    assert named["per_class"]["lying"] == folder["per_class"]["lying"]
    with pytest.raises(ConfigError, match="must be a class of the model"):
        evaluate(small_run.path, tmp_path / "monday", label="cow")


def test_split_judges_those_photos_alone(small_run: Run, fresh_barn: Path, tmp_path: Path) -> None:
    for split, classes in (("train", CLASSES), ("test", CLASSES[:2])):
        for label in classes:
            shutil.copytree(fresh_barn / "beds" / label, tmp_path / split / label)
    expected = sum(len(list((fresh_barn / "beds" / label).iterdir())) for label in CLASSES[:2])
    assert evaluate(small_run.path, tmp_path, split="test")["test"]["n"] == expected
    with pytest.raises(DataError, match="--split val needs photos of that split"):
        evaluate(small_run.path, tmp_path, split="val")
    with pytest.raises(ConfigError, match="--split must be one of"):
        evaluate(small_run.path, tmp_path, split="tests")


def test_classes_that_the_model_does_not_know_are_said_and_left_out(
    small_run: Run, fresh_barn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(fresh_barn / "beds", tmp_path / "photos")
    shutil.copytree(fresh_barn / "beds" / "lying", tmp_path / "photos" / "calf")
    count = len(list((tmp_path / "photos" / "calf").iterdir()))
    assert main(["evaluate", str(small_run.path), str(tmp_path / "photos"), "-q"]) == 0
    assert f"{count} photos of class calf, which the model does not know, were left out" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "photos")
    shutil.copytree(fresh_barn / "beds" / "lying", tmp_path / "photos" / "calf")
    assert main(["evaluate", str(small_run.path), str(tmp_path / "photos"), "-q"]) == 2
    assert "DATA must hold classes that the model knows (empty, lying, standing); found calf" in capsys.readouterr().err


def test_photos_of_unknown_classes_are_counted_and_those_refused_too(
    small_run: Run, fresh_barn: Path, fresh_metrics: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(fresh_barn / "beds", tmp_path / "photos")
    (tmp_path / "photos" / "noise").mkdir()
    generator = np.random.default_rng(0)
    for number in range(12):
        pixels = generator.integers(0, 255, (90, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / "noise" / f"{number}.png")
    metrics = evaluate(small_run.path, tmp_path / "photos", report=tmp_path / "report.html")
    unknown = metrics["unknown"]
    assert (unknown["n"], unknown["classes"], unknown["refused_share"]) == (12, {"noise": 12}, 0.05)
    assert unknown["threshold"] == metrics["calibration"]["thresholds"]["0.95"]
    predictor = load(small_run.path)
    refused = predictor.predict_proba(tmp_path / "photos" / "noise").max(axis=1) < unknown["threshold"]
    assert unknown["refused"]["value"] == refused.mean()
    assert unknown["known_refused"]["n"] == metrics["test"]["n"] == fresh_metrics["test"]["n"]
    assert metrics["test"]["accuracy"] == fresh_metrics["test"]["accuracy"]  # they are in no other figure
    assert "Photos of classes that the model does not know" in (tmp_path / "report.html").read_text()
    assert fresh_metrics["unknown"] is None


def test_a_folder_of_unknown_photos_alone_is_counted_when_asked(
    small_run: Run, fresh_barn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(fresh_barn / "beds" / "lying", tmp_path / "calves")
    target = tmp_path / "metrics.json"
    arguments = ["evaluate", str(small_run.path), str(tmp_path / "calves"), "--unknown", "-q"]
    assert main([*arguments, "--json", str(target)]) == 0
    metrics = json.loads(target.read_text())
    assert metrics["test"] is None
    assert metrics["unknown"]["n"] == len(list((tmp_path / "calves").iterdir()))
    assert metrics["unknown"]["known_refused"] is None
    assert "photos of classes that the model does not know it refused" in capsys.readouterr().out
    assert main([*arguments, "--report", str(tmp_path / "report.html")]) == 2
    assert "--unknown counts refusals alone; found --report beside it" in capsys.readouterr().err
    assert main([*arguments, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["unknown"] == metrics["unknown"]


def test_broken_photos_are_counted_and_listed(small_run: Run, fresh_barn: Path, tmp_path: Path) -> None:
    shutil.copytree(fresh_barn / "beds", tmp_path / "photos")
    whole = (fresh_barn / "beds" / "lying").iterdir().__next__().read_bytes()
    (tmp_path / "photos" / "lying" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    metrics = evaluate(small_run.path, tmp_path / "photos")
    assert metrics["counts"]["unreadable"] == 1
    assert [row["path"] for row in metrics["listed"]["unreadable"]] == ["lying/cut.jpg"]
    assert metrics["test"]["n"] == metrics["counts"]["photos"] - 1


def test_the_figures_are_those_of_the_predictions(
    small_run: Run, fresh_barn: Path, fresh_metrics: dict[str, Any]
) -> None:
    from certero.runs.model import load

    predictor = load(small_run.path)
    right = total = 0
    for label in CLASSES:
        for prediction in predictor.predict(fresh_barn / "beds" / label):
            right += prediction.label == label
            total += 1
    assert fresh_metrics["test"]["accuracy"]["value"] == pytest.approx(right / total)


def test_the_keys_of_the_contract_are_there(
    small_run: Run, fresh_barn: Path, fresh_metrics: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(small_run.path), str(fresh_barn / "beds"), "-q", "--json", "-"]) == 0
    captured = capsys.readouterr()
    metrics = json.loads(captured.out)
    assert captured.err == ""
    assert metrics["schema"] == 1
    assert {"test", "seen", "openings", "requirements", "seconds", "counts", "calibration", "notes"} <= set(metrics)
    assert {
        "n",
        "accuracy",
        "macro_f1",
        "micro",
        "macro",
        "weighted",
        "samples",
        "per_class",
        "confusion",
        "ece",
        "slices",
    } <= set(metrics["test"])
    assert set(metrics["test"]["accuracy"]) == {"value", "low", "high", "method", "n"}
    assert metrics["train_accuracy"] is None
    assert metrics["openings"] >= 1, "the module's fixture opened these photos before"
    assert metrics["test"]["accuracy"] == fresh_metrics["test"]["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bar", "verdict", "code"), [("accuracy>=0.01", "met", 0), ("accuracy>=1", "not met", 2), ("f1>=0.999", "", 2)]
)
def test_strict_turns_a_missed_bar_into_exit_code_2(
    small_run: Run, fresh_barn: Path, capsys: pytest.CaptureFixture[str], bar: str, verdict: str, code: int
) -> None:
    data = str(fresh_barn / "beds")
    assert main(["evaluate", str(small_run.path), data, "-q", "--require", bar, "--strict"]) == code
    captured = capsys.readouterr()
    assert f"Required {bar}: {verdict}" in captured.out
    assert len(captured.err.splitlines()) == (code == 2)
    assert main(["evaluate", str(small_run.path), data, "-q", "--require", bar]) == 0


def test_a_bar_for_an_unknown_class_is_refused_before_any_work(
    small_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(small_run.path), "no such folder", "--require", "recall[calf]>=0.5"]
    assert main(arguments) == 2
    assert "unknown class 'calf'" in capsys.readouterr().err


def test_report_is_one_html_file(small_run: Run, fresh_barn: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["evaluate", str(small_run.path), str(fresh_barn / "beds"), "-q", "--report", str(report)]) == 0
    html = report.read_text("utf-8")
    assert html.lstrip().lower().startswith("<!doctype html")
    assert "standing" in html
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_is_refused_before_any_work(
    small_run: Run, fresh_barn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "missing" / "report.html"
    assert main(["evaluate", str(small_run.path), str(fresh_barn / "beds"), "--report", str(target)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not target.parent.exists()


def test_evaluating_needs_neither_torch_nor_onnx(small_run: Run, fresh_barn: Path) -> None:
    program = (
        "import sys\n"
        "from certero.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "print(code, sorted({'torch', 'torchvision', 'timm', 'onnx', 'onnxscript', 'safetensors'} & set(sys.modules)))"
    )
    arguments = ["evaluate", str(small_run.path), str(fresh_barn / "beds" / "lying"), "-q", "--json", "-"]
    found = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "0 []"
