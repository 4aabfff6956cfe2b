"""The exported network in 8 bits: convolutions on bytes, more than twice as fast on a CPU.

Nothing is calibrated on photos. What each channel's activations look like is known from the batch normalisation that
followed its convolution in training: their mean and deviation over the photos that the weights were trained on. So one
8-bit network serves every data set, and no photo of anybody's shapes it.

Source: M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-free quantization through weight equalization and
bias correction", ICCV 2019, sections 4.2 (bias correction) and 4.3 (ranges from batch normalisation).

Processors without instructions for whole numbers (VNNI) add two products of an activation and a weight in 16 bits. The
weights' scales are chosen so that no two neighbours can overflow there, whatever the photo: then the fast way gives the
same bits as the exact one (docs/decisions/0027).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.probe.photo_blocks import read_in_blocks
from certero.runtime.network import PAIRS_FIT

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

# Activations are covered to this many deviations from their mean, so that clipping hardly ever cuts one off.
_DEVIATIONS = 6.0
_LEVELS = 255
_WEIGHT_LEVELS = 127
# 255 (a + b) fits into 16 bits, a sign among them, up to a + b = 128; rounding adds at most a half to each.
_PAIR_LEVELS = 127
# A processor adds up products of these many input channels at once, in pairs.
_SUMMED_AT_ONCE = 4
# A bias of 32 bits must hold its value in units of (input scale x weight scale).
_LARGEST_BIAS = 2**28


class NotQuantisable(ValueError):
    """The network has a part that this module does not know in 8 bits."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Statistics of one tensor's values, by channel.

    Args:
        mean: float64 [C].
        deviation: float64 [C].
        low: least value of any channel that is represented.
        high: greatest value of any channel that is represented.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    low: float
    high: float

    @classmethod
    def spread(cls, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> Channels:
        """Of values with this mean and deviation, about which nothing else is known."""
        reach = _DEVIATIONS * deviation
        return cls(mean, deviation, float((mean - reach).min()), float((mean + reach).max()))

    @classmethod
    def normalised(cls, scale: NDArray[np.floating[Any]], shift: NDArray[np.floating[Any]]) -> Channels:
        """Of the output of a batch normalisation with this scale and shift [C], as in training."""
        return cls.spread(shift.astype(np.float64), np.maximum(np.abs(scale.astype(np.float64)), 1e-9))

    def clipped(self, low: float, high: float) -> Channels:
        """The same after every value was brought between `low` and `high`, taken for normally distributed.

        The mean is that of a doubly censored normal distribution. Source: W. H. Greene, "Econometric Analysis", theorem
        on moments of the censored normal variable, applied at both ends.
        """
        from scipy.special import ndtr

        below, above = (low - self.mean) / self.deviation, (high - self.mean) / self.deviation
        density = (np.exp(-(below**2) / 2) - np.exp(-(above**2) / 2)) / np.sqrt(2 * np.pi)
        inside = self.mean * (ndtr(above) - ndtr(below)) + self.deviation * density
        mean = inside + low * ndtr(below) + high * ndtr(-above)
        return Channels(mean, self.deviation, max(low, min(self.low, high)), min(high, max(self.high, low)))

    def plus(self, other: Channels) -> Channels:
        """The sum with values that are taken for independent."""
        return Channels.spread(self.mean + other.mean, np.hypot(self.deviation, other.deviation))


def quantise(model: bytes, outputs: Sequence[Channels], mean: float, deviation: float) -> bytes:
    """The network with 8-bit weights and activations, as standard ONNX (QuantizeLinear, DequantizeLinear).

    Weights are rounded channel by channel, and each convolution's bias takes up the shift that this rounding gives its
    mean output. The photo needs no rounding: its levels are the first convolution's 8-bit input as they are.

    Args:
        model: ONNX of an exported backbone: `image` uint8, convolutions, sums and clips, then pooling.
        outputs: of each convolution, in graph order, from the batch normalisations behind them.
        mean: level (0 to 255) that the network subtracts from the photo, a whole number.
        deviation: level that it divides the difference by.

    Raises:
        NotQuantisable: for a layer of another kind, or if the normalisations do not fit the convolutions.
    """
    import onnx
    from onnx import helper

    known = onnx.load_model_from_string(model)
    rewriter = _Rewriter(known, mean, deviation)
    statistics = iter(outputs)
    for node in known.graph.node:
        rewriter.take(node, statistics)
    if next(statistics, None) is not None:
        raise NotQuantisable("more batch normalisations than convolutions")
    del known.graph.node[:]
    known.graph.node.extend(rewriter.nodes)
    del known.graph.initializer[:]
    known.graph.initializer.extend(rewriter.stored)
    read_in_blocks(known)
    helper.set_model_props(known, {PAIRS_FIT: "1"})
    onnx.checker.check_model(known)
    data: bytes = known.SerializeToString(deterministic=True)
    return data


@dataclass(slots=True)
class _Rewriter:
    """Copies a graph node by node into 8 bits.

    Args:
        model: the network; its nodes are in an order in which they can run.
        mean: see `quantise`.
        deviation: see `quantise`.
        nodes: the new graph.
        stored: its constants.
    """

    model: ModelProto
    mean: float
    deviation: float
    nodes: list[NodeProto] = field(default_factory=list)
    stored: list[Any] = field(default_factory=list)
    _values: dict[str, NDArray[Any]] = field(init=False)
    _clips: dict[str, NodeProto] = field(init=False)
    _channels: dict[str, Channels] = field(default_factory=dict)
    _scales: dict[str, float] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from onnx import numpy_helper

        graph = self.model.graph
        self._values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self._values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self._clips = {node.input[0]: node for node in graph.node if node.op_type == "Clip"}

    def take(self, node: NodeProto, statistics: Any) -> None:
        """Adds what stands for this node in 8 bits."""
        if node.op_type in ("Constant", "Cast", "Sub", "Clip"):
            return  # the clip is the end of the range that its input is rounded to
        if node.op_type == "Transpose":
            self._copy(node)
            self._read_photo(node.output[0])
        elif node.op_type == "Div":
            # The photo reaches the first convolution as it is: (level - mean) / deviation is what its bytes mean.
            self._names[node.output[0]] = "photo"
        elif node.op_type == "Conv":
            self._convolve(node, next(statistics, None))
        elif node.op_type == "Add":
            left, right = (self._channels[name] for name in node.input)
            self._copy(node, [f"{node.output[0]}_exact"])
            self._round(f"{node.output[0]}_exact", node.output[0], left.plus(right))
        elif node.op_type in ("GlobalAveragePool", "Flatten"):
            self._copy(node)
        else:
            raise NotQuantisable(f"a layer of the kind {node.op_type}")

    def _read_photo(self, source: str) -> None:
        if self.mean != round(self.mean):
            raise NotQuantisable(f"the mean level {self.mean}, which is no whole number")
        self._scales["photo"] = 1 / self.deviation
        self._dequantise(source, "photo", np.float32(1 / self.deviation), np.uint8(round(self.mean)))

    def _convolve(self, node: NodeProto, output: Channels | None) -> None:
        weights = self._values[node.input[1]].astype(np.float64)
        bias = self._values[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(len(weights))
        if output is None or len(output.mean) != len(weights):
            raise NotQuantisable(f"the convolution {node.name}, which no batch normalisation follows")
        scale_in = self._scales[self._names.get(node.input[0], node.input[0])]
        column = (-1, *[1] * (weights.ndim - 1))
        largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
        scales = np.maximum(largest / _WEIGHT_LEVELS, largest_pairs(weights) / _PAIR_LEVELS)
        scales = np.maximum(scales, np.abs(bias) / scale_in / _LARGEST_BIAS)
        scales = np.maximum(scales, np.finfo(np.float32).tiny).astype(np.float32)
        rounded = np.rint(weights / scales.astype(np.float64).reshape(column)).astype(np.int8)
        given = self._channels.get(node.input[0])
        if given is not None:
            shift = (rounded * scales.astype(np.float64).reshape(column) - weights).sum(axis=(2, 3))
            # A depthwise convolution has one input channel an output channel.
            bias = bias - (shift[:, 0] * given.mean if shift.shape[1] == 1 else shift @ given.mean)
        bias_scales = np.float32(scale_in) * scales
        whole = np.rint(bias / bias_scales).astype(np.int32)
        inputs = [self._names.get(node.input[0], node.input[0])]
        for kind, values, steps in (("weight", rounded, scales), ("bias", whole, bias_scales)):
            stored = self._store(f"{node.name}.{kind}", values)
            self._dequantise(stored, f"{stored}_real", steps, np.zeros(len(weights), values.dtype), axis=0)
            inputs.append(f"{stored}_real")
        name = node.output[0]
        clip = self._clips.get(name)
        if clip is not None:
            low, high = (float(self._values[bound]) for bound in clip.input[1:])
            name, output = clip.output[0], output.clipped(low, high)
        self._copy(node, [f"{name}_exact"], inputs)
        self._round(f"{name}_exact", name, output)

    def _round(self, source: str, name: str, channels: Channels) -> None:
        """Brings a tensor to 8 bits and gives it its meaning back, which the runtime then never carries out."""
        from onnx import helper

        low, high = min(channels.low, 0.0), max(channels.high, 1e-6)  # zero, which pads, must be a level
        scale = np.float32((high - low) / _LEVELS)
        zero = np.uint8(np.clip(round(-low / float(scale)), 0, _LEVELS))
        self._channels[name], self._scales[name] = channels, float(scale)
        steps, offset = self._store(f"{name}_scale", scale), self._store(f"{name}_zero", zero)
        self.nodes.append(
            helper.make_node("QuantizeLinear", [source, steps, offset], [f"{name}_bytes"], name=f"{name}_round")
        )
        self.nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}_bytes", steps, offset], [name], name=f"{name}_mean")
        )

    def _dequantise(self, source: str, target: str, scale: Any, zero: Any, axis: int | None = None) -> None:
        from onnx import helper

        inputs = [source, self._store(f"{target}_scale", scale), self._store(f"{target}_zero", zero)]
        node = helper.make_node("DequantizeLinear", inputs, [target], name=target)
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self.nodes.append(node)

    def _copy(self, node: NodeProto, outputs: Sequence[str] = (), inputs: Sequence[str] = ()) -> None:
        from onnx import NodeProto

        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = list(inputs) or [self._names.get(name, name) for name in node.input]
        copy.output[:] = list(outputs) or list(node.output)
        self.nodes.append(copy)

    def _store(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        self.stored.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def largest_pairs(weights: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The largest sum, by amount, of two weights of one sign that may be added up as a pair, an output channel: [K].

    A pointwise convolution's pairs lie within four input channels in a row. In a wider kernel, whose pixels may be
    gathered in any order, any two weights may meet. A depthwise convolution's products are added in 32 bits: zeros.

    Args:
        weights: [K, C, h, w] of a convolution.
    """
    n_outputs, n_inputs, height, width = weights.shape
    if n_inputs == 1:
        return np.zeros(n_outputs)
    groups = weights.reshape(n_outputs, 1, -1).astype(np.float64)
    if height * width == 1:
        rest = -n_inputs % _SUMMED_AT_ONCE
        groups = np.pad(groups, ((0, 0), (0, 0), (0, rest))).reshape(n_outputs, -1, _SUMMED_AT_ONCE)
    ordered = np.sort(groups, axis=2)
    above, below = ordered[..., -2:].clip(min=0).sum(axis=2), -ordered[..., :2].clip(max=0).sum(axis=2)
    largest: NDArray[np.float64] = np.maximum(above, below).max(axis=1)
    return largest
