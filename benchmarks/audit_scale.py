"""How time and memory of `certero audit` grow with the number of photos, on the drawn photos of scale.py."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import bench
from scale import build_parser, draw, print_growth


def main() -> None:
    """Parses the command line, draws what is missing, audits cold and warm, prints."""
    parser = build_parser(__doc__)
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
                jobs.append((count, f"audit, {job}", measured.seconds, measured.cpu_seconds, round(measured.peak_mb)))
                print(*jobs[-1], flush=True)  # the largest take long: what is measured should not be lost
            answer = json.loads((folder / "cold.json").read_text("utf-8"))
            print(answer["seconds"], answer["near_copies"], flush=True)
            for stage, seconds in answer["seconds"].items():
                stages.setdefault(stage, [None] * len(arguments.photos))[place] = seconds
    print_growth(jobs, stages, arguments.photos, "stage of audit, cold")


if __name__ == "__main__":
    main()
