"""Backbones as torch modules: each one built is a network of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")
timm = pytest.importorskip("timm", reason="training needs the [networks] extra")

from certero.learn.timm_backbones import build_backbone, find_in_timm  # noqa: E402
from certero.probe.backbones import Backbone, find_backbone  # noqa: E402


def _backbones(folder: Path) -> list[Backbone]:
    torch.save(timm.create_model("mobilenetv3_small_050").state_dict(), folder / "weights.pth")
    return [find_backbone("efficientnet_lite0"), find_in_timm("mobilenetv3_small_050", folder / "weights.pth")]


def test_what_one_training_learns_does_not_reach_the_next(tmp_path: Path) -> None:
    # A fold of cross-validation that began with the weights of another one would have seen its own test photos.
    for backbone in _backbones(tmp_path):
        first = build_backbone(backbone)
        with torch.no_grad():
            for parameter in first.parameters():
                parameter.add_(1.0)
        weights = [parameter.detach() for parameter in build_backbone(backbone).parameters()]
        again = [parameter.detach() for parameter in build_backbone(backbone).parameters()]
        assert all(torch.equal(one, other) for one, other in zip(weights, again, strict=True)), backbone.name
        learnt = next(first.parameters()).detach()
        assert not torch.equal(learnt, weights[0]), backbone.name
