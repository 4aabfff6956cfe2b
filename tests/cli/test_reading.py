"""What commands read: regular files of a size that can be, and what a shell hands over; nothing waits for ever."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certero.cli.main import main
from certero.machine.files import NotRead, read_file

if TYPE_CHECKING:
    from certero.pipelines.train import Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="devices and pipes of Unix")
_SECONDS = 120
_MARK = "\ufeff"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("zero", "a device"), (".", "a folder")):
        with pytest.raises(NotRead, match=kind):
            read_file(tmp_path / name)
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert read_file(tmp_path / "file", 100) == b"x" * 100
    with pytest.raises(NotRead, match="it may have 0 MiB"):
        read_file(tmp_path / "file", 99)


def test_a_file_that_says_nothing_of_its_size_is_read_to_its_end() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    assert b"Pid:" in read_file(Path("/proc/self/status"))


def test_a_large_hole_takes_no_memory(tmp_path: Path) -> None:
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(20 * 2**30)
    start = time.process_time()  # of the processor: others may be using the machine
    with pytest.raises(NotRead, match="it may have 1,024 MiB and it has 20,480 MiB"):
        read_file(tmp_path / "large.jpg")
    assert time.process_time() - start < 1


# --- The commands ---


@pytest.fixture
def place(small_barn: Path, small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo, a model, a pipe that nobody writes to and a link to a device without an end."""
    shutil.copy(next((small_barn / "beds").rglob("*.jpg")), tmp_path / "photo.jpg")
    shutil.copy(small_run.model, tmp_path / "model.onnx")
    for name in ("pipe.jpg", "pipe.csv", "pipe.toml", "pipe.onnx"):
        os.mkfifo(tmp_path / name)
    for name in ("zero.jpg", "zero.csv", "zero.toml", "zero.onnx"):
        (tmp_path / name).symlink_to("/dev/zero")
    rows = "".join(
        f"{name},{label}\n" for name, label in (("photo.jpg", "lying"), ("pipe.jpg", "a"), ("zero.jpg", "a"))
    )
    (tmp_path / "list.csv").write_text("path,label\n" + rows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "words",
    [
        *(["audit", f"{name}.csv"] for name in ("pipe", "zero")),
        *(["predict", f"{name}.onnx", "photo.jpg"] for name in ("pipe", "zero")),
        *(["value", "model.onnx", "--case", f"{name}.toml"] for name in ("pipe", "zero")),
        *(["train", "list.csv", "--recipe", f"{name}.toml"] for name in ("pipe", "zero")),
        *(["compare", "model.onnx", f"{name}.onnx", "--data", "list.csv"] for name in ("pipe", "zero")),
    ],
    ids=" ".join,
)
def test_a_pipe_and_a_device_are_refused_in_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--quiet"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "a pipe, not a file" in lines[0] or "a device, not a file" in lines[0]


