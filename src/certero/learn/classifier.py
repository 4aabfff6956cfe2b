"""The network that is trained whole: levels in, logits out, and what its model file returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from certero.config.settings import TrainSettings
from certero.errors import ConfigError
from certero.learn.cnn import Cnn, build_cnn
from certero.learn.devices import Trainer
from certero.learn.kernels import speed_up
from certero.learn.weights import read_weights
from certero.probe.backbones import Backbone
from certero.sentences import message, sentence

_Rgb = tuple[float, float, float]

#: Levels subtracted, and levels divided by, for each `normalise` of a recipe.
NORMALISATIONS: dict[str, tuple[_Rgb, _Rgb]] = {
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "symmetric": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


class Classifier(nn.Module):
    """A network with a normalisation before it and a last dense layer behind it.

    Args:
        groups: class of each output, int64 [F].
        normalisation: RGB levels subtracted, and levels divided by.
        settings: `average_flips` and `average_zoom`.
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    member: torch.Tensor
    #: The last dense layer, [N, D] → [N, F]; the only one that starts from random weights in a pretrained network.
    last: nn.Linear

    def __init__(self, groups: NDArray[np.int64], normalisation: tuple[_Rgb, _Rgb], settings: TrainSettings) -> None:
        super().__init__()
        self._average_flips, self._average_zoom = settings.average_flips, settings.average_zoom
        #: Modules that are never trained, their normalisations included.
        self.frozen: list[nn.Module] = []
        #: Modules that stay in evaluation mode while the others train.
        self.always_in_evaluation: list[nn.Module] = []
        for name, levels in zip(("mean", "deviation"), normalisation, strict=True):
            self.register_buffer(name, torch.tensor(levels).reshape(1, 3, 1, 1), persistent=False)
        n_classes = int(groups.max()) + 1
        self._has_finer_labels = len(groups) > n_classes
        member = torch.zeros(len(groups), n_classes)
        member[torch.arange(len(groups)), torch.from_numpy(groups)] = 1.0
        self.register_buffer("member", member, persistent=False)

    def train(self, mode: bool = True) -> Classifier:
        """As torch does, but for the modules that stay in evaluation mode."""
        super().train(mode)
        for module in self.always_in_evaluation:
            module.eval()
        return self

    def extract(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding [N, D] and feature map [N, C, h, w] of normalised photos, float32 [N, 3, H, W]."""
        raise NotImplementedError

    def features(self, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding [N, D] and feature map [N, C, h, w] of levels 0 to 255, float32 [N, 3, H, W]."""
        return self.extract((levels - self.mean) / self.deviation)

    def score(self, levels: torch.Tensor) -> torch.Tensor:
        """Logits [N, F] of what training tells apart, of levels 0 to 255, float32 [N, 3, H, W]."""
        embedding, _map = self.features(levels)
        scores: torch.Tensor = self.last(embedding)
        return scores

    def gather(self, scores: torch.Tensor) -> torch.Tensor:
        """Logits of the classes [N, K]: the probability of a class is the sum of those of its finer labels."""
        if not self._has_finer_labels:
            return scores
        shares = torch.softmax(scores, dim=1) @ self.member
        return torch.log(shares.clamp_min(1e-30))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits [N, K] of the classes, embedding [N, D] and feature map [N, C, h, w] of uint8 [N, H, W, 3]."""
        whole = other = image.permute(0, 3, 1, 2).float()
        if self._average_zoom > 1:
            side = round(int(image.shape[1]) / self._average_zoom)
            edge = (int(image.shape[1]) - side) // 2
            other = whole[:, :, edge : edge + side, edge : edge + side]
            whole = nn.functional.interpolate(whole, (side, side), mode="bilinear", align_corners=False)
        embedding, map = self.features(whole)
        logits = self.gather(self.last(embedding))
        if self._average_flips or self._average_zoom > 1:
            again, _map = self.features(other.flip(3) if self._average_flips else other)
            logits = (logits + self.gather(self.last(again))) / 2
        return logits, embedding, map


class SequentialClassifier(Classifier):
    """A network from scratch: `bottom` up to the feature map, `top` up to the embedding, and the last layer.

    Args:
        cnn: the planned network, with an output for each of the groups.
        groups: class of each output, int64 [F].
        settings: `normalise` and what `Classifier` takes.
    """

    def __init__(self, cnn: Cnn, groups: NDArray[np.int64], settings: TrainSettings) -> None:
        super().__init__(groups, NORMALISATIONS[settings.normalise], settings)
        layers = build_cnn(cnn)
        cut = cnn.map_layer + 1
        self.bottom, self.top = layers[:cut], layers[cut:-1]
        self.last = layers[-1]  # type: ignore[assignment]

    def extract(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding [N, D] and feature map [N, C, h, w] of normalised photos, float32 [N, 3, H, W]."""
        map = self.bottom(x)
        return self.top(map), map


class BackboneClassifier(Classifier):
    """A pretrained backbone, `body`, with a new last layer.

    Args:
        backbone: with its weights.
        groups: class of each output, int64 [F].
        settings: `frozen_stages`, `keep_statistics` and what `Classifier` takes.

    Raises:
        ConfigError: if no part of the backbone would be left to train.
    """

    body: Any

    def __init__(self, backbone: Backbone, groups: NDArray[np.int64], settings: TrainSettings) -> None:
        super().__init__(groups, (backbone.mean, backbone.deviation), settings)
        # Not at the top: a network from scratch needs no timm.
        from certero.learn.timm_backbones import build_backbone

        self.body = build_backbone(backbone)
        width = _width(backbone, self.body)
        # Without the layer for the classes that it was pretrained on.
        self.body.reset_classifier(0)
        self.body.requires_grad_(True)
        self.last = nn.Linear(width, len(groups))
        #: Whether its normalisations keep their pretrained means and variances in training, too.
        self.keeps_statistics = settings.keep_statistics
        self.frozen = lowest_stages(self.body, settings.frozen_stages)
        self.always_in_evaluation = [*self.frozen]
        if settings.keep_statistics:
            self.always_in_evaluation += [layer for layer in self.body.modules() if isinstance(layer, nn.BatchNorm2d)]

    def extract(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding [N, D] and feature map [N, C, h, w] of normalised photos, float32 [N, 3, H, W]."""
        map = self.body.forward_features(x)
        return self.body.forward_head(map, pre_logits=True).flatten(1), map


def build_classifier(
    source: Cnn | Backbone, groups: NDArray[np.int64], settings: TrainSettings, trainer: Trainer | None = None
) -> Classifier:
    """The network, ready to train.

    Args:
        source: a planned network from scratch, or a pretrained backbone.
        groups: class of each output, int64 [F]; several outputs share a class where training tells finer labels apart.
        settings: seed, normalisation, first weights, frozen stages, averages and kernels.
        trainer: what it will be trained on, with as many threads as torch has now. None leaves frozen stages in torch.

    Raises:
        ConfigError: if the weights do not fit, or no part of the backbone would be left to train.
    """
    classifier: Classifier
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        if isinstance(source, Cnn):
            classifier = SequentialClassifier(source, groups, settings)
        else:
            classifier = BackboneClassifier(source, groups, settings)
    if isinstance(source, Cnn) and settings.weights:
        _start_from(classifier, Path(settings.weights))
    if settings.kernels == "on":
        speed_up(classifier, torch.get_num_threads() if trainer == Trainer("cpu", in_bf16=False) else None)
    return classifier


def lowest_stages(body: Any, count: float) -> list[nn.Module]:
    """The modules of so many stages of a timm model from the bottom: its stem, then its groups of blocks.

    A count below 1 is a share of all stages, rounded down: backbones differ in how many they have.

    Raises:
        ConfigError: if that is all of them.
    """
    if not count:
        return []
    # Not at the top: a network from scratch needs no timm.
    from timm.models import group_modules

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


def freeze(network: Classifier, only_last: bool) -> None:
    """Lets only the last layer learn, or all of them; the running statistics of its normalisations still move.

    Frozen stages stay frozen.
    """
    kept = frozen_tensors(network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(id(parameter) not in kept and (not only_last or name.startswith("last.")))


def frozen_tensors(network: Classifier) -> set[int]:
    """The tensors of frozen stages, by identity."""
    return {id(tensor) for module in network.frozen for tensor in module.state_dict(keep_vars=True).values()}


def _width(backbone: Backbone, body: Any) -> int:
    """Length of the embedding, from one forward pass: timm's own figure leaves out the last convolution of a head."""
    was_training = body.training
    with torch.no_grad():
        side = backbone.image_size
        activations = body.eval().forward_features(torch.zeros(1, 3, side, side))
        width = int(body.forward_head(activations, pre_logits=True).flatten(1).shape[1])
    body.train(was_training)
    return width


def _start_from(classifier: nn.Module, file: Path) -> None:
    """Loads the weights of an earlier run; a last layer of another shape starts anew.

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
        found = (
            message("nothing of that name")
            if name not in theirs
            else sentence("shape %(shape)s", shape=tuple(theirs[name].shape))
        )
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
        also: further labels of the photos, one list for each column.
    """
    classes = sorted(set(labels))
    combinations = sorted(
        {(label, *(value or "" for value in rest)) for label, *rest in zip(labels, *also, strict=True)}
    )
    return classes, combinations
