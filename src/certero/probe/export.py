"""From a backbone to the model file's graph.

Two steps, so that a second run on the same backbone does no such work again: the backbone is drawn, or traced by torch,
once and remembered; the head, a few small nodes, is attached to it for each model.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from certero.machine.cache import BlobCache
from certero.probe.backbones import Backbone
from certero.probe.lite import IR_VERSION, OPSET
from certero.probe.photo_blocks import BLOCK_KERNEL
from certero.probe.quantise import quantise
from certero.records.preprocessing import Preprocessing
from certero.runtime.model_file import holds_network

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from certero.probe.probe import Head

#: Of the inside of a model file; what goes in and comes out is the same.
ShippedPrecision = Literal["fp32", "int8"]

# Part of the cache key: raise it when the exported graph changes.
_EXPORT_VERSION = 5
# A batch of 1 would be taken for a constant by torch.export.
_TRACE_BATCH = 2


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
    if backbone.draw is None:
        exports = [(key, _trace(Extractor.of(backbone), preprocessing))]
    else:
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


class Extractor:
    """Builds the torch module from pixels to features; a function in class's clothing so that torch stays lazy."""

    @staticmethod
    def of(backbone: Backbone) -> torch.nn.Module:
        """The module whose `forward(image uint8 [N, H, W, 3])` gives `(embedding [N, D], map [N, C, h, w])`."""
        import torch

        class FromPixels(torch.nn.Module):
            mean: torch.Tensor
            deviation: torch.Tensor

            def __init__(self) -> None:
                super().__init__()
                self.body = backbone.build()
                self.register_buffer("mean", torch.tensor(backbone.mean).reshape(1, 3, 1, 1))
                self.register_buffer("deviation", torch.tensor(backbone.deviation).reshape(1, 3, 1, 1))

            def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                x = (image.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
                activations = self.body.forward_features(x)  # type: ignore[operator]
                pooled = self.body.forward_head(activations, pre_logits=True)  # type: ignore[operator]
                return pooled.flatten(1), activations

        return FromPixels().eval()


def _trace(
    module: torch.nn.Module, preprocessing: Preprocessing, outputs: Sequence[str] = ("embedding", "map")
) -> bytes:
    import torch

    example = torch.zeros(_TRACE_BATCH, preprocessing.height, preprocessing.width, 3, dtype=torch.uint8)
    return write_onnx(module, example, {name: {0: "N"} for name in ("image", *outputs)})


def write_onnx(module: torch.nn.Module, example: torch.Tensor, axes: dict[str, dict[int, str]]) -> bytes:
    """ONNX bytes of a module with one input.

    Args:
        module: in evaluation mode.
        example: an input.
        axes: of the input and then of each output, by name, the axes whose length may vary, and what to call it.
    """
    import torch

    name, *outputs = axes
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        # Tracing takes 0.8 s where the newer exporter takes 12 s for the same graph (docs/decisions/0004).
        torch.onnx.export(
            module,
            (example,),
            file,  # type: ignore[arg-type]  # the tracing exporter writes into memory too: no temporary file, no full disk
            input_names=[name],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue()


def attach_head(backbone: bytes, head: Head, temperature: float) -> bytes:
    """The whole network: the backbone and, on its `embedding`, the head with calibrated `probabilities` [N, K]."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_model_from_string(backbone)
    weights, bias = head.folded(temperature)
    model.graph.initializer.extend(_head_weights(weights, bias))
    model.graph.node.extend(_head_nodes())
    model.graph.output.insert(0, helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(bias)]))
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def head_alone(head: Head, temperature: float) -> bytes:
    """The same nodes as a network of their own: `embedding` float32 [N, D] → `probabilities` [N, K]."""
    import onnx
    from onnx import TensorProto, helper

    weights, bias = head.folded(temperature)
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

    # Standardisation and temperature are already folded in, in float64.
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


def export_classifier(network: torch.nn.Module, preprocessing: Preprocessing) -> bytes:
    """ONNX bytes of a trained classifier, not calibrated yet: `image` → `logits` [N, K], `embedding`, `map`.

    Args:
        network: of `learn.classifier`; it is left on the CPU.
        preprocessing: the input.
    """
    import torch

    # The plain layout: the exporter would write the other one out as a pile of transpositions.
    plain = network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return _trace(plain.eval(), preprocessing, ("logits", "embedding", "map"))


def calibrate_classifier(exported: bytes, temperature: float) -> bytes:
    """The exported classifier with calibrated `probabilities` [N, K] in place of its logits."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model_from_string(exported)
    graph = model.graph
    n_classes = (
        next(output for output in graph.output if output.name == "logits").type.tensor_type.shape.dim[1].dim_value
    )
    graph.initializer.append(numpy_helper.from_array(np.array(temperature, np.float32), "temperature"))
    graph.node.extend(
        [
            helper.make_node("Div", ["logits", "temperature"], ["softened"], name="softened"),
            helper.make_node("Softmax", ["softened"], ["probabilities"], name="softmax", axis=1),
        ]
    )
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