def test_photos_that_are_pipes_or_devices_are_unreadable(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "model.onnx", "photo.jpg", "pipe.jpg", "zero.jpg", "--csv", "-", "-q"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert "a pipe, not a file" in rows[2]
    assert "a device, not a file" in rows[3]
    assert main(["audit", "list.csv", "--json", "found.json", "-q"]) == 0
    found = (place / "found.json").read_text()
    assert "a pipe, not a file" in found
    assert "a device, not a file" in found


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "predict model.onnx <(cat photo.jpg)",
        "predict model.onnx /dev/stdin <photo.jpg",
        "predict model.onnx /dev/fd/0 <photo.jpg",
        "predict <(cat model.onnx) photo.jpg",
        "value --case <(cat case.toml)",
        "value --case /dev/stdin <case.toml",
    ],
)
def test_what_a_shell_hands_over_is_read(words: str, place: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    case = resources.files("certero.business.examples") / "shop-as-reported.toml"
    (place / "case.toml").write_bytes(case.read_bytes())
    done = subprocess.run(
        [bash, "-c", f"'{sys.executable}' -m certero {words} -q"],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "probability" in done.stdout or "Payback" in done.stdout


def test_a_stream_without_an_end_is_refused() -> None:
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run(
            [sys.executable, "-m", "certero", "value", "--case", "/dev/stdin", "-q"],
            stdin=endless,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    assert done.returncode == 2
    assert "it may have 10 MiB and it goes on" in done.stderr


# --- Recipes and cases ---

_CASE = "volume_per_month = 1000\nby_hand_minutes = 1\nwith_model_minutes = 0.1\nhour_cost = 10\n"
_DEEP = "x = " + "[" * 100_000 + "]" * 100_000 + "\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_CASE.encode("utf-16"), "UTF-16"),
        (_CASE.encode() + b"# caf\xe9", "not UTF-8 from byte"),
        ((_CASE + _DEEP).encode(), "nested too deeply"),
        ((_CASE + "horizon_months = 100000000").encode(), "horizon_months must be a number, above 0, at most 1,200"),
        ((_CASE + "error_cost = 1e308").encode(), "error_cost must be a number"),
        ((_CASE + "error_cost = inf").encode(), "error_cost must be a number"),
        ((_CASE + "error_cost = nan").encode(), "error_cost must be a number"),
        ((_CASE + "error_cost = -1").encode(), "error_cost must be a number"),
        ((_CASE + f"error_cost = 1{'0' * 400}").encode(), "error_cost must be a number"),
        ((_CASE + f"error_cost = 1{'0' * 9000}").encode(), "must be valid TOML"),
        ((_CASE + "error_cost = 2024-01-12").encode(), "found 2024-01-12"),
        ((_CASE + f'title = "{"x" * 3_000_000}"').encode(), "title must be a text of at most 200 letters"),
        ((_CASE + "hour_cost = 11").encode(), "must be valid TOML"),
        ((_CASE + f"{'k' * 1_000_000} = 1").encode(), "a case may have"),
        (b"\0" * 100, "no text at all"),
        (b"", "a case must have"),
    ],
    ids=range(16),
)
def test_a_case_is_bounded_and_refused_in_one_line(
    text: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "case.toml").write_bytes(text)
    assert main(["value", "--case", str(tmp_path / "case.toml"), "-q"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert len(lines[0]) < 5000
    assert says in lines[0]
    assert str(tmp_path / "case.toml") in lines[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epochs = 3".encode("utf-16"), "UTF-16"),
        (_DEEP.encode(), "nested too deeply"),
        (b"epochs = 1000000000000000000000000000000000000000", "--epochs must lie between"),
        (b"lr = 1e308", "--lr must lie between"),
        (b"lr = nan", "--lr must lie between"),
        (b"block = 2024-01-12", "block must be a duration"),
        (b'block = "999999999999999999999d"', "is too long"),
        (b"strengths = [inf]", "strengths must be positive numbers"),
        (b'backbone = "' + b"x" * 3_000_000 + b'"', "backbone must be a text of at most"),
        (b"epochs = 1\nepochs = 2", "must be valid TOML"),
        (b"[epochs]\na = 1", "epochs must be a whole number"),
    ],
    ids=range(11),
)
def test_a_recipe_is_bounded_and_refused_in_one_line(
    text: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.toml").write_bytes(text)
    assert main(["train", str(tmp_path), "--recipe", str(tmp_path / "own.toml"), "-q"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert len(lines[0]) < 5000
    assert says in lines[0]
    assert str(tmp_path / "own.toml") in lines[0]


def test_a_mark_in_front_and_the_line_ends_of_windows_are_no_fault(tmp_path: Path) -> None:
    from certero.business.case import read_case

    (tmp_path / "case.toml").write_bytes((_MARK + _CASE.replace("\n", "\r\n")).encode())
    assert read_case(tmp_path / "case.toml").hour_cost == 10


# --- Signals ---

_STUCK = """
import os, sys, threading, time
from pathlib import Path
from certero.cli.terminal import signals
from certero.machine.files import in_the_making
from certero.engine.threads import Threads
print('ready', flush=True)
signals.PATIENCE_SECONDS = float(sys.argv[1])
signals.listen()
Path("half").mkdir()
in_the_making.add(Path("half"))
read, write = os.pipe()
try:
    for answer in Threads(2).map(lambda _item: os.read(read, 1), [1, 2]):
        pass
except KeyboardInterrupt:
    sys.exit(signals.exit_code())
"""


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("twice", [True, False])
def test_a_process_that_is_stuck_in_a_worker_ends(sent: signal.Signals, twice: bool, tmp_path: Path) -> None:
    program = _STUCK
    with subprocess.Popen(
        [sys.executable, "-c", program, "60" if twice else "1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while not (tmp_path / "half").exists():
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(sent)
        if twice:
            time.sleep(0.5)
            process.send_signal(sent)
        assert process.wait(20) == 128 + sent
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_its_processes_end_with_it(tmp_path: Path) -> None:
    pytest.importorskip("loky", reason="needs the [report] extra")
    (tmp_path / "stuck.py").write_text(
        "import os, sys, time\nfrom pathlib import Path\nfrom certero.cli.terminal import signals\n"
        "from certero.engine.processes import Processes\n"
        "def work(item):\n    Path(f'child-{os.getpid()}').touch()\n    time.sleep(600)\n"
        "def quick(item):\n    time.sleep(0.05)\n"
    )
    program = (
        "from stuck import *\nsignals.PATIENCE_SECONDS = 1\nsignals.listen()\n"
        "pool = Processes(2, enough_seconds=0.0)\n"
        "import os\n"
        "while not Path('child-seen').exists():\n"
        "    list(pool.map(quick, range(20)))\n"
        "    if all(f.done() for f in pool._starting): Path('child-seen').touch()\n"
        "try:\n    list(pool.map(work, range(4)))\n"
        "except KeyboardInterrupt:\n    pool.close()\n    sys.exit(signals.exit_code())\n"
    )
    settings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env=settings, stderr=subprocess.PIPE
    ) as process:
        children: list[int] = []
        deadline = time.monotonic() + 60
        while len(children) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
            names = [file.name.removeprefix("child-") for file in tmp_path.glob("child-*")]
            children = [int(name) for name in names if name.isdecimal() and int(name) != process.pid]
        assert len(children) == 2, process.stderr.read() if process.poll() is not None and process.stderr else children
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    time.sleep(0.5)
    alive = [child for child in children if _runs(child)]
    assert alive == []


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
