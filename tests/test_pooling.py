"""Mean pooling that goes back fast: the same to the last bit."""

from __future__ import annotations

import pytest

from certero.learn.pooling import speed_up_pooling

torch = pytest.importorskip("torch", reason="training needs the [train] extra")


@pytest.mark.parametrize(("side", "height", "width"), [(2, 12, 12), (2, 13, 9), (3, 10, 11), (1, 5, 4), (4, 4, 7)])
@pytest.mark.parametrize("kind", ["bfloat16", "float32"])
def test_answers_and_gradients_are_torchs_own_to_the_last_bit(side: int, height: int, width: int, kind: str) -> None:
    torch.manual_seed(0)
    dtype = getattr(torch, kind)
    x = torch.randn(3, 16, height, width).to(dtype).contiguous(memory_format=torch.channels_last)
    theirs = torch.nn.AvgPool2d(side)
    ours = torch.nn.Sequential(torch.nn.AvgPool2d(side))
    speed_up_pooling(ours)
    found = []
    for layer in (ours, theirs):
        given = x.clone().requires_grad_(True)
        answer = layer(given)
        gradient = torch.randn(answer.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        answer.backward(gradient)
        found.append((answer, given.grad))
    own = type(found[0][0].grad_fn).__name__
    assert ("MeanPooling" in own) == (kind == "bfloat16")
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


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
def test_other_poolings_are_left_alone(words: dict[str, object]) -> None:
    layer = torch.nn.AvgPool2d(**words)
    speed_up_pooling(torch.nn.Sequential(layer))
    assert "forward" not in vars(layer)
