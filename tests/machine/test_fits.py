"""Whether something fits is asked of one place, and that place obeys the limits of containers and services."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

from certero.machine.limits import available_bytes, fits

GRANTED = 2_000_000_000
_MACHINE = "MemTotal:        64000000 kB\nMemAvailable:    60000000 kB\n"
# Of each who asks: does what needs more than 2 GB leave him believe that it fits?
_ASK = """
from pathlib import Path
from certero.machine import limits
{planted}
from certero.learn.batches import PhotoStore
from certero.probe.probe import room_for_copies
from certero.records.preprocessing import Preprocessing

try:  # 1.2 GB, of which 0.8 are granted to photos; there are none, so that taking them for small fails
    print(not PhotoStore([Path("none.jpg")] * 8000, Preprocessing(224, 224), map).in_memory)
except Exception as error:
    print(False)
room = room_for_copies(700_000, 128)  # 0.36 GB a copy
copies = 0
while room.acquire(blocking=False):
    copies += 1
print(copies <= 2)
print(not limits.fits(3_000_000_000))
print(limits.memory_in_all() <= 2_000_000_000)
"""
# The machine's memory in place of the group's, as it once was.
_PLANTED = "limits._groups = lambda system, controller: iter(())"


@pytest.mark.parametrize(
    ("limit", "group"),
    [
        ("sys/fs/cgroup/farm/memory.max", "0::/farm\n"),
        ("sys/fs/cgroup/memory/farm/memory.limit_in_bytes", "4:memory:/farm\n"),
        ("sys/fs/cgroup/memory.max", "0::/../outside\n"),
    ],
    ids=["version 2", "version 1", "inside a container"],
)
def test_what_a_limit_of_2_gb_does_not_leave_does_not_fit(tmp_path: Path, limit: str, group: str) -> None:
    for name, text in {limit: str(GRANTED), "proc/self/cgroup": group, "proc/meminfo": _MACHINE}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_bytes(tmp_path) == GRANTED
    assert fits(GRANTED, system=tmp_path)
    assert not fits(GRANTED + 1, system=tmp_path)
    assert fits(0.4 * GRANTED, share=0.4, system=tmp_path)
    assert not fits(0.5 * GRANTED, share=0.4, system=tmp_path)


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of 2 GB."""
    if available_bytes() < 2 * GRANTED:
        pytest.skip("what this machine leaves is no more than the limit")
    made = {"memory": "memory.limit_in_bytes", "": "memory.max", "unified": "memory.max"}
    for controller, limit in made.items():
        folder = Path("/sys/fs/cgroup", controller, f"certero-fits-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(GRANTED))
        except OSError:
            folder.rmdir()
            continue
        yield folder
        folder.rmdir()
        return
    pytest.skip("this machine lets nobody make a control group")


def _ask(group: Path, planted: str = "") -> list[str]:
    pytest.importorskip("polars", reason="who asks needs the [report] extra")
    inside = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
    code = _ASK.replace("{planted}", planted)
    return subprocess.run(
        [*inside, sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_nobody_takes_the_memory_of_the_machine_for_that_of_the_group(group: Path) -> None:
    assert _ask(group) == ["True"] * 4


def test_the_test_above_sees_who_asks_the_machine(group: Path) -> None:
    assert _ask(group, _PLANTED) != ["True"] * 4


def test_nothing_else_reads_how_much_memory_there_is() -> None:
    source = ROOT / "src" / "certero"
    words = ("meminfo", "memory.max", "memory.limit", "/cgroup", "getrlimit", "SC_PHYS_PAGES", "statm", "psutil")
    found = {
        file.relative_to(source).as_posix()
        for file in source.rglob("*.py")
        if any(word in file.read_text("utf-8") for word in words)
    }
    assert found == {"machine/limits.py"}
