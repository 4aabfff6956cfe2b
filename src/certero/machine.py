"""What this process may use of the machine: cores, memory, and the instructions that speed up a network.

A container or a service sees the whole machine but may be held to a part of it; Linux says so in its control groups.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

_SYSTEM = Path("/")

#: Instructions that make ONNX Runtime faster, by the system's word for them.
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
    """Cores that a control group grants, e.g. 1.5; None where none is set.

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
    """Bytes that a control group grants; None where none is set below what the machine has."""
    limits: list[int] = []
    for folder in _groups(system, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):
                limits.append(int((folder / name).read_text()))
    limit = min(limits, default=None)
    total = memory_total(system)
    return limit if limit is not None and (total is None or limit < total) else None


def memory_total(system: Path = _SYSTEM) -> int | None:
    """Bytes of memory in the machine; None where the system does not say."""
    known = _memory(system, "MemTotal")
    if known is None and hasattr(os, "sysconf"):
        with contextlib.suppress(ValueError, OSError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return known


def memory_free(system: Path = _SYSTEM) -> int | None:
    """Bytes that a new program could get now; None where the system does not say."""
    free = _memory(system, "MemAvailable")
    limit = memory_limit(system)
    return limit if free is None or (limit is not None and limit < free) else free


def instructions(system: Path = _SYSTEM) -> tuple[str, ...] | None:
    """The keys of `INSTRUCTIONS` that this processor has, in that order; None where the system does not say."""
    words: set[str] = set()
    with contextlib.suppress(OSError):
        for line in (system / "proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _colon, value = line.partition(":")
            if name.strip().lower() in ("flags", "features"):
                words = set(value.split())
                break
    if not words and platform.system() == "Darwin" and platform.machine() == "arm64":
        # Every Apple processor that runs macOS has these; the system names them in another way.
        words = {"asimd", "asimddp"}
    return tuple(word for word in INSTRUCTIONS if word in words) if words else None


def processor(system: Path = _SYSTEM) -> str:
    """The processor's name, as far as the system knows it."""
    with contextlib.suppress(OSError):
        for line in (system / "proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _colon, value = line.partition(":")
            # `Model` is a Raspberry Pi's; `model` is a number.
            if name.strip() in ("model name", "Model") and value.strip():
                return " ".join(value.split())
    return platform.processor() or platform.machine()


def _memory(system: Path, word: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in (system / "proc/meminfo").read_text().splitlines():
            if line.startswith(f"{word}:"):
                return int(line.split()[1]) * 1024
    return None


def _groups(system: Path, controller: str) -> Iterator[Path]:
    """Folders whose limits hold for this process: its own control group and those above it, of either version."""
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
            # Inside a container the path is often that of the outside; then only the root is there.
            folder = root / path.strip("/")
            while True:
                if folder.is_dir():
                    yield folder
                if folder == root:
                    break
                folder = folder.parent
