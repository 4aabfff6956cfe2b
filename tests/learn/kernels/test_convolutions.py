"""Dense convolutions: the faster gradients are the gradients."""

from __future__ import annotations

from typing import Any

import pytest

from certero.learn.kernels import convolutions, cores, weight_gradients
from certero.learn.kernels.convolutions import convolve, speed_up_convolutions
from certero.learn.kernels.weight_gradients import weight_gradient

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")


@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), 0), ((3, 3), 1), ((5, 5), 2), ((2, 3), 0), ((3, 3), 2)])
@pytest.mark.parametrize("at_once", [1, 60, 300, 2048])
@pytest.mark.parametrize(("channels", "side"), [(3, 9), (16, 9), (20, 9), (16, 3), (16, 40)])
def test_the_gradient_of_the_weights_is_that_of_torch(
    kernel: tuple[int, int], padding: int, at_once: int, channels: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bands of a row, bands of several rows, and several photos at once; in frames and written out."""
    # Limits small enough for these shapes to cross.
    monkeypatch.setattr(weight_gradients, "_PLACES_AT_ONCE", at_once)
    monkeypatch.setattr(weight_gradients, "_PATCHES_BYTES", 1000 * at_once)
    torch.manual_seed(0)
    x = torch.randn(7, channels, side, side + 2, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(20, channels, *kernel, dtype=torch.float64, requires_grad=True)
    out = torch.nn.functional.conv2d(x, weight, None, 1, padding)
    gradient = torch.randn_like(out).contiguous(memory_format=torch.channels_last)
    out.backward(gradient)
    found = weight_gradient(gradient, x, weight.detach(), padding)
    torch.testing.assert_close(found, weight.grad)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, weight_gradient(gradient, x, weight.detach(), padding))  # or no run could be resumed


def _network(channels: int) -> Any:
    torch.manual_seed(0)
    layers = [
        torch.nn.Conv2d(channels, 16, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 24, 3, padding=1, bias=False),
        torch.nn.ReLU(),
        torch.nn.Conv2d(24, 16, 5),
    ]
    return torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("faster", [False, True])
def test_a_network_learns_the_same_and_gives_the_same_outputs(
    faster: bool, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on another processor: this one is measured.
    monkeypatch.setattr(cores, "are_faster", lambda: faster)
    calls: list[Any] = []
    # Which path is taken shows nowhere else.
    monkeypatch.setattr(convolutions, "weight_gradient", lambda *given: calls.append(given) or weight_gradient(*given))
    plain, ours = _network(channels), _network(channels)
    speed_up_convolutions(ours)
    assert ["forward" in layer.__dict__ for layer in ours] == [True, False, True, False, True]
    x = torch.randn(4, channels, 20, 20).contiguous(memory_format=torch.channels_last)
    inputs = [x.clone().requires_grad_(True) for _network_ in range(2)]
    outputs = [network(given) for network, given in zip((plain, ours), inputs, strict=True)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().mean().backward()
    assert len(calls) == (3 if faster else 0)
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-7)
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_frozen_weights_get_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on another processor: this one is measured; which path is taken shows nowhere else.
    monkeypatch.setattr(cores, "are_faster", lambda: True)
    monkeypatch.setattr(convolutions, "weight_gradient", lambda *_given: pytest.fail("nobody asked for it"))
    layer = torch.nn.Conv2d(16, 16, 3).requires_grad_(False)
    x = torch.randn(2, 16, 8, 8, requires_grad=True)
    convolve(layer, x, layer.weight, layer.bias).sum().backward()
    expected = torch.autograd.grad(layer(x).sum(), x)[0]
    torch.testing.assert_close(x.grad, expected)


def test_strides_groups_and_odd_paddings_are_left_to_torch() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(16, 16, 3, 2),
        torch.nn.Conv2d(16, 16, 3, groups=2),
        torch.nn.Conv2d(16, 16, 3, padding=(1, 0)),
        torch.nn.Conv2d(16, 16, 3, padding="same"),
        torch.nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"),
        torch.nn.Conv2d(16, 16, 3, dilation=2),
        torch.nn.Conv2d(16, 16, 1),
        torch.nn.Conv2d(8, 16, 3),  # too few channels for copies, too many for patches
    )
    speed_up_convolutions(network)
    assert not any("forward" in layer.__dict__ for layer in network)
