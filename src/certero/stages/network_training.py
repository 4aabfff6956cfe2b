"""Training of a network whole, from scratch or from a pretrained backbone. Nothing is exported."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.data.left_out import near_in_time
from certero.data.split import split_units, units_to_fold
from certero.engine.threads import count_cores
from certero.errors import ConfigError, DataError
from certero.learn.augment import Augmentation, read_augmentation
from certero.learn.batches import PhotoStore, Selection, cap_classes
from certero.learn.checkpoints import Checkpoints
from certero.learn.classifier import Classifier, build_classifier, count_outputs
from certero.learn.cnn import Cnn, plan_cnn
from certero.learn.computing import using_threads
from certero.learn.devices import Trainer, choose_trainer
from certero.learn.evaluation import evaluate
from certero.learn.examples import Examples, TrainingData
from certero.learn.last_layer import start_last_layer
from certero.learn.loop import StopRequested, TrainedNetwork, train_network
from certero.learn.progression import Progression
from certero.learn.schedule import typical_side
from certero.learn.sheets import augmented_sheet
from certero.learn.trial import time_steps
from certero.machine.limits import available_bytes
from certero.probe.backbones import Backbone, check_weights
from certero.probe.probe import weigh_classes
from certero.records.preprocessing import Preprocessing
from certero.runs.interruption import deferred_signals
from certero.runs.seal import Development
from certero.sentences import message, sentence
from certero.stages.embedder import choose_backbone
from certero.stages.held_out import HeldOut
from certero.stages.tools import Tools

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Share of train that is held back for val where there is none.
_VAL_SHARE = 0.15
# Of parameters, gradients and the optimiser's two moments.
_BYTES_A_PARAMETER = 16
# Of the learning rate, in the epochs on train and val together.
_REFIT_RATE = 0.2
#: In those epochs the photos of val, which are new to the network, are shown so many times, the others once.
VAL_TIMES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """A network and how it was trained.

    Args:
        network: in evaluation mode, its best or last weights.
        at: where its training ended.
        fitted_rows: of the development photos, those that updated its weights; those of val among them only once they
            had judged.
        held_out: its outputs on the photos of val, as torch computes them, before it learnt these photos.
        shipped_logits: float64 [m, K], outputs of the network that ships on the same photos.
        parameters: trainable numbers.
        sheet: augmented photos, uint8 [H, W, 3].
    """

    network: Classifier
    at: Progression
    fitted_rows: NDArray[np.int64]
    held_out: HeldOut
    shipped_logits: NDArray[np.float64]
    parameters: int
    sheet: NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True)
class Tried:
    """What a few steps took, by the wall clock.

    Args:
        photos: that were trained on.
        parameters: trainable numbers.
        step_seconds: a photo trained on, once.
        judge_seconds: a photo judged.
        decode_seconds: a photo decoded and fitted to its size.
    """

    photos: int
    parameters: int
    step_seconds: float
    judge_seconds: float
    decode_seconds: float


class NetworkTraining:
    """Trains networks of one recipe.

    Args:
        settings: of the run.
        tools: cores and progress.
        checkpoints: folder under which each training saves, in a folder of its own.
        resume_with: command line that goes on, for the messages.

    Raises:
        ConfigError: for augmentation, weights or a backbone that cannot be had.
    """

    def __init__(self, settings: TrainSettings, tools: Tools, checkpoints: Path, resume_with: str) -> None:
        self._settings = settings
        self._tools = tools
        self._checkpoints = checkpoints
        self._resume_with = resume_with
        self._augmentation: Augmentation = read_augmentation(settings.augment)
        self._weights = Path(settings.weights) if settings.weights else None
        self._backbone: Backbone | None = None
        if settings.layers:
            check_weights(self._weights)
            trained = Preprocessing(settings.image_size or 224, settings.image_size or 224, settings.fit)
            plan_cnn(settings.layers, 2, trained.width)  # what cannot be built is refused before photos are read
        else:
            self._backbone = choose_backbone(settings.backbone, self._weights)
            trained = self._backbone.preprocessing(settings.image_size, settings.fit)
        #: Side of the photos that the network is trained on, pixels.
        self.side = trained.width
        #: How photos reach the model file.
        self.preprocessing = _enlarged(trained, settings.average_zoom)
        #: How photos to learn from are kept. Sizes of the same aspect: a photo kept larger is the same photo.
        self.roomy = _enlarged(trained, settings.oversize)

    def check(self, columns: Sequence[str], classes: Sequence[str]) -> None:
        """Raises for what the data show to be impossible, before any long work.

        Args:
            columns: of the table of photos.
            classes: names in the order of the outputs.

        Raises:
            ConfigError: a further label column is missing, or the network does not fit into memory.
        """
        for column in self._settings.label_also:
            if column not in columns:
                known = ", ".join(name for name in columns if name not in ("path", "label", "split"))
                raise ConfigError(
                    "--label-also must name a column of the manifest; found %(column)s, DATA has %(known)s.",
                    column=column,
                    known=known or message("no other"),
                )
        source = self.source(len(classes))
        if isinstance(source, Cnn) and source.parameters * _BYTES_A_PARAMETER > available_bytes():
            parameters = f"{source.parameters:,}"
            raise ConfigError(
                "the network must fit into memory; its %(parameters)s parameters need "
                "%(needed).1f GB to train, %(free).1f GB are free. Use a smaller "
                "--image-size, or pool before flatten.",
                parameters=parameters,
                needed=source.parameters * _BYTES_A_PARAMETER / 1e9,
                free=available_bytes() / 1e9,
            )

    def train(self, photos: Development, classes: Sequence[str], gap: timedelta, name: str) -> TrainedClassifier:
        """Trains on train and judges each epoch on val; without val, whole units of train are held back to judge.

        Nothing is exported.

        Args:
            photos: to fit on.
            classes: names in the order of the outputs.
            gap: least time between photos that are fitted on and held out; zero unless time separates.
            name: distinguishes this training from others of the run.

        Raises:
            DataError: if nothing is left to train on or to judge by.
        """
        settings, tools = self._settings, self._tools
        development, paths = photos.table, photos.paths()
        truth = encode(development["label"], classes)
        train_rows, val_rows = hold_back(photos, truth, gap, settings)
        train_rows = train_rows[cap_classes(truth[train_rows], settings.class_cap, settings.seed)]
        outputs, groups = self._outputs(development, classes)
        keys = np.array([int(pixel_hash[:16], 16) for pixel_hash in development["pixel_hash"]], np.uint64)
        fitted_rows = np.concatenate([train_rows, val_rows]) if settings.refit_epochs else train_rows

        def store(rows: NDArray[np.int64], size: Preprocessing) -> PhotoStore:
            files = [paths[row] for row in rows]
            return PhotoStore(files, size, tools.map, self.threads(), progress=tools.progress)

        def show(shown: PhotoStore | Selection, rows: NDArray[np.int64]) -> Examples:
            return Examples(shown, keys[rows], outputs[rows], truth[rows])

        with tools.timed("decode"):
            learnt = store(fitted_rows, self.roomy)
            train = show(Selection(learnt, np.arange(len(train_rows))), train_rows)
            val = show(store(val_rows, self.preprocessing), val_rows)
        # The weight of a class is that of each of its finer labels.
        weights = weigh_classes(truth[train_rows], classes, settings.class_weights)[groups]
        data = TrainingData(train, val, weights, self._augmentation, self.side)
        with tools.timed("fit"), using_threads(self.threads()):
            network = self.build(groups)
            parameters = sum(p.numel() for p in network.parameters())
            hint = sentence("Free the disk, then go on with: %(command)s", command=self._resume_with)
            checkpoints = Checkpoints(self._checkpoints / name, hint)
            if self._backbone is not None and settings.start_strength and not checkpoints.exist():
                start_last_layer(network, data, settings.start_strength, self.trainer())
            trained = self._run(network, data, settings, checkpoints)
            network, at, val_logits = trained.network, trained.at, trained.val_logits
            assert val_logits is not None
            shipped_logits = val_logits
            if settings.refit_epochs:
                places, before = _show_together(len(train_rows), len(val_rows))
                both = show(Selection(learnt, places), fitted_rows[places])
                both.keys[:] += before  # each time changed in another way
                kept = Checkpoints(self._checkpoints / f"{name}-refit", hint)
                together = dataclasses.replace(data, train=both, val=None)
                network = self._run(network, together, _to_refit(settings), kept).network
                shipped_logits = self.logits(network, val)
        sheet = augmented_sheet(train, self._augmentation, settings.seed, self.side)
        held_out = HeldOut(val_rows, truth[val_rows], val_logits)
        return TrainedClassifier(network, at, fitted_rows, held_out, shipped_logits, parameters, sheet)

    def logits(self, network: Classifier, examples: Examples) -> NDArray[np.float64]:
        """Logits of a trained network, float64 [n, K], computed in float32 as the model file does."""
        return evaluate(network, examples, Trainer(self.trainer().device, in_bf16=False)).logits

    def _run(
        self, network: Classifier, data: TrainingData, settings: TrainSettings, checkpoints: Checkpoints
    ) -> TrainedNetwork:
        with self._stopping() as stop_asked:
            return train_network(
                network,
                data,
                settings,
                self.trainer(),
                checkpoints,
                progress=self._tools.progress,
                stop_asked=stop_asked,
            )

    def try_out(self, photos: Development, classes: Sequence[str]) -> Tried:
        """Trains a throw-away network on some photos for a few steps: about five seconds.

        Args:
            photos: to fit on.
            classes: names in the order of the outputs.
        """
        settings = self._settings
        outputs, groups = self._outputs(photos.table, classes)
        paths = photos.paths()
        rows = np.arange(0, len(paths), max(1, len(paths) // settings.batch_size))[: settings.batch_size]
        some = [paths[row] for row in rows]
        start = time.perf_counter()
        stores = [
            PhotoStore(some, size, self._tools.map, limit_bytes=2**62) for size in (self.roomy, self.preprocessing)
        ]
        decoding = (time.perf_counter() - start) / len(rows) / len(stores)
        keys, shown = rows.astype(np.uint64), outputs[rows]
        train, judged = (Examples(store, keys, shown, groups[shown]) for store in stores)
        side = typical_side(self.side, settings)
        data = TrainingData(train, judged, np.ones(len(groups)), self._augmentation, side)
        with using_threads(self.threads()):
            network = self.build(groups)
            steps, training, judging = time_steps(network, data, settings, self.trainer())
            parameters = sum(p.numel() for p in network.parameters())
        return Tried(len(rows) * steps, parameters, training, judging, decoding)

    def build(self, groups: NDArray[np.int64]) -> Classifier:
        """The network before its first step.

        Args:
            groups: class of each output in training, int64 [F].

        Raises:
            ConfigError: if the weights to start from do not fit.
        """
        source = self.source(int(groups.max()) + 1, len(groups))
        return build_classifier(source, groups, self._settings, self.trainer())

    def _outputs(
        self, development: pl.DataFrame, classes: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Index of each photo's training output, and the class of each output."""
        also = [development[column].cast(pl.String).to_list() for column in self._settings.label_also]
        _classes, combinations = count_outputs(development["label"].to_list(), also)
        output_of = {combination: number for number, combination in enumerate(combinations)}
        labels = zip(development["label"], *also, strict=True)
        outputs = np.array([output_of[(label, *(value or "" for value in rest))] for label, *rest in labels])
        return outputs, encode([combination[0] for combination in combinations], classes)

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[Callable[[], bool]]:
        """Ctrl-C lets a step end and be saved, then ends the command."""
        stopped = False
        with deferred_signals() as asked:
            try:
                yield asked
            except StopRequested:
                stopped = True
        if stopped:  # unless the signal's own handler has ended the command
            raise KeyboardInterrupt

    def source(self, n_classes: int, n_outputs: int | None = None) -> Cnn | Backbone:
        """What is trained: the checked network from scratch, or the backbone."""
        if self._backbone is not None:
            return self._backbone
        return plan_cnn(self._settings.layers, n_outputs or n_classes, self.side)

    def trainer(self) -> Trainer:
        """The device and precision."""
        return choose_trainer(self._settings.device, self._settings.precision)

    def threads(self) -> int:
        """Threads that torch computes on."""
        return self._settings.workers or count_cores()


