"""The training loop: every step in one place, and a way back to any step boundary.

What is drawn at a step (order, augmentation, blending, dropout) follows from the seed, the epoch and the step alone. So
a checkpoint needs weights, the optimiser's state, the moving average and a position, and the resumed run continues to
the same bits on the same machine with the same number of threads. Elsewhere, sums are added in another order: the loss
of the first steps agrees to about 1e-5, and small differences grow to what another seed would change.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from certero.config.settings import TrainSettings
from certero.errors import TrainingError
from certero.interchange import Json
from certero.learn.augment import augment, blend, draw
from certero.learn.averages import follow
from certero.learn.batches import deal, order_photos
from certero.learn.checkpoints import Checkpoints
from certero.learn.classifier import Classifier, freeze
from certero.learn.devices import Trainer
from certero.learn.evaluation import evaluate
from certero.learn.examples import Examples, TrainingData
from certero.learn.memory import kept_memory
from certero.learn.progression import Progression
from certero.learn.schedule import rate, set_rate, side_of
from certero.learn.state import State
from certero.learn.step import take_step
from certero.records.protocols import Progress, no_progress
from certero.sentences import Sentence, in_a_row, message, sentence

# A save may take this share of the time: large networks on slow disks are saved less often.
_SAVING_SHARE = 0.05


class StopRequested(Exception):
    """Somebody asked for the training to end; where it stood is saved."""


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network and how it came about.

    Args:
        network: in evaluation mode, with its best or last weights.
        at: where its training ended.
        val_logits: its outputs on the photos of val, computed in float32 as a model file computes them, float64 [n, K];
            None without val.
    """

    network: Classifier
    at: Progression
    val_logits: NDArray[np.float64] | None


def train_network(
    network: Classifier,
    data: TrainingData,
    settings: TrainSettings,
    trainer: Trainer,
    checkpoints: Checkpoints,
    *,
    progress: Progress = no_progress,
    stop_asked: Callable[[], bool] = lambda: False,
) -> TrainedNetwork:
    """Trains a network, scores it on val and returns it; nothing is exported.

    Args:
        network: to train, on the CPU.
        data: photos, the weights of their outputs, augmentation.
        settings: epochs, batch size, rate, schedule, ...
        trainer: device and precision. In bfloat16, weights and sums stay in float32.
        checkpoints: where to save, and to continue from if something is there.
        progress: told at each step.
        stop_asked: asked at each step boundary.

    Raises:
        StopRequested: after `stop_asked` said so and the state was saved.
        TrainingError: if the loss is not finite any more, or one photo alone does not fit into memory.
        OutputError: if a checkpoint cannot be written.
    """
    state = State.begin(network, settings, trainer.device)
    at = Progression(micro_batch=settings.batch_size)
    if (saved := checkpoints.load()) is not None:
        at = Progression.from_json(saved[1])
        if not at.finished:
            state.restore(saved[0])
        del saved
    saver = _Saver(checkpoints, state, at, settings.checkpoint_seconds)
    steps = len(deal(len(data.train.truth), settings.batch_size))
    total = settings.epochs * steps

    def after_step() -> None:
        done = at.epoch * steps + at.step
        if done < total:
            progress("train", done, total, _words(at, settings, data.train))
        if stop_asked():
            saver.save()
            raise StopRequested
        saver.save_if_due()

    with kept_memory(trainer.device):
        while not at.finished:
            _train_epoch(state, data, settings, trainer, at, after_step)
            state.mix_in_origin(settings.start_share)
            lr = rate(settings, (at.epoch + 1) * steps - 1, total)
            _finish_epoch(at, state.shipped, data, lr, trainer)
            at.finished = at.epoch >= settings.epochs or _out_of_patience(at, settings)
            is_best = at.best_epoch == at.epoch
            if (is_best and settings.restore_best) or (at.finished and at.best_file is None):
                at.best_file = checkpoints.save_best(state.shipped.state_dict(), at.epoch)
            if at.finished or is_best:
                # A new best file must have its checkpoint, or a resumed run would look for one that is gone.
                saver.save()
    progress("train", 1, 1, _words(at, settings, data.train))
    assert at.best_file is not None
    state.shipped.load_state_dict(checkpoints.load_best(at.best_file))
    shipped = state.shipped.eval()
    in_float32 = Trainer(trainer.device, in_bf16=False)
    logits = None if data.val is None else evaluate(shipped, data.val, in_float32).logits
    return TrainedNetwork(shipped, at, logits)


class _Saver:
    """Saves a training as often as it may.

    Args:
        checkpoints: where.
        state: of the training.
        at: its position.
        least_seconds: between two checkpoints; zero saves at every step.
    """

    def __init__(self, checkpoints: Checkpoints, state: State, at: Progression, least_seconds: float) -> None:
        self._checkpoints, self._state, self._at = checkpoints, state, at
        self._least_seconds = least_seconds
        self._saved_at, self._took = time.monotonic(), 0.0

    def save(self) -> None:
        start = time.monotonic()
        # Of a finished training only the shipped weights are needed, and those have a file of their own.
        self._checkpoints.save({} if self._at.finished else self._state.tensors(), self._at.to_json())
        self._saved_at = time.monotonic()
        self._took = self._saved_at - start

    def save_if_due(self) -> None:
        wait = self._least_seconds and max(self._least_seconds, self._took / _SAVING_SHARE)
        if time.monotonic() - self._saved_at >= wait:
            self.save()


