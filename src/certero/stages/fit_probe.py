"""From development photos to a model file with the probe: features, head, calibration, export. Sees no test photo."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.data.split import near_in_time, split_units
from certero.probe.export import attach_head, count_parameters, head_alone
from certero.probe.features import Embedder
from certero.probe.probe import Fold, Probe, fit_probe, weigh_classes
from certero.records.metrics import Export
from certero.runs.versions import versions
from certero.runtime.card import Card, Fingerprints
from certero.runtime.model_file import with_card
from certero.runtime.network import Network as Runtime
from certero.stages.ask_model import Answers, measure_file, run_head
from certero.stages.calibrate import fit_temperature_of, without_tables
from certero.stages.embedder import embed_photos, in_full
from certero.stages.fitted import Development, Everything, Fitted
from certero.stages.random_split import claim_at_random
from certero.stages.tools import Resources
from certero.stats.calibration import softmax
from certero.stats.random_split import Claims

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FOLDS = 5
# Photos on which an 8-bit network is held against the exact one.
_COMPARED = 64
# A given val split this large, with every class in it, is a better judge than folds of train (docs/decisions/0005).
_VAL_PHOTOS = 100


def fit_model(
    development: pl.DataFrame,
    paths: Sequence[Path],
    classes: Sequence[str],
    given_val: bool,
    gap: timedelta,
    embedder: Embedder,
    settings: TrainSettings,
    tools: Resources,
    shipped: str,
) -> Fitted:
    """Fits the probe on train and val photos, calibrates it, and writes the model file.

    Args:
        development: used rows of train and val; nothing else reaches this function.
        paths: of the same photos.
        classes: names in the order of the outputs.
        given_val: whether the val split was given with the data.
        gap: least time between photos that are fitted on and held out; zero unless time separates.
        embedder: the backbone.
        settings: of the run.
        tools: cores, caches, progress.
        shipped: what the weights are fitted on, for the card.
    """
    truth = encode(development["label"], classes)
    hashes = development["content_hash"].to_list()
    with tools.timed("features"):
        fitted_on = embed_photos(paths, hashes, embedder, tools)
        # What ships is judged by what it computes itself, whatever sped up the fitting.
        embeddings = (
            embed_photos(paths, hashes, embedder.as_shipped(), tools) if embedder.engine.in_torch else fitted_on
        )
    weights = weigh_classes(truth, classes, settings.class_weights)
    folds, source = choose_folds(development, truth, given_val, gap, settings)
    with tools.timed("fit"):
        probe = fit_probe(
            fitted_on, truth, len(classes), folds, settings.strengths, weights, tools.map, tools.progress, embeddings
        )
    with tools.timed("calibrate"):
        held = probe.held_out
        units = development.filter(pl.Series(held))["unit"].to_list()
        calibration = fit_temperature_of(probe.oof_logits[held], truth[held], source, units)
    with tools.timed("export"):
        temperature = calibration.divisor
        card = Card(
            classes=tuple(classes),
            preprocessing=embedder.preprocessing,
            calibration=without_tables(calibration),
            training={
                "recipe": settings.recipe,
                "backbone": settings.backbone,
                "strength": probe.strength,
                "shipped": shipped,
                "photos": len(truth),
            },
            # Only of the shipped model, and once: the run puts them into its card.
            fingerprints=Fingerprints.none(),
            versions=versions(),
        )
        model = with_card(attach_head(embedder.onnx, probe.head, temperature), card)
        export = _cost_of_speed(probe, temperature, fitted_on, embeddings, paths, hashes, embedder, tools)
    head = head_alone(probe.head, temperature)
    return Fitted(
        model,
        calibration,
        card,
        embeddings,
        run_head(Runtime(head), embeddings),
        np.ones(len(truth), dtype=bool),
        probe.held_out,
        softmax(probe.oof_logits, temperature),
        export,
        count_parameters(model),
        probe,
        head,
    )


class ProbeFitter:
    """Fits probes on one backbone.

    Args:
        embedder: the backbone.
        settings: of the run.
        tools: cores, caches, progress.
    """

    def __init__(self, embedder: Embedder, settings: TrainSettings, tools: Resources) -> None:
        self._embedder, self._settings, self._tools = embedder, settings, tools

    def check(self, table: pl.DataFrame, classes: Sequence[str]) -> None:
        """Nothing about the data can keep a probe from being fitted that the split has not found."""

    def fit(self, part: Development, classes: Sequence[str]) -> Fitted:
        """See `fit_model`."""
        return fit_model(
            part.table,
            part.paths,
            classes,
            part.given_val,
            part.gap,
            self._embedder,
            self._settings,
            self._tools,
            part.shipped,
        )

    def ask(self, fitted: Fitted, paths: Sequence[Path], content_hashes: Sequence[str], stage: str) -> Answers:
        """The model file's answers on photos, see `measure_file`."""
        assert fitted.head_onnx is not None
        return measure_file(
            fitted.model,
            fitted.head_onnx,
            self._embedder.network_id,
            paths,
            content_hashes,
            self._embedder.preprocessing,
            self._tools,
            stage,
        )

    def claim_at_random(self, everything: Everything, classes: Sequence[str]) -> Claims:
        """What throw-away probes claim on random splits of all photos, see `claim_at_random`."""
        assert everything.fitted.probe is not None
        truth = encode(everything.table["label"], classes)
        return claim_at_random(
            everything.embeddings,
            truth,
            everything.training_counts,
            everything.fitted.probe.strength,
            weigh_classes(truth, classes, self._settings.class_weights),
            self._settings.split_seed,
            self._tools.map,
            self._tools.progress,
            self._settings.random_splits,
        )


