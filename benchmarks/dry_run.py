"""How honest `certero train --dry-run` is: what it expects beside what the run then takes, in fresh and warm caches."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path

import bench


def main() -> None:
    """Parses the command line, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+", help="folder of class folders, or manifest; several may be given")
    parser.add_argument("--recipe", help="of a network, instead of the probe; then one run, not cold and warm")
    parser.add_argument("--epochs", help="of the network, fewer than its recipe's for a quick look")
    parser.add_argument("--stages", action="store_true", help="also the stages of each run")
    arguments = parser.parse_args()
    bench.print_machine()
    rows = []
    for data in arguments.data:
        for file in bench.list_files(data):
            file.read_bytes()  # Into the machine's file cache, for all runs alike.
        with tempfile.TemporaryDirectory() as folder:
            words = ["--recipe", arguments.recipe, "--class-weights", "none"] if arguments.recipe else []
            words += ["--epochs", arguments.epochs] if arguments.epochs else []
            for name in (arguments.recipe,) if arguments.recipe else ("cold", "warm"):
                planning, plan, measured, metrics, run_mb, share = _both(data, Path(folder), name, words)
                expected = plan["seconds"]["total"]
                rows.append(
                    (
                        f"{data.stem}, {name}",
                        planning.seconds,
                        expected,
                        measured.seconds,
                        expected / measured.seconds,
                        plan["measured"]["core_share"],
                        share / plan["measured"]["workers"],
                        plan["memory_bytes"] / 1e6,
                        measured.peak_mb,
                        plan["disk"]["run_bytes"] / 1e6,
                        run_mb,
                    )
                )
                if arguments.stages:
                    _print_stages(rows[-1][0], plan["seconds"], metrics["seconds"], measured.seconds)
    bench.print_table(
        (
            "data",
            "dry run itself, s",
            "expected, s",
            "real, s",
            "ratio",
            "core share then",
            "core share in the run",
            "expected memory, MB",
            "real, MB",
            "expected run, MB",
            "real, MB",
        ),
        rows,
    )


def _both(
    data: Path, folder: Path, name: str, words: list[str]
) -> tuple[bench.Measured, dict, bench.Measured, dict, float, float]:
    """The dry run, then the run itself, both as processes; the size of the run's folder, and how many cores it got.

    A machine that others use too is not as busy in the run as it was in the dry run; the shares of a core tell.
    """
    places = {"CERTERO_CACHE": str(folder / "cache"), "CERTERO_STATE": str(folder / "state")}
    plan, run = folder / f"{name}.json", folder / name
    planning = bench.run([*bench.CERTERO, "train", str(data), *words, "--dry-run", "-q", "--json", str(plan)], **places)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    measured = bench.run([*bench.CERTERO, "train", str(data), *words, "-q", "--output", str(run)], **places)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    size = sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) / 1e6
    return (
        planning,
        json.loads(plan.read_text("utf-8")),
        measured,
        json.loads((run / "metrics.json").read_text("utf-8")),
        size,
        processor / measured.seconds,
    )


def _print_stages(name: str, expected: dict[str, float], real: dict[str, float], wall: float) -> None:
    print(name)
    found = real | {"start": wall - real["total"], "total": wall}
    bench.print_table(
        ("stage", "expected, s", "real, s"), [(stage, value, found.get(stage)) for stage, value in expected.items()]
    )


if __name__ == "__main__":
    main()
