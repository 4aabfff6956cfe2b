"""A training step of a pretrained backbone: as torch takes it, and with each saving added to those before it.

Random pixels; no photo is read.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from typing import Any

import bench
import torch

from certero.engine.threads import count_cores
from certero.learn.classifier import lowest_stages
from certero.learn.kernels.activations import activate_in_place
from certero.learn.kernels.convolutions import speed_up_convolutions
from certero.learn.kernels.folding import fold_normalisations
from certero.learn.kernels.frozen import split_backbone
from certero.learn.memory import kept_memory
from certero.learn.timm_backbones import build_backbone
from certero.probe.backbones import find_backbone

#: Each one with those before it.
WAYS = (
    "torch's own",
    "memory kept",
    "own gradients of convolutions",
    "ReLU6 without a copy",
    "normalisations folded",
)
#: The last one, where stages are frozen.
APART = "frozen stages in ONNX Runtime"


def main() -> None:
    """Parses the command line, takes turns between the ways, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="efficientnet_lite2", help="(%(default)s)")
    parser.add_argument("--side", type=int, default=224, help="of the photos, pixels (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="(%(default)s)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="(%(default)s)")
    parser.add_argument(
        "--frozen-stages", type=float, default=0, help="share of the stages that is not trained (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of every way (%(default)s)")
    arguments = parser.parse_args()
    bench.print_machine()
    torch.set_num_threads(count_cores())
    ways = (*WAYS, APART) if arguments.frozen_stages and arguments.precision == "fp32" else WAYS
    networks = {way: _network(arguments.backbone, way, arguments.frozen_stages) for way in ways}
    x = torch.randn(arguments.batch_size, 3, arguments.side, arguments.side).contiguous(
        memory_format=torch.channels_last
    )
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _round in range(arguments.rounds):
        for way, network in networks.items():
            with contextlib.nullcontext() if way == WAYS[0] else kept_memory():
                _step(network, x, arguments.precision)  # the first one fills what is kept
                start = time.perf_counter()
                _step(network, x, arguments.precision)
                seconds[way].append(time.perf_counter() - start)
    plain = statistics.median(seconds[WAYS[0]])
    rows = [
        (way, arguments.batch_size / statistics.median(found), f"{plain / statistics.median(found):.2f}")
        for way, found in seconds.items()
    ]
    bench.print_table((arguments.precision, "photos/s", "times torch's"), rows)


def _network(backbone: str, way: str, share: float) -> Any:
    """The backbone in training, its normalisations by their kept statistics, with the savings up to this one."""
    network: Any = build_backbone(find_backbone(backbone)).train().requires_grad_(True)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()
    frozen = lowest_stages(network, share)
    for stage in frozen:
        stage.requires_grad_(False)
    number = (*WAYS, APART).index(way)
    if number >= 2:
        speed_up_convolutions(network)
    if number >= 3:
        activate_in_place(network, in_sequence=False)
    if number >= 4:
        fold_normalisations(network)
    network = network.to(memory_format=torch.channels_last)
    network.parts = split_backbone(network.eval(), frozen, count_cores()) if way == APART else None
    return network


def _step(network: Any, x: torch.Tensor, precision: str) -> None:
    network.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext():
        out = network(x) if network.parts is None else network.parts(x)[0]
    out.float().square().mean().backward()


if __name__ == "__main__":
    main()
