"""Normalisations folded into convolutions: what is learnt stays what it was."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from certero.config.settings import TrainSettings
from certero.learn.classifier import build_classifier
from certero.learn.kernels.folding import fold_normalisations
from certero.probe.backbones import find_backbone

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")


def _gradients(network: Any, x: Any) -> tuple[Any, dict[str, Any]]:
    network.zero_grad()
    out = network.score(x)
    out.square().mean().backward()
    return out.detach(), {name: p.grad.clone() for name, p in network.named_parameters()}


def _lite() -> tuple[Any, Any]:
    """The bundled network as it is built, and the same with its layers' own forward passes."""
    settings = TrainSettings(fitting="network", keep_statistics=True)
    network = build_classifier(find_backbone("efficientnet_lite0", None), np.arange(3), settings)
    plain = copy.deepcopy(network)
    for layer in plain.modules():
        layer.__dict__.pop("forward", None)
    return network.train(), plain.train()


@pytest.mark.slow
def test_the_bundled_network_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network, plain = _lite()
    x = torch.randint(0, 256, (4, 3, 64, 64)).float().contiguous(memory_format=torch.channels_last)
    # In float64: in float32 a level may round to the other side of where a ReLU6 clips, and its gradient is lost.
    outputs, found = _gradients(network.double(), x.double())
    expected_outputs, expected = _gradients(plain.double(), x.double())
    torch.testing.assert_close(outputs, expected_outputs)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        # Norms: sums of many terms that cancel differ in their last digits.
        assert float((found[name] - gradient).norm()) <= 1e-9 * float(gradient.norm()) + 1e-12, name
    network, plain = network.float(), plain.float()
    with torch.no_grad():
        torch.testing.assert_close(network.score(x), plain.score(x), rtol=1e-4, atol=1e-4)
        with monkeypatch.context() as exporting:
            exporting.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
            assert torch.equal(network.score(x), plain.score(x))
    for name, buffer in plain.state_dict().items():
        assert torch.equal(buffer, network.state_dict()[name]), name


def test_every_normalisation_of_the_bundled_network_is_folded() -> None:
    network, _plain = _lite()
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(norms) == 49
    assert all("forward" in layer.__dict__ for layer in norms)


def test_less_than_half_is_kept_for_the_way_back() -> None:
    def kept(network: Any) -> int:
        sizes: dict[int, int] = {}
        own = {parameter.data_ptr() for parameter in network.parameters()}

        def note(tensor: Any) -> Any:
            if tensor.data_ptr() not in own:
                sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            outputs = network.score(torch.zeros(4, 3, 224, 224).contiguous(memory_format=torch.channels_last))
        assert outputs.requires_grad
        return sum(sizes.values())

    network, plain = _lite()
    assert kept(network) < 0.5 * kept(plain)


def test_a_copy_computes_with_its_own_layers() -> None:
    """The moving average of the weights is a copy, made before the first step."""
    network, _plain = _lite()
    average = copy.deepcopy(network)
    x = torch.randint(0, 256, (2, 3, 64, 64)).float()
    before = average.score(x).detach()
    with torch.no_grad():
        unlike = network.score(x)
        for parameter in network.parameters():
            parameter.mul_(1.5)
        assert not torch.allclose(network.score(x), unlike)
        torch.testing.assert_close(average.score(x), before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(average.score(x).detach(), before)


class _Other(torch.nn.Module):
    """What must not be folded: a normalisation that is not alone, one without weights, one behind another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)
        self.first, self.bare = torch.nn.Conv2d(4, 4, 1), torch.nn.BatchNorm2d(4, affine=False)
        self.second, self.last = torch.nn.Conv2d(4, 4, 1), torch.nn.BatchNorm2d(4)

    def forward(self, x: Any) -> Any:
        x = self.shared(x)
        x = self.norm(x) + x
        x = self.bare(self.first(x))
        return self.last(torch.relu(self.second(x)))


def test_what_others_see_too_is_left_alone() -> None:
    assert fold_normalisations(_Other()) == 0


def test_a_convolution_with_a_bias_is_folded_with_it() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4)).double().eval()
    network[1].running_mean.uniform_(-1, 1)
    network[1].running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected = network(x).detach()
    assert fold_normalisations(network) == 1
    torch.testing.assert_close(network(x).detach(), expected)


def test_a_network_that_cannot_be_followed_is_left_alone() -> None:
    class Changing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))

        def forward(self, x: Any) -> Any:
            return self.layers(x) if x.mean() > 0 else x

    assert fold_normalisations(Changing()) == 0
