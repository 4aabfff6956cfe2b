"""From a backbone to the model file's graph.

Two steps, so that a second run on the same backbone repeats nothing: the backbone is drawn once and remembered; the
head, a few small nodes, is attached to it for each model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.machine.cache import BlobCache
from certero.probe.backbones import Backbone
from certero.probe.backend import ShippedPrecision
from certero.probe.lite import IR_VERSION, OPSET
from certero.probe.photo_blocks import BLOCK_KERNEL
from certero.probe.quantise import quantise
from certero.records.preprocessing import Preprocessing
from certero.runtime.model_file import holds_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from certero.probe.probe import Head

# Part of the cache key: raise it when the exported graph changes.
_EXPORT_VERSION = 5


def export_backbone(
    backbone: Backbone, preprocessing: Preprocessing, cache: BlobCache, precision: ShippedPrecision = "fp32"
) -> bytes:
    """ONNX bytes: `image` uint8 [N, H, W, 3] → `embedding` float32 [N, D], `map` float32 [N, C, h, w]; N is free.

    Args:
        backbone: as found.
        preprocessing: the input.
        cache: where exports are remembered.
        precision: of the network's inside; `int8` only where the backbone has it.
    """
    key = backbone_id(backbone, preprocessing, precision)
    known = cache.get_many([key]).get(key)
    if known is not None and holds_network(known):
        return known
    exact, outputs = backbone.draw(preprocessing)
    exports = [(backbone_id(backbone, preprocessing), exact)]
    if precision == "int8":
        # Both are kept: the 8-bit network is held against the exact one on some photos of each run.
        exports.append((key, quantise(exact, outputs, backbone.mean[0], backbone.deviation[0])))
    cache.put_many(exports)
    return exports[-1][1]


def backbone_id(backbone: Backbone, preprocessing: Preprocessing, precision: ShippedPrecision = "fp32") -> str:
    """Names the exported backbone: weights, levels, input, precision and export version."""
    side = (preprocessing.height, preprocessing.width)
    levels = (backbone.mean, backbone.deviation)
    parts = [_EXPORT_VERSION, backbone.name, backbone.weights_id, *levels, *side, precision]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def attach_head(backbone: bytes, head: Head, temperature: float, offsets: Sequence[float] | None = None) -> bytes:
    """The whole network: the backbone and, on its `embedding`, the head with calibrated `probabilities` [N, K]."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_model_from_string(backbone)
    weights, bias = head.folded(temperature, offsets)
    model.graph.initializer.extend(_head_weights(weights, bias))
    model.graph.node.extend(_head_nodes())
    model.graph.output.insert(0, helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(bias)]))
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def head_alone(head: Head, temperature: float, offsets: Sequence[float] | None = None) -> bytes:
    """The same nodes as a network of their own: `embedding` float32 [N, D] → `probabilities` [N, K]."""
    import onnx
    from onnx import TensorProto, helper

    weights, bias = head.folded(temperature, offsets)
    graph = helper.make_graph(
        _head_nodes(),
        "head",
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", weights.shape[1]])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(bias)])],
        _head_weights(weights, bias),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _head_weights(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> list[Any]:
    from onnx import numpy_helper

    # Standardisation, temperature and offsets are already folded in, in float64.
    return [
        numpy_helper.from_array(weights.astype(np.float32), "head.weight"),
        numpy_helper.from_array(bias.astype(np.float32), "head.bias"),
    ]


def _head_nodes() -> list[Any]:
    from onnx import helper

    return [
        helper.make_node("Abs", ["embedding"], ["size"], name="size"),
        helper.make_node("Sqrt", ["size"], ["size_root"], name="size_root"),
        helper.make_node("Sign", ["embedding"], ["sign"], name="sign"),
        helper.make_node("Mul", ["sign", "size_root"], ["rooted"], name="rooted"),
        helper.make_node("Gemm", ["rooted", "head.weight", "head.bias"], ["logits"], name="head", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1),
    ]


def calibrate_classifier(exported: bytes, temperature: float, offsets: Sequence[float] | None = None) -> bytes:
    """The exported classifier with calibrated `probabilities` [N, K] in place of its logits, see `softmax`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model_from_string(exported)
    graph = model.graph
    n_classes = (
        next(output for output in graph.output if output.name == "logits").type.tensor_type.shape.dim[1].dim_value
    )
    graph.initializer.append(numpy_helper.from_array(np.array(temperature, np.float32), "temperature"))
    graph.node.append(helper.make_node("Div", ["logits", "temperature"], ["softened"], name="softened"))
    last = "softened"
    if offsets is not None:
        last = "moved"
        graph.initializer.append(numpy_helper.from_array(np.array(offsets, np.float32), "offsets"))
        graph.node.append(helper.make_node("Add", ["softened", "offsets"], [last], name=last))
    graph.node.append(helper.make_node("Softmax", [last], ["probabilities"], name="softmax", axis=1))
    others = [output for output in graph.output if output.name != "logits"]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", n_classes]))
    graph.output.extend(others)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def count_parameters(model: bytes) -> int:
    """Trainable numbers of a network: the sizes of the stored weights and biases of its layers, summed.

    The zeros that `probe.photo_blocks` adds to kernels do not count.
    """
    import math

    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(model).graph
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    # An 8-bit layer reads its weights through a node that gives them their scale.
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul", "Add", "Mul")]
    used = {sources.get(name, name) for node in layers for name in node.input}
    for tensor in graph.initializer:
        if tensor.dims[1:] == list(BLOCK_KERNEL):
            places = numpy_helper.to_array(tensor).any(axis=0)
            sizes[tensor.name] = tensor.dims[0] * int(np.count_nonzero(places))
    return sum(size for name, size in sizes.items() if name in used)
