"""A last layer that begins where a probe ends: scikit-learn's logistic regression on the network's own embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import training_process
from training_process import CLASSES, CPU, settings

from certero.learn.augment import Augmentation
from certero.learn.classifier import build_classifier
from certero.learn.last_layer import start_last_layer
from certero.probe.backbones import find_backbone

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")


def test_the_last_layer_starts_as_a_logistic_regression_on_the_embeddings(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    train = training_process.examples(tmp_path / "photos")
    network = build_classifier(find_backbone("efficientnet_lite0"), np.arange(CLASSES), settings())
    start_last_layer(network, training_process.data(train, None, [1.0] * CLASSES, Augmentation()), 0.5, CPU)
    images = next(iter(train.store.read([np.arange(len(train.truth))])))
    network.eval()
    with torch.inference_mode():
        logits, embedding, _map = network(torch.from_numpy(images))
    features = embedding.numpy().astype(np.float64)
    deviation = features.std(axis=0)
    standardised = (features - features.mean(axis=0)) / np.where(deviation < 1e-6, 1.0, deviation)
    oracle = LogisticRegression(C=0.5, tol=1e-8, max_iter=5000).fit(standardised, train.outputs)
    expected = oracle.predict_log_proba(standardised)
    assert np.abs(torch.log_softmax(logits, dim=1).numpy() - expected).max() < 0.02
    # Only the last layer moved: the backbone is the pretrained one.
    fresh = build_classifier(find_backbone("efficientnet_lite0"), np.arange(CLASSES), settings(seed=1)).state_dict()
    assert all(torch.equal(t, fresh[name]) for name, t in network.state_dict().items() if not name.startswith("last."))


def test_an_output_without_photos_can_still_be_learnt(tmp_path: Path) -> None:
    train = training_process.examples(tmp_path / "photos")
    network = build_classifier(find_backbone("efficientnet_lite0"), np.arange(CLASSES + 1), settings())
    data = training_process.data(train, None, [1.0] * (CLASSES + 1), Augmentation())
    start_last_layer(network, data, 0.5, CPU)
    bias = network.last.bias.detach()
    assert float(bias.max() - bias[-1]) == pytest.approx(20)
