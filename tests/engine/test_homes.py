"""What every home of an engine promises, held against each: the caller cannot tell where the work is done."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from engine_work import HOMES, die_once, divide, mark, who
from places import EXAMPLES

from certero.engine.processes import Processes
from certero.engine.threads import IN_FLIGHT_A_WORKER, Threads

pytest.importorskip("loky", reason="processes need the [report] extra")

_WAIT_SECONDS = 30


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest) -> Iterator[Threads | Processes]:
    made = HOMES[request.param]()
    yield made
    made.close()


def _workers() -> set[str]:
    """Threads that work for an engine, and child processes; the tracker of shared memory is none of them."""
    named = {thread.name for thread in threading.enumerate() if thread.name.startswith("certero")}
    children = psutil.Process().children(recursive=True)
    return named | {str(child.pid) for child in children if "resource_tracker" not in " ".join(child.cmdline())}


def test_answers_are_those_of_a_plain_loop_in_its_order(home: Threads | Processes) -> None:
    items = [7 * number % 100 + 1 for number in range(300)]
    assert list(home.map(divide, items)) == [divide(item) for item in items]
    assert list(home.map(divide, [])) == []


def test_slow_items_hold_their_place(home: Threads | Processes) -> None:
    lag = [0.2, 0.0, 0.0, 0.1, 0.0, 0.0]
    answers = [item for item, _pid in home.map(_wait_for, enumerate(lag))]
    assert answers == list(range(len(lag)))


def _wait_for(given: tuple[int, float]) -> tuple[int, int]:
    return who(given[1], given[0])


def test_an_error_is_raised_where_its_answer_is_taken_and_the_home_goes_on(home: Threads | Processes) -> None:
    answers = home.map(divide, [1, 2, 0, 4])
    assert [next(answers), next(answers)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(answers)
    assert list(home.map(divide, [1, 2])) == [1, 0.5]


def test_an_error_of_the_items_reaches_the_taker(home: Threads | Processes) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("the list ends in the middle")

    with pytest.raises(LookupError, match="in the middle"):
        list(home.map(divide, items()))


def test_items_are_taken_a_few_ahead_of_the_answers(home: Threads | Processes) -> None:
    taken = itertools.count()
    last = 0

    def items() -> Iterator[int]:
        nonlocal last
        while True:
            last = next(taken)
            yield last

    answers = home.map(partial(who, 0.0), items())
    assert last == 0, "nothing is taken before the first answer is asked for"
    for number in range(100):
        assert next(answers)[0] == number
        assert last <= number + home.workers * IN_FLIGHT_A_WORKER
    answers.close()


def test_whoever_leaves_early_waits_for_what_has_begun_alone(home: Threads | Processes, tmp_path: Path) -> None:
    answers = home.map(partial(mark, tmp_path), range(1000))
    assert next(answers) == 0
    answers.close()
    time.sleep(0.5)  # enough for fifty more, if they went on behind the back of the one who left
    assert len(list(tmp_path.iterdir())) <= home.workers * IN_FLIGHT_A_WORKER + 1


def test_a_killed_worker_costs_no_answer(home: Threads | Processes, tmp_path: Path) -> None:
    died = tmp_path / "died"
    work = partial(die_once, os.getpid(), died)
    elsewhere = any(pid != os.getpid() for _item, pid in home.map(partial(who, 0.01), range(8)))
    assert list(home.map(work, range(40))) == list(range(40))
    assert died.exists() == elsewhere
    # And the home is good for more.
    assert list(home.map(divide, [1, 2])) == [1, 0.5]


@pytest.mark.parametrize("name", HOMES)
@pytest.mark.parametrize("left", ["exhausted", "left early", "failed"])
def test_nothing_outlives_the_close(name: str, left: str) -> None:
    before = _workers()
    home = HOMES[name]()
    answers = home.map(divide, [0] if left == "failed" else [1] * 100)
    if left == "failed":
        with pytest.raises(ZeroDivisionError):
            next(answers)
    elif left == "left early":
        next(answers)
        answers.close()
    else:
        assert len(list(answers)) == 100
    home.close()
    home.close()  # a second time is no mistake
    end = time.monotonic() + _WAIT_SECONDS
    while (more := _workers() - before) and time.monotonic() < end:
        time.sleep(0.02)
    assert more == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", HOMES)
def test_control_c_ends_it(name: str) -> None:
    job = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "engine_work.py"), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert job.stdout is not None
    assert job.stdout.readline() == "at work\n"
    family = psutil.Process(job.pid).children(recursive=True)
    os.killpg(job.pid, signal.SIGINT)  # as a terminal does: to all of them
    _out, error = job.communicate(timeout=_WAIT_SECONDS)
    assert error.count("Traceback") == 1, error
    assert "KeyboardInterrupt" in error
    _gone, alive = psutil.wait_procs(family, timeout=_WAIT_SECONDS)
    assert not alive
