"""Sequential networks from a specification: every shape and count is known before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from certero.errors import ConfigError
from certero.interchange import Json
from certero.sentences import Message, Sentence, message, sentence

#: What `units` of the last dense layer says: one output for each class.
CLASSES = "classes"
# Of filters, units and sides; more is a typing error.
_MOST = 1_000_000

_ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "hardswish": "Hardswish",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
}
# Settings of each kind of layer: those that must be given, then those with a default. `None` stands for the size.
_KINDS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "conv": (("filters", "kernel"), {"stride": 1, "padding": 0, "groups": 1, "bias": True}),
    "batch_norm": ((), {}),
    "max_pool": (("size",), {"stride": None, "padding": 0}),
    "average_pool": (("size",), {"stride": None, "padding": 0}),
    "global_average_pool": ((), {}),
    "global_max_pool": ((), {}),
    "dropout": (("share",), {}),
    "flatten": ((), {}),
    "dense": (("units",), {"bias": True}),
    **dict.fromkeys(_ACTIVATIONS, ((), {})),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer with everything it takes to build it.

    Args:
        kind: as in the recipe: `conv`, `relu`, `max_pool`, ...
        settings: its settings, defaults filled in.
        before: shape of the input, `(channels, rows, columns)` or `(features,)`.
        after: shape of the output.
        parameters: trainable numbers.
    """

    kind: str
    settings: Json
    before: tuple[int, ...]
    after: tuple[int, ...]
    parameters: int

    def __str__(self) -> str:
        words = [f"{name} {value}" for name, value in self.settings.items() if value not in (None, True)]
        return " ".join([self.kind, *words])


@dataclass(frozen=True, slots=True)
class Cnn:
    """A checked network.

    Args:
        layers: in order.
        n_classes: outputs.
        image_size: side of the square input, pixels.
    """

    layers: tuple[Layer, ...]
    n_classes: int
    image_size: int

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def map_layer(self) -> int:
        """Index of the layer that gives the feature map: the last convolution, its normalisation or its activation."""
        at = max(number for number, layer in enumerate(self.layers) if layer.kind == "conv")
        while at + 1 < len(self.layers) and self.layers[at + 1].kind in ("batch_norm", *_ACTIVATIONS):
            at += 1
        return at

    def table(self) -> list[tuple[str, tuple[int, ...], int]]:
        """Layer, shape of its output and parameters, one row for each layer."""
        return [(str(layer), layer.after, layer.parameters) for layer in self.layers]


def plan_cnn(layers: Sequence[Json], n_classes: int, image_size: int) -> Cnn:
    """Checks a specification and works out every shape and parameter count; allocates nothing.

    Args:
        layers: tables of a recipe: `layer` names the kind, the other keys are its settings. The last one must be
            `{layer = "dense", units = "classes"}`.
        n_classes: outputs.
        image_size: side of the square RGB input, pixels.

    Raises:
        ConfigError: naming the layer that does not exist, lacks a setting, or cannot follow the one before.
    """
    if not layers:
        raise ConfigError("layers must list at least a conv and the last dense; found none.")
    shape: tuple[int, ...] = (3, image_size, image_size)
    planned: list[Layer] = []
    for number, spec in enumerate(layers, start=1):
        where = (
            sentence("layer %(number)d (%(kind)s)", number=number, kind=spec.get("layer", "?"))
            if isinstance(spec, dict)
            else sentence("layer %(number)d", number=number)
        )
        kind, settings = _read_layer(spec, where)
        is_last = number == len(layers)
        if (kind == "dense" and settings["units"] == CLASSES) != is_last:
            raise ConfigError(
                '%(where)s: the last layer, and no other, must be {layer = "dense", units = '
                '"%(classes)s"}; %(n_layers)s layers are listed.',
                where=where,
                classes=CLASSES,
                n_layers=len(layers),
            )
        if settings.get("units") == CLASSES:
            settings["units"] = n_classes
        after, parameters = _follow(kind, settings, shape, where, image_size)
        planned.append(Layer(kind, settings, shape, after, parameters))
        shape = after
    if not any(layer.kind == "conv" for layer in planned):
        raise ConfigError("layers must hold at least one conv: a network without one sees no shapes.")
    return Cnn(tuple(planned), n_classes, image_size)


def _read_layer(spec: object, where: Message) -> tuple[str, Json]:
    if not isinstance(spec, dict) or not isinstance(spec.get("layer"), str):
        raise ConfigError(
            '%(where)s must be a table with the key layer, such as {layer = "relu"}; found %(spec)r.',
            where=where,
            spec=spec,
        )
    kind = spec["layer"]
    if kind not in _KINDS:
        raise ConfigError(
            "%(where)s: layer must be one of %(kinds)s; found %(kind)r.",
            where=where,
            kinds=", ".join(_KINDS),
            kind=kind,
        )
    needed, defaults = _KINDS[kind]
    given = {name: value for name, value in spec.items() if name != "layer"}
    known = (*needed, *defaults)
    for name in needed:
        if name not in given:
            raise ConfigError(
                "%(where)s: %(kind)s needs %(name)s; it has %(given)s.",
                where=where,
                kind=kind,
                name=name,
                given=", ".join(given) or message("no settings"),
            )
    for name, value in given.items():
        if name not in known:
            raise ConfigError(
                "%(where)s: %(kind)s takes %(known)s; found %(name)s.",
                where=where,
                kind=kind,
                known=", ".join(known) or message("no settings"),
                name=name,
            )
        _check_value(name, value, where)
    settings = {name: given.get(name, defaults.get(name)) for name in known}
    if "size" in settings and settings["stride"] is None:
        settings["stride"] = settings["size"]
    return kind, settings


