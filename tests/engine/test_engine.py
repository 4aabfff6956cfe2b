"""Promises about work spread over cores: threads and processes give the same, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from places import EXAMPLES

from certero.engine.processes import Processes
from certero.engine.threads import Threads

pytest.importorskip("loky", reason="processes need the [report] extra")

_WAIT_SECONDS = 30


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Processes that begin at once."""
    engine = Processes(2, enough_seconds=0.0)
    yield engine
    engine.close()


def who(seconds: float, item: int) -> tuple[int, int]:
    """The item, and the process that had it."""
    time.sleep(seconds)
    return item, os.getpid()


def divide(item: int) -> float:
    return 1 / item


def die_once(mark: Path, item: int) -> int:
    if item == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def _warm_up(engine: Processes) -> None:
    """Until the processes have taken over."""
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        if all(pid != os.getpid() for _item, pid in engine.map(partial(who, 0.01), range(4))):
            return
    pytest.fail("no process took over")


@pytest.mark.parametrize("make", [lambda: Threads(2), lambda: Processes(2), lambda: Processes(1)])
def test_answers_come_in_the_order_of_items_and_items_are_taken_a_few_ahead(
    make: Callable[[], Threads | Processes],
) -> None:
    taken: list[int] = []

    def items() -> Iterable[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    answers = make().map(partial(who, 0.0), items())
    assert [next(answers)[0] for _ in range(20)] == list(range(20))
    assert len(taken) < 40
    assert [item for item, _pid in answers] == list(range(20, 1000))


def test_little_work_starts_no_process() -> None:
    engine = Processes(2)
    before = psutil.Process().children(recursive=True)
    assert {pid for _item, pid in engine.map(partial(who, 0.001), range(100))} == {os.getpid()}
    assert psutil.Process().children(recursive=True) == before


def test_much_work_moves_to_processes_in_order_while_it_goes_on() -> None:
    engine = Processes(2, enough_seconds=0.2)
    try:
        answers = list(engine.map(partial(who, 0.02), range(400)))
        assert [item for item, _pid in answers] == list(range(400))
        pids = [pid for _item, pid in answers]
        assert pids[0] == os.getpid()
        assert pids[-1] != os.getpid()
        assert len(set(pids)) == 3
        # Those that are there stay for the next work.
        assert {pid for _item, pid in engine.map(partial(who, 0.0), range(20))} <= set(pids) - {os.getpid()}
    finally:
        engine.close()
    assert not [child for child in psutil.Process().children() if child.pid in pids]


def test_an_error_of_the_work_is_raised_where_the_answers_are_taken(processes: Processes) -> None:
    _warm_up(processes)
    for engine in (processes, Threads(2)):
        answers = engine.map(divide, [1, 2, 0, 4])
        assert [next(answers), next(answers)] == [1, 0.5]
        with pytest.raises(ZeroDivisionError):
            next(answers)
    assert list(processes.map(divide, [1, 2])) == [1, 0.5]


def test_a_killed_process_costs_no_answer(processes: Processes, tmp_path: Path) -> None:
    _warm_up(processes)
    mark = tmp_path / "died"
    assert list(processes.map(partial(die_once, mark), range(40))) == list(range(40))
    assert mark.exists()
    # From then on threads do the work.
    assert {pid for _item, pid in processes.map(partial(who, 0.0), range(8))} == {os.getpid()}


def test_without_the_library_threads_do_the_work(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loky", None)
    assert {pid for _item, pid in processes.map(partial(who, 0.01), range(8))} == {os.getpid()}


# Not protected by `if __name__ == "__main__"`, as people write scripts.
_SCRIPT = """
import os, sys
sys.path[:0] = {folders!r}
from functools import partial
from test_engine import Processes, who
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
    script = _SCRIPT.format(folders=[str(Path(__file__).parent), str(EXAMPLES)], hold=hold)
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
