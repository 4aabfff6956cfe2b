"""Where results go: links stay, devices and pipes are written to, permissions kept, nothing that is read lost."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certero.cli.main import main
from certero.errors import OutputError
from certero.machine.files import write_whole

if TYPE_CHECKING:
    from certero.pipelines.train import Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="devices, pipes and permissions of Unix")
_SECONDS = 120


@pytest.fixture
def _umask() -> Iterator[None]:
    """027: of the group to read, of others nothing."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("_umask")
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    write_whole(tmp_path / "report.html", "photos")
    assert _mode(tmp_path / "report.html") == 0o640


@pytest.mark.usefixtures("_umask")
def test_a_file_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    for mode in (0o600, 0o664, 0o666):
        (tmp_path / "report.html").write_text("old")
        (tmp_path / "report.html").chmod(mode)
        write_whole(tmp_path / "report.html", "new")
        assert ((tmp_path / "report.html").read_text(), _mode(tmp_path / "report.html")) == ("new", mode)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_that_is_there_keeps_its_owner(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    os.chown(tmp_path / "report.html", 1234, 1234)
    write_whole(tmp_path / "report.html", "new")
    assert (tmp_path / "report.html").stat().st_uid == 1234


def test_a_link_stays_and_what_it_leads_to_is_written_whole(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real.csv").write_text("old")
    (tmp_path / "near.csv").symlink_to("far/real.csv")
    (tmp_path / "nearer.csv").symlink_to(tmp_path / "near.csv")
    (tmp_path / "new.csv").symlink_to("far/new.csv")
    write_whole(tmp_path / "nearer.csv", "new")
    write_whole(tmp_path / "new.csv", "made")
    assert (tmp_path / "nearer.csv").is_symlink()
    assert (tmp_path / "near.csv").is_symlink()
    assert (tmp_path / "far" / "real.csv").read_text() == "new"
    assert (tmp_path / "far" / "new.csv").read_text() == "made"
    assert sorted(file.name for file in (tmp_path / "far").iterdir()) == ["new.csv", "real.csv"]


def test_a_link_to_itself_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    with pytest.raises(OutputError, match="symbolic links"):
        write_whole(tmp_path / "loop.csv", "x")


def test_a_pipe_and_a_device_are_written_to_and_stay(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_whole(tmp_path / "pipe", "rows" * 100_000)
    reader.join(_SECONDS)
    assert read == [b"rows" * 100_000]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    (tmp_path / "null").symlink_to("/dev/null")
    write_whole(tmp_path / "null", "x")
    assert (tmp_path / "null").is_symlink()
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OutputError, match="No space left"):
        write_whole(Path("/dev/full"), "x")
    assert Path("/dev/full").is_char_device()


def test_a_name_as_long_as_names_may_be_is_written(tmp_path: Path) -> None:
    name = "ñ" * 125 + ".csv"
    write_whole(tmp_path / name, "x")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_what_stops_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; from pathlib import Path; from certero.machine.files import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_whole(Path('metrics.json'), 'x' * 5000)\n"
    )
    (tmp_path / "metrics.json").write_text("old")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "OutputError" in done.stderr
    assert "File too large" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]
    assert (tmp_path / "metrics.json").read_text() == "old"


# --- The command ---


@pytest.fixture
def place(small_barn: Path, small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo, a model and a manifest of its own."""
    shutil.copy(next((small_barn / "beds").rglob("*.jpg")), tmp_path / "photo.jpg")
    shutil.copytree(small_run.model.parent, tmp_path / "run")
    (tmp_path / "list.csv").write_text("path,label\nphoto.jpg,lying\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "got"),
    [
        ("/dev/stdout", "stdout"),
        ("/dev/fd/1", "stdout"),
        ("/dev/stdout >>kept.txt", "kept.txt"),
        ("/dev/fd/3 3>three.txt", "three.txt"),
        (">(cat >piped.txt)", "piped.txt"),
        (">(true)", ""),
        ("/dev/null", ""),
    ],
)
def test_predict_writes_to_what_a_shell_hands_over(target: str, got: str, place: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    (place / "kept.txt").write_text("kept\n")
    command = (
        f"'{sys.executable}' -m certero predict run photo.jpg --quiet --csv {target}; code=$?; sleep 0.2; exit $code"
    )
    done = subprocess.run([bash, "-c", command], capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    if got:
        text = done.stdout if got == "stdout" else (place / got).read_text()
        assert "path,label,probability" in text
    assert (place / "kept.txt").read_text().startswith("kept\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["predict", "run", "photo.jpg", "--csv", "photo.jpg"], "the command reads it"),
        (["predict", "run", "photo.jpg", "--csv", "link.jpg"], "the command reads it"),
        (["predict", "run", ".", "--csv", "photo.jpg"], "a photo is there"),
        (["predict", "run/model.onnx", "photo.jpg", "--json", "run/model.onnx"], "the command reads it"),
        (["predict", "run", "photo.jpg", "--json", "run/metrics.json"], "part of a run"),
        (["predict", "run", "photo.jpg", "--json", "x", "--csv", "./x"], "must go to different files"),
        (["predict", "run", "photo.jpg", "--csv", "none/x.csv"], "there is no folder none"),
        (["predict", "run", "photo.jpg", "--csv", "run"], "it is a folder"),
        (["predict", "run", "photo.jpg", "--csv", "/dev/full"], "No space left"),
        (["evaluate", "run", "list.csv", "--json", "list.csv"], "the command reads it"),
        (["evaluate", "run", "list.csv", "--json", "x", "--report", "x"], "must go to different files"),
        (["evaluate", "run", "list.csv", "--report", "-"], "for data alone"),
        (["audit", "list.csv", "--fix", "list.csv"], "the command reads it"),
        (["audit", "list.csv", "--fix", "photo.jpg"], "a photo is there"),
        (["compare", "run", "run", "--json", "run/predictions.csv"], "part of a run"),
        (["value", "run", "--case", "case.toml", "--json", "case.toml"], "the command reads it"),
        (["train", "list.csv", "--json", "list.csv"], "the command reads it"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else None,
)
def test_no_output_is_written_over_what_is_read(
    words: list[str], says: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "link.jpg").symlink_to("photo.jpg")
    (place / "case.toml").write_text("")
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    assert main(words) == 2
    assert says in capsys.readouterr().err
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write to every file")
def test_a_file_that_may_not_be_written_is_refused(place: Path) -> None:
    (place / "kept.csv").touch(mode=0o444)
    assert main(["predict", "run", "photo.jpg", "--csv", "kept.csv"]) == 2


@pytest.mark.usefixtures("_umask")
def test_a_run_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    from certero.runs.folder import run_folder

    with run_folder(tmp_path / "run", "x") as run:
        write_whole(run.work / "report.html", "photos")
    assert (_mode(tmp_path / "run"), _mode(tmp_path / "run" / "report.html")) == (0o750, 0o640)
