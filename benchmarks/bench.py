"""What the benchmarks share: processes with their peak memory, pixels in memory, the network alone, tables."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from certero.engine.threads import Threads, count_cores
from certero.errors import PhotoError
from certero.photos import pixels
from certero.photos.listing import check_folders, walk_photos
from certero.records.preprocessing import Preprocessing
from certero.runtime.network import Network

CERTERO = [sys.executable, "-c", "from certero.cli.main import run; run()"]
_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Measured:
    """A finished process.

    Args:
        seconds: wall time.
        cpu_seconds: of the process and its children, which a busy machine stretches less.
        peak_mb: largest sum of resident memory over the process and its children, megabytes.
        output: what it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def run(command: Sequence[str], **environment: str) -> Measured:
    """Runs a command to its end; ends this program with the command's words if it fails."""
    start, before = time.perf_counter(), _cpu_seconds_of_children()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
    )
    with ThreadPoolExecutor(1) as pool:
        output = pool.submit(process.communicate)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            # Looking at every process takes milliseconds: of a long run more seldom.
            time.sleep(min(max(_SAMPLE_SECONDS, (time.perf_counter() - start) / 50), 1.0))
        seconds = time.perf_counter() - start
        text = output.result()[0]
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return Measured(seconds, _cpu_seconds_of_children() - before, peak / 1e6, text)


def _cpu_seconds_of_children() -> float:
    """Of all children that have ended, and theirs."""
    times = os.times()
    return times.children_user + times.children_system


def _resident(pid: int) -> int:
    total = 0
    try:
        parent = psutil.Process(pid)
        own = parent.cmdline()
        for process in (parent, *parent.children(recursive=True)):
            try:
                # One that is being started has its parent's memory and name for a moment.
                if process is parent or process.cmdline() != own:
                    total += process.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return total
    return total


def list_files(data: Path) -> list[Path]:
    """The photos below a folder, or those of a manifest."""
    if data.is_dir():
        walk = walk_photos(data)
        check_folders(walk)
        return [data / name for name in walk.photos]
    from certero.data.scan import list_photos

    return list_photos(data).paths()


def every(files: Sequence[Path], count: int) -> list[Path]:
    """At most so many of the files, evenly spread."""
    return list(files[:: max(1, -(-len(files) // count))])


def load_pixels(files: Sequence[Path], preprocessing: Preprocessing) -> np.ndarray:
    """Network inputs uint8 [n, height, width, 3] of the files that can be read."""

    def prepare(file: Path) -> np.ndarray | None:
        try:
            return pixels.prepare(file.read_bytes(), preprocessing)
        except PhotoError:
            return None

    return np.stack([image for image in Threads().map(prepare, files) if image is not None])


def network_alone(model: bytes, images: np.ndarray, outputs: Sequence[str]) -> float:
    """Photos a second of an ONNX file on pixels in memory, by ONNX Runtime alone: one call a core at once, the fastest
    way in `backbone_engines.py`, and as exact as in certero."""
    network = Network(model)
    batches = [images[start : start + network.batch_size] for start in range(0, len(images), network.batch_size)]

    def call(batch: np.ndarray) -> int:
        return len(network.run(batch, outputs)[0])

    with ThreadPoolExecutor(count_cores()) as pool:
        sum(pool.map(call, batches[:8]))
        return len(images) / seconds_of(lambda: sum(pool.map(call, batches)))


def open_session(model: bytes, threads: int, exact: bool = False) -> Any:
    """An ONNX Runtime session on the CPU with so many threads a call; `exact`: its way for processors without VNNI."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def seconds_of(work: Callable[[], Any], repeats: int = 3) -> float:
    """Median wall time of the work."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def print_machine() -> None:
    """One line: processor, cores, system, versions, load."""
    from importlib.metadata import version

    names = ("certero", "numpy", "onnxruntime")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{_processor()}, {count_cores()} cores, {platform.system()}, Python {platform.python_version()}, {versions}; "
        f"load before: {load:.2f}\n"
    )


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A Markdown table; floats with three digits or so."""
    print("| " + " | ".join(header) + " |\n|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(_cell(cell) for cell in row) + " |")
    print()


def _cell(cell: object) -> str:
    if not isinstance(cell, float):
        return "" if cell is None else str(cell)
    return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
