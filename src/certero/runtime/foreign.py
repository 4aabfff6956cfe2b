"""Classifiers that others made: an ONNX file, and a small card in TOML that says how photos reach it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.config.toml import read_toml
from certero.errors import ConfigError, ModelFileError, PhotoError, reason_of
from certero.interchange import Json
from certero.machine.files import MOST_MODEL_BYTES, MOST_TEXT_BYTES, read_file
from certero.names import class_name
from certero.records.preprocessing import Preprocessing
from certero.records.protocols import Map
from certero.runtime.card_check import LARGEST_SIDE, is_side
from certero.runtime.inference import Photo, infer
from certero.runtime.model_file import take_stock
from certero.runtime.network import Network
from certero.sentences import either, sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Keys of a card, with the allowed values where these are few.
KEYS: dict[str, tuple[str, ...]] = {
    "classes": (),
    "answers": ("logits", "probabilities"),
    "input": (),
    "output": (),
    "height": (),
    "width": (),
    "layout": ("NCHW", "NHWC"),
    "dtype": ("float32", "float16", "uint8"),
    "channels": ("RGB", "BGR"),
    "range": (),
    "mean": (),
    "std": (),
    "fit": ("stretch", "letterbox", "crop"),
    "shorter_side": (),
    "filter": ("bilinear", "bicubic"),
    "pad": (),
}
_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}


@dataclass(frozen=True, slots=True)
class ForeignCard:
    """How photos reach a foreign network, and what its outputs mean.

    Args:
        classes: names in the order of the outputs.
        answers: `logits` or `probabilities`.
        preprocessing: how a photo becomes pixels.
        layout: `NCHW` or `NHWC`.
        dtype: `float32`, `float16` or `uint8`.
        channels: `RGB` or `BGR`.
        range: what black and white become, 2 numbers.
        mean: taken off each channel after that, 3 numbers in the order of `channels`.
        std: each channel is divided by it after that.
        input: name of the network's input.
        output: name of the output that holds the answers.
    """

    classes: tuple[str, ...]
    answers: str
    preprocessing: Preprocessing
    layout: str
    dtype: str
    channels: str
    range: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input: str
    output: str


class ForeignClassifier:
    """Labels photos with an ONNX classifier that certero did not make.

    Args:
        model: the ONNX file; weights in files beside it are found.
        card: the TOML file that describes it.
        map: ordered parallel map over the cores.

    Raises:
        ModelFileError: if ONNX Runtime cannot run it, or it is no classifier of photos.
        ConfigError: if the card lacks something or does not fit the file.
    """

    def __init__(self, model: Path, card: Path, map: Map) -> None:
        try:
            data = read_file(model, MOST_MODEL_BYTES)
        except OSError as error:
            raise ModelFileError(
                "MODEL must be a readable ONNX file; %(model)s: %(reason)s.", model=model, reason=reason_of(error)
            ) from error
        self.size_bytes, self.parameters = take_stock(data, model)
        network = Network(data, str(model), model.parent.resolve(), trusted=False)
        self.card = _read_card(card, network, model)
        self.classes = self.card.classes
        self._map = map
        self.network = _Adapter(network, self.card, model, card)

    @property
    def preprocessing(self) -> Preprocessing:
        """How a photo becomes pixels."""
        return self.card.preprocessing

    def probabilities(self, photos: Sequence[Photo]) -> Iterator[NDArray[np.float32] | PhotoError]:
        """Yields one row of probabilities [classes] a photo, or why there is none."""
        for answer in infer(self.network, self.preprocessing, photos, [], self._map):
            yield answer if isinstance(answer, PhotoError) else answer[0]


class _Adapter:
    """A foreign network that takes uint8 [N, H, W, 3] and gives probabilities."""

    def __init__(self, network: Network, card: ForeignCard, model: Path, card_file: Path) -> None:
        self._network, self._card, self._model, self._file = network, card, model, card_file
        shape = next(shape for name, _type, shape in network.inputs if name == card.input)
        self._fixed = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        self.batch_size = self._fixed or network.batch_size
        low, high = card.range
        scale, shift = (high - low) / 255, low
        deviation = np.array(card.std, dtype=np.float32)
        self._factor = np.float32(scale) / deviation
        self._offset = (np.float32(shift) - np.array(card.mean, dtype=np.float32)) / deviation
        preprocessing = card.preprocessing
        # One black photo shows whether card and file fit before any real photo is judged.
        self.run(np.zeros((1, preprocessing.height, preprocessing.width, 3), np.uint8), [])

    def run(self, rows: NDArray[Any], _outputs: Sequence[str], /) -> list[NDArray[Any]]:
        """Probabilities float32 [N, classes] of uint8 [N, H, W, 3]."""
        card, n = self._card, len(rows)
        images: NDArray[Any] = rows[..., ::-1] if card.channels == "BGR" else rows
        if card.dtype != "uint8":
            images = (images.astype(np.float32) * self._factor + self._offset).astype(card.dtype)
        if card.layout == "NCHW":
            images = images.transpose(0, 3, 1, 2)
        if self._fixed and n < self._fixed:
            images = np.concatenate([images, np.repeat(images[-1:], self._fixed - n, axis=0)])
        advice = sentence("Check height, width and layout in %(file)s.", file=self._file)
        (found,) = self._network.run(np.ascontiguousarray(images), [card.output], advice)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu" or found.shape[:1] != (len(images),):
            kind = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else type(found).__name__
            raise ModelFileError(
                "MODEL must give a row of numbers a photo; %(output)s of %(model)s is %(kind)s for "
                "%(n_images)s photos. Name another output in %(file)s, or export the model anew.",
                output=card.output,
                model=self._model,
                kind=kind,
                n_images=len(images),
                file=self._file,
            )
        return [self._to_probabilities(found[:n].astype(np.float64))]

    def _to_probabilities(self, found: NDArray[np.float64]) -> NDArray[np.float32]:
        card, k = self._card, len(self._card.classes)
        table = found.reshape(len(found), -1)
        single = table.shape[1] == 1 and k == 2
        if table.shape[1] != k and not single:
            raise ConfigError(
                "classes in %(file)s must name every output of the network, in order; it names "
                "%(k)s, %(model)s has %(shape)s outputs. Correct the list.",
                file=self._file,
                k=k,
                model=self._model,
                shape=table.shape[1],
            )
        if not np.isfinite(table).all():
            raise ModelFileError(
                "MODEL must answer with numbers; %(model)s gave NaN or infinity. Check range, mean "
                "and std in %(file)s.",
                model=self._model,
                file=self._file,
            )
        if card.answers == "logits":
            table = _softmax(np.concatenate([np.zeros_like(table), table], axis=1) if single else table)
        elif single:
            table = np.concatenate([1 - table, table], axis=1)
        sums = table.sum(axis=1)
        if table.min() < -1e-3 or np.abs(sums - 1).max() > 0.02:
            raise ConfigError(
                'answers = "probabilities" in %(file)s needs outputs that sum to 1; %(model)s gave '
                "a sum of %(sums).3g. If they are scores before a softmax, write answers = "
                '"logits".',
                file=self._file,
                model=self._model,
                sums=sums[np.abs(sums - 1).argmax()],
            )
        return np.clip(table, 0.0, 1.0).astype(np.float32)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _read_card(file: Path, network: Network, model: Path) -> ForeignCard:
    given = _read_fields(file)
    name, kind, shape = _find_input(given, network, file, model)
    layout = given.get("layout") or _guess_layout(shape)
    if layout is None:
        raise ConfigError(
            "%(file)s must say the layout, NCHW or NHWC; %(model)s itself does not tell.", file=file, model=model
        )
    height, width = (_side(given, key, shape, layout, file, model) for key in ("height", "width"))
    levels = _levels(given, kind, file, model)
    preprocessing = _preprocessing(given, height, width, file)
    output = given.get("output", network.outputs[0])
    if output not in network.outputs:
        raise ConfigError(
            "output in %(file)s must be one of %(outputs)s, which %(model)s has; found %(output)r.",
            file=file,
            outputs=", ".join(network.outputs),
            model=model,
            output=output,
        )
    return ForeignCard(
        classes=_classes(given, file),
        answers=given["answers"],
        preprocessing=preprocessing,
        layout=layout,
        dtype=kind,
        channels=given.get("channels", "RGB"),
        **levels,
        input=name,
        output=output,
    )


def _read_fields(file: Path) -> Json:
    """The fields of a card, each of them known and with a value that it may have."""
    try:
        given: Json = read_toml(file, "the card")
    except OSError as error:
        raise ConfigError(
            "a foreign MODEL needs a readable card; %(file)s: %(reason)s. Check --card.",
            file=file,
            reason=reason_of(error),
        ) from error
    if unknown := sorted(set(given) - set(KEYS)):
        raise ConfigError(
            "a card may hold %(keys)s; %(file)s has %(unknown)s. Take it out.",
            keys=", ".join(KEYS),
            file=file,
            unknown=", ".join(unknown),
        )
    for key, allowed in KEYS.items():
        if allowed and key in given and given[key] not in allowed:
            raise ConfigError(
                "%(key)s in %(file)s must be %(allowed)s; found %(given)r.",
                key=key,
                file=file,
                allowed=either(allowed),
                given=given[key],
            )
    if "answers" not in given:
        raise ConfigError(
            '%(file)s must say what the network gives: answers = "logits" or answers = "probabilities".', file=file
        )
    return given


def _levels(given: Json, kind: str, file: Path, model: Path) -> dict[str, tuple[float, ...]]:
    """`range`, `mean` and `std` of a card: what the network takes for black and white, and how it is normalised."""
    found = _numbers(given, "range", 2, (0.0, 255.0) if kind == "uint8" else (0.0, 1.0), file)
    mean, std = _numbers(given, "mean", 3, (0.0,) * 3, file), _numbers(given, "std", 3, (1.0,) * 3, file)
    if min(std) <= 0:
        raise ConfigError("std in %(file)s must be above 0; found %(std)g.", file=file, std=min(std))
    if kind == "uint8" and {"range", "mean", "std"} & set(given):
        raise ConfigError(
            "range, mean and std in %(file)s are for floating-point inputs; %(model)s takes uint8. Take out.",
            file=file,
            model=model,
        )
    return {"range": found, "mean": mean, "std": std}


def _preprocessing(given: Json, height: int, width: int, file: Path) -> Preprocessing:
    shorter = given.get("shorter_side")
    if shorter is not None and (given.get("fit") != "crop" or not is_side(shorter) or shorter < min(height, width)):
        raise ConfigError(
            'shorter_side in %(file)s goes with fit = "crop" and is at least %(height)s; found %(shorter)r.',
            file=file,
            height=min(height, width),
            shorter=shorter,
        )
    pad = given.get("pad", 127)
    if not isinstance(pad, int) or not 0 <= pad <= 255:
        raise ConfigError("pad in %(file)s must be a grey level from 0 to 255; found %(pad)r.", file=file, pad=pad)
    return Preprocessing(height, width, given.get("fit", "stretch"), given.get("filter", "bilinear"), pad, shorter)


def _classes(given: Json, file: Path) -> tuple[str, ...]:
    listed = given.get("classes")
    if isinstance(listed, str):
        try:
            listed = [
                line.strip()
                for line in read_file(file.parent / listed, MOST_TEXT_BYTES).decode("utf-8-sig").splitlines()
                if line.strip()
            ]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                "classes in %(file)s must be a list, or a readable text file; found %(listed)r.",
                file=file,
                listed=listed,
            ) from error
    if not isinstance(listed, list) or len(listed) < 2 or not all(isinstance(name, str) and name for name in listed):
        raise ConfigError(
            '%(file)s must name at least 2 classes in the order of the outputs: classes = ["a", "b"].', file=file
        )
    listed = [class_name(name) for name in listed]
    if twice := sorted({name for name in listed if listed.count(name) > 1}):
        raise ConfigError("classes in %(file)s must differ; found twice: %(twice)s.", file=file, twice=", ".join(twice))
    return tuple(listed)


def _find_input(given: Json, network: Network, file: Path, model: Path) -> tuple[str, str, tuple[Any, ...]]:
    """Name, number type and shape of the network's input of photos."""
    if len(network.inputs) != 1:
        found = ", ".join(name for name, _type, _shape in network.inputs)
        raise ModelFileError(
            "MODEL must take photos and nothing else; %(model)s has the inputs %(found)s.", model=model, found=found
        )
    name, kind, shape = network.inputs[0]
    if given.get("input", name) != name:
        raise ConfigError(
            "input in %(file)s must be %(name)r, the input of %(model)s; found %(input)r.",
            file=file,
            name=name,
            model=model,
            input=given["input"],
        )
    if kind not in _TYPES or len(shape) != 4:
        raise ModelFileError(
            "MODEL must take photos as float32, float16 or uint8 in 4 dimensions; %(model)s takes "
            "%(kind)s in %(n_shape)s.",
            model=model,
            kind=kind,
            n_shape=len(shape),
        )
    if given.get("dtype", _TYPES[kind]) != _TYPES[kind]:
        raise ConfigError(
            "dtype in %(file)s must be %(types)s, which %(model)s takes; found %(dtype)s.",
            file=file,
            types=_TYPES[kind],
            model=model,
            dtype=given["dtype"],
        )
    return name, _TYPES[kind], shape


