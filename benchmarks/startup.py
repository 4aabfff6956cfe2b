"""How long a command takes to start: help, and one photo, each a new process, beside an empty Python process."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import bench
import numpy as np


def main() -> None:
    """Parses the command line, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model.onnx, or the folder of its run")
    parser.add_argument("image", type=Path, help="a photo")
    parser.add_argument("--repeats", type=int, default=9, help="processes of each kind (%(default)s)")
    arguments = parser.parse_args()
    bench.print_machine()
    commands = {
        "`python -c pass`": [sys.executable, "-c", "pass"],
        "`certero --help`": [*bench.CERTERO, "--help"],
        "`certero predict`, one photo": [*bench.CERTERO, "predict", str(arguments.model), str(arguments.image), "-q"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(arguments.repeats + 1):
        for name, command in commands.items():
            milliseconds = 1000 * _seconds(command)
            if number > 0:  # The first round reads the files from disk.
                times[name].append(milliseconds)
    rows = [(name, float(np.median(found)), min(found)) for name, found in times.items()]
    bench.print_table(("command", "median, ms", "fastest, ms"), rows)


def _seconds(command: list[str]) -> float:
    import subprocess

    # Not bench.run: its sampling of memory costs time that counts here.
    return bench.seconds_of(lambda: subprocess.run(command, capture_output=True, check=True), repeats=1)


if __name__ == "__main__":
    main()
