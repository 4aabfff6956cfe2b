"""What a run left in its folder is read back as it was written, or refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from certero.cli.main import main
from certero.errors import ModelFileError
from certero.runs.stored import read_answers, read_metrics, read_table

if TYPE_CHECKING:
    from certero.pipelines.train import Run


@pytest.fixture
def run(small_run: Run, tmp_path: Path) -> Path:
    shutil.copytree(small_run.path, tmp_path / "run")
    return tmp_path / "run"


def _cell(column: int, text: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        lines = content.decode().splitlines()
        cells = lines[1].split(",")
        cells[column] = text
        return "\n".join([lines[0], ",".join(cells), *lines[2:]]).encode()

    return change


_SPOILED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "answers cut in a number": ("predictions.csv", lambda content: content[:-9]),
    "answers empty": ("predictions.csv", lambda _content: b""),
    "answers of bytes": ("predictions.csv", lambda _content: bytes(range(256))),
    "another class": ("predictions.csv", _cell(2, "goat")),
    "no class": ("held_out.csv", _cell(2, "")),
    "a word for a number": ("held_out.csv", _cell(5, "much")),
    "no number": ("held_out.csv", _cell(5, "nan")),
    "a number above 1": ("predictions.csv", _cell(6, "2")),
    "another column": ("predictions.csv", lambda content: content.replace(b"standing", b"stood", 1)),
    "photos cut": ("data.parquet", lambda content: content[: len(content) // 2]),
    "photos empty": ("data.parquet", lambda _content: b""),
    "photos spoiled": ("data.parquet", lambda content: content[:100] + bytes(300) + content[400:]),
}


@pytest.mark.parametrize("kind", _SPOILED)
@pytest.mark.parametrize("verb", ["value", "compare"])
def test_a_spoiled_file_of_a_run_is_one_line(
    kind: str, verb: str, run: Path, small_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    name, spoil = _SPOILED[kind]
    (run / name).write_bytes(spoil((run / name).read_bytes()))
    words = ["value", str(run), "--case", "farm"] if verb == "value" else ["compare", str(run), str(small_run.path)]
    assert main([*words, "--quiet"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert str(run / name) in said.err


def test_photos_of_another_run_are_not_joined_in_silence(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pl.read_parquet(run / "data.parquet")
    table[:-5].write_parquet(run / "data.parquet")
    assert main(["value", str(run), "--case", "farm", "--quiet"]) == 2
    assert "of different runs" in capsys.readouterr().err


def test_what_was_not_touched_is_read(run: Path, small_run: Run) -> None:
    classes = small_run.metrics["test"]["confusion"]["classes"]
    answers = read_answers(run / "predictions.csv", classes)
    assert set(answers["path"]) <= set(read_table(run)["path"])
    assert read_metrics(run).to_json() == json.loads((run / "metrics.json").read_text()) == small_run.metrics
    (run / "metrics.json").write_text("[" * 100_000)
    assert read_metrics(run).test is None
    assert read_metrics(run).parameters is None
    with pytest.raises(ModelFileError, match="No such file"):
        read_table(run / "elsewhere")
