"""The main job: `certero train` in fresh caches and again in warm ones, beside the network alone."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import bench

from certero.runtime.model_file import read_model


def main() -> None:
    """Parses the command line, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of class folders, or manifest")
    parser.add_argument("--sample", type=int, default=1024, help="photos for the network alone (%(default)s)")
    arguments = parser.parse_args()
    bench.print_machine()
    for file in bench.list_files(arguments.data):
        file.read_bytes()  # Into the machine's file cache, for both runs alike.
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: _train(arguments.data, Path(folder), name) for name in ("cold", "warm")}
        model = Path(folder) / "cold" / "model.onnx"
        rate = _network_rate(model, bench.every(bench.list_files(arguments.data), arguments.sample))
    rows = []
    for name, (measured, metrics) in runs.items():
        # Each used photo passes the network once: for its features, or when the test photos are opened.
        floor = metrics["counts"]["used"] / rate
        rows.append((name, measured.seconds, measured.peak_mb, metrics["counts"]["used"], floor))
    bench.print_table(
        ("run", "wall, s", "peak memory, MB", "photos through the network", "network alone, s", "ratio"),
        [(*row, row[1] / row[4]) for row in rows],
    )
    cold, warm = (metrics["seconds"] for _measured, metrics in runs.values())
    stages = [(stage, cold[stage], warm.get(stage)) for stage in cold]
    bench.print_table(("stage", "cold, s", "warm, s"), stages)
    accuracy = runs["cold"][1]["test"]["accuracy"]
    print(f"accuracy {accuracy['value']} ({accuracy['low']} to {accuracy['high']}), network {rate:.0f} photos/s")


def _train(data: Path, folder: Path, name: str) -> tuple[bench.Measured, dict]:
    command = [*bench.CERTERO, "train", str(data), "--output", str(folder / name), "--quiet"]
    measured = bench.run(command, CERTERO_CACHE=str(folder / "cache"), CERTERO_STATE=str(folder / "state"))
    return measured, json.loads((folder / name / "metrics.json").read_text("utf-8"))


def _network_rate(model: Path, files: list[Path]) -> float:
    data, card = read_model(model)
    return bench.network_alone(data, bench.load_pixels(files, card.preprocessing), ["probabilities"])


if __name__ == "__main__":
    main()
