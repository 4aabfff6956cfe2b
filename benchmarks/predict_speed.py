"""`certero predict` on a folder, beside the network alone and beside decoding and fitting alone."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import bench

from certero import pixels
from certero.engine.threads import Threads
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

    def decode(file: Path) -> int:
        return pixels.prepare(file.read_bytes(), card.preprocessing).nbytes

    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "answers.csv"
        command = [*bench.CERTERO, "predict", str(model), str(arguments.folder), "--csv", str(output), "--quiet"]
        whole = len(files) / bench.seconds_of(lambda: bench.run(command))
    decoding = len(files) / bench.seconds_of(lambda: sum(Threads().map(decode, files)))
    images = bench.load_pixels(bench.every(files, arguments.sample), card.preprocessing)
    network = bench.network_alone(data, images, ["probabilities"])
    rows = [
        ("`certero predict`, start included", whole),
        ("network alone, pixels in memory", network),
        ("decode and fit alone", decoding),
    ]
    bench.print_table(("what", "photos/s"), rows)
    print(f"{len(files)} photos; certero predict reaches {whole / network:.0%} of the network alone")


if __name__ == "__main__":
    main()
