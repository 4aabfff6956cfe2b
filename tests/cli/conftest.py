"""A mistake that must be refused, and photos that are trained on in a second."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Mistake, classes_of

from certero.cli.main import main


@pytest.fixture
def mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mistake:
    """Runs a command that must be refused: exit 2, one line on standard error, nothing written. Gives the line."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)

    def run(*arguments: object) -> str:
        assert main([*map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        lines = captured.err.splitlines()
        assert len(lines) == 1, lines
        assert "itself failed" not in lines[0]
        assert list(place.iterdir()) == []
        return lines[0]

    return run


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As few photos as can be trained on in a second."""
    return classes_of(tmp_path_factory.mktemp("few") / "few", dark=8, light=8)
