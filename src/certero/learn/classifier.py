"""The network that is trained whole: levels in, logits out, and what its model file answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.errors import ConfigError
from certero.learn.cnn import Cnn, build_cnn
from certero.learn.kernels.activations import activate_in_place
from certero.learn.kernels.convolutions import speed_up_convolutions
from certero.learn.kernels.dense import speed_up_dense_layers
from certero.learn.kernels.first_block import find_first_block, run_in_parts
from certero.learn.kernels.folding import fold_normalisations
from certero.learn.kernels.pooling import join_activations_and_pooling
from certero.learn.timm_backbones import build_backbone
from certero.learn.weights import read_weights
from certero.probe.backbones import Backbone

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from certero.learn.kernels.frozen import Apart

    #: A torch module with the parts that `build_classifier` tells of.
    Classifier = torch.nn.Module
else:
    Classifier = object

#: Levels subtracted, and levels divided by, for each `normalise` of a recipe.
NORMALISATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "symmetric": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


def build_classifier(
    source: Cnn | Backbone,
    n_outputs: int,
    groups: NDArray[np.int64],
    seed: int,
    normalise: str = "unit",
    weights: Path | None = None,
    average_flips: bool = False,
    average_zoom: float = 1.0,
    frozen_stages: float = 0,
    keep_statistics: bool = False,
) -> torch.nn.Module:
    """The network, ready to train.

    Its parts:

    - `score(levels float32 [N, 3, H, W], 0 to 255)` → logits [N, F] of what training tells apart;
    - `forward(image uint8 [N, H, W, 3])` → logits [N, K] of the classes, embedding [N, D], map [N, C, h, w];
    - `last`, the last dense layer, which alone starts from chance in a pretrained network.

    Args:
        source: a planned network from scratch, or a pretrained backbone.
        n_outputs: F; equal to the classes unless training tells finer labels apart.
        groups: class of each output, int64 [F].
        seed: of the first weights.
        normalise: of a network from scratch; a backbone has its own.
        weights: file of weights to start from, of a network from scratch.
        average_flips: whether `forward` gives the mean logits of a photo and its mirror image.
        average_zoom: above 1, `forward` takes photos so many times larger than the side that is trained at, and gives
            the mean logits of the whole photo and its middle of that side, which shows more detail; of the mirrored
            middle where `average_flips` says so.
        frozen_stages: so many stages of a backbone, from the bottom, are never trained, their normalisations included;
            below 1, that share of them.
        keep_statistics: whether a backbone's normalisations go by their pretrained means and variances in training too.

    Raises:
        ConfigError: if the weights do not fit, or no part of the backbone would be left to train.
    """
    import torch
    from torch import nn

    n_classes = int(groups.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body: Any
        if isinstance(source, Cnn):
            body = build_cnn(source)
            speed_up_convolutions(body)
            speed_up_dense_layers(body)
            activate_in_place(body, in_sequence=True)
            cut = source.map_layer + 1
            join_activations_and_pooling(body[:cut])
            mean, deviation = NORMALISATIONS[normalise]
        else:
            body = build_backbone(source)
            width = _width(source, body)
            # The classes that it was pretrained on.
            body.reset_classifier(0)
            body.requires_grad_(True)
            speed_up_convolutions(body)
            activate_in_place(body, in_sequence=False)
            if keep_statistics:
                fold_normalisations(body)
            mean, deviation = source.mean, source.deviation

        class Whole(nn.Module):
            mean: torch.Tensor
            deviation: torch.Tensor
            member: torch.Tensor

            def __init__(self) -> None:
                super().__init__()
                if isinstance(source, Cnn):
                    self.bottom = body[:cut]
                    self.top = body[cut:-1]
                    self.last = body[-1]
                else:
                    self.body = body
                    self.last = nn.Linear(width, n_outputs)
                self.frozen = [] if isinstance(source, Cnn) else lowest_stages(body, frozen_stages)
                self.steady = [*self.frozen]
                if keep_statistics and not isinstance(source, Cnn):
                    self.steady += [layer for layer in body.modules() if isinstance(layer, nn.BatchNorm2d)]
                # The same in two parts, the frozen one outside torch; see `run_frozen_apart`.
                self.apart: Apart | None = None
                self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1), persistent=False)
                self.register_buffer("deviation", torch.tensor(deviation).reshape(1, 3, 1, 1), persistent=False)
                member = torch.zeros(n_outputs, n_classes)
                member[torch.arange(n_outputs), torch.from_numpy(groups)] = 1.0
                self.register_buffer("member", member, persistent=False)

            def train(self, mode: bool = True) -> Whole:
                super().train(mode)
                for module in self.steady:
                    module.eval()
                return self

            def features(self, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                """Embedding [N, D] and map [N, C, h, w]."""
                x = (levels - self.mean) / self.deviation
                if isinstance(source, Cnn):
                    activations = self.bottom(x)
                    return self.top(activations), activations
                if self.apart is not None and not torch.onnx.is_in_onnx_export():
                    return self.apart(x)
                activations = self.body.forward_features(x)
                return self.body.forward_head(activations, pre_logits=True).flatten(1), activations

            def score(self, levels: torch.Tensor) -> torch.Tensor:
                first = find_first_block(self.bottom) if isinstance(source, Cnn) and self.training else None
                if first is not None and levels.device.type == "cpu":
                    x = run_in_parts(first, (levels - self.mean) / self.deviation)
                    embedding = self.top(self.bottom[len(first) :](x))
                else:
                    embedding, _activations = self.features(levels)
                scores: torch.Tensor = self.last(embedding)
                return scores

            def gather(self, scores: torch.Tensor) -> torch.Tensor:
                """Logits of the classes [N, K]: a class is as likely as its finer labels together."""
                if n_outputs == n_classes:
                    return scores
                shares = torch.softmax(scores, dim=1) @ self.member
                return torch.log(shares.clamp_min(1e-30))

            def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
                whole = other = image.permute(0, 3, 1, 2).float()
                if average_zoom > 1:
                    side = round(int(image.shape[1]) / average_zoom)
                    edge = (int(image.shape[1]) - side) // 2
                    other = whole[:, :, edge : edge + side, edge : edge + side]
                    whole = nn.functional.interpolate(whole, (side, side), mode="bilinear", align_corners=False)
                embedding, activations = self.features(whole)
                logits = self.gather(self.last(embedding))
                if average_flips or average_zoom > 1:
                    again, _activations = self.features(other.flip(3) if average_flips else other)
                    logits = (logits + self.gather(self.last(again))) / 2
                return logits, embedding, activations

        classifier = Whole()
    if weights is not None:
        _start_from(classifier, weights)
    return classifier


def run_frozen_apart(classifier: Any, threads: int) -> None:
    """Leaves the frozen stages of a classifier to ONNX Runtime, in place. For float32 on a CPU.

    Args:
        classifier: of `build_classifier`.
        threads: cores for them.
    """
    from certero.learn.kernels.frozen import set_apart

    if classifier.frozen:
        classifier.eval()
        classifier.apart = set_apart(classifier.body, classifier.frozen, threads)


def lowest_stages(body: Any, count: float) -> list[torch.nn.Module]:
    """The modules of so many stages of a timm model from the bottom, its stem, then its groups of blocks.

    A count below 1 is a share of all stages, rounded down: backbones differ in how many they have.

    Raises:
        ConfigError: if that is all of them.
    """
    from timm.models import group_modules

    if not count:
        return []
    stages: dict[int, list[str]] = group_modules(body, body.group_matcher(coarse=True))
    count = int(count * len(stages) if count < 1 else count)
    if count >= len(stages):
        raise ConfigError(
            "frozen_stages of a recipe must leave something to train; found %(count)s, the "
            "backbone has %(n_stages)s stages. Use a smaller number, or --recipe probe.",
            count=count,
            n_stages=len(stages),
        )
    return [body.get_submodule(name) for number in sorted(stages)[:count] for name in stages[number]]


def _width(backbone: Backbone, body: Any) -> int:
    """Length of the embedding, found by one look at nothing: timm's own figure leaves out a head's last convolution."""
    import torch

    was_training = body.training
    with torch.no_grad():
        side = backbone.image_size
        activations = body.eval().forward_features(torch.zeros(1, 3, side, side))
        width = int(body.forward_head(activations, pre_logits=True).flatten(1).shape[1])
    body.train(was_training)
    return width


def _start_from(classifier: torch.nn.Module, file: Path) -> None:
    """Takes weights that an earlier run left; a last layer of another shape starts anew.

    Raises:
        ConfigError: if another layer is missing or has another shape.
    """
    theirs, ours = read_weights(file), classifier.state_dict()
    wrong = [
        name
        for name, tensor in ours.items()
        if not name.startswith("last.") and (name not in theirs or theirs[name].shape != tensor.shape)
    ]
    if wrong:
        name = wrong[0]
        found = "nothing of that name" if name not in theirs else f"shape {tuple(theirs[name].shape)}"
        raise ConfigError(
            "--weights must be of this network: %(name)s has shape %(shape)s, %(file)s holds "
            "%(found)s (%(n_wrong)s of %(n_ours)s layers differ). Leave --weights out, or use the "
            "recipe that made it.",
            name=name,
            shape=tuple(ours[name].shape),
            file=file,
            found=found,
            n_wrong=len(wrong),
            n_ours=len(ours),
        )
    fitting = {name: tensor for name, tensor in theirs.items() if name in ours and tensor.shape == ours[name].shape}
    classifier.load_state_dict(fitting, strict=False)


def count_outputs(
    labels: Sequence[str], also: Sequence[Sequence[str | None]]
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Classes sorted, and what training tells apart: each combination of a class and the further labels, sorted.

    Args:
        labels: class of each photo.
        also: further labels of the photos, one list a column.
    """
    classes = sorted(set(labels))
    combinations = sorted(
        {(label, *(value or "" for value in rest)) for label, *rest in zip(labels, *also, strict=True)}
    )
    return classes, combinations
