"""Both ways to fit can be scored on held-out photos without an export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from barns import copy_barn

pytest.importorskip("onnx", reason="training needs the [train] extra")

from certero.config.recipes import resolve
from certero.stages.fitted import Fitted, Part
from certero.stages.fitter import loading_fitter
from certero.stages.held_out import HeldOut
from certero.stages.prepare import prepare
from certero.stages.tools import open_tools
from certero.stats.calibration import softmax

SETTINGS = {
    "probe": {"image_size": 64, "strengths": (0.03,)},
    "cnn": {"image_size": 32, "epochs": 1, "batch_size": 16, "workers": 1, "refit_epochs": 0},
}


def _score_and_fit(data: Path, recipe: str, folder: Path) -> tuple[HeldOut, set[str], Fitted]:
    """The score of a training, the stages that it took, and what the whole fit then gives."""
    settings = resolve(recipe, cv=0, block="1h", **SETTINGS[recipe])
    with open_tools(settings.workers) as tools:
        prepared = prepare(data, settings, tools)
        part = Part(prepared.development, prepared.given_val, prepared.separation.gap, "", "final")
        with loading_fitter(settings, tools, folder / "score", "") as finish:
            fitter = finish(0)
            tools.seconds.clear()
            score = fitter.score(part, prepared.classes)
            took = set(tools.seconds)
        with loading_fitter(settings, tools, folder / "fit", "") as finish:
            return score, took, finish(0).fit(part, prepared.classes)


@pytest.mark.parametrize("recipe", ["probe", pytest.param("cnn", marks=pytest.mark.networks)])
def test_a_training_is_scored_on_held_out_photos_without_an_export(
    small_barn: Path, tmp_path: Path, recipe: str
) -> None:
    if recipe == "cnn":
        pytest.importorskip("torch", reason="training needs the [networks] extra")
    score, took, fitted = _score_and_fit(copy_barn(small_barn, tmp_path / "barn", False), recipe, tmp_path)
    assert "fit" in took
    assert not {"export", "calibrate", "evaluate"} & took
    # It is the training that is then packaged: its held-out outputs are those that calibrate the model file.
    assert np.array_equal(np.flatnonzero(fitted.held_out), score.rows)
    offsets = fitted.calibration.offsets_of(fitted.card.classes)
    calibrated = softmax(score.logits, fitted.calibration.divisor, offsets)
    assert np.abs(calibrated - fitted.held_out_probabilities[score.rows]).max() < 1e-4
    assert 0.0 <= score.accuracy <= 1.0
    assert score.accuracy == (score.logits.argmax(axis=1) == score.truth).mean()


def test_the_log_loss_of_held_out_photos_is_that_of_scikit_learn() -> None:
    log_loss = pytest.importorskip("sklearn.metrics", reason="needs the [report] extra").log_loss
    rng = np.random.default_rng(0)
    truth, logits = rng.integers(0, 3, 50), rng.normal(0, 3, (50, 3))
    expected = log_loss(truth, softmax(logits), labels=[0, 1, 2])
    assert HeldOut(np.arange(50), truth, logits).log_loss == pytest.approx(expected)
