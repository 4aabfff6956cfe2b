"""`certero predict` on a folder, and what each of its steps costs alone: its limit."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import bench

import certero
from certero.engine.threads import Threads, count_cores
from certero.photos import pixels
from certero.runtime.model_file import read_model


def main() -> None:
    """Parses the command line, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model.onnx, or the folder of its run")
    parser.add_argument("folder", type=Path, help="folder of readable photos")
    parser.add_argument("--sample", type=int, default=1024, help="photos for the network alone (%(default)s)")
    arguments = parser.parse_args()
    bench.print_machine()
    files = bench.list_files(arguments.folder)
    for file in files:
        file.read_bytes()  # Into the machine's file cache.
    model = arguments.model / "model.onnx" if arguments.model.is_dir() else arguments.model
    data, card = read_model(model)

    def read(file: Path) -> int:
        return len(file.read_bytes())

    def decode(file: Path) -> int:
        size = (card.preprocessing.height, card.preprocessing.width)
        return pixels.decode(file.read_bytes(), at_least=size).pixels.nbytes

    def prepare(file: Path) -> int:
        return pixels.prepare(file.read_bytes(), card.preprocessing).nbytes

    def rate(work: Callable[[Path], int]) -> float:
        return len(files) / bench.seconds_of(lambda: sum(Threads().map(work, files)))

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "answers.csv"
        command = [*bench.CERTERO, "predict", str(model), str(arguments.folder), "--csv", str(output), "--quiet"]
        whole = len(files) / bench.seconds_of(lambda: bench.run(command))
    reading, decoding, preparing = rate(read), rate(decode), rate(prepare)
    predictor = certero.load(model)
    running = len(files) / bench.seconds_of(lambda: predictor.predict(files))
    images = bench.load_pixels(bench.every(files, arguments.sample), card.preprocessing)
    network = bench.network_alone(data, images, ["probabilities"])
    limit = 1 / (1 / preparing + 1 / network)
    cores = count_cores()
    rows = [
        ("reading alone", reading),
        ("reading and decoding", decoding),
        ("reading, decoding, resizing", preparing),
        ("network alone, pixels in memory", network),
        ("limit: the two one after the other, nothing else", limit),
        ("`certero.load(...).predict`", running),
        ("`certero predict`, start included", whole),
    ]
    bench.print_table(("what", "photos/s", "ms of a core a photo"), [(name, r, 1000 * cores / r) for name, r in rows])
    print(
        f"{len(files)} photos; predict reaches {running / limit:.0%} of its limit, {whole / limit:.0%} with its start"
    )


if __name__ == "__main__":
    main()
