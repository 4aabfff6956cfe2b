"""A training step of a pretrained backbone in bfloat16: with torch's own gradients of depthwise convolutions and with
certero's, with memory handed back at each step and kept. Random pixels; no photo is read.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import time
from typing import Any

import bench
import torch

from certero.engine.threads import count_cores
from certero.learn.backbones import find_backbone
from certero.learn.depthwise import speed_up_depthwise
from certero.learn.heap import kept_memory


def main() -> None:
    """Parses the command line, takes turns between the ways, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="efficientnet_lite2", help="(%(default)s)")
    parser.add_argument("--side", type=int, default=224, help="of the photos, pixels (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every way (%(default)s)")
    arguments = parser.parse_args()
    bench.print_machine()
    torch.set_num_threads(count_cores())
    ways = list(itertools.product((False, True), (False, True)))
    networks = {}
    for faster in (False, True):
        network: Any = find_backbone(arguments.backbone).build().train().requires_grad_(True)
        if faster:
            speed_up_depthwise(network)
        networks[faster] = network.to(memory_format=torch.channels_last)
    x = torch.randn(arguments.batch_size, 3, arguments.side, arguments.side).contiguous(
        memory_format=torch.channels_last
    )
    seconds: dict[tuple[bool, bool], list[float]] = {way: [] for way in ways}
    for _round in range(arguments.rounds):
        for way in ways:
            with kept_memory() if way[1] else contextlib.nullcontext():
                _step(networks[way[0]], x)  # the first one fills what is kept
                start = time.perf_counter()
                _step(networks[way[0]], x)
                seconds[way].append(time.perf_counter() - start)
    plain = statistics.median(seconds[False, False])
    rows = [
        (
            "certero's" if faster else "torch's",
            "kept" if kept else "handed back",
            arguments.batch_size / statistics.median(found),
            f"{plain / statistics.median(found):.2f}",
        )
        for (faster, kept), found in seconds.items()
    ]
    bench.print_table(("depthwise gradients", "memory", "photos/s", "times torch's"), rows)


def _step(network: Any, x: torch.Tensor) -> None:
    network.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = network(x)
    out.float().square().mean().backward()


if __name__ == "__main__":
    main()
