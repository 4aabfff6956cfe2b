"""3x3 convolutions in tiles: the same outputs and gradients but for rounding."""

from __future__ import annotations

from typing import Any

import pytest

from certero.learn.kernels import convolutions, cores, winograd
from certero.learn.kernels.convolutions import convolve

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")


def _case(n: int, channels: int, outputs: int, height: int, width: int) -> tuple[Any, ...]:
    """A relu's output, weights that keep its spread, an offset."""
    torch.manual_seed(0)
    x = torch.randn(n, channels, height, width).relu().contiguous(memory_format=torch.channels_last)
    weight = (torch.randn(outputs, channels, 3, 3) / (9 * channels) ** 0.5).contiguous(
        memory_format=torch.channels_last
    )
    return x, weight, torch.randn(outputs)


@pytest.mark.parametrize(("tiles_at_once", "product"), [(1, 1e6), (7, 20_000), (64, 70_000)])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(
    ("n", "channels", "outputs", "height", "width"),
    [
        (3, 64, 128, 18, 18),  # whole tiles without padding
        (5, 64, 64, 7, 23),  # tiles that stick out below and on the right
        (9, 70, 66, 6, 5),  # several photos at a time, columns in odd numbers
        (1, 64, 64, 3, 3),  # a single place
        (2, 64, 64, 40, 4),
    ],
)
def test_outputs_and_gradients_are_those_of_a_convolution(
    tiles_at_once: int,
    product: float,
    padding: int,
    n: int,
    channels: int,
    outputs: int,
    height: int,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside double precision: within some times what torch's own rounding costs; products whole and in parts."""
    # As on another processor: this one is measured; limits small enough for these shapes to cross.
    monkeypatch.setattr(winograd, "_TILES_AT_ONCE", tiles_at_once)
    monkeypatch.setattr(winograd, "_MANY_PAIRS", 66 * 70)
    monkeypatch.setattr(cores, "largest_fast_product", lambda: product)
    x, weight, bias = _case(n, channels, outputs, height, width)
    exact = [tensor.double().requires_grad_(True) for tensor in (x, weight, bias)]
    wanted = torch.nn.functional.conv2d(*exact, padding=padding)
    found = winograd.convolve(x, weight, bias, padding)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        winograd.convolve(x, weight, None, padding) + bias.reshape(-1, 1, 1), found, rtol=1e-5, atol=1e-5
    )
    gradient = torch.randn(wanted.shape).contiguous(memory_format=torch.channels_last)
    wanted.backward(gradient.double())
    gradients = winograd.gradients(gradient, x, weight, padding)
    for mine, theirs in zip(gradients, exact[:2], strict=True):
        spread = theirs.grad.square().mean().sqrt()
        torch.testing.assert_close(mine.double() / spread, theirs.grad / spread, rtol=1e-4, atol=2e-4)
    assert gradients[1].is_contiguous(memory_format=torch.channels_last)
    again = winograd.gradients(gradient, x, weight, padding)
    assert all(torch.equal(*pair) for pair in zip(gradients, again, strict=True))  # or no run could be resumed
    assert torch.equal(found, winograd.convolve(x, weight, bias, padding))
    for flags in ((True, False), (False, True)):
        some = winograd.gradients(gradient, x, weight, padding, flags)
        assert [one is not None for one in some] == list(flags)
        assert torch.equal(some[flags.index(True)], gradients[flags.index(True)])


def test_rounding_costs_a_few_millionths() -> None:
    """Of the outputs' spread, root mean square, on maps and channels as the source networks have them."""
    x, weight, bias = _case(2, 128, 256, 30, 30)
    exact = torch.nn.functional.conv2d(x.double(), weight.double(), bias.double())
    error = (winograd.convolve(x, weight, bias, 0).double() - exact).square().mean().sqrt() / exact.std()
    assert error < 5e-6


