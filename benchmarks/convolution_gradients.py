"""Gradients of a 3x3 convolution's weights on this processor: torch's own, channels last, and certero's."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import bench
import torch

from certero.engine.threads import count_cores
from certero.learn.depthwise import torch_gradient
from certero.learn.heap import kept_memory
from certero.learn.weight_gradients import weight_gradient

#: Photos, channels in and out, side: of the source networks, and of a small one.
SHAPES = ((16, 64, 128, 127), (16, 128, 256, 62), (32, 64, 64, 80))


def main() -> None:
    """Parses the command line, takes turns between the ways, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of every way (%(default)s)")
    arguments = parser.parse_args()
    bench.print_machine()
    print(f"torch computes with {torch.backends.cpu.get_cpu_capability()}")
    torch.set_num_threads(count_cores())
    rows = []
    with kept_memory(), torch.no_grad():
        for n, channels, outputs, side in SHAPES:
            x, weight = (
                torch.randn(shape).contiguous(memory_format=torch.channels_last)
                for shape in ((n, channels, side, side), (outputs, channels, 3, 3))
            )
            gradient = torch.randn_like(torch.nn.functional.conv2d(x, weight))

            ways: dict[str, Callable[[], object]] = {
                "forward": lambda x=x, weight=weight: torch.nn.functional.conv2d(x, weight),
                "torch": lambda x=x, weight=weight, gradient=gradient: torch_gradient(
                    gradient, x, weight, 1, 0, 1, "weight"
                ),
                "certero": lambda x=x, weight=weight, gradient=gradient: weight_gradient(gradient, x, weight, 0),
            }
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for round_number in range(arguments.rounds + 1):
                for way, run in ways.items():
                    start = time.perf_counter()
                    run()
                    if round_number:  # the first one fills what is kept
                        seconds[way].append(time.perf_counter() - start)
            found = {way: statistics.median(taken) for way, taken in seconds.items()}
            shape = f"{n} photos, {channels} to {outputs} channels, {side}x{side}"
            rows.append(
                (shape, *(1000 * taken for taken in found.values()), f"{found['torch'] / found['certero']:.2f}")
            )
    bench.print_table(("convolution", "forward, ms", "weights' gradient, torch's, ms", "certero's, ms", "times"), rows)


if __name__ == "__main__":
    main()
