"""Backbones as torch modules: timm's networks, with weights that are at hand."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

# Nothing leaves the machine unasked: the hub client looks into its local cache only, unless told otherwise.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import timm

from certero.errors import ConfigError
from certero.learn.tracing import trace
from certero.learn.weights import read_weights
from certero.probe.backbones import Backbone, drawn
from certero.probe.quantise import Channels
from certero.records.preprocessing import Preprocessing
from certero.sentences import Sentence, sentence


@dataclass(frozen=True, slots=True)
class TimmBackbone(Backbone):
    """A backbone of timm's list.

    Args:
        module: the network with its weights; whoever trains takes a copy.
    """

    module: torch.nn.Module | None = None


def build_backbone(backbone: Backbone) -> torch.nn.Module:
    """The torch module with its weights, in evaluation mode, a new one each time.

    `forward_features` gives float32 [N, C, h, w]; `forward_head(..., pre_logits=True)` the embedding.

    Raises:
        ConfigError: if the file of weights is of another network.
    """
    if isinstance(backbone, TimmBackbone):
        # A copy: a training on the module itself would hand what it learnt to the next one, its test photos among it.
        return copy.deepcopy(backbone.module)  # type: ignore[return-value]
    return _build_lite(backbone)


def find_in_timm(name: str, weights: Path | None) -> TimmBackbone:
    """Any model that timm knows and whose weights are at hand.

    Args:
        name: timm's.
        weights: file of weights to take in place of the pretrained ones.

    Raises:
        ConfigError: if timm does not know the name, or the weights cannot be had or are of another network.
    """
    if not timm.is_model(name):
        raise ConfigError(
            "--backbone must be %(registered)s or a timm name; found %(name)r.",
            registered=", ".join(drawn()),
            name=name,
        )
    try:
        module: torch.nn.Module = timm.create_model(name, pretrained=weights is None, num_classes=0)
    except Exception as error:  # timm, the hub client and safetensors each raise their own.
        raise ConfigError(
            "--backbone %(name)s needs its weights at hand; they could not be had (%(reason)s). "
            "Download them once with HF_HUB_OFFLINE=0 set, give --weights FILE, or use --backbone "
            "efficientnet_lite0.",
            name=name,
            reason=type(error).__name__,
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
    mean, deviation = _levels(config["mean"]), _levels(config["std"])
    return TimmBackbone(
        name=name,
        weights=weights,
        weights_id=digest.hexdigest()[:32],
        mean=mean,
        deviation=deviation,
        image_size=config["input_size"][-1],
        filter="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        draw=partial(_trace, module, mean, deviation),
        traced=True,
        module=module,
    )


class FromPixels(torch.nn.Module):
    """A backbone from pixels on: `image` uint8 [N, H, W, 3] → embedding [N, D], map [N, C, h, w].

    Args:
        body: the backbone.
        mean: RGB levels that are subtracted from the pixels.
        deviation: RGB levels that the difference is divided by.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, body: torch.nn.Module, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).reshape(1, 3, 1, 1))

    @classmethod
    def of(cls, backbone: Backbone) -> FromPixels:
        """The backbone's, in evaluation mode."""
        module = cls(build_backbone(backbone), backbone.mean, backbone.deviation)
        module.eval()
        return module

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding and map."""
        x = (image.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        activations = self.body.forward_features(x)  # type: ignore[operator]
        pooled = self.body.forward_head(activations, pre_logits=True)  # type: ignore[operator]
        return pooled.flatten(1), activations


def _trace(
    module: torch.nn.Module, mean: Sequence[float], deviation: Sequence[float], preprocessing: Preprocessing
) -> tuple[bytes, list[Channels]]:
    return trace(FromPixels(module, mean, deviation).eval(), preprocessing, ("embedding", "map")), []


def _build_lite(backbone: Backbone) -> torch.nn.Module:
    """An EfficientNet-Lite of timm's with the weights of the backbone's file."""
    assert backbone.weights is not None
    module: torch.nn.Module = timm.create_model(backbone.name, pretrained=False)
    ours = module.state_dict()
    theirs = _body(read_weights(backbone.weights))
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
            name=backbone.name,
            difference=_difference(ours, theirs),
            file=backbone.weights,
        )
    module.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
    return module.eval()


def _body(layers: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The backbone's layers among those of a network that certero trained; of another file, all of them."""
    prefix = "body."
    found = {name.removeprefix(prefix): layer for name, layer in layers.items() if name.startswith(prefix)}
    return found or layers


def _is_head(name: str) -> bool:
    return name.startswith("classifier.")


def _difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> Sentence:
    """The first layer that does not fit, in words."""
    for (name, layer), (_name, other) in zip(ours.items(), theirs.items(), strict=False):
        if layer.shape != other.shape:
            return sentence(
                "%(name)s has shape %(shape)s, the layer in its place %(other)s",
                name=name,
                shape=tuple(layer.shape),
                other=tuple(other.shape),
            )
    return sentence("it has %(ours)d layers, there are %(theirs)d", ours=len(ours), theirs=len(theirs))


def _levels(shares: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (255 * share for share in shares)
    return red, green, blue