def hold_back(
    photos: Development, truth: NDArray[np.int64], gap: timedelta, settings: TrainSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to judge and calibrate on; where val has none, whole units of train are held back.

    Args:
        photos: to fit on.
        truth: their class index.
        gap: least time between photos that are fitted on and held out; zero unless time separates.
        settings: of the run.

    Raises:
        DataError: if nothing is left on one side.
    """
    development = photos.table
    is_val = (development["split"] == "val").to_numpy()
    if is_val.any():
        return np.flatnonzero(~is_val), np.flatnonzero(is_val)
    units = units_to_fold(development)
    parts = split_units(truth.tolist(), units, (1 - _VAL_SHARE, _VAL_SHARE), settings.split_seed)
    val = parts == 1
    times = development["captured_at"].to_numpy()
    train = ~val & ~near_in_time(times, times[val], gap)
    if not train.any() or not val.any():
        raise DataError(
            "a network needs photos to train on and others to judge it; holding back some of "
            "%(height)s leaves one side empty. Add photos, or use --recipe probe.",
            height=development.height,
        )
    return np.flatnonzero(train), np.flatnonzero(val)


def _enlarged(preprocessing: Preprocessing, times: float) -> Preprocessing:
    side = round(preprocessing.width * times)
    return dataclasses.replace(preprocessing, width=side, height=side)


def _show_together(n_train: int, n_val: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """What an epoch on train and val shows: each photo of train once, each of val several times.

    Returns:
        Places in train and val, one after the other, and how often each was shown before in the epoch.
    """
    rounds = [np.arange(n_train + n_val), *[n_train + np.arange(n_val)] * (VAL_TIMES - 1)]
    before = np.repeat(np.arange(VAL_TIMES, dtype=np.uint64), [len(each) for each in rounds])
    return np.concatenate(rounds), before


def _to_refit(settings: TrainSettings) -> TrainSettings:
    """The settings of the epochs on train and val together: nobody is left to judge them, so they take small steps."""
    last = settings.train_scale[1]
    return dataclasses.replace(
        settings,
        epochs=settings.refit_epochs,
        lr=settings.lr * _REFIT_RATE,
        schedule="cosine",
        seed=settings.seed + 1,
        freeze_epochs=0,
        start_share=0.0,
        train_scale=(last, last),
        patience=None,
        restore_best=False,
    )
