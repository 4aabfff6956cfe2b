"""Whatever ends a run, nothing half-written is ever taken for whole, and the same command then gives the same model.

Real processes, killed by real signals, on real full disks. A log of openings a run: how often the test photos were
opened before is part of the model file.
"""

from __future__ import annotations

import contextlib
import csv
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from certero.machine.cache import BlobCache

pytest.importorskip("torch", reason="training needs the [networks] extra")

pytestmark = pytest.mark.slow

T = TypeVar("T")

_SECONDS = 300
_CACHES = ("fingerprints", "features", "networks")

# Ends its own process at a moment that cannot be met from outside: when a function of certero is called (in a thread of
# its own, if so asked), a statement of SQL begins, a file is begun, or something is renamed to a name.
_STRIKE = """
import os, signal, sqlite3, sys, threading
kind, moment, number = sys.argv[1:4]
del sys.argv[1:4]
# A shell that starts the tests in the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

def strike():
    os.kill(os.getpid(), int(number))

def look(event, arguments):
    if kind == "file" and event == "open" and isinstance(arguments[0], str) and f"/.{moment}." in arguments[0]:
        strike()
    if kind == "rename" and event == "os.rename" and str(arguments[1]).endswith(f"/{moment}"):
        strike()

def called(frame, event, argument):
    if event == "call" and frame.f_code.co_name == moment and "certero" in frame.f_code.co_filename:
        sys.setprofile(None)
        strike()

def connect(*arguments, real=sqlite3.connect, **settings):
    connection = real(*arguments, **settings)
    connection.set_trace_callback(lambda statement: strike() if statement.startswith(moment) else None)
    return connection

if kind == "sql":
    sqlite3.connect = connect
elif kind == "call":
    sys.setprofile(called)
elif kind == "thread":
    threading.setprofile(called)
else:
    sys.addaudithook(look)
from certero.cli.main import run
run()
"""


@dataclass
class Job:
    """One command on a few photos of the barn, and what an undisturbed run of it gave.

    Args:
        folder: of the manifest and the recipe.
        reference: the undisturbed run.
        seconds: that it took with no photo remembered.
        networks: a cache that remembers the exported network, which takes long, but no photo.
        photos: a cache that remembers everything.
    """

    folder: Path
    reference: Path
    seconds: float
    networks: Path
    photos: Path

    def start(self, place: Path, cache: Path, *program: str, **folders: Path) -> subprocess.Popen[str]:
        """The command as a process; `place` is its --output."""
        state = place.parent.parent / f"state-{time.monotonic_ns()}"
        environment = {"CERTERO_CACHE": str(cache), "CERTERO_STATE": str(state)}
        environment |= {name: str(folder) for name, folder in folders.items()}
        words = ["train", str(self.folder / "beds.csv"), "--recipe", str(self.folder / "quick.toml"), "-q"]
        return subprocess.Popen(
            [sys.executable, *(program or ("-m", "certero")), *words, "--image-size", "64", "-o", str(place)],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, place: Path, cache: Path) -> None:
        """Runs the command to its end: the run is whole, and alone in its folder."""
        process = self.start(place, cache)
        error = process.communicate(timeout=_SECONDS)[1]
        assert (process.returncode, error) == (0, "")
        self.check_whole(place)
        assert [path.name for path in place.parent.iterdir()] == [place.name], "what was left behind is cleaned up"

    def check_whole(self, place: Path) -> None:
        """Every file of the run is there, and the model is the undisturbed one."""
        assert {file.name for file in place.iterdir()} == {file.name for file in self.reference.iterdir()}
        for name in ("model.onnx", "data.parquet", "predictions.csv", "history.csv"):
            assert (place / name).read_bytes() == (self.reference / name).read_bytes(), name

    def check_nothing_half_written(self, place: Path, cache: Path) -> bool:
        """Whether a run is there; then it is whole. The cache's files are sound."""
        for name in _CACHES:
            with contextlib.closing(sqlite3.connect(cache / f"{name}.sqlite")) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not list(cache.glob("*.spoiled"))
        if place.exists():
            self.check_whole(place)
        return place.exists()


