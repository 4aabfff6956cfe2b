"""The setting `kernels`: with certero's own fast code or by torch alone, a network learns the same but for rounding."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")

from certero.config.settings import TrainSettings  # noqa: E402
from certero.learn.classifier import build_classifier, freeze  # noqa: E402
from certero.learn.cnn import plan_cnn  # noqa: E402
from certero.learn.devices import Trainer, choose_trainer  # noqa: E402
from certero.learn.optimisers import build_optimiser  # noqa: E402
from certero.learn.progression import Progression  # noqa: E402
from certero.learn.step import take_step  # noqa: E402
from certero.probe.backbones import find_backbone  # noqa: E402

CLASSES, SIDE, PHOTOS, STEPS = 3, 32, 8, 3
# Each kernel for networks from scratch has its layer: a first block, a convolution of many channels, a ReLU before an
# average pooling, a dense layer of more than four million weights.
LAYERS = (
    {"layer": "conv", "filters": 128, "kernel": 3, "padding": 1},
    {"layer": "relu"},
    {"layer": "max_pool", "size": 2},
    {"layer": "conv", "filters": 128, "kernel": 3, "padding": 1},
    {"layer": "relu"},
    {"layer": "average_pool", "size": 2},
    {"layer": "dropout", "share": 0.2},
    {"layer": "flatten"},
    {"layer": "dense", "units": 512},
    {"layer": "relu"},
    {"layer": "dense", "units": "classes"},
)


def _build(kind: str, kernels: Literal["on", "off"], trainer: Trainer) -> tuple[Any, TrainSettings]:
    chosen: dict[str, Any] = {
        "optimizer": "sgd",
        "lr": 0.01 if kind == "cnn" else 0.001,
        "batch_size": PHOTOS,
        "kernels": kernels,
    }
    if kind == "cnn":
        settings = TrainSettings(fitting="network", layers=LAYERS, image_size=SIDE, **chosen)
        return build_classifier(plan_cnn(LAYERS, CLASSES, SIDE), np.arange(CLASSES), settings, trainer), settings
    settings = TrainSettings(fitting="network", frozen_stages=0.5, keep_statistics=True, **chosen)
    backbone = find_backbone("efficientnet_lite0")
    return build_classifier(backbone, np.arange(CLASSES), settings, trainer), settings


def _losses(kind: str, kernels: Literal["on", "off"], trainer: Trainer) -> list[float]:
    network, settings = _build(kind, kernels, trainer)
    network = network.to(memory_format=torch.channels_last)
    freeze(network, only_last=False)
    optimiser = build_optimiser(network, settings, "cpu")
    targets = torch.eye(CLASSES)[torch.arange(PHOTOS) % CLASSES]
    losses = []
    for step in range(STEPS):
        x = torch.rand(PHOTOS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(step)) * 255
        at = Progression(step=step, micro_batch=PHOTOS)
        losses.append(take_step(network, optimiser, x, targets, torch.ones(CLASSES), settings, at, trainer)[0])
    return losses


@pytest.mark.parametrize("in_bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["cnn", "backbone"])
def test_losses_are_the_same_but_for_rounding(kind: str, in_bf16: bool) -> None:
    if in_bf16 and not choose_trainer("cpu", "auto").in_bf16:
        pytest.skip("this processor does not multiply in bfloat16")
    trainer = Trainer("cpu", in_bf16)
    on, off = (_losses(kind, kernels, trainer) for kernels in ("on", "off"))  # type: ignore[arg-type]
    assert len(set(off)) == STEPS, "the network learns"
    # bfloat16 keeps eight bits: one rounding is up to 0.4 %.
    assert on == pytest.approx(off, rel=0.01 if in_bf16 else 1e-5)


@pytest.mark.parametrize("kind", ["cnn", "backbone"])
def test_off_leaves_every_layer_as_torch_has_it(kind: str) -> None:
    trainer = Trainer("cpu", in_bf16=False)
    own = {
        kernels: [name for name, module in _build(kind, kernels, trainer)[0].named_modules() if _is_replaced(module)]
        for kernels in ("on", "off")
    }
    assert own["off"] == []
    assert len(own["on"]) >= 6


def _is_replaced(module: Any) -> bool:
    return "forward" in vars(module) or "extract" in vars(module)
