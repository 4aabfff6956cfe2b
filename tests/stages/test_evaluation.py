"""What stood before a photo was judged was set without it, in each fold of a cross-validation too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="training needs the [train] extra")

from trainings import QUICK

from certero.config.recipes import resolve
from certero.runs.seal import Opened, SealedTest
from certero.stages.evaluation import fit_and_judge
from certero.stages.fitter import loading_fitter
from certero.stages.prepare import prepare
from certero.stages.tools import open_tools


def _open(sealed: SealedTest, purpose: str) -> Opened:
    return sealed.open(purpose=purpose, data="barn", run="run", earlier=None)


def test_each_fold_is_judged_by_its_own_thresholds_and_the_commonest_class_of_its_own_training(
    small_barn: Path, tmp_path: Path
) -> None:
    settings = resolve("probe", cv=3, block="1h", **QUICK)
    with open_tools(settings.workers) as tools:
        prepared = prepare(small_barn / "beds.csv", settings, tools)
        with loading_fitter(settings, tools, tmp_path, "") as finish:
            fitted, judged = fit_and_judge(prepared, finish(0), settings, tools, _open)
    assert judged is not None
    fold = judged.table["fold"].to_numpy()
    thresholds = np.asarray(dict(judged.beforehand.thresholds or {})["0.9"])
    assert thresholds.shape == fold.shape
    of_fold = [np.unique(thresholds[fold == number]) for number in range(3)]
    assert [len(values) for values in of_fold] == [1, 1, 1]
    # The shipped model's was set on all photos: it must judge none of them.
    assert len({float(values[0]) for values in of_fold} | {fitted.calibration.thresholds["0.9"]}) == 4
    guess = np.asarray(judged.beforehand.guess)
    for number, counts in enumerate(judged.training_counts):
        assert set(guess[fold == number]) == {counts.argmax()}
        # Photos near the fold's in time are left out of its training, so these are counts of a part of the others.
        assert counts.sum() <= (fold != number).sum()
