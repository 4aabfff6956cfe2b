"""Depthwise convolutions: the faster gradients are the gradients."""

from __future__ import annotations

import itertools

import pytest

from certero.learn.kernels.convolutions import speed_up_convolutions
from certero.learn.kernels.depthwise import input_gradient, weight_gradient

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")

SHAPES = [
    (kernel, stride, side)
    for kernel, stride, side in itertools.product((3, 5), (1, 2), (7, 8, 14, 15))
    if side >= kernel
]


@pytest.mark.parametrize(("kernel", "stride", "side"), SHAPES)
def test_gradients_are_those_of_torch(kernel: int, stride: int, side: int) -> None:
    torch.manual_seed(0)
    channels, padding = 6, kernel // 2
    # In double precision nothing is lost to rounding, and torch differentiates on its own.
    x = torch.randn(3, channels, side, side + 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(channels, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    out = torch.nn.functional.conv2d(x, weight, None, stride, padding, 1, channels)
    gradient = torch.randn_like(out).contiguous(memory_format=torch.channels_last)
    out.backward(gradient)
    ours = x.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(input_gradient(gradient, ours, weight.detach(), stride, padding), x.grad)
    found = weight_gradient(gradient, ours, weight.detach(), stride, padding)
    # A 5x5 kernel at stride 2 goes through float32.
    torch.testing.assert_close(found, weight.grad, rtol=1e-4, atol=1e-4)


def test_a_network_in_bfloat16_learns_the_same_and_gives_the_same_outputs() -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(8, 8, 5, stride, 2, groups=8, bias=False) for stride in (1, 2)]
    layers += [torch.nn.Conv2d(8, 8, 3, stride, 1, groups=8) for stride in (1, 2)]
    network = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
    x = torch.randn(4, 8, 32, 32).contiguous(memory_format=torch.channels_last)

    def gradients() -> tuple[torch.Tensor, list[torch.Tensor]]:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            out = network(x)
        out.float().square().mean().backward()
        return out.detach(), [p.grad.clone() for p in network.parameters()]

    plain, plain_gradients = gradients()
    speed_up_convolutions(network)
    outputs, faster_gradients = gradients()
    assert torch.equal(outputs, plain)
    for ours, theirs in zip(faster_gradients, plain_gradients, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.02
    assert all("forward" in layer.__dict__ for layer in network)
    with torch.inference_mode():
        assert torch.equal(network(x), torch.nn.Sequential(*layers)(x))


def test_other_convolutions_are_left_alone() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(8, 8, 3, 1, 1, bias=False),
        torch.nn.Conv2d(8, 8, 3, 1, 1, groups=4, bias=False),
        torch.nn.Conv2d(8, 8, 7, 1, 3, groups=8, bias=False),
        torch.nn.Conv2d(8, 8, 3, 1, 2, 2, groups=8, bias=False),
        torch.nn.Conv2d(8, 8, 3, 1, 0, groups=8, bias=False),
    )
    speed_up_convolutions(network)
    assert not any("forward" in layer.__dict__ for layer in network)
