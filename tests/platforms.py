"""Whether each kind of machine that certero is for gets it from wheels alone. `make platforms` runs it.

Nothing is installed: uv resolves what `pip install` would take there, with the markers of that machine, and refuses
what would have to be compiled.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# uv's name of each and the extra that it must get, which holds the smaller ones and the runtime: torch has no wheel for
# Windows on Arm. ONNX Runtime has none for Macs with Intel processors, nor for systems older than these.
MACHINES = {
    "Linux x86-64": ("x86_64-manylinux_2_28", "networks"),
    "Linux aarch64": ("aarch64-manylinux_2_28", "networks"),
    "Windows x86-64": ("x86_64-pc-windows-msvc", "networks"),
    "Windows arm64": ("aarch64-pc-windows-msvc", "train"),
    "macOS 14 arm64": ("aarch64-apple-darwin", "networks"),
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def resolve(machine: str, python: str) -> tuple[int, str]:
    """How many packages certero takes on that machine; 0 and the reason where one of them has no wheel."""
    triple, extra = MACHINES[machine]
    uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    where = ["--python-platform", triple, "--python-version", python]
    done = subprocess.run(
        [*uv, *where, "--only-binary", ":all:", "--extra", extra, "pyproject.toml"],
        cwd=ROOT,
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return (0, done.stderr.strip()) if done.returncode else (len(done.stdout.splitlines()), "")


def main() -> int:
    """Prints a table of how many packages are taken; 1 if any machine lacks a wheel."""
    wanted = [(machine, python) for machine in MACHINES for python in PYTHONS]
    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(wanted, pool.map(lambda one: resolve(*one), wanted), strict=True))
    print(f"{'packages, all as wheels':<28}" + "".join(f"{'Python ' + python:<14}" for python in PYTHONS))
    for machine, (_triple, extra) in MACHINES.items():
        counts = [answers[machine, python][0] for python in PYTHONS]
        print(f"{machine:<16}{'[' + extra + ']':<12}" + "".join(f"{count or 'lacks some':<14}" for count in counts))
    for (machine, python), (count, reason) in answers.items():
        if not count:
            print(f"\n{machine}, Python {python}:\n{reason}", file=sys.stderr)
    return int(any(not count for count, _reason in answers.values()))


if __name__ == "__main__":
    sys.exit(main())
