"""Large dense layers: the faster gradients are the gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from certero.learn.kernels import cores, dense
from certero.learn.kernels.dense import dense_gradients, speed_up_dense_layers

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")


@pytest.mark.parametrize("columns_at_once", [1, 7, 1024])
@pytest.mark.parametrize("columns", [1, 30])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("faster", [False, True])
def test_the_gradients_are_those_of_torch(
    columns_at_once: int, columns: int, transposed: bool, faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order in memory of what is given; by columns on each core, with NumPy's product or torch's."""
    # As on another processor: this one is measured; limits small enough for these shapes to cross.
    monkeypatch.setattr(cores, "are_faster", lambda: faster)
    monkeypatch.setattr(dense, "_COLUMNS_AT_ONCE", columns_at_once)
    monkeypatch.setattr(dense, "_COLUMNS_OF_TORCH", columns_at_once)
    torch.manual_seed(0)
    shapes = ((5, columns), (9, columns), (5, 9))
    x, weight, gradient = (
        torch.randn(shape[::-1], dtype=torch.float64).t() if transposed else torch.randn(shape, dtype=torch.float64)
        for shape in shapes
    )
    x.requires_grad_(True)
    weight.requires_grad_(True)
    torch.nn.functional.linear(x, weight).backward(gradient)
    found = dense_gradients(gradient, x, weight)
    torch.testing.assert_close(found, (x.grad, weight.grad))
    assert all(torch.equal(*pair) for pair in zip(found, dense_gradients(gradient, x, weight), strict=True))


def _network() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.ReLU(), torch.nn.Linear(30, 4, bias=False))


@pytest.mark.parametrize("faster", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_network_learns_the_same_and_gives_the_same_outputs(
    faster: bool, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on another processor: this one is measured; limits small enough for these shapes to cross.
    monkeypatch.setattr(cores, "are_faster", lambda: faster)
    monkeypatch.setattr(dense, "_LEAST_WEIGHTS", 1000)
    calls: list[Any] = []
    # Which path is taken shows nowhere else.
    monkeypatch.setattr(dense, "dense_gradients", lambda *given: calls.append(given) or dense_gradients(*given))
    plain, ours = _network(), _network()
    speed_up_dense_layers(ours)
    assert ["forward" in layer.__dict__ for layer in ours] == [True, False, False]
    for network in (plain, ours):
        network[0].weight.requires_grad_(not frozen)
    x = torch.randn(6, 40)
    inputs = [x.clone().requires_grad_(True) for _network_ in range(2)]
    outputs = [network(given) for network, given in zip((plain, ours), inputs, strict=True)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().mean().backward()
    assert len(calls) == 1
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for theirs, given in zip(ours.parameters(), plain.parameters(), strict=True):
        assert (theirs.grad is None) == (given.grad is None)
        if given.grad is not None:
            torch.testing.assert_close(theirs.grad, given.grad)


def test_the_gradient_lies_at_the_same_place_in_every_step_and_parts_of_a_batch_add_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on another processor: this one is measured; limits small enough for these shapes to cross.
    monkeypatch.setattr(cores, "are_faster", lambda: True)
    monkeypatch.setattr(dense, "_LEAST_WEIGHTS", 1000)
    plain, ours = _network(), _network()
    speed_up_dense_layers(ours)
    copied = copy.deepcopy(ours)
    x = torch.randn(6, 40)
    places = []
    for _step in range(2):
        for network in (plain, ours, copied):
            network.zero_grad(set_to_none=True)
            for part in (x[:4], x[4:]):
                network(part).square().sum().backward()
                places.append(network[0].weight.grad.data_ptr())
        torch.testing.assert_close(ours[0].weight.grad, plain[0].weight.grad)
        torch.testing.assert_close(copied[0].weight.grad, plain[0].weight.grad)
    assert places[2] == places[3] == places[8] == places[9]
    assert places[4] == places[10] != places[2]


@pytest.mark.parametrize("columns_at_once", [7, 16, 1000])
def test_in_bfloat16_it_learns_as_torch_does_some_columns_at_a_time(
    columns_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients to the last bit; outputs are sums of parts, each rounded, so that they differ by a rounding."""
    # Limits small enough for these shapes to cross.
    monkeypatch.setattr(dense, "_COLUMNS_AT_ONCE_BF16", columns_at_once)
    monkeypatch.setattr(dense, "_LEAST_WEIGHTS", 1000)
    plain, ours = _network(), _network()
    speed_up_dense_layers(ours)
    found = []
    for network in (plain, ours):
        x = torch.randn(6, 40, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            output = network[0](x)
        output.backward(torch.ones_like(output))
        found.append((output, x.grad, network[0].weight.grad, network[0].bias.grad))
    assert found[1][0].dtype == torch.bfloat16
    assert found[1][2].dtype == torch.float32
    torch.testing.assert_close(found[1][0], found[0][0], rtol=0.02, atol=0.02)
    assert all(torch.equal(*pair) for pair in zip(found[0][1:], found[1][1:], strict=True))


def test_without_gradients_or_in_double_precision_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    # Limits small enough for these shapes to cross; which path is taken shows nowhere else.
    monkeypatch.setattr(dense, "_LEAST_WEIGHTS", 1000)
    monkeypatch.setattr(dense._Dense, "apply", lambda *_given: pytest.fail("not for this"))
    network = _network()
    speed_up_dense_layers(network)
    x = torch.randn(6, 40)
    with torch.no_grad():
        assert network(x).shape == (6, 4)
        with torch.autocast("cpu", torch.bfloat16):
            assert network(x).dtype == torch.bfloat16
    assert network.double()(x.double()).dtype == torch.float64
