"""An EfficientNet-Lite as an ONNX graph, drawn from its weights without torch (docs/decisions/0016).

Source: M. Tan, Q. Le, "EfficientNet", ICML 2019, table 1; without squeeze-and-excitation, with ReLU6, and with stem and
head of fixed width: github.com/tensorflow/tpu, models/official/efficientnet/lite. Padding and the constant of the
normalisations are those of timm's `efficientnet_lite0` and its kin, which are the same networks for training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from certero.errors import ConfigError
from certero.probe.quantise import Channels
from certero.probe.weights import read_arrays
from certero.records.preprocessing import Preprocessing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import NodeProto, TensorProto

#: Versions of ONNX's operators and of its file format, of every graph that certero writes.
OPSET, IR_VERSION = 17, 8
# Of each network: factors on channels and on blocks.
_FACTORS = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}
# Of each stage of the smallest: blocks, side of the kernel, stride of the first block, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_EPSILON = 1e-5
#: Arrays of a normalisation behind each convolution: scale, shift, mean, variance, and how many batches made them.
_OF_NORMALISATION = 5


def draw_lite(
    name: str, file: Path, mean: Sequence[float], deviation: Sequence[float], preprocessing: Preprocessing
) -> tuple[bytes, list[Channels]]:
    """ONNX bytes: `image` uint8 [N, H, W, 3] → `embedding` [N, 1280], `map` [N, 1280, h, w]; and the
    statistics of each convolution's output, in their order.

    Args:
        name: of the network.
        file: of weights; the layers in network order, whatever their names.
        mean: RGB levels that are subtracted from the pixels.
        deviation: RGB levels that the difference is divided by.
        preprocessing: the input.

    Raises:
        ConfigError: if the weights are of another network.
    """
    import onnx
    from onnx import TensorProto, helper

    drawing = _Drawing(_layers(file), name, file)
    drawing.store("mean", np.asarray(mean, np.float32).reshape(1, 3, 1, 1))
    drawing.store("deviation", np.asarray(deviation, np.float32).reshape(1, 3, 1, 1))
    drawing.store("zero", np.float32(0.0))
    drawing.store("six", np.float32(6.0))
    drawing.add("Transpose", ["image"], "planes", perm=[0, 3, 1, 2])
    drawing.add("Cast", ["planes"], "levels", to=TensorProto.FLOAT)
    drawing.add("Sub", ["levels", "mean"], "centred")
    drawing.add("Div", ["centred", "deviation"], "photo")
    drawing.convolve("photo", "stem", _Kernels(3, _STEM, side=3, stride=2))
    height, width = preprocessing.height, preprocessing.width
    rows, columns = -(-height // 2), -(-width // 2)
    given, channels = "stem", _STEM
    for stage, (blocks, side, first_stride, expansion, wider) in enumerate(_stages(*_FACTORS[name])):
        for block in range(blocks):
            part, stride = f"block{stage}.{block}", 1 if block else first_stride
            inner, source = channels * expansion, given
            if expansion > 1:
                drawing.convolve(given, f"{part}.expand", _Kernels(channels, inner))
                source = f"{part}.expand"
            drawing.convolve(source, f"{part}.depth", _Kernels(inner, inner, side, stride, group=inner))
            drawing.convolve(f"{part}.depth", f"{part}.project", _Kernels(inner, wider), clip=False)
            if stride == 1 and channels == wider:
                drawing.add("Add", [f"{part}.project", given], f"{part}.sum")
                given = f"{part}.sum"
            else:
                given = f"{part}.project"
            channels, rows, columns = wider, -(-rows // stride), -(-columns // stride)
    drawing.convolve(given, "map", _Kernels(channels, _HEAD))
    drawing.finish()
    drawing.add("GlobalAveragePool", ["map"], "pooled")
    drawing.add("Flatten", ["pooled"], "embedding", axis=1)
    graph = helper.make_graph(
        drawing.nodes,
        name,
        [
            helper.make_tensor_value_info(
                "image", TensorProto.UINT8, ["N", preprocessing.height, preprocessing.width, 3]
            )
        ],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", _HEAD]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, ["N", _HEAD, rows, columns]),
        ],
        drawing.stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data, drawing.outputs


def _stages(width: float, depth: float) -> Iterator[tuple[int, int, int, int, int]]:
    """The stages of a larger network: more blocks but in the first and the last, and channels in eights."""
    last = len(_STAGES) - 1
    for number, (blocks, side, stride, expansion, channels) in enumerate(_STAGES):
        wider = int(channels * width + 4) // 8 * 8
        if wider < 0.9 * channels * width:  # rounding takes no more than a tenth away
            wider += 8
        yield blocks if number in (0, last) else math.ceil(blocks * depth), side, stride, expansion, wider


def _layers(file: Path) -> Iterator[NDArray[Any]]:
    return iter(read_arrays(file).values())


class _Kernels(NamedTuple):
    """Of a convolution: channels in and out, side in pixels, step, and groups of channels that stay apart."""

    channels: int
    width: int
    side: int = 1
    stride: int = 1
    group: int = 1


@dataclass(slots=True)
class _Drawing:
    """A graph that grows, layer by layer.

    Args:
        arrays: of the file, the next layer's next.
        name: of the network.
        file: where they come from.
        nodes: so far.
        stored: constants so far.
        outputs: statistics of the convolutions' outputs so far.
    """

    arrays: Iterator[NDArray[Any]]
    name: str
    file: Path
    nodes: list[NodeProto] = field(default_factory=list)
    stored: list[TensorProto] = field(default_factory=list)
    outputs: list[Channels] = field(default_factory=list)

    def convolve(self, given: str, name: str, kernels: _Kernels, *, clip: bool = True) -> None:
        """A convolution with the normalisation behind it folded in, and the clip of a ReLU6."""
        side = kernels.side
        weights = self._take((kernels.width, kernels.channels // kernels.group, side, side))
        scale, shift, mean, variance = (self._take((kernels.width,)) for _ in range(_OF_NORMALISATION - 1))
        self._take(())
        self.outputs.append(Channels.normalised(scale, shift))
        factor = scale / np.sqrt(variance + _EPSILON)
        self.store(f"{name}.weight", (weights * factor.reshape(-1, 1, 1, 1)).astype(np.float32))
        self.store(f"{name}.bias", (shift - mean * factor).astype(np.float32))
        self.add(
            "Conv",
            [given, f"{name}.weight", f"{name}.bias"],
            f"{name}.linear" if clip else name,
            kernel_shape=[side, side],
            strides=[kernels.stride] * 2,
            pads=[side // 2] * 4,
            group=kernels.group,
        )
        if clip:
            self.add("Clip", [f"{name}.linear", "zero", "six"], name)

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        """A node that goes by the name of what comes out of it."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))

    def store(self, name: str, values: Any) -> None:
        """A constant."""
        from onnx import numpy_helper

        self.stored.append(numpy_helper.from_array(np.asarray(values), name))

    def finish(self) -> None:
        """Sees that nothing is left but a last layer, which names the thousand classes of ImageNet."""
        rest = [array.shape for array in self.arrays]
        if [len(shape) for shape in rest] not in ([], [2, 1]):
            raise self._mistake()

    def _take(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        array = next(self.arrays, None)
        if array is None or array.shape != shape:
            raise self._mistake()
        return array.astype(np.float64)

    def _mistake(self) -> ConfigError:
        return ConfigError(
            "--weights must be of %(name)s; the layers in %(file)s have other shapes.", name=self.name, file=self.file
        )
