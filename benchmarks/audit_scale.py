"""How time and memory of `certero audit` grow with the number of photos, on the drawn photos of scale.py."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import bench
from scale import draw


def main() -> None:
    """Parses the command line, draws what is missing, audits cold and warm, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the photos are drawn, and found again the next time")
    parser.add_argument("--photos", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="(%(default)s)")
    parser.add_argument("--image-size", type=int, default=32, help="of the network, pixels (%(default)s)")
    parser.add_argument("--timed", action="store_true", help="a photo every 5 minutes: a fixed camera")
    parser.add_argument("--cold-only", action="store_true", help="no second run in full caches")
    arguments = parser.parse_args()
    bench.print_machine()
    jobs: list[tuple[object, ...]] = []
    stages: dict[str, list[float | None]] = {}
    for place, count in enumerate(arguments.photos):
        data = draw(arguments.folder, count, arguments.timed)
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder = Path(name)
            places = {"CERTERO_CACHE": str(folder / "cache"), "CERTERO_STATE": str(folder / "state")}
            command = [*bench.CERTERO, "audit", str(data), "--image-size", str(arguments.image_size), "--quiet"]
            for job in ("cold",) if arguments.cold_only else ("cold", "warm"):
                measured = bench.run([*command, "--json", str(folder / f"{job}.json")], **places)
                jobs.append((count, job, measured.seconds, measured.cpu_seconds, round(measured.peak_mb)))
                print(*jobs[-1], flush=True)  # the largest take long: what is measured should not be lost
            answer = json.loads((folder / "cold.json").read_text("utf-8"))
            print(answer["seconds"], answer["near_copies"], flush=True)
            for stage, seconds in answer["seconds"].items():
                stages.setdefault(stage, [None] * len(arguments.photos))[place] = seconds
    print()
    bench.print_table(("photos", "audit", "wall, s", "CPU, s", "peak memory, MB"), jobs)
    header = ("stage, cold", *(f"{count} photos, s" for count in arguments.photos))
    bench.print_table(header, [(stage, *row) for stage, row in stages.items()])


if __name__ == "__main__":
    main()
