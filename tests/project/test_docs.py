"""The documentation says what the code does, no more and no less."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image
from places import ROOT
from reference_page import REFERENCE, documented_keys, keys_of, methods_of, section

import certero
from certero.business.case import Case, CurrencyFormat
from certero.cli.main import VERBS, main
from certero.config.settings import TrainSettings
from certero.data.table import SCHEMA
from certero.findings.findings import KINDS
from certero.pipelines.train import Run
from certero.records.names import NameFamily
from certero.records.prediction import AsTrained, Prediction

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BENCHMARK_PAGES = sorted((ROOT / "benchmarks").glob("*.md"))
EVERY_PAGE = PAGES + BENCHMARK_PAGES
BENCHMARKS = sorted(file for file in (ROOT / "benchmarks").glob("*.py") if "__main__" in file.read_text("utf-8"))


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_documented_and_every_documented_option_exists(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _documented_options(verb) == _options(verb, capsys)


def test_every_verb_is_documented_and_every_documented_verb_exists(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    listed = set(re.findall(r"^  (\w+) ", capsys.readouterr().out, re.MULTILINE)) & set(VERBS)
    assert listed == set(VERBS)
    assert set(re.findall(r"^### certero (\w+)$", REFERENCE, re.MULTILINE)) == set(VERBS)


def test_commands_in_the_documentation_exist(capsys: pytest.CaptureFixture[str]) -> None:
    options = {verb: _options(verb, capsys) for verb in VERBS}
    for page in EVERY_PAGE:
        for command in _commands(page):
            words = shlex.split(command, comments=True)
            assert words[1] in VERBS, f"{_name(page)}: {command}"
            used = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
            assert used <= options[words[1]], f"{_name(page)}: {command}"


def test_every_key_of_the_metrics_is_documented(small_run: Run) -> None:
    assert keys_of(small_run.metrics) - documented_keys("metrics.json") == set()


def test_every_key_of_an_evaluation_is_documented(small_run: Run, small_barn: Path, tmp_path: Path) -> None:
    _half_new(small_barn, tmp_path)
    shutil.copytree(tmp_path / "lying", tmp_path / "calf")
    shares = {"standing": 0.3}
    metrics = certero.evaluate(small_run.path, tmp_path, decide=0.5, require=["accuracy>=0.1"], shares=shares)
    assert metrics["seen"]["unseen"] is not None
    documented = documented_keys("metrics.json") | documented_keys("evaluate --json")
    assert keys_of(metrics) - documented == set()
    found = keys_of(metrics) | keys_of(small_run.metrics)
    # What depends on the photos: lists that may stay empty, splits or folds.
    # What depends on the recipe: tests/pipelines/test_train_network.py holds a trained network against the same page.
    depends = (
        "listed.",
        "other_half.",
        "counts.passed_over.",
        "counts.lost.",
        "names[].",
        "calibration.offsets.",
        "covers.judged.columns.",
        "covers.training.columns.",
        "splits.",
        "cv",
        "notes",
        "training.",
        "test.worst_slice.",
    )
    assert {key for key in documented - found if not key.startswith(depends)} == set()


def test_every_key_of_a_value_and_of_a_case_is_documented(small_run: Run) -> None:
    case = {"volume_per_month": 9, "by_hand_minutes": 1, "with_model_minutes": 0.1, "hour_cost": 9, "error_cost": 1}
    answers = [
        certero.value(small_run.path, small_run.path, case=case),
        certero.value(small_run.path, case=case, per_class=True),
        certero.value(case="shop"),
    ]
    documented = documented_keys("value --json")
    found: set[str] = set()
    for answer in answers:
        assert set(methods_of(answer)) <= documented_keys("Quantities and intervals")
        figures = set(answer["accept_all"] or {})
        for other in answer["models"]:
            assert set(other) - {"compared"} <= set(answer)
            found |= {f"models[].compared.{key}" for key in keys_of(other["compared"])}
        plain = {key: item for key, item in answer.items() if key not in ("case", "accept_all", "models")}
        found |= {"case", "accept_all", "models", "threshold", "threshold.per_class"}
        found |= {re.sub(r"^(class_shares|threshold\.per_class)\.\w+$", r"\1.CLASS", key) for key in keys_of(plain)}
        assert figures <= found
    found.discard("class_shares")  # null without classes
    assert found == documented
    assert {field.name for field in dataclasses.fields(Case)} == {
        key for key in documented_keys("The case") if "." not in key and key != ","
    }
    assert {f"currency_format.{field.name}" for field in dataclasses.fields(CurrencyFormat)} == {
        key for key in documented_keys("The case") if key.startswith("currency_format.")
    }


@pytest.mark.usefixtures("small_run")
def test_every_key_of_a_plan_is_documented_and_no_other(small_barn: Path) -> None:
    found = keys_of(certero.plan(small_barn / "beds.csv", cv=3).to_json())
    assert found - documented_keys("metrics.json") - documented_keys("train --dry-run --json") == set()
    assert documented_keys("train --dry-run --json") - found == set()


@pytest.mark.slow
def test_every_key_of_an_audit_is_documented_and_no_other(small_barn: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        shutil.copytree(small_barn / "beds", tmp_path / "beds" / split)
    (tmp_path / "beds" / "notes.txt").write_text("not a photo")
    (tmp_path / "beds" / "train" / "calf").mkdir()
    (tmp_path / "beds" / "train" / "calf" / "notes.txt").write_text("not a photo")
    found = certero.audit(tmp_path / "beds", network=False, fix=tmp_path / "clean.csv")
    # `fix` stands for itself, null, and for the keys below it. Without the network nothing is said of names.
    assert found["names"] == []
    of_names = {f"names[].{field.name}" for field in dataclasses.fields(NameFamily)}
    assert keys_of(found) - {"names"} == documented_keys("audit --json") - {"fix"} - of_names
    assert of_names <= documented_keys("audit --json")
    assert set(KINDS) == documented_keys("Kinds of findings")


@pytest.mark.parametrize("words", [["doctor"], ["cache", "prune", "--older-than", "1000d"]], ids=["doctor", "cache"])
def test_every_key_of_the_other_commands_is_documented_and_no_other(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--json", "-"]) == 0
    found = keys_of(json.loads(capsys.readouterr().out))
    # `pruned` stands for itself, null, and for the keys below it.
    assert documented_keys(f"{words[0]} --json") - {"pruned"} == found


def test_every_interval_method_met_is_documented(small_run: Run) -> None:
    assert set(methods_of(small_run.metrics)) <= documented_keys("Quantities and intervals")


def test_columns_and_fields_are_documented() -> None:
    assert set(SCHEMA) <= documented_keys("data.parquet")
    fields = {field.name for field in dataclasses.fields(Prediction)} - {"as_trained"}
    fields |= {f"as_trained.{field.name}" for field in dataclasses.fields(AsTrained)}
    assert fields == documented_keys("predict --json")
    assert {field.name for field in dataclasses.fields(TrainSettings)} == documented_keys("Recipes")


def test_files_of_a_run_are_documented(small_run: Run) -> None:
    # A network leaves its weights, too; see tests/pipelines/test_train_network.py.
    assert {file.name for file in small_run.path.iterdir()} | {"checkpoints"} == documented_keys("Files of a run")


def test_public_names_are_documented_with_their_arguments() -> None:
    rows = dict(re.findall(r"`certero\.(\w+)\(([^`]*)\)`", section("Python")))
    assert set(rows) == set(certero.__all__)
    for name, arguments in rows.items():
        known = set(inspect.signature(getattr(certero, name)).parameters)
        written = {word.strip(" *") for word in arguments.split(",")} - {""}
        assert written <= known, name
        assert known - written <= {"progress", "command"}, name


@pytest.mark.parametrize("page", EVERY_PAGE, ids=_name)
def test_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(page.read_text("utf-8"))):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{_name(page)} links to {target}"
        if anchor:
            assert anchor in _anchors(file.read_text("utf-8")), f"{_name(page)} links to {target}"


@pytest.mark.parametrize("page", EVERY_PAGE, ids=_name)
def test_python_examples_compile_and_use_public_names(page: Path) -> None:
    for block in _blocks(page, "python"):
        compile(block, str(page), "exec")
        assert set(re.findall(r"certero\.(\w+)\(", block)) <= set(certero.__all__)


@pytest.mark.parametrize("page", EVERY_PAGE, ids=_name)
def test_no_path_of_a_machine(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.search(r"(?<![\w.~])/(?:home|root|tmp|work|usr|Users|mnt)/", text)
    if page in PAGES and page.name != "CONTRIBUTING.md":
        assert "../shared" not in text, "only benchmarks name the shared data; elsewhere write path/to/..."


@pytest.mark.slow
@pytest.mark.parametrize("script", BENCHMARKS, ids=_name)
def test_every_benchmark_says_what_it_takes_and_is_described(script: Path) -> None:
    help_text = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True).stdout
    assert "usage:" in help_text
    for page in BENCHMARK_PAGES:
        assert f"benchmarks/{script.name}" in page.read_text("utf-8") or script.name in page.read_text("utf-8")


def test_the_picture_of_the_report_stays_small() -> None:
    assert (ROOT / "docs" / "images" / "report.png").stat().st_size <= 200_000


def _half_new(barn: Path, folder: Path) -> None:
    """Some photos of the barn, and others upside down: the model has not seen those."""
    for label in ("empty", "lying", "standing"):
        (folder / label).mkdir()
        for number, file in enumerate(sorted((barn / "beds" / label).iterdir())[:6]):
            photo = Image.open(file)
            (photo if number % 2 else photo.transpose(Image.Transpose.ROTATE_180)).save(folder / label / file.name)


def _options(verb: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    capsys.readouterr()
    assert main([verb, "--help"]) == 0
    listing = capsys.readouterr().out
    lines = re.findall(r"^  (-\S.*?)(?:\s{2,}|$)", listing, re.MULTILINE)
    return set(re.findall(r"--[a-z][a-z-]*", " ".join(lines))) - {"--help"}


def _documented_options(verb: str) -> set[str]:
    return {word for word in documented_keys(f"certero {verb}") if word.startswith("--")}


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def _commands(page: Path) -> Iterator[str]:
    for block in [*_blocks(page, "sh"), *_blocks(page, "console")]:
        for line in block.splitlines():
            command = line.removeprefix("$ ")
            if command.startswith("certero "):
                yield command


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def _anchors(text: str) -> set[str]:
    """Headings as GitHub turns them into anchors."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
