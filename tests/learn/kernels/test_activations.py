"""In-place activations: the same outputs and gradients from less memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from certero.config.settings import TrainSettings
from certero.learn.classifier import build_classifier
from certero.learn.cnn import plan_cnn
from certero.learn.kernels.activations import activate_in_place

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")

X = [-1.0, -0.0, 0.0, 1e-7, 3.0, 6.0, 7.0]


@pytest.mark.parametrize("in_sequence", [True, False])
@pytest.mark.parametrize("kind", [torch.nn.ReLU, torch.nn.ReLU6])
def test_outputs_and_gradients_are_torchs(kind: Any, in_sequence: bool) -> None:
    x = torch.tensor(X, requires_grad=True)
    layer = torch.nn.Sequential(torch.nn.Identity(), kind(inplace=True))
    expected = layer(x * 1)
    wanted = torch.autograd.grad((expected * expected).sum() + expected.sum(), x)[0]
    activate_in_place(layer, in_sequence=in_sequence)
    out = layer(x * 1)
    assert torch.equal(out, expected)
    assert torch.equal(torch.autograd.grad((out * out).sum() + out.sum(), x)[0], wanted)
    with torch.no_grad():
        assert torch.equal(layer(x * 1), out)


def test_a_gradient_seen_many_times_is_not_written_over() -> None:
    """The gradient of a mean is one number with strides of zero."""
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    layers = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ReLU(inplace=True), torch.nn.AdaptiveAvgPool2d(1))
    wanted = torch.autograd.grad(layers(x * 1).sum(), x)[0]
    activate_in_place(layers, in_sequence=True)
    out = layers[1](x * 1)
    assert torch.equal(torch.autograd.grad(out.mean((2, 3)).sum(), x)[0], wanted)
    assert torch.equal(torch.autograd.grad(layers(x * 1).sum(), x)[0], wanted)


def test_the_gradient_of_a_sequence_is_written_over_the_one_that_came_in() -> None:
    seen: list[Any] = []
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(inplace=True), torch.nn.AvgPool2d(2))
    activate_in_place(layers, in_sequence=True)
    before = layers[0](torch.randn(2, 3, 10, 10))
    before.register_hook(lambda gradient: seen.append(gradient.data_ptr()))
    after = layers[1](before)
    after.register_hook(lambda gradient: seen.append(gradient.data_ptr()))
    layers[2](after).sum().backward()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("pooling", ["max_pool", "average_pool"])
def test_a_network_from_scratch_learns_to_the_bit_what_it_learnt(pooling: str) -> None:
    layers: list[dict[str, Any]] = [
        {"layer": "conv", "filters": 8, "kernel": 3, "bias": False},
        {"layer": "batch_norm"},
        {"layer": "relu"},
        {"layer": pooling, "size": 2},
        {"layer": "conv", "filters": 16, "kernel": 3},
        {"layer": "relu6"},
        {"layer": "global_average_pool"},
        {"layer": "dense", "units": 12},
        {"layer": "relu"},
        {"layer": "dense", "units": "classes"},
    ]
    network = build_classifier(plan_cnn(layers, 3, 32), np.arange(3), TrainSettings(fitting="network")).train()
    plain = copy.deepcopy(network)
    for layer in plain.modules():
        if isinstance(layer, torch.nn.ReLU | torch.nn.ReLU6 | torch.nn.AvgPool2d):
            layer.__dict__.pop("forward")
    x = torch.randint(0, 256, (4, 3, 32, 32)).float().contiguous(memory_format=torch.channels_last)
    for each in (network, plain):
        each.score(x).square().mean().backward()
    theirs = dict(plain.named_parameters())
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter.grad, theirs[name].grad), name
