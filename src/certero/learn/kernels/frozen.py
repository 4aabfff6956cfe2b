"""Frozen stages of a backbone, run by ONNX Runtime: on a CPU in half of the time that torch takes for them.

What is never trained needs no gradients, so it may run anywhere. It is most of a fine-tuning step, and nearly all of
the evaluation after an epoch (`benchmarks/backbone_step.py --frozen-stages 0.75`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import fx

from certero.learn.kernels.folding import trace
from certero.learn.tracing import write_onnx
from certero.runtime.network import Network

# Largest difference between ONNX Runtime and torch, relative to the largest output: sums are added in another order.
_TOLERANCE = 1e-4
_EXAMPLE_SIDE = 64


class SplitBackbone:
    """A backbone in two parts: the frozen one in ONNX Runtime, the other in torch. Copies share the frozen part.

    Args:
        bottom: the frozen part, from normalised photos to activations.
        top: from these to embedding and feature map; its layers are the backbone's own.
        threads: of ONNX Runtime.
    """

    def __init__(self, bottom: torch.nn.Module, top: torch.nn.Module, threads: int) -> None:
        self._frozen = _FrozenStages(bottom, threads)
        self._top = top

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding [N, D] and feature map [N, C, h, w] of normalised photos, float32 [N, 3, H, W]."""
        outputs: tuple[torch.Tensor, torch.Tensor] = self._top(self._frozen(x))
        return outputs


class _FrozenStages:
    def __init__(self, bottom: torch.nn.Module, threads: int) -> None:
        example = torch.zeros(2, 3, _EXAMPLE_SIDE, _EXAMPLE_SIDE)
        axes = {"levels": {0: "N", 2: "H", 3: "W"}, "activations": {0: "N", 2: "h", 3: "w"}}
        self._network = Network(write_onnx(bottom, example, axes))
        self._threads = threads

    def __deepcopy__(self, _memo: dict[int, Any]) -> _FrozenStages:
        return self

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        levels = x.detach().contiguous().numpy()
        size = self._network.batch_size
        parts = [levels[start : start + size] for start in range(0, len(levels), size)]
        with ThreadPoolExecutor(self._threads) as pool:
            rows = list(pool.map(lambda part: self._network.run(part, ["activations"])[0], parts))
        return torch.from_numpy(np.concatenate(rows)).contiguous(memory_format=torch.channels_last)


def run_frozen_stages_apart(network: Any, threads: int) -> None:
    """Leaves the frozen stages of a classifier to ONNX Runtime, where there are any; in place. For float32 on a CPU.

    Args:
        network: a `BackboneClassifier` of `learn.classifier`; it is left in evaluation mode.
        threads: of ONNX Runtime.
    """
    if not network.frozen:
        return
    network.eval()
    split = split_backbone(network.body, network.frozen, threads)
    if split is not None:
        # Not a closure: a copy of the network must compute with its own layers.
        network.extract = functools.partial(_extract, network, split)


def _extract(network: Any, split: SplitBackbone, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if torch.onnx.is_in_onnx_export():
        outputs: tuple[torch.Tensor, torch.Tensor] = type(network).extract(network, x)
        return outputs
    return split(x)


def split_backbone(body: Any, frozen: Sequence[torch.nn.Module], threads: int) -> SplitBackbone | None:
    """The backbone in two parts; None where nothing is frozen, or it cannot be split at a single node.

    Args:
        body: a timm model without its classifier, in evaluation mode.
        frozen: its modules that are never trained.
        threads: of ONNX Runtime.
    """
    if not frozen:
        return None
    parts = _split(_Features(body), {id(module) for stage in frozen for module in stage.modules()})
    if parts is None:
        return None
    split = SplitBackbone(*parts, threads)
    levels = torch.rand(2, 3, _EXAMPLE_SIDE, _EXAMPLE_SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected, found = _Features(body)(levels)[0], split(levels)[0]
    differs = float((expected - found).abs().max()) > _TOLERANCE * float(expected.abs().max())
    return None if differs else split


class _Features(torch.nn.Module):
    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        activations = self.body.forward_features(x)
        return self.body.forward_head(activations, pre_logits=True).flatten(1), activations


def _split(features: torch.nn.Module, frozen: set[int]) -> tuple[torch.nn.Module, torch.nn.Module] | None:
    """Two modules that compute the same one after the other; the first holds all that depends on frozen modules only.

    Args:
        features: the whole.
        frozen: identities of the frozen modules.
    """
    graph = trace(features)
    if graph is None:
        return None
    modules = dict(features.named_modules())
    constant: set[fx.Node] = set()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "placeholder" or (inputs and all(each in constant for each in inputs) and node.op != "output"):
            if node.op == "call_module" and not _never_changes(modules[str(node.target)], frozen):
                continue
            constant.add(node)
    ends = [node for node in constant if any(user not in constant for user in node.users)]
    if len(ends) != 1 or ends[0].op == "placeholder":
        return None
    bottom, top = fx.Graph(), fx.Graph()
    below: dict[fx.Node, fx.Node] = {}
    above = {ends[0]: top.placeholder("activations")}
    for node in graph.nodes:
        if node in constant:
            below[node] = bottom.node_copy(node, below.__getitem__)
        else:
            above[node] = top.node_copy(node, above.__getitem__)
    bottom.output(below[ends[0]])
    # In evaluation mode as the layers in them are; the exporter would switch these to training otherwise.
    return fx.GraphModule(features, bottom).eval(), fx.GraphModule(features, top).eval()


def _never_changes(module: torch.nn.Module, frozen: set[int]) -> bool:
    """Whether it computes the same throughout training: frozen, or without weights and without random draws."""
    if id(module) in frozen:
        return True
    has_state = any(True for _tensor in (*module.parameters(), *module.buffers()))
    return not has_state and not getattr(module, "p", 0) and not getattr(module, "drop_prob", 0)
