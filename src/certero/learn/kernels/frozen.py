"""Frozen stages of a backbone, run by ONNX Runtime: on a CPU in half of the time that torch takes for them.

What is never trained needs no gradients, so it may run anywhere; it is most of a fine-tuning step, and nearly all of
what judging an epoch takes (`benchmarks/backbone_step.py --frozen-stages 0.75`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.learn.kernels.folding import trace
from certero.learn.tracing import write_onnx
from certero.runtime.network import Network

if TYPE_CHECKING:
    import torch

# Of ONNX Runtime's figures, from torch's, relative to the largest: sums are added in another order.
_TOLERANCE = 1e-4
_TRIED_SIDE = 64


class Apart:
    """A backbone in two parts: the frozen one in ONNX Runtime, the other in torch. Copies share the frozen one.

    Args:
        bottom: the frozen part, levels normalised to activations.
        top: from these to embedding and map; its layers are the backbone's own.
        threads: cores to use.
    """

    def __init__(self, bottom: torch.nn.Module, top: torch.nn.Module, threads: int) -> None:
        self._frozen = _Frozen(bottom, threads)
        self._top = top

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding [N, D] and map [N, C, h, w] of float32 [N, 3, H, W]."""
        answer: tuple[torch.Tensor, torch.Tensor] = self._top(self._frozen(x))
        return answer


class _Frozen:
    def __init__(self, bottom: torch.nn.Module, threads: int) -> None:
        import torch

        example = torch.zeros(2, 3, _TRIED_SIDE, _TRIED_SIDE)
        axes = {"levels": {0: "N", 2: "H", 3: "W"}, "activations": {0: "N", 2: "h", 3: "w"}}
        self._network = Network(write_onnx(bottom, example, axes))
        self._threads = threads

    def __deepcopy__(self, _memo: dict[int, Any]) -> _Frozen:
        return self

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        levels = x.detach().contiguous().numpy()
        size = self._network.batch_size
        parts = [levels[start : start + size] for start in range(0, len(levels), size)]
        with ThreadPoolExecutor(self._threads) as pool:
            rows = list(pool.map(lambda part: self._network.run(part, ["activations"])[0], parts))
        return torch.from_numpy(np.concatenate(rows)).contiguous(memory_format=torch.channels_last)


def set_apart(body: Any, frozen: Sequence[torch.nn.Module], threads: int) -> Apart | None:
    """The backbone in two parts; None where nothing is frozen, or it cannot be cut in two at one place.

    Args:
        body: a timm model without its classifier, in evaluation mode.
        frozen: its modules that are never trained.
        threads: cores for the frozen part.
    """
    import torch

    if not frozen:
        return None
    parts = _cut(_features(body), {id(module) for stage in frozen for module in stage.modules()})
    if parts is None:
        return None
    apart = Apart(*parts, threads)
    levels = torch.rand(2, 3, _TRIED_SIDE, _TRIED_SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected, found = _features(body)(levels)[0], apart(levels)[0]
    far = float((expected - found).abs().max()) > _TOLERANCE * float(expected.abs().max())
    return None if far else apart


def _features(body: Any) -> torch.nn.Module:
    import torch

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            activations = self.body.forward_features(x)
            return self.body.forward_head(activations, pre_logits=True).flatten(1), activations

    return Features()


def _cut(features: torch.nn.Module, frozen: set[int]) -> tuple[torch.nn.Module, torch.nn.Module] | None:
    """Two modules, one after the other, that compute the same; the first is all that rests on frozen modules alone."""
    from torch import fx

    graph = trace(features)
    if graph is None:
        return None
    modules = dict(features.named_modules())
    still: set[fx.Node] = set()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "placeholder" or (inputs and all(before in still for before in inputs) and node.op != "output"):
            if node.op == "call_module" and not _is_still(modules[str(node.target)], frozen):
                continue
            still.add(node)
    ends = [node for node in still if any(user not in still for user in node.users)]
    if len(ends) != 1 or ends[0].op == "placeholder":
        return None
    bottom, top = fx.Graph(), fx.Graph()
    below: dict[fx.Node, fx.Node] = {}
    above = {ends[0]: top.placeholder("activations")}
    for node in graph.nodes:
        if node in still:
            below[node] = bottom.node_copy(node, below.__getitem__)
        else:
            above[node] = top.node_copy(node, above.__getitem__)
    bottom.output(below[ends[0]])
    # As the layers in them are; the exporter would turn these to training otherwise.
    return fx.GraphModule(features, bottom).eval(), fx.GraphModule(features, top).eval()


def _is_still(module: torch.nn.Module, frozen: set[int]) -> bool:
    """Whether it does the same in training, always: frozen, or without weights and without chance."""
    if id(module) in frozen:
        return True
    has_state = any(True for _tensor in (*module.parameters(), *module.buffers()))
    return not has_state and not getattr(module, "p", 0) and not getattr(module, "drop_prob", 0)
