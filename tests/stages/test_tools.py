"""The clock of the stages: no second is counted twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from certero.stages.tools import Tools, open_tools


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tools]:
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path))
    with open_tools(1) as made:
        yield made


def test_a_stage_within_another_is_a_part_of_it(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of a random split are trained while figures are scored: they are no second training of the run."""
    now = 0.0
    # A clock that stands still but for the steps below: seconds are compared without a tolerance.
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    for _ in range(2):
        with tools.timed("score"):
            now += 1
            with tools.timed("fit"):
                now += 10
    with pytest.raises(ZeroDivisionError), tools.timed("score"), tools.timed("fit"):
        raise ZeroDivisionError
    with tools.timed("fit"):
        now += 100
    assert tools.seconds == {"score": 22.0, "fit": 100.0}


def test_a_stage_beside_another_is_counted_for_itself(tools: Tools) -> None:
    def load() -> None:
        with tools.timed("network"):
            pass

    with tools.timed("scan"):
        beside = threading.Thread(target=load)
        beside.start()
        beside.join()
    assert tools.seconds.keys() == {"scan", "network"}
