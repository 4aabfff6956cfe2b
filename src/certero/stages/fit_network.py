"""From development photos to a model file with a network trained whole. Sees no test photo."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from certero.config.recipes import resolve
from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.engine.threads import count_cores
from certero.errors import ConfigError, MissingExtra
from certero.learn.batches import PhotoStore
from certero.learn.computing import using_threads
from certero.learn.devices import Trainer
from certero.learn.examples import Examples
from certero.learn.tracing import export_classifier
from certero.probe.export import calibrate_classifier
from certero.records.metrics import Export
from certero.records.stages import Stage
from certero.records.training import Epoch, Training
from certero.runs.versions import versions
from certero.runtime.card import Card, Fingerprints
from certero.runtime.inference import infer, require_all
from certero.runtime.model_file import with_card
from certero.runtime.network import Network as Runtime
from certero.sentences import Sentence, stored
from certero.stages.calibrate import calibrate_outputs, weights_to_undo, without_tables
from certero.stages.embedder import embed_photos, loading_embedder
from certero.stages.estimate.network import estimate_network
from certero.stages.estimate.plan import Estimate
from certero.stages.fitted import Everything, Fitted, Part
from certero.stages.held_out import HeldOut
from certero.stages.held_out_shares import describe_shares
from certero.stages.model_outputs import Outputs
from certero.stages.network_training import NetworkTraining, TrainedClassifier
from certero.stages.prepare import Prepared
from certero.stages.probe_training import train_probe
from certero.stages.tools import Tools
from certero.stats.calibration import softmax
from certero.stats.random_split import Claims, claims_of, draw_splits

if TYPE_CHECKING:
    from numpy.typing import NDArray


class NetworkFitter:
    """Fits networks of one recipe.

    Args:
        settings: of the run.
        tools: cores and progress.
        checkpoints: folder under which each training saves, in a folder of its own.
        resume_with: command line that goes on, for the messages.

    Raises:
        ConfigError: for augmentation, weights or a backbone that cannot be had.
    """

    def __init__(self, settings: TrainSettings, tools: Tools, checkpoints: Path, resume_with: str) -> None:
        self._settings, self._tools = settings, tools
        self._training = NetworkTraining(settings, tools, checkpoints, resume_with)

    def check(self, columns: Sequence[str], classes: Sequence[str]) -> None:
        """See `NetworkTraining.check`."""
        self._training.check(columns, classes)

    def estimate(self, prepared: Prepared) -> Estimate:
        """See `estimate_network`."""
        return estimate_network(prepared, self._training, self._settings, self._tools)

    def score(self, part: Part, classes: Sequence[str]) -> HeldOut:
        """Outputs on the photos of val, of a network that is not packaged."""
        return self._training.train(part.photos, classes, part.gap, part.name).held_out

    def fit(self, part: Part, classes: Sequence[str]) -> Fitted:
        """Trains a network, calibrates it on the photos of val, and writes the model file.

        Args:
            part: photos to fit on.
            classes: names in the order of the outputs.
        """
        return self._package(self._training.train(part.photos, classes, part.gap, part.name), part, classes)

    def _package(self, trained: TrainedClassifier, part: Part, classes: Sequence[str]) -> Fitted:
        """The model file of a trained network, and what it rested on."""
        settings, tools, preprocessing = self._settings, self._tools, self._training.preprocessing
        development, paths = part.photos.table, part.photos.paths()
        with tools.timed("export"):
            bare = export_classifier(trained.network, preprocessing)
        held = trained.held_out
        rows = held.rows
        with tools.timed("calibrate"):
            logits = held.logits
            if not settings.refit_epochs:
                logits = self._infer(bare, [paths[row] for row in rows], ["logits"], "calibrate")[0].astype(np.float64)
            units = development[rows.tolist()]["unit"].to_list()
            weighed = np.setdiff1d(trained.fitted_rows, rows)  # val is learnt, if at all, after it has calibrated
            learnt = encode(development[weighed.tolist()]["label"], classes)
            weights = weights_to_undo(learnt, classes, settings.class_weights)
            calibration = calibrate_outputs(logits, held.truth, "val", units, classes, weights)
            scale = calibration.divisor, calibration.offsets_of(classes)
        shares, outcomes = describe_shares(softmax(logits, *scale), held.truth, classes, settings.class_weights)
        trainer = self._training.trainer()
        training = describe_training(trained, settings, trainer)
        card = Card(
            classes=tuple(classes),
            preprocessing=preprocessing,
            calibration=without_tables(calibration),
            training={
                "recipe": settings.recipe,
                "backbone": None if settings.layers else settings.backbone,
                "strength": None,
                "shipped": part.shipped,
                "photos": len(trained.fitted_rows),
            },
            fingerprints=Fingerprints.none(),
            versions=versions(),
            shares=shares,
            outcomes=outcomes,
        )
        with tools.timed("export"):
            model = with_card(calibrate_classifier(bare, *scale), card)
            del bare
        with tools.timed("evaluate"):
            outputs = self._run(model, paths, development["content_hash"].to_list(), "evaluate")
        by_torch = softmax(trained.shipped_logits, *scale)
        by_file = outputs.probabilities[rows]
        fitted_on, held_out = np.zeros((2, development.height), dtype=bool)
        fitted_on[trained.fitted_rows] = True
        held_out_probabilities = outputs.probabilities.astype(np.float64)
        if settings.refit_epochs:
            # The model file has learnt these photos by now: their held-out outputs are of the network before that.
            held_out[rows] = True
            held_out_probabilities[rows] = softmax(held.logits, *scale)
        else:
            held_out = ~fitted_on
        return Fitted(
            model=model,
            head_onnx=None,
            probe=None,
            calibration=calibration,
            card=card,
            embeddings=outputs.embeddings,
            probabilities=outputs.probabilities,
            fitted_on=fitted_on,
            held_out=held_out,
            held_out_probabilities=held_out_probabilities,
            parameters=trained.parameters,
            export=Export(
                features=str(trainer),
                n=len(rows),
                label_agreement=float((by_torch.argmax(axis=1) == by_file.argmax(axis=1)).mean()),
                probability_difference=float(np.abs(by_torch - by_file).max()),
            ),
            training=training,
            sheet=trained.sheet,
        )

    def run(
        self, fitted: Fitted, paths: Sequence[Path], content_hashes: Sequence[str], stage: Stage | Sentence
    ) -> Outputs:
        """The model file's outputs on photos; each photo goes through the whole file, equal ones once."""
        return self._run(fitted.model, paths, content_hashes, stage)

    def _run(
        self, model: bytes, paths: Sequence[Path], content_hashes: Sequence[str], stage: Stage | Sentence
    ) -> Outputs:
        places = dict(zip(content_hashes, paths, strict=True))
        probabilities, embeddings = self._infer(model, list(places.values()), ["probabilities", "embedding"], stage)
        order = {key: row for row, key in enumerate(places)}
        rows = [order[key] for key in content_hashes]
        return Outputs(probabilities[rows], embeddings[rows])

    def claim_at_random(self, everything: Everything, classes: Sequence[str]) -> Claims:
        """What random splits would have claimed, shown by throw-away networks of the same recipe.

        Args:
            everything: photos to draw from. The shipped network is of no use here: it has learnt photos of both sides.
            classes: names in the order of the outputs.
        """
        photos, training = everything, self._training
        paths, truth = photos.paths(), encode(photos.table["label"], classes)
        drawn = draw_splits(truth, everything.training_counts, self._settings.random_splits, self._settings.split_seed)
        right: list[NDArray[np.bool_]] = []
        for number, inside in enumerate(drawn, start=1):
            others = np.flatnonzero(~inside)
            trained = training.train(photos.at_random(inside), classes, timedelta(0), f"random-{number}")
            store = PhotoStore([paths[row] for row in others], training.preprocessing, self._tools.map, limit_bytes=0)
            keys = np.zeros(len(others), np.uint64)
            with using_threads(training.threads()):
                found = training.logits(trained.network, Examples(store, keys, truth[others], truth[others]))
            right.append(found.argmax(axis=1) == truth[others])
        return claims_of(drawn, right, len(truth))

    def ask_probes(
        self, everything: Everything, classes: Sequence[str], gap: timedelta, parts: Sequence[NDArray[np.bool_]]
    ) -> list[NDArray[np.int64]] | None:
        """What probes say, which take seconds where two further trainings of the network would take as long as it did.

        The shipped network is of no use here: it has learnt photos of both sides.
        """
        settings = resolve("probe", class_weights=self._settings.class_weights, workers=self._settings.workers)
        try:
            with loading_embedder(settings, self._tools) as finish:
                embedder = finish()
        except (ConfigError, MissingExtra):
            return None
        table = everything.table
        features = embed_photos(everything.paths(), table["content_hash"].to_list(), embedder, self._tools)
        named = []
        for inside in parts:
            half = Part(everything.within(inside), False, gap, "a half of the time", "half")
            head = train_probe(half, classes, embedder, settings, self._tools).probe.head
            named.append(np.asarray(head.logits(features).argmax(axis=1), dtype=np.int64))
        return named

    def _infer(
        self, model: bytes, paths: Sequence[Path], outputs: Sequence[str], stage: Stage | Sentence
    ) -> list[NDArray[np.float32]]:
        rows: list[tuple[NDArray[np.float32], ...]] = []
        computed = infer(Runtime(model), self._training.preprocessing, list(paths), list(outputs), self._tools.map)
        for row in require_all(paths, computed):
            rows.append(row)
            self._tools.progress(stage, len(rows), len(paths))
        return [np.stack([row[number] for row in rows]).astype(np.float32) for number in range(len(outputs))]


def describe_training(trained: TrainedClassifier, settings: TrainSettings, trainer: Trainer) -> Training:
    """How a network was trained."""
    at = trained.at
    return Training(
        device=trainer.device,
        precision="bf16" if trainer.in_bf16 else "fp32",
        optimizer=settings.optimizer,
        schedule=settings.schedule,
        lr=settings.lr,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        shipped_epoch=at.best_epoch if settings.restore_best and at.best_epoch else at.epoch,
        outputs=int(trained.network.member.shape[0]),
        refit_epochs=settings.refit_epochs,
        photos_fitted=len(trained.fitted_rows),
        photos_judging=len(trained.held_out.rows),
        photos_per_second=round(float(np.mean([row["photos_per_second"] for row in at.history])), 2),
        history=tuple(map(Epoch.from_json, at.history)),
        assumed=tuple(settings.assumed),
        notes=tuple(map(stored, at.notes)),
        threads=settings.workers or count_cores(),
    )
