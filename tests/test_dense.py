"""Large dense layers: the same gradients, written to one place."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from certero.learn.dense import keep_gradient_places

torch = pytest.importorskip("torch", reason="training needs the [train] extra")


def _layers() -> tuple[Any, Any]:
    layers = torch.nn.Sequential(torch.nn.Linear(20, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    ours = copy.deepcopy(layers)
    keep_gradient_places(ours, least_bytes=4 * 20 * 16)
    return ours, layers


def _gradients(layers: Any, x: Any, parts: int = 1) -> list[Any]:
    layers.zero_grad(set_to_none=True)
    for part in x.chunk(parts):
        layers(part).square().sum().backward()
    return [parameter.grad for parameter in layers.parameters()]


@pytest.mark.parametrize("parts", [1, 3])
def test_gradients_are_torchs_step_after_step(parts: int) -> None:
    ours, theirs = _layers()
    for step in range(3):
        x = torch.randn(12, 20, requires_grad=step == 2)
        expected = _gradients(theirs, x, parts)
        wanted, x.grad = x.grad, None
        for found, gradient in zip(_gradients(ours, x, parts), expected, strict=True):
            torch.testing.assert_close(found, gradient)
        if wanted is not None:
            torch.testing.assert_close(x.grad, wanted)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


def test_the_gradient_of_the_large_layer_alone_stays_in_its_place() -> None:
    ours, _theirs = _layers()
    large = _gradients(ours, torch.randn(4, 20))[0]
    held = [torch.empty_like(large) for _ in range(8)]  # what would take a place that became free
    assert _gradients(ours, torch.randn(4, 20))[0].data_ptr() == large.data_ptr()
    assert len(held) == 8
    assert "forward" not in ours[2].__dict__


def test_a_copy_learns_by_itself() -> None:
    ours, theirs = _layers()
    x = torch.randn(4, 20)
    first = [gradient.clone() for gradient in _gradients(ours, x)]
    twin = copy.deepcopy(ours)
    with torch.no_grad():
        twin[0].weight.mul_(2)
    _gradients(twin, x)
    for gradient, before in zip((parameter.grad for parameter in ours.parameters()), first, strict=True):
        assert torch.equal(gradient, before)
    with torch.no_grad():
        theirs[0].weight.mul_(2)
    torch.testing.assert_close(twin[0].weight.grad, _gradients(theirs, x)[0])


def test_in_bfloat16_torchs_own_way_is_taken() -> None:
    ours, theirs = _layers()
    x = torch.randn(4, 20)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = ours(x), theirs(x)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)


def test_a_frozen_layer_gets_no_gradient() -> None:
    ours, _theirs = _layers()
    ours[0].weight.requires_grad_(False)
    assert _gradients(ours, torch.randn(4, 20))[0] is None
