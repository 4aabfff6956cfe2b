"""3x3 convolutions in training on this processor, float32: torch's own, channels last, and certero's two ways.

`bands` is torch's convolution with the weights' gradient in bands; `tiles` a quarter of the multiplications, forwards
and backwards. Each way takes its turn in every round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import bench
import torch

from certero.engine.threads import count_cores
from certero.learn.kernels import winograd
from certero.learn.kernels.depthwise import torch_gradient
from certero.learn.kernels.weight_gradients import weight_gradient
from certero.learn.memory import kept_memory

#: Photos, channels in and out, side, padding: of the source networks, and of smaller maps.
SHAPES = (
    (32, 64, 128, 127, 0),
    (32, 128, 256, 62, 0),
    (32, 64, 128, 56, 1),
    (32, 64, 64, 80, 0),
    (32, 256, 256, 28, 1),
    (32, 256, 512, 14, 1),
)


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
        for n, channels, outputs, side, padding in SHAPES:
            x = torch.randn(n, channels, side, side).relu().contiguous(memory_format=torch.channels_last)
            weight = torch.randn(outputs, channels, 3, 3) / (9 * channels) ** 0.5
            taken = _measure(x, weight.contiguous(memory_format=torch.channels_last), padding, arguments.rounds)
            torch_s, bands, tiles = (sum(taken[way]) for way in ("torch", "bands", "tiles"))
            layer = torch.nn.Conv2d(channels, outputs, 3, padding=padding)
            used = winograd.fits(layer) and winograd.gains(x, padding)
            rows.append(
                (
                    f"{n} photos, {channels} to {outputs} channels, {side}x{side}",
                    *(" + ".join(f"{1000 * part:.0f}" for part in taken[way]) for way in ("torch", "bands", "tiles")),
                    f"{torch_s / bands:.2f}",
                    f"{torch_s / tiles:.2f}",
                    "yes" if used else "no",
                )
            )
    header = (
        "forward + gradients",
        "torch, ms",
        "bands, ms",
        "tiles, ms",
        "bands, times",
        "tiles, times",
        "tiles used",
    )
    bench.print_table(header, rows)


def _measure(x: torch.Tensor, weight: torch.Tensor, padding: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds forwards and backwards, of each way."""
    forward = torch.nn.functional.conv2d
    gradient = torch.randn_like(forward(x, weight, padding=padding))

    def in_bands() -> object:
        return torch_gradient(gradient, x, weight, 1, padding, 1, "input"), weight_gradient(
            gradient, x, weight, padding
        )

    def by_torch() -> object:
        both = [True, True, False]
        return torch.ops.aten.convolution_backward(
            gradient, x, weight, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], 1, both
        )

    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "torch": (lambda: forward(x, weight, padding=padding), by_torch),
        "bands": (lambda: forward(x, weight, padding=padding), in_bands),
        "tiles": (
            lambda: winograd.convolve(x, weight, None, padding),
            lambda: winograd.gradients(gradient, x, weight, padding),
        ),
    }
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for round_number in range(rounds + 1):
        for way, runs in ways.items():
            ends = [time.perf_counter()]
            for run in runs:
                run()
                ends.append(time.perf_counter())
            if round_number:  # the first one fills what is kept
                seconds[way].append((ends[1] - ends[0], ends[2] - ends[1]))
    return {
        way: (statistics.median(there for there, _back in taken), statistics.median(back for _there, back in taken))
        for way, taken in seconds.items()
    }


if __name__ == "__main__":
    main()
