"""Ways to run the bundled network on a CPU, on pixels already in memory: photos a second at the best batch size."""

from __future__ import annotations

import argparse
import copy
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench
import numpy as np

from certero.engine.threads import Threads, count_cores
from certero.learn.timm_backbones import FromPixels
from certero.machine.cache import BlobCache
from certero.probe.backbones import find_backbone
from certero.probe.export import export_backbone

Run = Callable[[np.ndarray], object]


def main() -> None:
    """Parses the command line, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder or manifest of photos")
    parser.add_argument("--sample", type=int, default=256, help="photos to run on (%(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="batch sizes to try")
    parser.add_argument("--only", default="", metavar="TEXT", help="engines whose name holds the text")
    arguments = parser.parse_args()
    bench.print_machine()
    backbone = find_backbone("efficientnet_lite0")
    preprocessing = backbone.preprocessing(None, "letterbox")
    images = bench.load_pixels(bench.every(bench.list_files(arguments.photos), arguments.sample), preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        cache = BlobCache("networks", Path(folder))
        models = {name: export_backbone(backbone, preprocessing, cache, name) for name in ("int8", "fp32")}
        cache.close()
    rows = []
    for name, build, at_once in _engines(FromPixels.of(backbone), models):
        if arguments.only not in name:
            continue
        rates = {batch: _rate(build(batch, images), images, batch, at_once) for batch in arguments.batches}
        best = max(rates, key=lambda batch: rates[batch])
        rows.append((name, best, rates[best]))
        print(f"{name}: " + ", ".join(f"{batch}: {rate:.0f}/s" for batch, rate in rates.items()), flush=True)
    print()
    bench.print_table(("engine", "batch", "photos/s"), rows)


def _engines(module: Any, models: dict[str, bytes]) -> list[tuple[str, Callable[[int, np.ndarray], Run], int]]:
    """Name, what builds the engine for a batch size, and how many calls run at once."""
    cores = count_cores()
    return [
        ("torch fp32, channels last", lambda _batch, _images: _torch(module, bf16=False), 1),
        ("torch bf16 autocast, channels last", lambda _batch, _images: _torch(module, bf16=True), 1),
        ("torch bf16, traced and frozen", lambda batch, images: _traced(module, images[:batch]), 1),
        ("ONNX Runtime fp32, one call on every core", lambda _batch, _images: _runtime(models["fp32"], cores), 1),
        ("ONNX Runtime fp32, one call a core at once", lambda _batch, _images: _runtime(models["fp32"], 1), cores),
        ("ONNX Runtime int8, one call on every core", lambda _batch, _images: _runtime(models["int8"], cores), 1),
        ("ONNX Runtime int8, one call a core at once", lambda _batch, _images: _runtime(models["int8"], 1), cores),
        (
            "ONNX Runtime int8, the exact way without VNNI",
            lambda _batch, _images: _runtime(models["int8"], 1, True),
            cores,
        ),
    ]


def _torch(module: Any, bf16: bool) -> Run:
    import torch

    torch.set_num_threads(count_cores())
    fast = copy.deepcopy(module).to(memory_format=torch.channels_last)

    def run(images: np.ndarray) -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return fast(torch.from_numpy(images))

    return run


def _traced(module: Any, example: np.ndarray) -> Run:
    import torch

    class InBf16(torch.nn.Module):
        """The body in bf16; the pixels are normalised in fp32, as in the other engines."""

        def __init__(self) -> None:
            super().__init__()
            whole = copy.deepcopy(module)
            self.body = whole.body.to(torch.bfloat16, memory_format=torch.channels_last)
            self.register_buffer("mean", whole.mean)
            self.register_buffer("deviation", whole.deviation)

        def forward(self, image: Any) -> Any:
            x = ((image.permute(0, 3, 1, 2).float() - self.mean) / self.deviation).to(torch.bfloat16)
            return self.body.forward_head(self.body.forward_features(x), pre_logits=True)

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frozen = torch.jit.freeze(torch.jit.trace(InBf16().eval(), (torch.from_numpy(example),)))

    def run(images: np.ndarray) -> object:
        with torch.inference_mode():
            return frozen(torch.from_numpy(images))

    return run


def _runtime(model: bytes, threads: int, exact: bool = False) -> Run:
    session = bench.open_session(model, threads, exact)
    return lambda images: session.run(["embedding"], {"image": images})


def _rate(run: Run, images: np.ndarray, batch: int, at_once: int) -> float:
    """Photos a second; every batch is whole, so that a traced graph sees one shape."""
    whole = len(images) // batch * batch
    batches = [images[start : start + batch] for start in range(0, whole, batch)]
    for part in batches[:3]:
        run(part)

    def pass_over() -> None:
        for _ in Threads(at_once).map(run, batches):
            pass

    return whole / bench.seconds_of(pass_over)


if __name__ == "__main__":
    main()
