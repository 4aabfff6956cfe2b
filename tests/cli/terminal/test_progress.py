"""Progress, seen from outside: a real pseudo-terminal, a real pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

_PROGRAM = """
import sys, time
from certero.cli.terminal.progress import show_progress
with show_progress() as progress:
    {body}
"""
_REMEMBERED = """
    progress("features", 900, 1000)
    for done in range(901, 931):
        time.sleep(0.2)
        progress("features", done, 1000)
"""
_FOLDS = """
    for fold in range(2):
        for done in range(1, 6):
            time.sleep(0.02)
            progress("fit", done, 5)
        time.sleep(3)
"""


def _program(body: str) -> list[str]:
    return [sys.executable, "-c", _PROGRAM.format(body=body.strip())]


def _on_a_terminal(body: str, **environment: str) -> str:
    """What the program writes to a terminal of 100 columns."""
    pty = pytest.importorskip("pty", reason="pseudo-terminals are of Unix")
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    settings = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    settings |= {"TERM": "xterm-256color", **environment}
    with subprocess.Popen(_program(body), stdin=theirs, stdout=theirs, stderr=theirs, env=settings) as process:
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
        assert process.wait(60) == 0, written.decode(errors="replace")
    os.close(ours)
    return written.decode(errors="replace")


def _in_a_pipe(body: str) -> str:
    done = subprocess.run(_program(body), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.slow
def test_a_terminal_gets_a_bar_with_the_time_left_and_what_it_took() -> None:
    written = _on_a_terminal(_REMEMBERED + "    progress('features', 1000, 1000)\n")
    assert re.search(r"\d+ seconds? left", written)
    assert re.search(r"1000/1000.*took \d+ seconds", written)
    assert "\x1b[2K" in written, "the bar is drawn over itself"


@pytest.mark.slow
def test_no_color_is_obeyed_on_a_terminal() -> None:
    # 30 to 49 and 90 to 107 are colours; others move the cursor or make bold.
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10[0-7])(?:;\d+)*m")
    assert colour.search(_on_a_terminal(_FOLDS))
    assert not colour.search(_on_a_terminal(_FOLDS, NO_COLOR="1"))


@pytest.mark.slow
def test_a_stage_that_begins_again_has_a_clock_of_its_own() -> None:
    written = _on_a_terminal(_FOLDS)
    # Both folds took a tenth of a second; between them lie three, which are not the second one's.
    assert set(re.findall(r"took (\d+) second", written)) <= {"1", "2"}


@pytest.mark.slow
@pytest.mark.parametrize("terminal", ["dumb", "unknown"])
def test_a_terminal_without_a_cursor_gets_plain_lines(terminal: str) -> None:
    written = _on_a_terminal(_FOLDS, TERM=terminal)
    assert "\x1b" not in written
    assert "fit: 5 done" in written


@pytest.mark.slow
def test_a_pipe_gets_plain_lines_whose_time_left_does_not_count_what_was_remembered() -> None:
    written = _in_a_pipe(_REMEMBERED)
    assert "\x1b" not in written
    found = re.search(r"features: (\d+) of 1000, about (\d+) seconds left", written)
    assert found is not None, written
    # A fifth of a second a photo; by the 900 that took no time it would be one second.
    expected = (1000 - int(found[1])) * 0.2
    assert 0.8 * expected <= int(found[2]) <= 3 * expected
