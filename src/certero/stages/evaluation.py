"""Fitting and judging: once on a test split, or once for each fold of a cross-validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.records.stages import Stage
from certero.runs.seal import Development, Opened, SealedTest
from certero.sentences import Sentence, sentence
from certero.stages.fitted import Everything, Fitted, Part
from certero.stages.fitter import Fitter
from certero.stages.prepare import Prepared
from certero.stages.tools import Tools
from certero.stats.scores import Beforehand

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Logs the opening of the test photos for a purpose, and gives them.
Opener = Callable[[SealedTest, str], Opened]


@dataclass(frozen=True, slots=True)
class Judged:
    """Photos that a model was judged on, in one order.

    Args:
        opened: the photos.
        truth: class index int64 [n].
        probabilities: float32 [n, K], of models that the photo was held out from.
        embeddings: float32 [n, D], as one array for each fold.
        training_counts: photos of each class [K] in training; one entry a fold.
        temperatures: float64 [n], of the model that judged the photo.
        offsets: float64 [n, K], of that model, by class; 0 where it has none.
        thresholds: from which confidence on that model answers a share of photos, float64 [n], by the share as text.
    """

    opened: Opened
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    embeddings: list[NDArray[np.float32]]
    training_counts: list[NDArray[np.int64]]
    temperatures: NDArray[np.float64]
    offsets: NDArray[np.float64]
    thresholds: Mapping[str, NDArray[np.float64]]

    @property
    def beforehand(self) -> Beforehand:
        """What each photo's model had set, none of it on that photo."""
        each = self.training_counts
        if len(each) == 1:
            guess = np.full(len(self.truth), each[0].argmax())
        else:
            guess = np.array([counts.argmax() for counts in each])[self.table["fold"].to_numpy()]
        return Beforehand(self.temperatures, self.thresholds, self.offsets, guess)

    @property
    def table(self) -> pl.DataFrame:
        """Rows of the photos."""
        return self.opened.table

    def with_development(self, prepared: Prepared, fitted: Fitted) -> Everything:
        """All used photos: those of development first, unless cross-validation has judged each of them."""
        if prepared.evaluation == "cv":
            return Everything(self.opened, None, self.training_counts, fitted, self.embeddings)
        embeddings = [fitted.embeddings, *self.embeddings]
        return Everything(self.opened, prepared.development, self.training_counts, fitted, embeddings)


def fit_and_judge(
    prepared: Prepared, fitter: Fitter, settings: TrainSettings, tools: Tools, open_test: Opener
) -> tuple[Fitted, Judged | None]:
    """The model that ships, and the photos that it or the models of the folds were judged on; None with `--no-test`.

    Args:
        prepared: photos.
        fitter: of the recipe.
        settings: of the run.
        tools: cores, caches, progress.
        open_test: called once, unless the settings leave the test photos sealed.
    """
    if prepared.evaluation == "cv":
        return _cross_validate(prepared, fitter, settings, tools, open_test)
    return _hold_out(prepared, fitter, settings, tools, open_test)


def _hold_out(
    prepared: Prepared, fitter: Fitter, settings: TrainSettings, tools: Tools, open_test: Opener
) -> tuple[Fitted, Judged | None]:
    """One model fitted without the test photos, judged on them once."""
    development, classes = prepared.development, prepared.classes
    ships = _what_ships(settings)
    part = Part(development, prepared.given_val, prepared.separation.gap, shipped=ships, name="final")
    fitted = fitter.fit(part, classes)
    if not settings.open_test:
        return fitted, None
    opened = open_test(prepared.sealed, "train")
    return fitted, _judge(opened, "evaluate", fitted, development, prepared, fitter, tools)


def _what_ships(settings: TrainSettings) -> str:
    if settings.fitting == "probe":
        return "fitted on train and val"
    return "fitted on train, judged on val" + (", then fitted on both" if settings.refit_epochs else "")


def _cross_validate(
    prepared: Prepared, fitter: Fitter, settings: TrainSettings, tools: Tools, open_test: Opener
) -> tuple[Fitted, Judged | None]:
    """A model a fold, each judged on the photos held out from it; the shipped one is refitted on all."""
    classes, gap = prepared.classes, prepared.separation.gap
    folds: list[Judged] = []
    if settings.open_test:
        opened = open_test(prepared.sealed, "cv")
        for fold in range(prepared.folds):
            inside = prepared.development.outside_fold(fold, gap)
            model = fitter.fit(Part(inside, False, gap, "a fold of cv", f"fold-{fold + 1}"), classes)
            stage = sentence("evaluate fold %(fold)d/%(folds)d", fold=fold + 1, folds=prepared.folds)
            folds.append(_judge(opened.of_fold(fold), stage, model, inside, prepared, fitter, tools))
    fitted = fitter.fit(Part(prepared.development, False, gap, "refitted on all photos", "final"), classes)
    if not settings.open_test:
        return fitted, None
    return fitted, Judged(
        dataclasses.replace(opened, table=pl.concat([fold.table for fold in folds])),
        np.concatenate([fold.truth for fold in folds]),
        np.concatenate([fold.probabilities for fold in folds]),
        [embeddings for fold in folds for embeddings in fold.embeddings],
        [counts for fold in folds for counts in fold.training_counts],
        np.concatenate([fold.temperatures for fold in folds]),
        np.concatenate([fold.offsets for fold in folds]),
        {share: np.concatenate([fold.thresholds[share] for fold in folds]) for share in _shared(folds)},
    )


def _shared(folds: list[Judged]) -> list[str]:
    """The shares for which each fold has a threshold."""
    return [share for share in folds[0].thresholds if all(share in fold.thresholds for fold in folds)]


def _judge(
    opened: Opened,
    stage: Stage | Sentence,
    fitted: Fitted,
    fitted_on: Development,
    prepared: Prepared,
    fitter: Fitter,
    tools: Tools,
) -> Judged:
    """What one model says of photos that it was not fitted on."""
    table, classes = opened.table, prepared.classes
    with tools.timed("evaluate"):
        outputs = fitter.run(fitted, opened.paths(), table["content_hash"].to_list(), stage)
    return Judged(
        opened,
        encode(table["label"], classes),
        outputs.probabilities,
        [outputs.embeddings],
        [np.bincount(encode(fitted_on.table["label"], classes), minlength=len(classes))],
        np.full(table.height, fitted.calibration.divisor),
        np.tile(fitted.calibration.offsets_of(classes) or np.zeros(len(classes)), (table.height, 1)),
        {share: np.full(table.height, least) for share, least in fitted.calibration.thresholds.items()},
    )
