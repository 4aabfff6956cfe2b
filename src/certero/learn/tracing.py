"""Torch modules as ONNX, traced."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence

import torch

from certero.probe.lite import OPSET
from certero.records.preprocessing import Preprocessing

# A batch of 1 would be taken for a constant.
_TRACE_BATCH = 2


def trace(module: torch.nn.Module, preprocessing: Preprocessing, outputs: Sequence[str]) -> bytes:
    """ONNX bytes of a module that takes `image` uint8 [N, H, W, 3]; N is free.

    Args:
        module: in evaluation mode.
        preprocessing: the input.
        outputs: what to call its outputs, whose first axis is N.
    """
    example = torch.zeros(_TRACE_BATCH, preprocessing.height, preprocessing.width, 3, dtype=torch.uint8)
    return write_onnx(module, example, {name: {0: "N"} for name in ("image", *outputs)})


def write_onnx(module: torch.nn.Module, example: torch.Tensor, axes: dict[str, dict[int, str]]) -> bytes:
    """ONNX bytes of a module with one input.

    Args:
        module: in evaluation mode.
        example: an input.
        axes: of the input and then of each output, by name, the axes whose length may vary, and what to call it.
    """
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


def export_classifier(network: torch.nn.Module, preprocessing: Preprocessing) -> bytes:
    """ONNX bytes of a trained classifier, not calibrated yet: `image` → `logits` [N, K], `embedding`, `map`.

    Args:
        network: of `learn.classifier`; it is left on the CPU.
        preprocessing: the input.
    """
    # The plain layout: the exporter would write the other one out as a pile of transpositions.
    plain = network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return trace(plain.eval(), preprocessing, ("logits", "embedding", "map"))