def _guess_layout(shape: tuple[Any, ...]) -> str | None:
    if shape[1] == 3 and shape[3] != 3:
        return "NCHW"
    return "NHWC" if shape[3] == 3 and shape[1] != 3 else None


def _side(given: Json, key: str, shape: tuple[Any, ...], layout: str, file: Path, model: Path) -> int:
    place = ("height", "width").index(key) + (2 if layout == "NCHW" else 1)
    fixed = shape[place] if isinstance(shape[place], int) and shape[place] > 0 else None
    side = given.get(key, fixed)
    if side is None:
        raise ConfigError(
            "%(file)s must say the %(key)s of the input in pixels; %(model)s itself does not tell.",
            file=file,
            key=key,
            model=model,
        )
    if not is_side(side) or (fixed is not None and side != fixed):
        wanted = (
            sentence("%(side)d, which %(model)s takes", side=fixed, model=model)
            if fixed is not None
            else sentence("a whole number from %(least)d to %(most)d", least=1, most=LARGEST_SIDE)
        )
        raise ConfigError(
            "%(key)s in %(file)s must be %(wanted)s; found %(side)r.", key=key, file=file, wanted=wanted, side=side
        )
    return int(side)


def _numbers(given: Json, key: str, count: int, default: tuple[float, ...], file: Path) -> tuple[float, ...]:
    values = given.get(key, list(default))
    good = isinstance(values, list) and len(values) == count
    if not good or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise ConfigError(
            "%(key)s in %(file)s must be a list of %(count)s numbers; found %(values)r.",
            key=key,
            file=file,
            count=count,
            values=values,
        )
    return tuple(float(value) for value in values)
