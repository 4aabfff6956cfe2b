"""The backbone of a run and what computes its embeddings, chosen from the settings."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from certero.config.settings import TrainSettings
from certero.errors import ConfigError, MissingExtra
from certero.machine.gpu import may_have_gpu
from certero.machine.libraries import is_installed, require_library
from certero.probe.backbones import Backbone, check_weights, drawn, find_backbone
from certero.probe.backend import Backend, Precision
from certero.probe.export import backbone_id, export_backbone
from certero.probe.features import Embedder, embed
from certero.records.preprocessing import Preprocessing
from certero.records.protocols import Map
from certero.stages.tools import Tools

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def choose_backbone(name: str, weights: Path | None = None) -> Backbone:
    """The backbone of that name: one that needs no torch, or any timm model whose weights are at hand.

    Args:
        name: as given by `--backbone`.
        weights: file of weights to take in place of the pretrained ones (safetensors, or a plain state dictionary).

    Raises:
        ConfigError: if the name is unknown or the weights cannot be had.
        MissingExtra: if a part of certero that it needs is not installed.
    """
    check_weights(weights)
    if name in drawn():
        return find_backbone(name, weights)
    if not (is_installed("timm") and is_installed("torch")):
        raise MissingExtra(
            "--backbone must be %(registered)s or a timm name; found %(name)r, and timm is not "
            "installed. Run: pip install 'certero[networks]'",
            registered=", ".join(drawn()),
            name=name,
        )
    from certero.learn.timm_backbones import find_in_timm

    return find_in_timm(name, weights)


def choose_backend(asked: str, precision: str, backbone: Backbone) -> Backend:
    """The device and precision to compute embeddings with.

    `auto` asks torch for a GPU only where a driver is there, so that a run on a CPU need not import torch. The
    precision `auto` is `int8` on a CPU for backbones that have it, else `fp32`.

    Raises:
        ConfigError: if the asked device is not there, or cannot compute in the asked precision.
        MissingExtra: if torch would have to compute and is not installed.
    """
    if precision == "int8" and not backbone.in_int8:
        raise ConfigError(
            "--precision int8 must be for a backbone that has it; %(name)s has not. Use --precision fp32.",
            name=backbone.name,
        )
    if precision == "int8" and asked not in ("auto", "cpu"):
        raise ConfigError("--precision int8 runs on a CPU; found --device %(asked)s. Use --device cpu.", asked=asked)
    if precision == "int8":
        asked = "cpu"
    if asked not in ("auto", "cpu"):
        require_library("torch", f"--device {asked}")
    if precision == "bf16":
        require_library("torch", "--precision bf16")
    found = None if asked == "cpu" else _find_gpu()
    if asked not in ("auto", "cpu", found):
        raise ConfigError(
            "--device %(asked)s must be there; this machine offers %(found)s only. Use --device auto.",
            asked=asked,
            found=found or "cpu",
        )
    device = found or "cpu"
    if precision == "auto":
        precision = "int8" if device == "cpu" and backbone.in_int8 else "fp32"
    return Backend(device, cast(Precision, precision))


def _find_gpu() -> Literal["cuda", "mps"] | None:
    if not may_have_gpu() or not is_installed("torch"):
        return None
    from certero.learn.devices import find_gpu

    return find_gpu()


@contextlib.contextmanager
def loading_embedder(settings: TrainSettings, tools: Tools) -> Iterator[Callable[[], Embedder]]:
    """Finds the backbone and starts its export beside what comes next; the yielded function waits for it."""
    backbone = choose_backbone(settings.backbone, Path(settings.weights) if settings.weights else None)
    backend = choose_backend(settings.device, settings.precision, backbone)
    precision = backend.shipped_precision
    preprocessing = backbone.preprocessing(settings.image_size, settings.fit)
    exporting = partial(export_backbone, backbone, preprocessing, tools.networks, precision)
    pool = ThreadPoolExecutor(1)
    # Tracing by torch waits: it would hold Python's lock against the scan.
    exported = None if backbone.traced else pool.submit(exporting)

    def finish() -> Embedder:
        with tools.timed("network"):
            tools.progress("network", 0, 1)
            onnx = exporting() if exported is None else exported.result()
            tools.progress("network", 1, 1)
        network_id = backbone_id(backbone, preprocessing, precision)
        in_torch = partial(_embed_in_torch, backbone, preprocessing, backend) if backend.in_torch else None
        return Embedder(backbone, preprocessing, onnx, network_id, backend, in_torch)

    try:
        yield finish
    finally:
        pool.shutdown(cancel_futures=True)


def _embed_in_torch(
    backbone: Backbone, preprocessing: Preprocessing, backend: Backend, files: Sequence[Path], map: Map
) -> Iterator[NDArray[np.float32]]:
    from certero.learn.embedding import embed_in_torch

    return embed_in_torch(backbone, preprocessing, backend, files, map)


def in_full(embedder: Embedder, tools: Tools) -> Embedder:
    """The same backbone in fp32 on the CPU, beside which one in 8 bits is held."""
    return dataclasses.replace(
        embedder,
        onnx=export_backbone(embedder.backbone, embedder.preprocessing, tools.networks),
        network_id=backbone_id(embedder.backbone, embedder.preprocessing),
        backend=Backend("cpu", "fp32"),
        in_torch=None,
    )


def embed_photos(paths: Sequence[Path], hashes: Sequence[str], embedder: Embedder, tools: Tools) -> NDArray[np.float32]:
    """Embeddings float32 [n, D] of photos, computed or remembered; see `probe.features.embed`."""
    return embed(paths, hashes, embedder, tools.features, tools.map, tools.progress)


def embed_views(
    paths: Sequence[Path], hashes: Sequence[str], embedder: Embedder, views: int, tools: Tools
) -> list[NDArray[np.float32]]:
    """Embeddings float32 [n, D] of each other view of photos, see `photos.retaken`.

    Args:
        paths: of the photos.
        hashes: of their content.
        embedder: of the photos themselves.
        views: how many there are, the photo itself included.
        tools: caches, cores and progress.
    """
    return [embed_photos(paths, hashes, embedder.of_view(number), tools) for number in range(1, views)]
