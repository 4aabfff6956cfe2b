"""The command line: help, one clear line for every bad word or value, and outputs that are never overwritten."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commands import Mistake
from PIL import Image

from certero.cli.main import VERBS, main

if TYPE_CHECKING:
    from certero.pipelines.train import Run

pytest.importorskip("polars", reason="training needs the [train] extra")
pytest.importorskip("onnx", reason="training needs the [train] extra")

# The backbone is exported once a session; afterwards a small training takes a few seconds.
warm = pytest.mark.usefixtures("small_run")


def test_help_and_version_need_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"], ["help"]):
        assert main(words) == 0
        text = capsys.readouterr().out
        assert all(verb in text for verb in VERBS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("certero ")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([verb, "--help"], [verb, "-h"], ["help", verb]):
        assert main(words) == 0
        assert capsys.readouterr().out.startswith(f"Usage: certero {verb} ")


def test_help_imports_no_library(tmp_path: Path) -> None:
    program = "import sys; from certero.cli.main import main; main(['--help']); print(sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert not {"numpy", "typer", "rich", "polars", "torch"} & set(eval(found.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian", "x"], "Did you mean train?"),
        (["--verbose"], "certero --help"),
        (["train"], "Missing argument 'DATA'"),
        (["train", "x", "--nope"], "--nope"),
        (["train", "x", "y"], "unexpected extra argument"),
        (["train", "x", "--cv", "abc"], "--cv"),
        (["train", "x", "--workers", "0"], "--workers"),
        (["predict", "x", "y", "--workers", "0"], "--workers must be at least 1; found 0."),
        (["predict", "x"], "IMAGE|DIR"),
        (["predict", "x", "y", "--json", "a", "--csv", "a"], "different places"),
        (["evaluate", "x"], "DATA"),
    ],
)
def test_unknown_words_are_answered_in_one_line(mistake: Mistake, words: list[str], says: str) -> None:
    assert says in mistake(*words)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--cv 1", "--cv must lie between 2 and 50; found 1"),
        ("--cv 51", "--cv must lie between 2 and 50"),
        ("--block 1x", "--block must be a duration"),
        ("--block 0h", "longer than --gap"),
        ("--gap foo", "--gap must be a duration"),
        ("--decide 2", "--decide must lie"),
        ("--decide nan", "--decide must lie"),
        ("--class-weights foo", "--class-weights must be none, balanced or CLASS=WEIGHT"),
        ("--class-weights lying=0", "positive weights"),
        ("--class-weights cow=3", "must name classes of the data (empty, lying, standing); found cow"),
        ("--require foo", "--require must look like"),
        ("--require f1>=2", "must lie in 0..1"),
        ("--require f1>=x", "must be a number"),
        ("--label-level 0", "--label-level must be leaf or a folder level"),
        ("--label-level x", "--label-level must be leaf or a folder level"),
        ("--label-level 1", "for folders; beds.csv is a manifest"),
        ("--group-by nope", "--group-by must be a column"),
        ("--group-by [", "must be a valid regular expression"),
        ("--device gpu", "--device must be one of auto, cpu, cuda, mps; found 'gpu'"),
        (
            "--backbone nope",
            "--backbone must be efficientnet_lite0, efficientnet_lite1, efficientnet_lite2 or a timm name",
        ),
        ("--weights nope.pth", "--weights must be a file"),
        ("--recipe nope", "--recipe must be one of"),
        ("--recipe nope.toml", "No such file"),
        ("--image-size 1", "--image-size must lie"),
        ("--fit crop", "--fit must be one of letterbox, stretch"),
        ("--precision fp16", "--precision must be one of"),
        ("--seed -1", "--seed must lie"),
        ("--split-from nope", "--split-from must be the folder of a run"),
        ("--output /proc/certero/run", "--output must be a place that can be written"),
        ("--json /proc/certero/x.json", "--json must be a file that can be written"),
        ("--json missing/x.json", "there is no folder missing"),
    ],
)
def test_bad_values_are_refused_before_anything_is_written(
    mistake: Mistake, small_barn: Path, flags: str, says: str
) -> None:
    flag, value = flags.split(" ", 1)
    assert says in mistake("train", small_barn / "beds.csv", "-q", flag, value)


def test_a_recipe_with_unknown_words_is_refused(mistake: Mistake, small_barn: Path) -> None:
    assert "found regions" in mistake("train", small_barn / "beds.csv", "-q", "--recipe", small_barn / "regions.toml")


def test_an_existing_output_is_never_overwritten(few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (tmp_path / "folder", tmp_path / "file"):
        if place.name == "folder":
            place.mkdir()
            (place / "precious").write_text("1")
        else:
            place.write_text("1")
        assert main(["train", str(few), "-q", "-o", str(place)]) == 2
        assert "--output must not exist yet" in capsys.readouterr().err
    assert (tmp_path / "folder" / "precious").read_text() == (tmp_path / "file").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_an_output_below_a_file_is_refused(few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("1")
    assert main(["train", str(few), "-q", "-o", str(tmp_path / "file" / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("flag", ["--json", "--jsonl", "--csv"])
def test_predict_refuses_an_unwritable_target_before_it_works(
    mistake: Mistake, small_run: Run, small_barn: Path, flag: str, tmp_path: Path
) -> None:
    photos = small_barn / "beds" / "lying"
    assert "there is no folder" in mistake("predict", small_run.path, photos, "-q", flag, "missing/out")
    assert "it is a folder" in mistake("predict", small_run.path, photos, "-q", flag, tmp_path)


def test_a_log_of_openings_that_cannot_be_written_keeps_the_test_set_sealed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], few: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "file"))
    assert main(["train", str(few), "-q", "--cv", "0", "-o", str(tmp_path / "run")]) == 2
    assert "stays sealed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_cache_that_cannot_be_written_costs_time_only(
    monkeypatch: pytest.MonkeyPatch, small_run: Run, small_barn: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "file"))
    assert main(["evaluate", str(small_run.path), str(small_barn / "beds" / "lying"), "-q"]) == 0


@warm
def test_the_main_job_on_real_photos(
    grocery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Train, predict and evaluate: one answer each for the same photo, and the model knows what it has seen."""
    with (grocery / "grocery36.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for split in ("train", "test"):
        for label in ("Apple", "Milk"):
            chosen = [row["path"] for row in rows if (row["label"], row["split"]) == (label, split)][:30:2]
            (tmp_path / split / label).mkdir(parents=True)
            (tmp_path / f"{split} again" / label).mkdir(parents=True)
            for number, path in enumerate(chosen):
                photo = Image.open(grocery / path)
                photo.save(tmp_path / split / label / f"{number}.JPG", quality=92)
                photo.resize((300, 300)).save(tmp_path / f"{split} again" / label / f"x{number}.jpg", quality=80)
    monkeypatch.chdir(tmp_path)

    def answer_of(*words: str) -> Any:
        assert main([*words, "-q", "--json", "-"]) == 0
        return json.loads(capsys.readouterr().out)

    trained = answer_of("train", "train", "--cv", "0", "-o", "run")["splits"]
    answers = answer_of("predict", "run", "train")
    with (tmp_path / "run" / "predictions.csv").open(encoding="utf-8") as file:
        reported = {f"train/{row['path']}": float(row["Apple"]) for row in csv.DictReader(file)}
    assert len(answers) == 30
    for answer in answers:
        assert answer["probabilities"]["Apple"] == pytest.approx(reported[answer["path"]], abs=1e-5)
    known = sum(trained["train"].values()) + sum(trained["val"].values())
    for folder, seen in (("train", known), ("train again", known), ("test", 0), ("test again", 0)):
        metrics = answer_of("evaluate", "run", folder)
        assert metrics["test"]["n"] == 30
        assert metrics["seen"]["exact"] == seen, folder
