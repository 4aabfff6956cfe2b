"""The first convolution, a few photos at a time: the same numbers, sooner."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from certero.config.recipes import resolve
from certero.config.settings import TrainSettings
from certero.learn.classifier import build_classifier
from certero.learn.cnn import plan_cnn
from certero.learn.kernels import first_block
from certero.learn.kernels.first_block import find_first_block

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")

CONV = {"layer": "conv", "filters": 6, "kernel": 3, "stride": 1, "padding": 1}
REST = [CONV, {"layer": "relu"}, {"layer": "flatten"}, {"layer": "dense", "units": "classes"}]


def _network(first: list[Any], kernels: Literal["on", "off"] = "on") -> Any:
    settings = TrainSettings(fitting="network", kernels=kernels)
    network = build_classifier(plan_cnn([*first, *REST], 3, 20), np.arange(3), settings)
    return network.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("pool", ["max_pool", "average_pool"])
@pytest.mark.parametrize("activation", ["relu", "elu", "tanh"])
def test_a_few_photos_at_a_time_give_the_same_scores_and_gradients(
    pool: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Room for the feature maps of two photos: the last part is a single one.
    for limit in ("_BYTES_AT_ONCE", "_MOST_BYTES_AT_ONCE"):
        # Limits small enough for these shapes to cross.
        monkeypatch.setattr(first_block, limit, 2 * 4 * 6 * 20 * 20)
    layers = [CONV, {"layer": activation}, {"layer": pool, "size": 3}]
    plain, network = _network(layers, "off"), _network(layers)
    x = torch.rand(5, 3, 20, 20, generator=torch.Generator().manual_seed(1)) * 255
    whole = plain.train().score(x)
    whole.square().sum().backward()
    wanted = {name: p.grad for name, p in plain.named_parameters()}
    assert find_first_block(network.bottom) is not None
    scores = network.train().score(x)
    torch.testing.assert_close(scores, whole)
    scores.square().sum().backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("threads", "room", "most", "expected"), [(4, 5, 20, 8), (2, 1, 20, 2), (4, 5, 6, 5), (4, 0, 1, 1)]
)
def test_each_thread_gets_as_many_photos_where_there_is_room(
    threads: int, room: int, most: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = 4 * 6 * 20 * 20
    # Limits small enough for these shapes to cross.
    monkeypatch.setattr(first_block, "_BYTES_AT_ONCE", room * each)
    monkeypatch.setattr(first_block, "_MOST_BYTES_AT_ONCE", most * each)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    block = find_first_block(_network([CONV, {"layer": "relu"}, {"layer": "max_pool", "size": 2}]).bottom)
    assert first_block._photos_at_once(block, torch.empty(9, 3, 20, 20)) == expected


@pytest.mark.parametrize(
    "first",
    [
        [CONV, {"layer": "batch_norm"}, {"layer": "relu"}, {"layer": "max_pool", "size": 2}],
        [CONV, {"layer": "relu"}, {"layer": "dropout", "share": 0.5}],
        [CONV, {"layer": "relu"}],
    ],
    ids=str,
)
def test_a_layer_that_looks_at_the_whole_batch_is_shown_the_whole_batch(first: list[Any]) -> None:
    assert find_first_block(_network(first).bottom) is None


def test_frozen_first_weights_get_no_gradient() -> None:
    network = _network([CONV, {"layer": "relu"}, {"layer": "max_pool", "size": 2}]).train()
    network.bottom[0].weight.requires_grad_(False)
    network.score(torch.rand(3, 3, 20, 20)).sum().backward()
    assert network.bottom[0].weight.grad is None
    assert network.bottom[0].bias.grad is not None


@pytest.mark.parametrize("name", ["cow-cnn", "grocery-cnn-1", "grocery-cnn-2"])
def test_the_source_networks_take_the_short_way(name: str) -> None:
    settings = resolve(name)
    layers = [layer | {"units": 8} if layer.get("units") == 128 else layer for layer in settings.layers]
    network = build_classifier(plan_cnn(layers, 2, 128), np.arange(2), settings)
    assert find_first_block(network.bottom) is not None
