"""How a network was trained whole: `training` of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass

from certero.records.record import Record
from certero.sentences import Message


@dataclass(frozen=True, slots=True)
class Epoch(Record):
    """One epoch: a row of history.csv.

    Args:
        epoch: its number, from 1.
        loss: mean over the training photos.
        val_loss: mean over val; None without val photos, as the accuracy.
        val_accuracy: share of val named rightly.
        lr: learning rate of its last step.
        seconds: spent on training.
        val_seconds: spent on val.
        photos_per_second: of training.
    """

    epoch: int
    loss: float | None
    val_loss: float | None
    val_accuracy: float | None
    lr: float | None
    seconds: float | None
    val_seconds: float | None
    photos_per_second: float | None


@dataclass(frozen=True, slots=True)
class Training(Record):
    """How a network was trained whole.

    Args:
        device: `cpu`, `cuda`, ...
        precision: `bf16` or `fp32`.
        optimizer: its name.
        schedule: of the learning rate.
        lr: highest learning rate.
        batch_size: photos.
        epochs: asked for.
        shipped_epoch: whose weights are in the model file.
        outputs: of the last layer.
        refit_epochs: further ones on train and val together.
        photos_fitted: photos that updated weights.
        photos_judging: photos of val.
        photos_per_second: mean over the epochs.
        history: the epochs.
        assumed: settings that the recipe's source does not tell.
        notes: what else a reader must know.
        threads: of the CPU.
    """

    device: str
    precision: str
    optimizer: str
    schedule: str
    lr: float
    batch_size: int
    epochs: int
    shipped_epoch: int
    outputs: int
    refit_epochs: int
    photos_fitted: int
    photos_judging: int
    photos_per_second: float
    history: tuple[Epoch, ...]
    assumed: tuple[str, ...]
    notes: tuple[Message, ...]
    threads: int