def _cost_of_speed(
    probe: Probe,
    temperature: float,
    fitted_on: NDArray[np.float32],
    embeddings: NDArray[np.float32],
    paths: Sequence[Path],
    hashes: Sequence[str],
    embedder: Embedder,
    tools: Resources,
) -> Export:
    """What speed cost, on development photos: the model file's answers beside those of slower or other features.

    A file in 8 bits is held against the same network in fp32 on a sample of photos; a file whose head was fitted on
    features from torch, against those features.
    """
    other, rows = fitted_on, list(range(len(hashes)))
    if embedder.engine.precision == "int8":
        # The least hashes: a sample by chance that is the same in every fold, so that most of it is remembered.
        rows = sorted(range(len(hashes)), key=lambda row: hashes[row])[:_COMPARED]
        other = embed_photos(
            [paths[row] for row in rows], [hashes[row] for row in rows], in_full(embedder, tools), tools
        )
    slow = softmax(probe.head.logits(other), temperature)
    shipped = softmax(probe.head.logits(embeddings[rows]), temperature)
    return Export(
        features=str(embedder.engine),
        n=len(rows),
        label_agreement=float((slow.argmax(axis=1) == shipped.argmax(axis=1)).mean()),
        probability_difference=float(np.abs(slow - shipped).max()),
    )


def choose_folds(
    development: pl.DataFrame, truth: NDArray[np.int64], given_val: bool, gap: timedelta, settings: TrainSettings
) -> tuple[list[Fold], str]:
    """What to fit on and what to hold out, and where calibration comes from: `val` or `oof`."""
    is_val = (development["split"] == "val").to_numpy()
    every_class = set(truth[is_val].tolist()) == set(truth.tolist())
    if given_val and every_class and int(is_val.sum()) >= _VAL_PHOTOS:
        return [(~is_val, is_val)], "val"
    units = development["unit"].to_list()
    if len(set(units)) < 2:
        # One group is left to fit on: folds within it are too easy, and all there is.
        units = [str(row) for row in range(len(units))]
    n_folds = min(_FOLDS, len(set(units)))
    numbers = split_units(truth.tolist(), units, n_folds, settings.split_seed)
    times = development["captured_at"].to_numpy()
    folds: list[Fold] = []
    for number in range(n_folds):
        outside = numbers == number
        inside = ~outside & ~near_in_time(times, times[outside], gap)
        if inside.any():
            folds.append((inside, outside))
    return folds, "oof"
