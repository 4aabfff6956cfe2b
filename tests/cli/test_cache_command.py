"""`certero cache`: what is remembered, and how to forget it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from certero.cli.main import main
from certero.machine.cache import BlobCache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with two entries of a kilobyte, and a current folder that stays empty."""
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path / "place")
    features = BlobCache("features")
    features.put_many([("a", b"x" * 1000), ("b", b"y" * 1000)])
    features.close()
    return tmp_path / "cache"


def test_show_names_the_folder_and_every_cache_and_removes_nothing(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["cache"], ["cache", "show"]):
        assert main(words) == 0
        text = capsys.readouterr().out
        assert str(cache) in text
        assert "2 photos described by a network" in text
        assert "0 photos looked at" in text
        assert "certero cache prune" in text
    assert len(BlobCache("features").get_many(["a", "b"])) == 2


def test_prune_all_forgets_everything_and_says_so(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "prune", "--all"]) == 0
    assert capsys.readouterr().out.startswith("Forgot 2 entries; ")
    assert BlobCache("features", cache).get_many(["a", "b"]) == {}


def test_json_says_what_is_left_and_what_went(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "prune", "--max-size", "1.5 KB", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(cache)
    assert found["pruned"]["entries"] == 1
    assert {row["name"]: row["entries"] for row in found["caches"]} == {"fingerprints": 0, "features": 1, "networks": 0}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("prune", "needs --older-than 30d, --max-size 2GB (or both), or --all alone"),
        ("prune --all --max-size 1GB", "or --all alone"),
        ("show --all", "are for certero cache prune"),
        ("clear", "must be followed by show or prune; found 'clear'"),
        ("prune --older-than month", "--older-than must be a duration"),
        ("prune --max-size big", "--max-size must be a size such as 500MB or 2GB; found 'big'"),
        ("prune --max-size 3", "--max-size must be a size"),
        ("prune --all --json missing/x.json", "there is no folder missing"),
    ],
)
@pytest.mark.usefixtures("cache")
def test_mistakes_are_told_in_one_line_and_nothing_is_removed(
    words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", *words.split()]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert says in lines[0]
    assert len(BlobCache("features").get_many(["a", "b"])) == 2