@pytest.fixture(scope="module")
def job(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    with (small_barn / "beds.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["captured_at"])[::3]
    with (folder / "beds.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "captured_at", "split"])
        for number, row in enumerate(rows):
            (folder / row["path"]).parent.mkdir(parents=True, exist_ok=True)
            os.link(small_barn / row["path"], folder / row["path"])
            split = "train" if number < 0.7 * len(rows) else "test"
            writer.writerow([row["path"], row["label"], row["captured_at"], split])
    (folder / "quick.toml").write_text("strengths = [0.03]\n")
    made = Job(folder, folder / "reference", 0.0, folder / "networks", folder / "photos")
    process = made.start(made.reference, made.photos)
    assert process.communicate(timeout=_SECONDS)[1] == ""
    made.networks.mkdir()
    shutil.copy(made.photos / "networks.sqlite", made.networks)
    cache, place = _copy(made.networks, folder / "timed"), folder / "timed runs" / "run"
    start = time.perf_counter()
    assert made.start(place, cache).wait(_SECONDS) == 0
    made.seconds = time.perf_counter() - start
    made.check_whole(place)
    return made


def _copy(cache: Path, to: Path) -> Path:
    shutil.copytree(cache, to)
    return to


def _two_at_once(function: Callable[[T], None], items: Iterable[T]) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(function, items))


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    error = process.communicate(timeout=_SECONDS)[1]
    return process.returncode, error


# ---- kill -9 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remembered", ["networks", "photos"], ids=["cold", "warm"])
def test_after_a_kill_at_ten_random_moments_nothing_half_written_passes_and_the_next_run_gives_the_same_model(
    job: Job, tmp_path: Path, remembered: str
) -> None:
    lot = random.Random(remembered)
    moments = [(number + lot.random()) / 10 for number in range(10)]
    killed: list[float] = []

    def strike(moment: float) -> None:
        folder = tmp_path / f"{moment:.3f}"
        cache, place = _copy(getattr(job, remembered), folder / "cache"), folder / "runs" / "run"
        process = job.start(place, cache)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment * job.seconds)
        process.kill()
        _end(process)
        if process.returncode == -signal.SIGKILL:
            killed.append(moment)
        if not job.check_nothing_half_written(place, cache):
            job.finish(place, cache)

    _two_at_once(strike, moments)
    assert len(killed) >= 6, "on a machine whose speed varies a run may end before its moment, but not most of them"


def test_a_kill_at_a_commit_a_write_or_the_final_rename_leaves_nothing_half_written(job: Job, tmp_path: Path) -> None:
    def strike(moment: tuple[str, str]) -> None:
        folder = tmp_path / " ".join(moment)
        cache, place = _copy(job.networks, folder / "cache"), folder / "runs" / "run"
        code, error = _end(job.start(place, cache, "-c", _STRIKE, *moment, str(int(signal.SIGKILL))))
        assert code == -signal.SIGKILL, (moment, error)
        assert not job.check_nothing_half_written(place, cache)
        left = list(place.parent.iterdir()) if place.parent.exists() else []
        assert len(left) == 1, "a working folder, which the next run cleans up"
        job.finish(place, cache)

    statements = [("sql", "CREATE TABLE"), ("sql", "COMMIT"), ("sql", "INSERT OR REPLACE INTO entry VALUES")]
    _two_at_once(strike, [*statements, ("file", "model.onnx"), ("file", "report.html"), ("rename", "run")])


def test_a_kill_during_the_export_of_the_network_leaves_no_half_network(job: Job, tmp_path: Path) -> None:
    cache, place = tmp_path / "cache", tmp_path / "runs" / "run"
    # The network is drawn beside the scan, convolution by convolution.
    code, error = _end(job.start(place, cache, "-c", _STRIKE, "thread", "convolve", str(int(signal.SIGKILL))))
    assert code == -signal.SIGKILL, error
    job.finish(place, cache)


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------


def test_control_c_at_any_stage_is_one_line_and_leaves_nothing(job: Job, tmp_path: Path) -> None:
    def strike(function: str) -> None:
        folder = tmp_path / function
        cache, place = _copy(job.networks, folder / "cache"), folder / "runs" / "run"
        code, error = _end(job.start(place, cache, "-c", _STRIKE, "call", function, str(int(signal.SIGINT))))
        assert (code, error.count("\n")) == (130, 1), (function, error)
        assert error.startswith("Interrupted; ")
        assert not place.parent.exists(), "an interrupted run cleans up behind itself"
        job.check_nothing_half_written(place, cache)
        job.finish(place, cache)

    stages = ["loading_embedder", "look_at_photos", "separate", "embed", "fit_probe", "attach_head", "run_model"]
    _two_at_once(strike, [*stages, "compare_splits", "write_report", "_move"])


# ---- full disks -----------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str, int], Path]]:
    """Mounts small disks, given a name and a size in bytes."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk to fill")
    mounted: list[Path] = []

    def mount(name: str, size_bytes: int) -> Path:
        place = tmp_path / name
        place.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"a small disk to fill cannot be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # busy or not: none is left mounted


def _enlarge(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=200m", str(place)], check=True)


def _fill(place: Path) -> Path:
    filler = place / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return filler


# In the order in which they are written.
_FILES = ("openings.jsonl", "model.onnx", "config.toml", "data.parquet", "history.csv", "predictions.csv")
_FILES += ("held_out.csv", "metrics.json", "report.html")


def test_a_disk_that_is_full_at_any_file_of_the_run_is_one_line_and_leaves_nothing(
    job: Job, tmp_path: Path, disk: Callable[[str, int], Path]
) -> None:
    sizes = [-(-(job.reference / name).stat().st_size // 4096) * 4096 for name in _FILES]
    assert sizes[0] == 4096, "a disk has a page at least, which the first file fits into"
    # Room for the files before it, and all but the last page of it; and two more inside the large file.
    levels = [(name, sum(sizes[: n + 1]) - 4096) for n, name in enumerate(_FILES) if n > 0]
    levels += [("model.onnx", sizes[1] // 2)]
    places = [(name, disk(f"{level}", level)) for name, level in levels]
    caches = iter([_copy(job.photos, tmp_path / f"cache{number}") for number in range(len(places))])
    trials = [(name, place, next(caches)) for name, place in places]

    def fill(trial: tuple[str, Path, Path]) -> None:
        name, root, cache = trial
        place = root / "run"
        code, error = _end(job.start(place, cache))
        assert (code, error.count("\n")) == (2, 1), error
        assert f"{place}/{name} must be writable; No space left on device" in error
        assert list(root.iterdir()) == []
        assert not job.check_nothing_half_written(place, cache)
        _enlarge(root)
        job.finish(place, cache)

    _two_at_once(fill, trials)


def test_a_disk_without_room_for_any_run_is_known_before_anything_is_computed(
    job: Job, tmp_path: Path, disk: Callable[[str, int], Path]
) -> None:
    root = disk("disk", 8192)
    code, error = _end(job.start(root / "runs" / "run", tmp_path / "cache"))
    assert (code, error.count("\n")) == (2, 1), error
    assert "--output must be a place that can be written" in error
    assert "No space left on device" in error
    assert list(root.iterdir()) == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("room", [0, 40])
def test_a_disk_without_room_for_the_cache_costs_time_only_and_keeps_what_was_there(
    job: Job, tmp_path: Path, disk: Callable[[str, int], Path], room: int
) -> None:
    # Without any room SQLite cannot even read; with some the disk is full in the middle of the run.
    root = disk("disk", 40_000_000)
    cache = root / "cache"
    _copy(job.networks, cache)
    # Some photos are remembered, others not, and the disk is full now but for some pages.
    known = {f"{number}": bytes([number]) * 3000 for number in range(200)}
    for name in _CACHES[:2]:
        remembered = BlobCache(name, cache)
        remembered.put_many(known.items())
        remembered.close()
    filler = _fill(root)
    os.truncate(filler, filler.stat().st_size - 4096 * room)
    place = tmp_path / "runs" / "run"
    job.finish(place, cache)
    filler.unlink()
    assert not list(cache.glob("*.spoiled"))
    for name in _CACHES[:2]:
        remembered = BlobCache(name, cache)
        assert remembered.get_many(list(known)) == known
        remembered.close()
    job.finish(tmp_path / "again" / "run", cache)


def test_a_full_disk_for_temporary_files_stops_nothing(
    job: Job, tmp_path: Path, disk: Callable[[str, int], Path]
) -> None:
    root, place = disk("disk", 4096), tmp_path / "runs" / "run"
    _fill(root)
    # With an empty cache: the export of the network, too, does without them.
    assert _end(job.start(place, tmp_path / "cache", TMPDIR=root)) == (0, "")
    job.check_whole(place)


@pytest.mark.parametrize("room_bytes", [0, 300])
def test_a_full_disk_for_the_log_of_openings_keeps_the_test_set_sealed(
    job: Job, tmp_path: Path, disk: Callable[[str, int], Path], room_bytes: int
) -> None:
    # With a little room the disk takes the beginning of the line, and no error tells.
    root = disk("disk", 1_000_000)
    log = root / "openings.jsonl"
    log.write_text('{"photos": []}' + " " * (4096 - 15 - room_bytes) + "\n")
    filler = _fill(root)
    place, cache = tmp_path / "runs" / "run", _copy(job.photos, tmp_path / "cache")
    code, error = _end(job.start(place, cache, CERTERO_STATE=root))
    assert (code, error.count("\n")) == (2, 1), error
    assert "the test set stays sealed" in error
    assert "No space left on device" in error
    assert not place.parent.exists()
    filler.unlink()
    code, error = _end(job.start(place, cache, CERTERO_STATE=root))
    assert (code, error) == (0, "")
    job.check_whole(place)


# ---- company --------------------------------------------------------------------------------------------------


def test_two_runs_at_once_into_one_cache_give_the_same_model(job: Job, tmp_path: Path) -> None:
    cache = _copy(job.networks, tmp_path / "cache")
    places = [tmp_path / name / "runs" / "run" for name in ("one", "two")]
    both = [job.start(place, cache) for place in places]
    assert [_end(process) for process in both] == [(0, ""), (0, "")]
    for place in places:
        assert job.check_nothing_half_written(place, cache)


def test_of_two_runs_at_once_into_one_output_exactly_one_wins(job: Job, tmp_path: Path) -> None:
    cache, place = _copy(job.networks, tmp_path / "cache"), tmp_path / "runs" / "run"
    both = [_end(process) for process in [job.start(place, cache), job.start(place, cache)]]
    (won, _), (lost, error) = sorted(both)
    assert (won, lost, error.count("\n")) == (0, 2, 1)
    assert "--output must not exist yet" in error
    job.check_whole(place)
    assert [path.name for path in place.parent.iterdir()] == ["run"]
