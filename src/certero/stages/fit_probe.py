"""From development photos to a model file with the probe: training, calibration, export. Sees no test photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.engine.blas import one_blas_thread
from certero.probe.export import attach_head, count_parameters, head_alone
from certero.probe.features import Embedder
from certero.probe.probe import fit_head, weigh_classes
from certero.records.metrics import Export
from certero.records.stages import Stage
from certero.runs.seal import Development
from certero.runs.versions import versions
from certero.runtime.card import Card, Fingerprints
from certero.runtime.model_file import with_card
from certero.runtime.network import Network as Runtime
from certero.sentences import Sentence
from certero.stages.calibrate import calibrate_outputs, weights_to_undo, without_tables
from certero.stages.embedder import embed_photos, embed_views, in_full
from certero.stages.estimate.plan import Estimate
from certero.stages.estimate.probe import estimate_probe
from certero.stages.fitted import Everything, Fitted, Part
from certero.stages.held_out import HeldOut
from certero.stages.held_out_shares import describe_shares
from certero.stages.model_outputs import Outputs, run_head, run_model
from certero.stages.prepare import Prepared
from certero.stages.probe_training import TrainedProbe, train_probe
from certero.stages.random_split import claim_at_random
from certero.stages.tools import Tools
from certero.stats.calibration import softmax
from certero.stats.random_split import Claims, draw_splits

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Up to so many photos as many views take some seconds, and spare errors (docs/decisions/0072).
_FEW_PHOTOS, _VIEWS = 1000, 3
# Photos on which an 8-bit network is held against the exact one.
_COMPARED = 64


def with_views(settings: TrainSettings, photos: int) -> TrainSettings:
    """The settings with a number of views: more than the photo itself where they cost little and help most.

    Args:
        settings: of the run.
        photos: of development; all models of a run learn from as many views.
    """
    return settings if settings.views else dataclasses.replace(settings, views=_VIEWS if photos <= _FEW_PHOTOS else 1)


class ProbeFitter:
    """Fits probes on one backbone.

    Args:
        embedder: the backbone.
        settings: of the run, see `with_views`.
        tools: cores, caches, progress.
    """

    def __init__(self, embedder: Embedder, settings: TrainSettings, tools: Tools) -> None:
        self._embedder, self._settings, self._tools = embedder, settings, tools

    def check(self, columns: Sequence[str], classes: Sequence[str]) -> None:
        """Nothing about the data can keep a probe from being fitted that the split has not found."""

    def estimate(self, prepared: Prepared) -> Estimate:
        """See `estimate_probe`."""
        return estimate_probe(prepared, self._embedder, self._settings, self._tools)

    def score(self, part: Part, classes: Sequence[str]) -> HeldOut:
        """Outputs on held-out photos, of a probe that is not packaged."""
        return self._train(part, classes).held_out

    def fit(self, part: Part, classes: Sequence[str]) -> Fitted:
        """Fits the probe on train and val photos, calibrates it, and writes the model file."""
        return self._package(self._train(part, classes), part, classes)

    def run(
        self, fitted: Fitted, paths: Sequence[Path], content_hashes: Sequence[str], stage: Stage | Sentence
    ) -> Outputs:
        """The model file's outputs on photos, see `run_model`."""
        assert fitted.head_onnx is not None
        return run_model(
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
        settings, tools = self._settings, self._tools
        table = everything.table
        truth = encode(table["label"], classes)
        # With cross-validation every photo was one of development; else the sealed ones were never seen otherwise.
        learnt = table.height if everything.development is None else everything.development.table.height
        known = everything.paths()[:learnt], table["content_hash"].to_list()[:learnt]
        return claim_at_random(
            everything.embeddings,
            truth,
            draw_splits(truth, everything.training_counts, settings.random_splits, settings.split_seed),
            everything.fitted.probe.strength,
            weigh_classes(truth, classes, settings.class_weights),
            tools.map,
            tools.progress,
            embed_views(*known, self._embedder, settings.views or 1, tools),
        )

    def ask_probes(
        self,
        everything: Everything,
        classes: Sequence[str],
        gap: timedelta,  # noqa: ARG002 (nothing is chosen on a part: no photos of it are held out)
        parts: Sequence[NDArray[np.bool_]],
    ) -> list[NDArray[np.int64]]:
        """What a probe fitted on each part, with the strength that the run chose, names every photo."""
        assert everything.fitted.probe is not None
        settings, strength = self._settings, everything.fitted.probe.strength
        truth = encode(everything.table["label"], classes)
        features = np.concatenate(everything.embeddings)
        weights = weigh_classes(truth, classes, settings.class_weights)
        named = []
        with one_blas_thread():
            for inside in parts:
                known = truth[inside]
                head = fit_head(features[inside], known, len(classes), strength, weights[known])
                named.append(np.asarray(head.logits(features).argmax(axis=1), dtype=np.int64))
        return named

    def _train(self, part: Part, classes: Sequence[str]) -> TrainedProbe:
        return train_probe(part, classes, self._embedder, self._settings, self._tools)

    def _package(self, trained: TrainedProbe, part: Part, classes: Sequence[str]) -> Fitted:
        """The model file of a trained probe, and what it rested on."""
        embedder, settings, tools = self._embedder, self._settings, self._tools
        probe, n = trained.probe, len(trained.truth)
        with tools.timed("calibrate"):
            held = trained.held_out
            units = part.photos.table[held.rows.tolist()]["unit"].to_list()
            weights = weights_to_undo(trained.truth, classes, settings.class_weights)
            calibration = calibrate_outputs(held.logits, held.truth, trained.source, units, classes, weights)
        with tools.timed("export"):
            scale = calibration.divisor, calibration.offsets_of(classes)
            weighed = softmax(held.logits, *scale), held.truth
            shares, outcomes = describe_shares(*weighed, classes, settings.class_weights)
            card = Card(
                classes=tuple(classes),
                preprocessing=embedder.preprocessing,
                calibration=without_tables(calibration),
                training={
                    "recipe": settings.recipe,
                    "backbone": settings.backbone,
                    "strength": probe.strength,
                    "shipped": part.shipped,
                    "views": settings.views,
                    "photos": n,
                },
                # Only of the shipped model, and once: the run puts them into its card.
                fingerprints=Fingerprints.none(),
                versions=versions(),
                shares=shares,
                outcomes=outcomes,
            )
            model = with_card(attach_head(embedder.onnx, probe.head, *scale), card)
            export = _cost_of_speed(trained, scale, part.photos, embedder, tools)
        head = head_alone(probe.head, *scale)
        return Fitted(
            model,
            calibration,
            card,
            trained.embeddings,
            run_head(Runtime(head), trained.embeddings),
            np.ones(n, dtype=bool),
            probe.held_out,
            softmax(probe.oof_logits, *scale),
            export,
            count_parameters(model),
            probe,
            head,
        )


def _cost_of_speed(
    trained: TrainedProbe,
    scale: tuple[float, Sequence[float] | None],
    photos: Development,
    embedder: Embedder,
    tools: Tools,
) -> Export:
    """What speed cost, on development photos: the model file's outputs beside those of slower or other embeddings.

    A file in 8 bits is held against the same network in fp32 on a sample of photos; a file whose head was fitted on
    features from torch, against those features.
    """
    hashes = photos.table["content_hash"].to_list()
    other, rows = trained.fitted_on, list(range(len(hashes)))
    if embedder.backend.precision == "int8":
        # The least hashes: a sample by chance that is the same in every fold, so that most of it is remembered.
        rows = sorted(range(len(hashes)), key=lambda row: hashes[row])[:_COMPARED]
        paths = photos.paths()
        compared = [paths[row] for row in rows], [hashes[row] for row in rows]
        other = embed_photos(*compared, in_full(embedder, tools), tools)
    head = trained.probe.head
    slow = softmax(head.logits(other), *scale)
    shipped = softmax(head.logits(trained.embeddings[rows]), *scale)
    return Export(
        features=str(embedder.backend),
        n=len(rows),
        label_agreement=float((slow.argmax(axis=1) == shipped.argmax(axis=1)).mean()),
        probability_difference=float(np.abs(slow - shipped).max()),
    )
