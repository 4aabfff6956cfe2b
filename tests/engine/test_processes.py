"""Processes begin where there is enough work for them, and end with the one that started them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from engine_work import die_once, warm_up, who
from places import EXAMPLES

from certero.engine.processes import Processes

pytest.importorskip("loky", reason="processes need the [report] extra")

_WAIT_SECONDS = 30


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Processes that begin at once."""
    engine = Processes(2, enough_seconds=0.0)
    yield engine
    engine.close()


def test_little_work_starts_no_process() -> None:
    engine = Processes(2)
    before = psutil.Process().children(recursive=True)
    assert {pid for _item, pid in engine.map(partial(who, 0.001), range(100))} == {os.getpid()}
    assert psutil.Process().children(recursive=True) == before


@pytest.mark.slow
def test_much_work_moves_to_processes_in_order_while_it_goes_on() -> None:
    engine = Processes(2, enough_seconds=0.2)
    try:
        answers: list[tuple[int, int]] = []
        end = time.monotonic() + _WAIT_SECONDS

        def items() -> Iterator[int]:
            # Until some hundred items after the processes have begun, which takes long on a busy machine.
            yield from itertools.takewhile(lambda _item: time.monotonic() < end and moved() < 200, itertools.count())

        def moved() -> int:
            return sum(pid != os.getpid() for _item, pid in answers)

        for answer in engine.map(partial(who, 0.02), items()):
            answers.append(answer)
        assert [item for item, _pid in answers] == list(range(len(answers)))
        pids = [pid for _item, pid in answers]
        assert pids[0] == os.getpid()
        assert pids[-1] != os.getpid()
        assert len(set(pids)) == 3
        # Those that are there stay for the next work.
        assert {pid for _item, pid in engine.map(partial(who, 0.0), range(20))} <= set(pids) - {os.getpid()}
    finally:
        engine.close()
    assert not [child for child in psutil.Process().children() if child.pid in pids]


def test_after_a_process_was_killed_threads_do_the_work(processes: Processes, tmp_path: Path) -> None:
    warm_up(processes)
    died = tmp_path / "died"
    assert list(processes.map(partial(die_once, os.getpid(), died), range(40))) == list(range(40))
    assert died.exists()
    assert {pid for _item, pid in processes.map(partial(who, 0.0), range(8))} == {os.getpid()}


def test_without_the_library_threads_do_the_work(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loky", None)
    assert {pid for _item, pid in processes.map(partial(who, 0.01), range(8))} == {os.getpid()}


# Not protected by `if __name__ == "__main__"`, as people write scripts.
_SCRIPT = """
import os, sys
sys.path[:0] = {folders!r}
from functools import partial
from engine_work import Processes, who
engine = Processes(2, enough_seconds=0.0)
for _ in range(3000):
    pids = {{pid for _item, pid in engine.map(partial(who, 0.005), range(8))}}
    if os.getpid() not in pids:
        print(*pids, flush=True)
        if {hold}:
            list(engine.map(partial(who, 0.005), range(100_000)))
        break
engine.close()
"""


def _start(hold: bool) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    script = _SCRIPT.format(folders=[str(EXAMPLES)], hold=hold)
    job = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert job.stdout is not None
    workers = [psutil.Process(int(pid)) for pid in job.stdout.readline().split()]
    assert workers
    return job, workers


def test_a_script_without_a_guard_gets_its_answers_once() -> None:
    job, _workers = _start(hold=False)
    out, error = job.communicate(timeout=_WAIT_SECONDS)
    assert (job.returncode, out, error) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "control-c"])
def test_processes_end_with_the_one_that_started_them(how: str) -> None:
    job, workers = _start(hold=True)
    time.sleep(0.2)
    if how == "killed":
        job.kill()
    else:
        os.killpg(job.pid, signal.SIGINT)  # as a terminal does: to all of them
    _gone, alive = psutil.wait_procs(workers, timeout=_WAIT_SECONDS)
    assert not alive
    _out, error = job.communicate(timeout=_WAIT_SECONDS)
    if how == "control-c":
        # One traceback, of the script itself.
        assert error.count("Traceback") == 1, error
        assert "KeyboardInterrupt" in error


def test_libraries_are_not_looked_for_while_one_is_loaded() -> None:
    """threadpoolctl and an import wait for each other's lock for ever: an audit once hung so, without a word."""
    program = (
        "import threading, time\n"
        "from certero.engine import blas\n"
        "order = []\n"
        "blas.load_beside(lambda: (time.sleep(0.5), order.append('loaded')))\n"
        "with blas.one_blas_thread():\n"
        "    order.append('looked for')\n"
        "print(*order)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "loaded looked for\n"
