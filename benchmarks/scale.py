"""How time and memory grow with the number of photos: `certero train` and `certero predict` on drawn photos."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import bench
import numpy as np
from PIL import Image

from certero.engine.threads import Threads

_SIDE = 96
_CLASSES = 20
_SCENES_A_CLASS = 3  # the half of the photos that a fixed camera takes: hard to tell from copies
_ONE_COPY_IN = 50  # re-encoded
_START = datetime(2024, 1, 1)


def main() -> None:
    """Parses the command line, draws what is missing, runs, prints."""
    arguments = build_parser(__doc__).parse_args()
    bench.print_machine()
    jobs: list[tuple[object, ...]] = []
    stages: dict[str, list[float | None]] = {}
    for place, count in enumerate(arguments.photos):
        data = draw(arguments.folder, count, arguments.timed)
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            for name, measured in run_jobs(data, Path(folder), arguments.image_size):
                jobs.append((count, name, measured.seconds, measured.cpu_seconds, round(measured.peak_mb)))
                print(*jobs[-1], flush=True)  # the largest take long: what is measured should not be lost
                if name == "train, cold":
                    metrics = json.loads((Path(folder) / "cold" / "metrics.json").read_text("utf-8"))
                    print(metrics["seconds"], flush=True)
        for stage, seconds in metrics["seconds"].items():
            stages.setdefault(stage, [None] * len(arguments.photos))[place] = seconds
    print_growth(jobs, stages, arguments.photos, "stage of train, cold")


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """What the benchmarks of growth take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, help="where the photos are drawn, and found again the next time")
    parser.add_argument("--photos", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="(%(default)s)")
    parser.add_argument("--image-size", type=int, default=32, help="of the network, pixels (%(default)s)")
    parser.add_argument("--timed", action="store_true", help="a photo every 5 minutes, as a fixed camera takes them")
    return parser


def print_growth(
    jobs: list[tuple[object, ...]], stages: dict[str, list[float | None]], photos: list[int], stage: str
) -> None:
    """Prints what each job took, and what its stages took at each number of photos."""
    print()
    bench.print_table(("photos", "job", "wall, s", "CPU, s", "peak memory, MB"), jobs)
    header = (stage, *(f"{count} photos, s" for count in photos))
    bench.print_table(header, [(name, *row) for name, row in stages.items()])


def run_jobs(data: Path, folder: Path, image_size: int) -> Iterator[tuple[str, bench.Measured]]:
    """Trains in empty caches, again in full ones, and labels all the photos with the model."""
    # One strength and no cross-validation, which small data would get: the same fits at every size.
    recipe = folder / "one-strength.toml"
    recipe.write_text('strengths = [0.01]\nclass_weights = "balanced"\ncv = 0\n')
    places = {"CERTERO_CACHE": str(folder / "cache"), "CERTERO_STATE": str(folder / "state")}
    for name in ("cold", "warm"):
        command = [*bench.CERTERO, "train", str(data), "--recipe", str(recipe), "--output", str(folder / name)]
        yield f"train, {name}", bench.run([*command, "--quiet", "--image-size", str(image_size)], **places)
    command = [*bench.CERTERO, "predict", str(folder / "cold"), str(data), "--quiet"]
    yield "predict", bench.run([*command, "--csv", str(folder / "answers.csv")], **places)


def draw(folder: Path, count: int, timed: bool) -> Path:
    """So many photos in one folder a class; the same ones each time, drawn only where they are missing."""
    data = folder / f"{'timed' if timed else 'plain'}-{count}"

    def draw_one(number: int) -> None:
        name = f"{_START + number * timedelta(minutes=5):%Y-%m-%d-%H-%M-%S}" if timed else f"{number:06d}"
        file = data / f"class-{_original(number) % _CLASSES:02d}" / f"{name}.jpg"
        if not file.exists():
            _paint(_original(number)).save(file, "JPEG", quality=90 if _original(number) == number else 70)

    for label in range(_CLASSES):
        (data / f"class-{label:02d}").mkdir(parents=True, exist_ok=True)
    for _ in Threads().map(draw_one, range(count)):
        pass
    return data


def _original(number: int) -> int:
    return number - _CLASSES if number % _ONE_COPY_IN == _ONE_COPY_IN - 1 and number >= _CLASSES else number


def _paint(number: int) -> Image.Image:
    """Every other photo is of one of a few scenes, with something that moves; the others are like no other photo."""
    label = number % _CLASSES
    rng = np.random.default_rng(number)
    scene = np.random.default_rng([label, number % _SCENES_A_CLASS]) if number // _CLASSES % 2 else rng
    blotches = scene.integers(0, 120, (9, 9, 3)) + np.array([label * 6, 120 - label * 6, label % 5 * 25])
    picture = Image.fromarray(blotches.astype(np.uint8)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    x, y = rng.integers(0, _SIDE - 20, 2).tolist()
    picture.paste((label * 12, 200, int(rng.integers(256))), (x, y, x + 12 + label % 4 * 4, y + 20))
    noise = rng.normal(0, 4, (_SIDE, _SIDE, 1))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
