"""What the process may use of its machine, read from the files in which Linux says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from certero.engine.threads import count_cores
from certero.machine.limits import (
    available_bytes,
    core_limit,
    instructions,
    memory_free,
    memory_limit,
    memory_total,
    processor,
)


def _system(folder: Path, **files: str) -> Path:
    """A root folder with these files; `__` in a name stands for a slash, `_dot_` for a dot."""
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


_MEMINFO = "MemTotal:        8000000 kB\nMemAvailable:    6000000 kB\n"


def test_a_container_limit_of_version_2_is_seen(tmp_path: Path) -> None:
    system = _system(
        tmp_path,
        proc__self__cgroup="0::/\n",
        proc__meminfo=_MEMINFO,
        sys__fs__cgroup__cpu_dot_max="150000 100000\n",
        sys__fs__cgroup__memory_dot_max="1073741824\n",
    )
    assert core_limit(system) == 1.5
    assert memory_limit(system) == memory_free(system) == 1073741824


def test_a_limit_of_a_group_above_holds_too(tmp_path: Path) -> None:
    system = _system(
        tmp_path,
        proc__self__cgroup="0::/farm.slice/watch.service\n",
        sys__fs__cgroup__farm_dot_slice__cpu_dot_max="200000 100000\n",
    )
    inner = system / "sys/fs/cgroup/farm.slice/watch.service"
    inner.mkdir()
    (inner / "cpu.max").write_text("max 100000\n")
    assert core_limit(system) == 2.0


def test_a_container_limit_of_version_1_is_seen(tmp_path: Path) -> None:
    system = _system(
        tmp_path,
        proc__self__cgroup="4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n",
        proc__meminfo=_MEMINFO,
        sys__fs__cgroup__memory__memory_dot_limit_in_bytes="536870912\n",
    )
    cpu = system / "sys/fs/cgroup/cpu,cpuacct"
    cpu.mkdir()
    (cpu / "cpu.cfs_quota_us").write_text("50000\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    assert core_limit(system) == 0.5
    assert memory_limit(system) == 536870912


def test_no_limit_is_none(tmp_path: Path) -> None:
    system = _system(
        tmp_path,
        proc__self__cgroup="3:cpu:/\n2:memory:/\n0::/\n",
        proc__meminfo=_MEMINFO,
        sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us="-1\n",
        sys__fs__cgroup__cpu__cpu_dot_cfs_period_us="100000\n",
        sys__fs__cgroup__memory__memory_dot_limit_in_bytes="9223372036854771712\n",
    )
    assert core_limit(system) is None
    assert memory_limit(system) is None
    assert memory_free(system) == 6000000 * 1024
    assert core_limit(tmp_path / "nowhere") is memory_limit(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("cpuinfo", "found"),
    [
        ("flags\t\t: fpu avx avx2 avx512f avx512_vnni\n", ("avx", "avx2", "avx512f", "avx512_vnni")),
        ("Features\t: fp asimd crc32 asimddp\n", ("asimd", "asimddp")),
        ("flags : fpu sse2\n", ()),
    ],
)
def test_instructions_are_those_the_system_lists(tmp_path: Path, cpuinfo: str, found: tuple[str, ...]) -> None:
    assert instructions(_system(tmp_path, proc__cpuinfo=cpuinfo)) == found


def test_this_machine_has_cores_and_memory() -> None:
    assert 1 <= count_cores() <= (os.cpu_count() or 1)
    assert (memory_total() or 1) > 0
    assert processor()


def test_what_a_group_holds_already_is_not_free_but_files_in_memory_give_way(tmp_path: Path) -> None:
    system = _system(
        tmp_path,
        proc__self__cgroup="0::/farm/watch\n",
        proc__meminfo=_MEMINFO,
        sys__fs__cgroup__farm__memory_dot_max="1000000000\n",
        sys__fs__cgroup__farm__memory_dot_current="900000000\n",
        sys__fs__cgroup__farm__memory_dot_stat="anon 500000000\ninactive_file 300000000\n",
        sys__fs__cgroup__farm__watch__memory_dot_max="800000000\n",
        sys__fs__cgroup__farm__watch__memory_dot_current="100000000\n",
    )
    # 800 MB are granted, but the group above has only 400 MB left.
    assert memory_limit(system) == 800000000
    assert memory_free(system) == available_bytes(system) == 400000000


def test_memory_is_guessed_where_the_system_does_not_say(tmp_path: Path) -> None:
    assert memory_free(tmp_path) is None
    assert available_bytes(_system(tmp_path, proc__meminfo="MemTotal: 8000000 kB\n")) == 4000000 * 1024


def _run(code: str, *before: str) -> list[int]:
    found = subprocess.run([*before, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [int(word) for word in found.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone holds a process to its addresses")
def test_a_limit_of_the_shell_is_what_may_be_used() -> None:
    code = "from certero.machine.limits import available_bytes; print(available_bytes())"
    (left,) = _run(code, "sh", "-c", 'ulimit -v 1000000; exec "$@"', "sh")
    assert 500_000_000 < left < 1_024_000_000


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of 300 MB."""
    made = {"memory": "memory.limit_in_bytes", "": "memory.max", "unified": "memory.max"}
    for controller, limit in made.items():
        folder = Path("/sys/fs/cgroup", controller, f"certero-test-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text("300000000")
        except OSError:
            folder.rmdir()
            continue
        yield folder
        folder.rmdir()
        return
    pytest.skip("this machine lets nobody make a control group")


def test_a_process_in_a_control_group_has_what_the_group_leaves_it(group: Path) -> None:
    code = (
        "from certero.machine.limits import available_bytes, memory_limit; import os\n"
        "before = available_bytes(); kept = b'1' * 100_000_000\n"
        "print(memory_limit(), before, available_bytes())"
    )
    limit, before, after = _run(code, "sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
    assert limit == pytest.approx(300_000_000, abs=4096)
    assert 200_000_000 < before < limit
    assert before - after == pytest.approx(100_000_000, rel=0.1)
