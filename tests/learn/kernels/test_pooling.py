"""ReLU and mean pooling in one step: the same to the last bit, in the memory of the map."""

from __future__ import annotations

from typing import Any

import pytest

from certero.learn.kernels.pooling import join_activations_and_pooling

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")


def _layers(pool: Any) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(4, 16, 3, padding=1), torch.nn.ReLU(inplace=True), pool)


@pytest.mark.parametrize(("side", "height", "width"), [(2, 12, 12), (2, 13, 9), (3, 10, 11), (1, 5, 4), (4, 4, 7)])
@pytest.mark.parametrize("in_bf16", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_outputs_and_gradients_are_torchs_own_to_the_last_bit(
    side: int, height: int, width: int, in_bf16: bool, last: bool
) -> None:
    x = torch.randn(3, 4, height, width, generator=torch.Generator().manual_seed(1))
    x = x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    theirs, ours = _layers(torch.nn.AvgPool2d(side)), _layers(torch.nn.AvgPool2d(side))
    join_activations_and_pooling(ours)
    found = []
    for layers in (ours, theirs):
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
            output = layers(x)
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
        (output.float() * weights).sum().backward()
        found.append((output, layers[0].weight.grad, layers[0].bias.grad))
    assert "ReluAveragePool" in type(found[0][0].grad_fn).__name__
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


def test_the_gradient_lies_where_the_map_was_and_is_taken_once() -> None:
    layers = _layers(torch.nn.AvgPool2d(2))
    join_activations_and_pooling(layers)
    seen: list[int] = []

    def look(_layer: Any, _given: Any, map: Any) -> None:
        seen.append(map.data_ptr())
        map.register_hook(lambda gradient: seen.append(gradient.data_ptr()))

    layers[0].register_forward_hook(look)
    output = layers(torch.randn(2, 4, 8, 8)).sum()
    output.backward(retain_graph=True)
    assert seen[0] == seen[1]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()


@pytest.mark.parametrize(
    "words",
    [
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 2, "padding": 1},
        {"kernel_size": 2, "ceil_mode": True},
        {"kernel_size": (2, 3)},
        {"kernel_size": 2, "divisor_override": 3},
    ],
)
def test_other_poolings_are_left_alone(words: dict[str, Any]) -> None:
    layers = _layers(torch.nn.AvgPool2d(**words))
    join_activations_and_pooling(layers)
    assert all("forward" not in vars(layer) for layer in layers)
