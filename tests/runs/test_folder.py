"""The folder of a run: whole under its name, or not there at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from certero.errors import OutputError
from certero.runs.folder import first_free, run_folder


def _children(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir())


def test_a_run_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "a" / "run"
    with run_folder(place, "x") as run:
        (run.work / "sub").mkdir()
        (run.work / "sub" / "file").write_text("1")
        assert run.place == place
        assert not place.exists()
        assert run.work.parent == place.parent  # one disk: the rename is atomic
    assert (place / "sub" / "file").read_text() == "1"
    assert _children(place.parent) == ["run"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, MemoryError])
def test_a_failed_or_interrupted_run_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    def fail() -> None:
        with run_folder(tmp_path / "run", "x") as run:
            (run.work / "file").write_text("1")
            raise failure

    with pytest.raises(failure):
        fail()
    assert _children(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a folder cannot be locked on Windows: nothing is removed there")
def test_the_next_run_removes_what_killed_ones_left_and_nothing_else(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from certero.runs.folder import run_folder\n"
        "with run_folder(Path(sys.argv[1]), 'x') as run:\n"
        "    (run.work / 'file').write_text('1')\n"
        "    print('ready', flush=True)\n"
        "    if sys.argv[2] == 'killed': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    sys.stdin.read()\n"
    )

    def start(name: str, fate: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", program, str(tmp_path / name), fate]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    living, killed = start("other", "lives"), start("run", "killed")
    killed.communicate(timeout=60)
    others = [tmp_path / ".hidden", tmp_path / ".run.abcdefgh", tmp_path / "mine.certero-abc"]
    for folder in others:
        folder.mkdir()
    assert len(list(tmp_path.glob(".*.certero-*"))) == 2
    with run_folder(tmp_path / "new", "x"):
        assert len(list(tmp_path.glob(".run.certero-*"))) == 0
        assert len(list(tmp_path.glob(".other.certero-*"))) == 1
    living.communicate("", timeout=60)
    assert living.returncode == 0
    assert (tmp_path / "other" / "file").read_text() == "1"
    assert _children(tmp_path) == sorted(["new", "other", *(folder.name for folder in others)])


def test_no_run_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("1")
    with pytest.raises(OutputError, match="must not exist yet"), run_folder(tmp_path / "run", "x"):
        pytest.fail("the block must not run")
    assert (tmp_path / "run" / "precious").read_text() == "1"


def test_a_run_that_was_put_there_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def be_slow() -> None:
        with run_folder(tmp_path / "run", "x"):
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "precious").write_text("1")

    with pytest.raises(OutputError, match="must not exist yet"):
        be_slow()
    assert _children(tmp_path) == ["run"]
    assert (tmp_path / "run" / "precious").read_text() == "1"


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "run"
    said = "--output must be a place that can be written"
    with pytest.raises(OutputError, match=said) as raised, run_folder(place, "x"):
        pytest.fail("the block must not run")
    assert "\n" not in str(raised.value)


def test_default_names_count_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        with run_folder(None, "barn") as run:
            assert run.place == Path("runs") / f"barn-{number}"
    assert _children(tmp_path / "runs") == ["barn-1", "barn-2", "barn-3"]
    assert first_free(Path("runs"), "other") == Path("runs/other-1")


def test_a_default_name_is_reserved_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with run_folder(None, "barn") as slow, run_folder(None, "barn", resumable=True) as other:
        (slow.work / "who").write_text("slow")
        with run_folder(None, "barn") as fast:
            (fast.work / "who").write_text("fast")
        assert [str(run.place) for run in (slow, other, fast)] == [f"runs/barn-{number}" for number in (1, 2, 3)]
        assert first_free(Path("runs"), "barn") == Path("runs/barn-4")
    assert Path("runs/barn-1/who").read_text() == "slow"
    assert Path("runs/barn-3/who").read_text() == "fast"
    assert _children(tmp_path / "runs") == ["barn-1", "barn-2", "barn-3"]


def test_a_default_name_taken_by_hand_meanwhile_gives_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with run_folder(None, "barn") as run:
        Path("runs/barn-1").mkdir()
    assert str(run.place) == "runs/barn-2"
    assert _children(tmp_path / "runs") == ["barn-1", "barn-2"]


@pytest.mark.parametrize("resumable", [False, True])
def test_a_place_that_is_worked_on_is_refused_at_the_start(tmp_path: Path, resumable: bool) -> None:
    for first in (False, True):
        with run_folder(tmp_path / f"run{first}", "x", resumable=first) as run:
            again = run_folder(run.place, "x", resumable=resumable)
            with pytest.raises(OutputError, match="worked on by one process at a time"), again:
                pytest.fail("the block must not run")
            assert run.work.is_dir()
    assert _children(tmp_path) == ["runFalse", "runTrue"]


_RESERVE = (
    "import os, signal, sys; from pathlib import Path; from certero.runs.folder import run_folder\n"
    "with run_folder(None, 'barn', resumable=sys.argv[1] == 'network') as run:\n"
    "    (run.work / 'who').write_text(str(run.place))\n"
    "    print(run.place, flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.mark.skipif(sys.platform == "win32", reason="a folder cannot be locked on Windows")
def test_of_processes_that_start_at_once_each_has_a_name_of_its_own_and_a_killed_ones_is_free_again(
    tmp_path: Path,
) -> None:
    def start(kind: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", _RESERVE, kind]
        return subprocess.Popen(words, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    runs = [start(kind) for kind in ("probe", "network", "probe", "probe")]
    places = [run.stdout.readline().strip() for run in runs if run.stdout is not None]
    assert sorted(places) == [f"runs/barn-{number}" for number in (1, 2, 3, 4)]
    killed = [runs[0], runs[1]]
    for run in killed:
        run.kill()
        run.communicate(timeout=60)
    again = [start("network"), start("probe")]
    assert sorted(run.stdout.readline().strip() for run in again if run.stdout is not None) == sorted(places[:2])
    for run in (*runs[2:], *again):
        run.communicate("", timeout=60)
        assert run.returncode == 0
    assert _children(tmp_path / "runs") == [f"barn-{number}" for number in (1, 2, 3, 4)]
    assert all((tmp_path / place / "who").read_text() == place for place in places)


@pytest.mark.parametrize("letter", ["x", "ñ", "牛", "🐄"])
def test_a_place_may_have_the_longest_name_that_the_disk_allows(tmp_path: Path, letter: str) -> None:
    name = letter * (255 // len(letter.encode()))
    with run_folder(tmp_path / name, "x") as run:
        (run.work / "file").write_text("1")
    assert _children(tmp_path) == [name]


def test_the_default_place_of_data_with_the_longest_name_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with run_folder(None, "x" * 255):
        pass
    assert len(_children(tmp_path / "runs")) == 1
