"""What an audit says of files: its kind is told by status, name and format, never by the words of the problem."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("polars", reason="an audit needs the [report] extra")

from PIL import Image

from certero.data.scan import list_photos
from certero.data.table import Photos
from certero.findings.files import judge_files
from certero.stages.look import look_at_photos
from certero.stages.tools import open_tools


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    for label in ("lying", "empty"):
        (tmp_path / label).mkdir()
        for number in range(3):
            Image.new("RGB", (40, 30), (number, 90, 200)).save(tmp_path / label / f"{number}.jpg")
    Image.new("RGB", (40, 30)).save(tmp_path / "lying" / "screenshot.jpg", "PNG")
    (tmp_path / "empty" / "cut.jpg").write_bytes((tmp_path / "empty" / "0.jpg").read_bytes()[:200])
    with open_tools(1, lambda *_: None) as tools:
        return look_at_photos(list_photos(tmp_path), tools)


def test_files_that_cannot_be_read_and_names_that_claim_another_format_are_found(photos: Photos) -> None:
    found = [(finding.kind, finding.paths) for finding in judge_files(photos)]
    assert sorted(found) == [("misnamed", ("lying/screenshot.jpg",)), ("unreadable", ("empty/cut.jpg",))]


def test_the_words_of_a_problem_decide_nothing(photos: Photos) -> None:
    """A decoder may say anything, in any language."""
    names = photos.table["path"]
    said = pl.when(names == "lying/screenshot.jpg").then(pl.lit("se llama .jpg y es png"))
    said = said.when(names == "empty/cut.jpg").then(pl.lit("a block named APP1 holds too little"))
    found = judge_files(photos.with_columns(said.alias("problem")))
    assert sorted((finding.kind, *finding.paths) for finding in found) == [
        ("misnamed", "lying/screenshot.jpg"),
        ("unreadable", "empty/cut.jpg"),
    ]
