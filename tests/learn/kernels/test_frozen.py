"""Frozen stages in ONNX Runtime: the same figures as torch's, and the same network learns."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")

from certero.config.settings import TrainSettings  # noqa: E402
from certero.learn.classifier import build_classifier, freeze  # noqa: E402
from certero.learn.kernels.frozen import run_frozen_stages_apart  # noqa: E402
from certero.probe.backbones import find_backbone  # noqa: E402

CLASSES = 3


def _network(frozen: float = 0.75, keep: bool = True) -> Any:
    backbone = find_backbone("efficientnet_lite0")
    settings = TrainSettings(fitting="network", frozen_stages=frozen, keep_statistics=keep)
    return build_classifier(backbone, np.arange(CLASSES), settings).to(memory_format=torch.channels_last)


def _levels(side: int = 64) -> Any:
    return torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (5, 3, side, side)).astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False], ids=["kept statistics", "batch statistics"])
def test_outputs_and_gradients_are_those_of_the_network_in_one_piece(keep: bool) -> None:
    whole, apart = _network(keep=keep), _network(keep=keep)
    run_frozen_stages_apart(apart, 2)
    assert "extract" in vars(apart)
    for network in (whole, apart):
        freeze(network, only_last=False)
        network.train()
    for side in (64, 96):
        for network in (whole, apart):
            network.zero_grad()
            network.score(_levels(side)).square().sum().backward()
        torch.testing.assert_close(
            whole.eval().features(_levels(side)), apart.eval().features(_levels(side)), rtol=1e-3, atol=1e-3
        )
        for network in (whole, apart):
            network.train()
        ours = dict(apart.named_parameters())
        learnt = [name for name, parameter in whole.named_parameters() if parameter.grad is not None]
        assert learnt
        assert {name for name, parameter in ours.items() if parameter.grad is not None} == set(learnt)
        for name, parameter in whole.named_parameters() if keep else ():  # statistics of five photos magnify digits
            if parameter.grad is not None:
                far = (parameter.grad - ours[name].grad).abs().max()
                assert far <= 1e-3 * parameter.grad.abs().max() + 1e-5, name


def test_a_copy_computes_with_its_own_layers_and_its_file_is_whole() -> None:
    network = _network().eval()
    run_frozen_stages_apart(network, 1)
    twin = copy.deepcopy(network)
    before = network.features(_levels())[0].detach()
    with torch.no_grad():
        for parameter in twin.body.conv_head.parameters():
            parameter.mul_(2.0)
    assert not torch.allclose(twin.features(_levels())[0], before)
    torch.testing.assert_close(network.features(_levels())[0], before)
    assert set(twin.state_dict()) == set(_network().state_dict())


def test_what_cannot_be_set_apart_stays_in_one_piece() -> None:
    network = _network(frozen=0)
    run_frozen_stages_apart(network, 1)
    assert "extract" not in vars(network)
    # With the last block frozen and one below it not, nothing but the stem's input rests on frozen layers alone.
    odd = _network(frozen=0.75)
    odd.frozen = odd.frozen[-1:]
    run_frozen_stages_apart(odd, 1)
    assert "extract" not in vars(odd)
