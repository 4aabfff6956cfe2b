"""Names made by others, on the way to a terminal; and what becomes of a command whose streams are closed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("polars", reason="training needs the [train] extra")
pytest.importorskip("torch", reason="training needs the [train] extra")

from PIL import Image

from certero.cli.main import main
from certero.cli.terminal.output import visible

if TYPE_CHECKING:
    from certero.pipelines.train import Run

# What clears a screen, names a window, rings, goes back, turns what follows around, is not seen, or colours with Rich.
_CLEARS = "cow\x1b[2J\x1b]0;mine\x07\b"
_FORGES = "calf\nAccuracy: 100.0% (99.9 to 100.0), on 900 photos the model never saw.\r"
_TURNS = "\u202egod\u200b\x9b31m\u2028"
_MARKS = "[red]dog[bold] $x_1$ <b>&"
_NAMES = (_CLEARS, _FORGES, _TURNS, _MARKS)

_SECONDS = 120
# What certero itself sends: colours, and what draws a bar anew. No name clears the screen with these.
_OWN = re.compile(r"\x1b\[(?:[\d;]*m|\?25[lh]|2K|1A)")
_HARMLESS = {"\n", "\r"}

linux_names = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")


def _on_a_terminal(words: Sequence[str], cwd: Path) -> tuple[int, str]:
    """The exit code, and what the command writes to a terminal, results and errors."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are of Unix")
    ours, theirs = pty.openpty()
    settings = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    command = [sys.executable, "-m", "certero", *words]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=settings | {"TERM": "xterm-256color"}, cwd=cwd
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not part:
                break
            written += part
        code = process.wait(_SECONDS)
    os.close(ours)
    return code, _OWN.sub("", written.decode())


def _unseen(text: str) -> set[str]:
    return {letter for letter in text if letter not in _HARMLESS and visible(letter) != letter}


def _check(text: str) -> None:
    assert _unseen(text) == set()
    assert not any(line.startswith("Accuracy: 100.0% (99.9") for line in re.split(r"[\r\n]", text))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos whose every name is an attack, and a run of such a name that was trained on them."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    for order, name in enumerate(_NAMES):
        place = folder / "da\x1b[2Jta" / name
        place.mkdir(parents=True)
        for number in range(6):
            grey = rng.normal(50 + 50 * order, 20, (8, 8, 3)).clip(0, 255).astype(np.uint8)
            picture = Image.fromarray(grey).resize((64, 64), Image.Resampling.BICUBIC)
            picture.save(place / f"p\x1b[2J{number}\nAccuracy: 100.0% (99.9\u202e[red].png")
        (place / "broken\x1b[2J\n\u202e.jpg").write_bytes(b"no photo")
    assert main(["train", str(folder / "da\x1b[2Jta"), "-o", str(folder / "ru\x1b[2Jn\n[a]"), "-q", "--cv", "2"]) == 0
    return folder


def _filled(words: Sequence[str], hostile: Path) -> list[str]:
    places = {"DATA": str(hostile / "da\x1b[2Jta"), "RUN": str(hostile / "ru\x1b[2Jn\n[a]")}
    return [re.sub("DATA|RUN", lambda found: places[found[0]], word) for word in words]


@pytest.mark.slow
@linux_names
@pytest.mark.usefixtures("small_run")
@pytest.mark.parametrize(
    "words",
    [
        ["train", "DATA", "--random-splits", "0", "--cv", "2"],
        ["train", "DATA", "--dry-run", "-q"],
        ["audit", "DATA", "--no-network"],
        ["predict", "RUN", "DATA"],
        ["evaluate", "RUN", "DATA"],
        ["compare", "RUN", "RUN", "--no-speed"],
    ],
    ids=lambda words: words[0],
)
def test_no_name_moves_the_cursor_or_forges_a_line(words: list[str], hostile: Path, tmp_path: Path) -> None:
    code, text = _on_a_terminal(_filled(words, hostile), tmp_path)
    assert code == 0, text
    _check(text)
    assert words[0] == "evaluate" or "\\x1b[2J" in text


@linux_names
@pytest.mark.usefixtures("small_run")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["train", "DATA", "--class-weights", "\x1b[2J=2"], 2),
        (["train", "DATA", "--group-by", "\x1b[2J."], 2),
        (["train", "no\x1b[2J\nwhere"], 2),
        (["predict", "RUN", "DATA", "--strict"], 2),
        (["predict", "RUN", "DATA/\x1b[2J"], 2),
        (["evaluate", "RUN", "DATA", "--label", "\x1b[2J"], 2),
        (["value", "RUN", "--case", "farm"], 2),
        (["value", "RUN", "--case", "\x1b[2J\n.toml"], 2),
        (["\x1b[2J"], 2),
        (["train", "--\x1b[2J"], 2),
    ],
    ids=lambda words: None if isinstance(words, int) else ascii(" ".join(words)),
)
def test_no_message_holds_an_escape_of_a_name(
    words: list[str],
    code: int,
    hostile: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(_filled(words, hostile)) == code
    captured = capsys.readouterr()
    _check(captured.out + captured.err)
    assert "\\x1b[2J" in captured.out + captured.err


@linux_names
@pytest.mark.usefixtures("small_run")
def test_doctor_and_cache_show_no_escape_of_a_folder_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca\x1b[2Jche\n").mkdir()
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "ca\x1b[2Jche\n"))
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "sta\u202ete"))
    for verb in ("doctor", "cache"):
        code, text = _on_a_terminal([verb], tmp_path)
        assert code == 0
        _check(text)
        assert "ca\\x1b[2Jche" in text


def test_what_is_seen_is_left_as_it_is() -> None:
    for name in ("vaca echada", "ñandú", "牛", "بقرة", "корова", "C:\\photos\\a.jpg", "🐄", "100\u00a0%"):
        assert visible(name) == name
    assert visible("caf\udce9.jpg") == "caf\\xe9.jpg"
    assert visible("a\tb\U000e0001") == "a\\tb\\U000e0001"


# --- Streams that are closed ---


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
@pytest.mark.parametrize(
    ("redirected", "code"),
    [
        ("2>&-", 0),
        ("2>/dev/full", 0),
        ("<&- 2>&-", 0),
        (">&-", 0),
        (">&- 2>&-", 0),
        (">&- --jsonl -", 2),
        (">&- 2>&- --jsonl -", 2),
        ("| head -c 1", 0),
        ("2>&1 | head -c 1", 0),
        ("2> >(true)", 0),
    ],
)
def test_a_closed_stream_changes_neither_the_work_nor_the_exit_code(
    redirected: str, code: int, small_barn: Path, small_run: Run, tmp_path: Path
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    shutil.copy(next((small_barn / "beds").rglob("*.jpg")), tmp_path / "photo.jpg")
    # A photo that cannot be read is told of on standard error.
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    command = (
        f"'{sys.executable}' -m certero predict '{small_run.model}' photo.jpg broken.jpg --csv found.csv {redirected}"
    )
    done = subprocess.run(
        [bash, "-o", "pipefail", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr or code
    assert (tmp_path / "found.csv").exists() == (code == 0)