def _check_value(name: str, value: object, where: Message) -> None:
    if name == "bias":
        good, wanted = isinstance(value, bool), message("true or false")
    elif name == "share":
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
        wanted = message("a number from 0 to below 1")
    elif name == "units" and value == CLASSES:
        return
    else:
        least = 0 if name == "padding" else 1
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST
        wanted = (
            sentence(
                'a whole number from %(least)d to %(most)d or "%(classes)s"', least=least, most=_MOST, classes=CLASSES
            )
            if name == "units"
            else sentence("a whole number from %(least)d to %(most)d", least=least, most=_MOST)
        )
    if not good:
        raise ConfigError(
            "%(where)s: %(name)s must be %(wanted)s; found %(value)r.",
            where=where,
            name=name,
            wanted=wanted,
            value=value,
        )


#: Layers that look through a window.
_WINDOWS = {
    "conv": message("convolution"),
    "max_pool": message("max pooling"),
    "average_pool": message("average pooling"),
}


def _follow(
    kind: str, settings: Json, shape: tuple[int, ...], where: Message, image_size: int
) -> tuple[tuple[int, ...], int]:
    """Shape after the layer, and its parameters."""
    is_map = len(shape) == 3
    if kind == "dense":
        if is_map:
            raise ConfigError(
                "%(where)s: a dense layer cannot follow a map of %(words)s; put flatten or "
                "global_average_pool before it.",
                where=where,
                words=_words(shape),
            )
        units = settings["units"]
        return (units,), shape[0] * units + (units if settings["bias"] else 0)
    if kind == "batch_norm":
        return shape, 2 * shape[0]
    if kind == "dropout" or kind in _ACTIVATIONS:
        return shape, 0
    if not is_map:
        raise ConfigError(
            "%(where)s: %(kind)s cannot follow: the map was flattened to %(shape)s features already.",
            where=where,
            kind=kind,
            shape=shape[0],
        )
    if kind == "flatten":
        return (shape[0] * shape[1] * shape[2],), 0
    if kind.startswith("global"):
        return (shape[0],), 0
    name = _WINDOWS[kind]
    side = settings["kernel"] if kind == "conv" else settings["size"]
    if kind != "conv" and settings["padding"] > side // 2:
        raise ConfigError(
            "%(where)s: padding must be at most half the size %(side)s; found %(padding)s.",
            where=where,
            side=side,
            padding=settings["padding"],
        )
    rows, columns = (
        (length + 2 * settings["padding"] - side) // settings["stride"] + 1
        if length + 2 * settings["padding"] >= side
        else 0
        for length in shape[1:]
    )
    if min(rows, columns) < 1:
        raise ConfigError(
            "%(where)s: a %(side)sx%(side)s %(name)s cannot follow: the map is already "
            "%(rows)sx%(columns)s. Leave it out, give it padding, or use a larger --image-size "
            "than %(image_size)s.",
            where=where,
            side=side,
            name=name,
            rows=shape[1],
            columns=shape[2],
            image_size=image_size,
        )
    if kind != "conv":
        return (shape[0], rows, columns), 0
    filters, groups = settings["filters"], settings["groups"]
    if shape[0] % groups or filters % groups:
        raise ConfigError(
            "%(where)s: groups must divide the %(shape)s channels that come in and the %(filters)s "
            "filters; found %(groups)s.",
            where=where,
            shape=shape[0],
            filters=filters,
            groups=groups,
        )
    weights = filters * (shape[0] // groups) * side * side
    return (filters, rows, columns), weights + (filters if settings["bias"] else 0)


def _words(shape: tuple[int, ...]) -> Sentence:
    return sentence(
        "%(rows)dx%(columns)d with %(channels)d channels", rows=shape[1], columns=shape[2], channels=shape[0]
    )


def build_cnn(cnn: Cnn) -> torch.nn.Sequential:
    """The torch module: float32 [N, 3, H, W] → logits [N, K], one child for each layer, in the order of the plan."""

    class Flatten(nn.Module):
        """Place by place, each with all its channels, as Keras does: the order in memory, so nothing is copied."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.permute(0, 2, 3, 1).flatten(1)

    def build(layer: Layer) -> nn.Module:
        given = layer.settings
        # In place: what comes before the activation is not needed again, which saves a copy of every feature map.
        in_place = {"inplace": True} if layer.kind in ("relu", "relu6", "leaky_relu", "elu") else {}
        makers: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: nn.Conv2d(
                layer.before[0],
                given["filters"],
                given["kernel"],
                given["stride"],
                given["padding"],
                groups=given["groups"],
                bias=given["bias"],
            ),
            "batch_norm": lambda: (nn.BatchNorm2d if len(layer.before) == 3 else nn.BatchNorm1d)(layer.before[0]),
            "max_pool": lambda: nn.MaxPool2d(given["size"], given["stride"], given["padding"]),
            "average_pool": lambda: nn.AvgPool2d(given["size"], given["stride"], given["padding"]),
            "global_average_pool": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "global_max_pool": lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
            "dropout": lambda: nn.Dropout(given["share"]),
            "flatten": Flatten,
            "dense": lambda: nn.Linear(layer.before[0], given["units"], bias=given["bias"]),
        }
        make = makers.get(layer.kind)
        return make() if make else getattr(nn, _ACTIVATIONS[layer.kind])(**in_place)

    return nn.Sequential(*(build(layer) for layer in cnn.layers))
