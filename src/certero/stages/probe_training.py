"""Training of a probe: embeddings, the strength of its regularisation, and the fit. Nothing is exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.data.left_out import near_in_time
from certero.data.split import split_units, units_to_fold
from certero.probe.features import Embedder
from certero.probe.probe import Fold, Probe, fit_probe, weigh_classes
from certero.runs.seal import Development
from certero.stages.embedder import embed_photos, embed_views
from certero.stages.fitted import Part
from certero.stages.held_out import HeldOut
from certero.stages.tools import Tools

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FOLDS = 5
# A given val split this large, with every class in it, is a better judge than folds of train (docs/decisions/0005).
_VAL_PHOTOS = 100


@dataclass(frozen=True, slots=True)
class TrainedProbe:
    """A probe and what it was trained on.

    Args:
        probe: as fitted.
        truth: class index of the development photos, int64 [n].
        fitted_on: their embeddings that the probe was fitted on, float32 [n, D].
        embeddings: as the model file will compute them, float32 [n, D].
        source: where held-out outputs come from: `val`, or `oof`, folds of all.
    """

    probe: Probe
    truth: NDArray[np.int64]
    fitted_on: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    source: str

    @property
    def held_out(self) -> HeldOut:
        """Out-of-fold outputs: those of each fold's probe on the photos held out from it."""
        rows = np.flatnonzero(self.probe.held_out)
        return HeldOut(rows, self.truth[rows], self.probe.oof_logits[rows])


def train_probe(
    part: Part, classes: Sequence[str], embedder: Embedder, settings: TrainSettings, tools: Tools
) -> TrainedProbe:
    """Fits a probe on train and val photos, and scores it on those that its folds held out.

    Args:
        part: photos to fit on.
        classes: names in the order of the outputs.
        embedder: the backbone.
        settings: of the run.
        tools: cores, caches, progress.
    """
    table, paths = part.photos.table, part.photos.paths()
    truth = encode(table["label"], classes)
    hashes = table["content_hash"].to_list()
    with tools.timed("features"):
        fitted_on = embeddings = embed_photos(paths, hashes, embedder, tools)
        if embedder.backend.in_torch:
            # What ships is judged by what it computes itself, whatever sped up the fitting.
            embeddings = embed_photos(paths, hashes, embedder.as_shipped(), tools)
        others = embed_views(paths, hashes, embedder, settings.views or 1, tools)
    weights = weigh_classes(truth, classes, settings.class_weights)
    folds, source = choose_folds(part.photos, truth, part.given_val, part.gap, settings)
    with tools.timed("fit"):
        looks = (fitted_on, *others)
        probe = fit_probe(looks, truth, folds, settings.strengths, weights, tools.map, tools.progress, embeddings)
    return TrainedProbe(probe, truth, fitted_on, embeddings, source)


def choose_folds(
    development: Development, truth: NDArray[np.int64], given_val: bool, gap: timedelta, settings: TrainSettings
) -> tuple[list[Fold], str]:
    """What to fit on and what to hold out, and where calibration comes from: `val` or `oof`.

    Args:
        development: photos to fit on.
        truth: their class index.
        given_val: whether the val split came with the data.
        gap: least time between photos that are fitted on and held out; zero unless time separates.
        settings: of the run.
    """
    table = development.table
    is_val = (table["split"] == "val").to_numpy()
    every_class = set(truth[is_val].tolist()) == set(truth.tolist())
    if given_val and every_class and int(is_val.sum()) >= _VAL_PHOTOS:
        return [(~is_val, is_val)], "val"
    units = units_to_fold(table)
    n_folds = min(_FOLDS, len(set(units)))
    numbers = split_units(truth.tolist(), units, n_folds, settings.split_seed)
    times = table["captured_at"].to_numpy()
    folds: list[Fold] = []
    for number in range(n_folds):
        outside = numbers == number
        inside = ~outside & ~near_in_time(times, times[outside], gap)
        if inside.any():
            folds.append((inside, outside))
    return folds, "oof"
