"""What this process may use of the machine: cores, memory, and the instructions that speed up a network.

The only reader of what the system says of memory: whoever asks whether something fits asks here. A container or a
service sees the whole machine but may be held to a part of it; Linux says so in its control groups. A shell may hold
its programs to a number of bytes of addresses, too (`ulimit -v`).
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

_SYSTEM = Path("/")
_MEMORY_UNKNOWN_BYTES = 2_000_000_000
# Limit, use, and the part of the use that is file cache, which gives way: version 2 and version 1.
_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)

#: Instructions that make ONNX Runtime faster, by the system's name for them.
INSTRUCTIONS = {
    "avx": "AVX",
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 bf16",
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX bf16",
    "asimd": "NEON",
    "asimddp": "NEON dot product",
    "i8mm": "NEON int8 matrix",
    "bf16": "NEON bf16",
    "sve": "SVE",
}


def core_limit(system: Path = _SYSTEM) -> float | None:
    """Cores that a control group grants, e.g. 1.5; None if none is set.

    Args:
        system: root of the file system.
    """
    limits: list[float] = []
    for folder in _groups(system, "cpu"):
        quota, period = "", ""
        with contextlib.suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
        with contextlib.suppress(OSError):
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def memory_limit(system: Path = _SYSTEM) -> int | None:
    """Bytes that a control group grants; None if no limit is below what the machine has."""
    limit = min((limit for limit, _left in _group_memory(system)), default=None)
    total = memory_total(system)
    return limit if limit is not None and (total is None or limit < total) else None


def memory_total(system: Path = _SYSTEM) -> int | None:
    """Bytes of memory in the machine; None if the system does not say."""
    known = _memory(system, "MemTotal")
    if known is None and hasattr(os, "sysconf"):
        with contextlib.suppress(ValueError, OSError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return known


def memory_free(system: Path = _SYSTEM) -> int | None:
    """Bytes that this process could get now without swapping; None if the system does not say.

    The least of what is free in the machine, what each control group leaves of its limit, and what the process may
    still take.
    """
    told = [
        _memory(system, "MemAvailable"),
        *(left for _limit, left in _group_memory(system)),
        *_left_of_own_limits(system),
    ]
    return min((left for left in told if left is not None), default=None)


def available_bytes(system: Path = _SYSTEM) -> int:
    """`memory_free`, or a guess if the system does not say: half of the memory, since other programs run too."""
    free = memory_free(system)
    if free is not None:
        return free
    total = memory_total(system)
    return _MEMORY_UNKNOWN_BYTES if total is None else total // 2


def fits(size_bytes: float, share: float = 1.0, system: Path = _SYSTEM) -> bool:
    """Whether so many bytes fit into a share of the memory that this process may use; see `available_bytes`."""
    return size_bytes <= share * available_bytes(system)


def address_limit() -> int | None:
    """Bytes of address space that this process may use in all (`ulimit -v`); None if unlimited."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def instructions(system: Path = _SYSTEM) -> tuple[str, ...] | None:
    """The keys of `INSTRUCTIONS` that this processor has, in that order; None if the system does not say."""
    words: set[str] = set()
    with contextlib.suppress(OSError):
        for line in (system / "proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _colon, value = line.partition(":")
            if name.strip().lower() in ("flags", "features"):
                words = set(value.split())
                break
    if not words and platform.system() == "Darwin" and platform.machine() == "arm64":
        # Every Apple processor that runs macOS has these, under other names.
        words = {"asimd", "asimddp"}
    return tuple(word for word in INSTRUCTIONS if word in words) if words else None


def processor(system: Path = _SYSTEM) -> str:
    """The processor's name, if the system knows it."""
    with contextlib.suppress(OSError):
        for line in (system / "proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _colon, value = line.partition(":")
            # `Model` is a Raspberry Pi's; `model` is a number.
            if name.strip() in ("model name", "Model") and value.strip():
                return " ".join(value.split())
    return platform.processor() or platform.machine()


def memory_in_all(system: Path = _SYSTEM) -> int | None:
    """Bytes that a program started now instead of this one could use; None if the system does not say."""
    free, pages, limit = memory_free(system), _pages(system), memory_limit(system)
    if free is None:
        return None
    in_all = free + (pages[1] * _page_bytes() if pages else 0)
    # Pages of files that others read too may be charged to another group.
    return in_all if limit is None else min(in_all, limit)


def _group_memory(system: Path) -> Iterator[tuple[int, int]]:
    """For each control group that limits memory: its limit, and what is left of it."""
    for folder in _groups(system, "memory"):
        for limited, used, reclaimable in _MEMORY_FILES:
            limit = _number(folder / limited)
            if limit is not None:
                kept = (_number(folder / used) or 0) - _listed(folder / "memory.stat", reclaimable)
                yield limit, max(0, limit - max(0, kept))


def _left_of_own_limits(system: Path) -> Iterator[int]:
    """What this process may still use of address space and data, if they are limited."""
    pages = _pages(system)
    if not pages:
        return
    import resource

    for limited, used in ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5])):
        limit = resource.getrlimit(limited)[0]
        if limit != resource.RLIM_INFINITY:
            yield max(0, limit - used * _page_bytes())


def _pages(system: Path) -> list[int]:
    """What this process uses, in pages: address space, memory, and in sixth place data; nothing outside Linux."""
    with contextlib.suppress(OSError, ValueError):
        return [int(word) for word in (system / "proc/self/statm").read_text().split()]
    return []


def _page_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE")


def _number(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text())
    return None


def _listed(file: Path, word: str) -> int:
    """The number after a word in a file of such lines; 0 if the word is not there."""
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            if line.startswith(f"{word} "):
                return int(line.split()[1])
    return 0


def _memory(system: Path, word: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in (system / "proc/meminfo").read_text().splitlines():
            if line.startswith(f"{word}:"):
                return int(line.split()[1]) * 1024
    return None


def _groups(system: Path, controller: str) -> Iterator[Path]:
    """Folders whose limits apply to this process: its own control group and those above it, in either version."""
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = system / "sys/fs/cgroup"
    for line in lines:
        _number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            roots = [mount, mount / "unified"]
        elif controller in controllers.split(","):
            roots = [mount / controllers, mount / controller]
        else:
            continue
        for root in roots:
            # Inside a container the path is often that outside it; then only the root is there.
            folder = root / path.strip("/")
            while True:
                if folder.is_dir():
                    yield folder
                if folder == root:
                    break
                folder = folder.parent


def peak_memory() -> int:
    """The most bytes that this process has used; a typical figure if the system does not say."""
    try:
        import resource
        import sys
    except ImportError:
        return 350_000_000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_bytes(folder: Path) -> int | None:
    """Free space where a folder is or would be; None if the system does not say."""
    place = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None
