"""The classifier that ships: what it looks at, and how its outputs come together."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")

from certero.config.settings import TrainSettings  # noqa: E402
from certero.learn.classifier import build_classifier  # noqa: E402
from certero.probe.backbones import find_backbone  # noqa: E402

CLASSES, SIDE = 3, 64


@pytest.mark.parametrize(
    ("flips", "zoom"), [(False, 1.0), (True, 1.0), (False, 1.5), (True, 1.5)], ids=["alone", "flips", "zoom", "both"]
)
def test_the_logits_are_the_mean_of_what_is_asked_for(flips: bool, zoom: float) -> None:
    backbone = find_backbone("efficientnet_lite0")
    settings = TrainSettings(fitting="network", average_flips=flips, average_zoom=zoom)
    network = build_classifier(backbone, np.arange(CLASSES), settings).eval()
    side = round(SIDE * zoom)
    photos = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.uint8)

    def ask(levels: torch.Tensor) -> torch.Tensor:
        return network.last(network.features(levels)[0])

    levels = torch.from_numpy(photos).permute(0, 3, 1, 2).float()
    edge = (side - SIDE) // 2
    middle = levels[:, :, edge : edge + SIDE, edge : edge + SIDE]
    whole = torch.nn.functional.interpolate(levels, (SIDE, SIDE), mode="bilinear") if zoom > 1 else levels
    other = middle.flip(3) if flips else middle
    with torch.inference_mode():
        logits, embedding, activations = network(torch.from_numpy(photos))
        asked = [ask(whole), ask(other)] if flips or zoom > 1 else [ask(whole)]
        torch.testing.assert_close(logits, sum(asked) / len(asked))
        torch.testing.assert_close(embedding, network.features(whole)[0])
    assert len(asked) == 1 or not torch.allclose(asked[0], asked[1])
    assert activations.shape[2:] == (SIDE // 32, SIDE // 32)