@pytest.mark.parametrize("tiles_at_once", [1, 7, 256])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(("n", "height", "width"), [(3, 18, 18), (5, 7, 23), (9, 6, 5), (1, 3, 3)])
def test_in_bfloat16_outputs_and_gradients_are_those_of_a_convolution(
    tiles_at_once: int, padding: int, n: int, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding costs 1.5 % of the spread, root mean square: some six times that of products one by one."""
    # Limits small enough for these shapes to cross.
    monkeypatch.setattr(winograd, "_TILES_AT_ONCE_BF16", tiles_at_once)
    x, weight, bias = _case(n, 128, 130, height, width)
    low = x.bfloat16()
    exact = [tensor.double().requires_grad_(True) for tensor in (low, weight, bias)]
    wanted = torch.nn.functional.conv2d(*exact, padding=padding)
    found = winograd.convolve(low, weight, bias, padding)
    assert found.dtype == torch.bfloat16
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert _error(found, wanted) < 0.02
    gradient = torch.randn(wanted.shape).bfloat16().contiguous(memory_format=torch.channels_last)
    wanted.backward(gradient.double())
    gradients = winograd.gradients(gradient, low, weight, padding)
    assert [mine.dtype for mine in gradients] == [torch.bfloat16, torch.float32]
    for mine, theirs in zip(gradients, exact[:2], strict=True):
        assert _error(mine, theirs.grad) < 0.025
    again = winograd.gradients(gradient, low, weight, padding)
    assert all(torch.equal(*pair) for pair in zip(gradients, again, strict=True))  # or no run could be resumed
    assert torch.equal(found, winograd.convolve(low, weight, bias, padding))


def _error(found: Any, exact: Any) -> float:
    found = found.detach()
    exact = exact.detach()
    return float((found.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt())


def test_work_on_the_cores_leaves_torch_its_threads() -> None:
    """Each core's thread has one of torch's own, or two programs of two threads would share two cores."""
    before = torch.get_num_threads()
    assert set(cores.share_out(lambda _: torch.get_num_threads(), list(range(8)))) == {1}
    assert torch.get_num_threads() == before


def test_layers_of_other_kinds_and_small_ones_are_left_alone() -> None:
    kinds = torch.nn.Conv2d
    assert winograd.fits(kinds(64, 128, 3, padding=1))
    assert winograd.fits(kinds(128, 256, 3), in_bf16=True)
    assert not winograd.fits(kinds(64, 256, 3), in_bf16=True)
    for other in (
        kinds(64, 128, 3, stride=2),
        kinds(64, 128, 5),
        kinds(64, 128, 1),
        kinds(64, 128, (3, 1)),
        kinds(64, 128, 3, groups=2),
        kinds(64, 128, 3, dilation=2),
        kinds(64, 128, 3, padding=2),
        kinds(64, 128, 3, padding="same"),
        kinds(64, 128, 3, padding=1, padding_mode="reflect"),
        kinds(48, 256, 3),
        kinds(64, 48, 3),
    ):
        assert not winograd.fits(other), other


def test_maps_that_tiles_hardly_cover_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on another processor: this one is measured.
    monkeypatch.setattr(cores, "have_fast_products", lambda _low: True)
    assert winograd.gains(torch.empty(1, 64, 127, 127), 0)
    assert winograd.gains(torch.empty(1, 64, 28, 28), 1)
    assert not winograd.gains(torch.empty(1, 64, 14, 14), 1)  # a quarter of sixteen by sixteen
    # As on another processor: this one is measured.
    monkeypatch.setattr(cores, "have_fast_products", lambda _low: False)
    assert not winograd.gains(torch.empty(1, 64, 28, 28), 1)


@pytest.mark.parametrize("fast", [False, True])
def test_a_layer_trains_in_tiles_with_the_outputs_of_torch(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit where no gradient is asked for; in double precision never in tiles, in bfloat16 with channels."""
    # As on another processor: this one is measured.
    monkeypatch.setattr(cores, "have_fast_products", lambda _low: fast)
    monkeypatch.setattr(cores, "are_faster", lambda: False)
    calls: list[Any] = []
    own = winograd.convolve
    # Which path is taken shows nowhere else.
    monkeypatch.setattr(convolutions.winograd, "convolve", lambda *given: calls.append(given) or own(*given))
    x, weight, bias = _case(2, 64, 128, 12, 12)
    layer = torch.nn.Conv2d(64, 128, 3, padding=1)
    given = x.clone().requires_grad_(True)
    ours = convolve(layer, given, weight.requires_grad_(True), bias.requires_grad_(True))
    theirs = torch.nn.functional.conv2d(given, weight, bias, padding=1)
    assert len(calls) == int(fast)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    pairs = [torch.autograd.grad(output.square().mean(), (given, weight, bias)) for output in (ours, theirs)]
    for mine, expected in zip(*pairs, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-6)
    calls.clear()
    with torch.no_grad():
        assert torch.equal(convolve(layer, x, weight, bias), theirs)
    with torch.autocast("cpu", torch.bfloat16):
        convolve(layer, given, weight, bias)
        assert calls == []
        x, weight, bias = _case(2, 128, 128, 12, 12)
        layer, given = torch.nn.Conv2d(128, 128, 3, padding=1), x.requires_grad_(True)
        weight.requires_grad_(True)
        bias.requires_grad_(True)
        ours, theirs = (
            convolve(layer, given, weight, bias),
            torch.nn.functional.conv2d(given, weight, bias, padding=1),
        )
        assert ours.dtype == torch.bfloat16
        assert len(calls) == int(fast)
        pairs = [
            torch.autograd.grad(output.float().square().mean(), (given, weight, bias)) for output in (ours, theirs)
        ]
    for mine, expected in zip(*pairs, strict=True):
        assert mine.dtype == torch.float32
        assert _error(mine, expected) < 0.03
    calls.clear()
    convolve(layer, given.double(), weight.double(), bias.double())
    assert calls == []
