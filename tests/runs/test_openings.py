"""The log of test openings: every look is counted, nothing is opened unlogged, and a power cut loses no line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from certero.errors import OutputError
from certero.runs.openings import check_log, open_test_set


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of a fresh state folder."""
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "deep" / "state"))
    return tmp_path / "deep" / "state" / "openings.jsonl"


def _hashes(first: int, last: int) -> list[str]:
    return [f"{number:032x}"[::-1] for number in range(first, last)]


def _open(first: int, last: int) -> int:
    return open_test_set(_hashes(first, last), purpose="train", data="d", run="r").earlier


def test_only_earlier_openings_of_overlapping_photos_count(log: Path) -> None:
    assert _open(0, 10) == 0
    assert _open(100, 110) == 0
    assert _open(9, 20) == 1
    assert _open(0, 10) == 2
    assert len(log.read_text().splitlines()) == 4


def test_a_line_says_what_was_opened_when_why_and_which_photos(log: Path) -> None:
    opening = open_test_set(_hashes(0, 3), purpose="evaluate", data="barn ñ\n", run="runs/a")
    (line,) = log.read_text("utf-8").splitlines()
    record = json.loads(line)
    assert record == opening.record
    assert set(record) == {"schema", "opened_at", "purpose", "data", "run", "n", "earlier", "photos"}
    assert (record["schema"], record["n"], record["earlier"], record["data"]) == (1, 3, 0, "barn ñ\n")
    assert len(record["photos"]) == 3
    assert all(full.startswith(short) for full, short in zip(sorted(_hashes(0, 3)), record["photos"], strict=True))


def test_a_line_torn_by_a_power_cut_costs_that_line_alone(log: Path) -> None:
    _open(0, 10)
    whole = log.read_bytes()
    log.write_bytes(whole + whole[: len(whole) // 2])
    assert _open(0, 10) == 1
    assert _open(0, 10) == 2
    lines = log.read_text().splitlines()
    assert len(lines) == 4
    assert [json.loads(line)["earlier"] for line in (lines[0], *lines[2:])] == [0, 1, 2]


def test_lines_of_something_else_are_passed_over(log: Path) -> None:
    log.parent.mkdir(parents=True)
    log.write_bytes(b'[]\n17\n\xff\xfe\n{"photos": []}\n{}\n\n')
    assert _open(0, 10) == 0
    assert _open(0, 10) == 1


def test_a_log_that_cannot_be_written_keeps_the_test_set_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file where the folder should be: not even root can write below it.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="the test set stays sealed") as raised:
        _open(0, 3)
    assert "\n" not in str(raised.value)


def test_openings_of_two_processes_at_once_are_all_logged_whole(log: Path) -> None:
    code = (
        "from certero.runs.openings import check_log, open_test_set\n"
        "for n in range(40): open_test_set([f'{i:032d}' for i in range(300)], purpose='p', data='d', run=str(n))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(records) == 80
    assert sorted(int(record["run"]) for record in records) == sorted([*range(40)] * 2)
    # Each counts all that came before it, the other process's too.
    assert [record["earlier"] for record in records] == list(range(80))


@pytest.mark.parametrize("keep", [False, True])
def test_a_check_of_the_log_writes_none(log: Path, keep: bool) -> None:
    check_log(keep=keep)
    assert not log.exists()
    assert log.parent.exists() == log.parent.parent.exists() == keep
    _open(0, 10)
    before = log.read_bytes()
    check_log(keep=keep)
    assert log.read_bytes() == before
    assert list(log.parent.iterdir()) == [log]


def test_a_log_that_cannot_be_written_is_known_beforehand_with_the_way_out(log: Path) -> None:
    log.parent.parent.write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="Set CERTERO_STATE to a folder that can be written") as raised:
        check_log()
    assert str(log) in str(raised.value)
