"""Training speed of a source network: certero in fp32 and bf16, plain PyTorch, and the same network in Keras.

Every way trains the same network on the same photos in memory, in a process of its own, one after the other. `loop` is
certero's whole loop, photos drawn and dealt by it; `steps` the same updates on one batch that never changes: what lies
between the two is what the loader adds. A machine's speed may change by a fifth within minutes: with `--rounds` all
ways are run in turns, and a ratio is the median of those within a round.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import bench
import numpy as np

from certero.config.recipes import resolve
from certero.engine.threads import count_cores
from certero.learn.batches import PhotoStore
from certero.learn.checkpoints import Checkpoints
from certero.learn.cnn import plan_cnn
from certero.learn.devices import choose_trainer
from certero.records.preprocessing import Preprocessing

_WARM_UP = 3
_CLASSES = 36


class Repeated(PhotoStore):
    """As many photos as are asked for, from a few in memory."""

    def read(self, batches: Any) -> Any:
        """Pixels of the photos, counted around."""
        return super().read([rows % len(self._kept) for rows in batches])


class NoCheckpoints(Checkpoints):
    """Keeps the disk out of the timing."""

    def save(self, *_given: Any) -> None:
        """Saves nothing."""


def main() -> None:
    """Parses the command line, runs each way, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("--recipe", default="grocery-cnn-1", help="recipe of a network from scratch (%(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="timed steps (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="photos a step (%(default)s)")
    parser.add_argument("--tensorflow", type=Path, help="python of an environment with tensorflow-cpu; else left out")
    parser.add_argument("--rounds", type=int, default=1, help="so many times each, in turns (%(default)s)")
    parser.add_argument("--only", nargs="+", metavar="WAY", help='ways to run, such as "Keras fp32" "loop bf16"')
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--pixels", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments)))
        return
    bench.print_machine()
    settings = resolve(arguments.recipe)
    side = settings.image_size or 224
    in_bf16 = choose_trainer("cpu", "bf16").in_bf16
    precisions = ("fp32", "bf16") if in_bf16 else ("fp32",)
    if not in_bf16:
        print("this processor has no instructions for bfloat16 and would imitate it: bf16 is left out")
    with tempfile.TemporaryDirectory() as folder:
        pixels, plan = Path(folder) / "pixels.npz", Path(folder) / "plan.json"
        wanted = 4 * arguments.batch_size
        files = bench.every(bench.list_files(arguments.photos), wanted)
        images = np.stack(bench.load_pixels(files, Preprocessing(side, side, "stretch")))
        np.savez(pixels, images=images, labels=np.arange(len(images)) % _CLASSES)
        given = {"layers": settings.layers, "image_size": side, "n_classes": _CLASSES, "warm_up": _WARM_UP}
        given |= {"batch_size": arguments.batch_size, "steps": arguments.steps, "threads": count_cores()}
        plan.write_text(json.dumps(given))
        commands: dict[str, list[str]] = {}
        if arguments.tensorflow:
            twin = [str(arguments.tensorflow), str(Path(__file__).with_name("keras_twin.py")), str(plan), str(pixels)]
            commands["Keras fp32"] = twin
            if in_bf16:
                commands["Keras mixed_bfloat16"] = [*twin, "--bf16"]
        ours = [sys.executable, __file__, str(arguments.photos), "--recipe", arguments.recipe, "--pixels", str(pixels)]
        ours += ["--steps", str(arguments.steps), "--batch-size", str(arguments.batch_size)]
        for way in (
            "plain PyTorch fp32",
            *(f"{part} {precision}" for precision in precisions for part in ("steps", "loop")),
        ):
            commands[way] = [*ours, "--way", way]
        if arguments.only:
            if unknown := sorted({*arguments.only} - {*commands}):
                parser.error(f"--only must name some of {', '.join(commands)}; found {', '.join(unknown)}")
            commands = {way: command for way, command in commands.items() if way in arguments.only}
        speeds: dict[str, list[float]] = {way: [] for way in commands}
        peaks = dict.fromkeys(commands, 0.0)
        for _round in range(arguments.rounds):
            for way, command in commands.items():
                found, peak = _run(command)
                speeds[way].append(found["photos_per_second"])
                peaks[way] = max(peaks[way], peak)
                print(way, found, f"{peak:.0f} MB", flush=True)  # minutes each: what is measured should not be lost
    rows = [(way, median(speeds[way]), _ratio(speeds, way, "Keras fp32"), peaks[way]) for way in commands]
    bench.print_table(("way", "photos/s", "times Keras fp32", "peak memory, MB"), rows)
    for precision in precisions:
        if (times := _ratio(speeds, f"steps {precision}", f"loop {precision}")) is not None:
            print(f"the loader adds {times - 1:.1%} to the steps in {precision}")
    if "loop fp32" not in commands:
        return
    cnn = plan_cnn(settings.layers, _CLASSES, side)
    # Parameters, gradients, two moments; and what each layer must keep for the way back.
    state = 16 * cnn.parameters
    kept = 4 * arguments.batch_size * sum(int(np.prod(layer.after)) for layer in cnn.layers if layer.kind != "relu")
    peak = peaks["loop fp32"]
    print(f"needed at least: {state / 1e6:.0f} MB of state, {kept / 1e6:.0f} MB of activations; peak {peak:.0f} MB,")
    print(f"that is {peak * 1e6 / (state + kept):.2f} times (the peak counts Python and the libraries, too)")


def _ratio(speeds: dict[str, list[float]], way: str, other: str) -> float | None:
    """How many times as fast one way is as another, the median of the rounds; None if one of them was not run."""
    if way not in speeds or other not in speeds:
        return None
    return median(ours / theirs for ours, theirs in zip(speeds[way], speeds[other], strict=True))


def _run(command: list[str]) -> tuple[dict[str, Any], float]:
    measured = bench.run(command)
    return json.loads(measured.output.strip().splitlines()[-1]), measured.peak_mb


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """One way, in this process."""
    import torch

    from certero.learn.augment import read_augmentation
    from certero.learn.classifier import build_classifier
    from certero.learn.devices import Trainer
    from certero.learn.examples import Examples, TrainingData
    from certero.learn.loop import train_network
    from certero.learn.memory import kept_memory
    from certero.learn.optimisers import build_optimiser
    from certero.learn.progression import Progression
    from certero.learn.step import take_step

    way, precision = arguments.way.rsplit(" ", 1)
    total = _WARM_UP + arguments.steps
    with np.load(arguments.pixels) as file:
        images, labels = file["images"], file["labels"].astype(np.int64)
    settings = resolve(
        arguments.recipe,
        batch_size=arguments.batch_size,
        epochs=1,
        checkpoint_seconds=86_400,
        class_weights="none",
        kernels="off" if way == "plain PyTorch" else "on",
    )
    side = settings.image_size or 224
    torch.set_num_threads(count_cores())
    network: Any = build_classifier(plan_cnn(settings.layers, _CLASSES, side), np.arange(_CLASSES), settings)
    trainer = Trainer("cpu", in_bf16=precision == "bf16")
    ends: list[float] = []
    if way == "plain PyTorch":
        optimiser: Any = torch.optim.Adam(network.parameters(), lr=0.001)
        x = torch.from_numpy(images[: arguments.batch_size]).permute(0, 3, 1, 2).float().contiguous()
        y = torch.from_numpy(labels[: arguments.batch_size])
        for _step in range(total):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network.score(x), y).backward()
            optimiser.step()
            ends.append(time.perf_counter())
    elif way == "steps":
        network = network.to(memory_format=torch.channels_last)
        optimiser = build_optimiser(network, settings, "cpu")
        x = torch.from_numpy(images[: arguments.batch_size]).permute(0, 3, 1, 2).float()
        y = torch.eye(_CLASSES)[torch.from_numpy(labels[: arguments.batch_size])]
        with kept_memory():
            for step in range(total):
                at = Progression(step=step, micro_batch=arguments.batch_size)
                take_step(network, optimiser, x, y, torch.ones(_CLASSES), settings, at, trainer)
                ends.append(time.perf_counter())
    else:
        # One step more than is timed: after the last one the weights are written to the disk.
        rows = np.arange((total + 1) * arguments.batch_size)
        store = Repeated([], Preprocessing(side, side), map)
        store._kept = images  # photos that are in memory already
        labels = labels[rows % len(images)]
        train = Examples(store, rows.astype(np.uint64), labels, labels)
        with tempfile.TemporaryDirectory() as folder:
            train_network(
                network,
                TrainingData(train, None, np.ones(_CLASSES), read_augmentation(settings.augment), side),
                settings,
                trainer,
                NoCheckpoints(Path(folder)),
                progress=lambda *_said: ends.append(time.perf_counter()),
            )
    timed = ends[_WARM_UP - 1 : total]
    return {"photos_per_second": arguments.batch_size * (len(timed) - 1) / (timed[-1] - timed[0])}


if __name__ == "__main__":
    main()