def _train_epoch(
    state: State,
    data: TrainingData,
    settings: TrainSettings,
    trainer: Trainer,
    at: Progression,
    after_step: Callable[[], None],
) -> None:
    """Takes the steps of this epoch that are still to be taken."""
    started = time.monotonic() - at.seconds
    device, n_outputs = trainer.device, len(data.output_weights)
    output_weights = torch.tensor(data.output_weights, dtype=torch.float32, device=device)
    side = side_of(data.side, settings, at.epoch)
    steps = len(deal(len(data.train.truth), settings.batch_size))
    freeze(state.network, only_last=at.epoch < settings.freeze_epochs)
    for batch in _remaining_batches(data.train, settings, at):
        position = at.epoch * steps + at.step
        set_rate(state.optimiser, rate(settings, position, settings.epochs * steps))
        x = augment(torch.from_numpy(batch.images).to(device), batch.draws, data.augmentation, side)
        targets = torch.nn.functional.one_hot(torch.from_numpy(data.train.outputs[batch.rows]), n_outputs)
        x, y = blend(x, targets.float().to(device), settings.mixup, settings.cutmix, settings.seed, at.epoch, at.step)
        loss, weight = take_step(state.network, state.optimiser, x, y, output_weights, settings, at, trainer)
        if not math.isfinite(loss):
            raise _not_finite(loss, at, settings.lr, trainer.in_bf16)
        if state.average is not None:
            follow(state.average, state.network, settings.ema, position)
        at.loss, at.weight = at.loss + loss, at.weight + weight
        at.step += 1
        at.seconds = time.monotonic() - started
        after_step()


class _Batch(NamedTuple):
    """Photos of one step, uint8 [n, H, W, 3], their rows in train, and the numbers that decide how they change."""

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    draws: NDArray[np.float32]


def _remaining_batches(train: Examples, settings: TrainSettings, at: Progression) -> Iterator[_Batch]:
    order, repeats = order_photos(train.truth, settings.sampling, settings.seed, at.epoch)
    parts = deal(len(order), settings.batch_size)[at.step :]
    epoch = at.epoch
    for part, images in zip(parts, train.store.read([order[part] for part in parts]), strict=True):
        rows = order[part]
        yield _Batch(images, rows, draw(settings.seed, epoch, train.keys[rows].tolist(), repeats[part].tolist()))


def _finish_epoch(at: Progression, shipped: Classifier, data: TrainingData, lr: float, trainer: Trainer) -> None:
    """Judges the epoch on val, and moves to the next one."""
    start = time.monotonic()
    row: Json = {"epoch": at.epoch + 1, "loss": at.loss / max(at.weight, 1e-12), "val_loss": None, "val_accuracy": None}
    at.epoch += 1
    if data.val is not None:
        _logits, loss, accuracy = evaluate(shipped, data.val, trainer)
        row |= {"val_loss": loss, "val_accuracy": accuracy}
        # Of equal accuracies the lower loss; one that is not finite never wins.
        if accuracy > at.best[0] or (accuracy == at.best[0] and loss < at.best[1]):
            at.best, at.best_epoch = (accuracy, loss), at.epoch
    row |= {
        "lr": lr,
        "seconds": round(at.seconds, 3),
        "val_seconds": round(time.monotonic() - start, 3),
        "photos_per_second": round(len(data.train.truth) / max(at.seconds, 1e-9), 2),
    }
    at.history.append(row)
    at.step, at.loss, at.weight, at.seconds = 0, 0.0, 0.0, 0.0


def _out_of_patience(at: Progression, settings: TrainSettings) -> bool:
    return settings.patience is not None and at.best_epoch is not None and at.epoch - at.best_epoch >= settings.patience


def _not_finite(loss: float, at: Progression, lr: float, in_bf16: bool) -> TrainingError:
    best = (
        sentence("the weights of epoch %(epoch)d are kept", epoch=at.best_epoch)
        if at.best_file
        else message("the last checkpoint is kept, if there is one")
    )
    precision = ", --precision fp32" if in_bf16 else ""
    return TrainingError(
        "the loss must stay a number; it became %(loss)s in epoch %(epoch)s, step %(step)s "
        "(%(best)s). Start anew with a smaller rate, --lr %(lr)g%(precision)s, or look at the "
        "photos.",
        loss=loss,
        epoch=at.epoch + 1,
        step=at.step + 1,
        best=best,
        lr=lr / 10,
        precision=precision,
    )


def _words(at: Progression, settings: TrainSettings, train: Examples) -> Sentence:
    """What the user sees beside the bar."""
    epoch = min(at.epoch + 1, settings.epochs)
    words = [sentence("epoch %(epoch)d/%(epochs)d", epoch=epoch, epochs=settings.epochs)]
    if at.weight:
        words.append(sentence("loss %(loss).3f", loss=at.loss / at.weight))
    if at.history and at.history[-1]["val_accuracy"] is not None:
        words.append(sentence("val %(accuracy).1f%%", accuracy=100 * at.history[-1]["val_accuracy"]))
    if at.seconds > 0 and at.step:
        shown = min(at.step * settings.batch_size, len(train.truth))
        words.append(sentence("%(speed).1f photos/s", speed=shown / at.seconds))
    return in_a_row(words)
