"""A small training in a process of its own, for tests that kill it. Started by `multiprocessing`."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from certero.config.settings import TrainSettings
from certero.learn.augment import Augmentation
from certero.learn.batches import PhotoStore
from certero.learn.devices import Trainer
from certero.learn.examples import Examples, TrainingData
from certero.photos.pixels import resize
from certero.records.preprocessing import Preprocessing

SIDE, N, CLASSES = 32, 40, 3
CPU = Trainer("cpu", in_bf16=False)
LAYERS = (
    {"layer": "conv", "filters": 8, "kernel": 3, "padding": 1},
    {"layer": "batch_norm"},
    {"layer": "relu"},
    {"layer": "max_pool", "size": 4},
    {"layer": "dropout", "share": 0.2},
    {"layer": "flatten"},
    {"layer": "dense", "units": "classes"},
)


def settings(**changed: Any) -> TrainSettings:
    """A training that uses everything that a checkpoint must remember."""
    whole: dict[str, Any] = {
        "fitting": "network",
        "layers": LAYERS,
        "image_size": SIDE,
        "epochs": 4,
        "batch_size": 8,
        "lr": 0.01,
        "optimizer": "adamw",
        "schedule": "one-cycle",
        "label_smoothing": 0.1,
        "ema": 0.9,
        "start_share": 0.2,
        "mixup": 0.2,
        "augment": "strong",
        "checkpoint_seconds": 0.0,
    }
    return TrainSettings(**whole | changed)


def examples(folder: Path, n: int = N, seed: int = 0) -> Examples:
    """Photos of three colours with noise; as PNG files, through the one pixel path."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    truth = np.arange(n) % CLASSES
    files = []
    for row in range(n):
        file = folder / f"{seed}-{row}.png"
        if not file.exists():
            levels = rng.integers(0, 160, (8, 8, 3)).astype(np.uint8)
            levels[..., truth[row]] += 60
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(resize(levels, SIDE, SIDE)).save(file)
        files.append(file)
    store = PhotoStore(files, Preprocessing(SIDE, SIDE, "stretch"), map)
    return Examples(store, np.arange(n).astype(np.uint64), truth, truth)


def data(train: Examples, val: Examples | None, weights: Sequence[float], augmentation: Augmentation) -> TrainingData:
    """What one training uses, at the side of the photos."""
    return TrainingData(train, val, np.array(weights), augmentation, SIDE)


def train(photos: Path, checkpoints: Path, result: Path, kill: tuple[str, int] | None = None, **changed: Any) -> None:
    """Trains, or goes on; writes the weights and the history to `result` in the end.

    Args:
        photos: where the photos are drawn.
        checkpoints: folder.
        result: file.
        kill: `("sync", n)` ends this process as a power cut would inside its n-th sync of a file, `("step", n)` after
            its n-th step.
        **changed: settings.
    """
    import torch
    from safetensors.torch import save_file

    from certero.learn import checkpoints as saving
    from certero.learn.augment import read_augmentation
    from certero.learn.classifier import build_classifier
    from certero.learn.cnn import plan_cnn
    from certero.learn.loop import train_network

    torch.set_num_threads(1)
    calls = {"sync": 0, "step": 0}

    def die_in_time(what: str) -> None:
        calls[what] += 1
        if kill == (what, calls[what]):
            os.kill(os.getpid(), signal.SIGKILL)

    really_sync = saving.sync

    def sync(path: Path) -> None:
        die_in_time("sync")
        really_sync(path)

    saving.sync = sync
    chosen = settings(**changed)
    augmentation = read_augmentation(chosen.augment)
    trained = train_network(
        build_classifier(plan_cnn(LAYERS, CLASSES, SIDE), np.arange(CLASSES), chosen),
        data(examples(photos), examples(photos, 12, seed=1), [1.0, 2.0, 3.0], augmentation),
        chosen,
        CPU,
        saving.Checkpoints(checkpoints),
        progress=lambda *_said: die_in_time("step"),
    )
    network, at = trained.network, trained.at
    timeless = [{key: value for key, value in row.items() if "second" not in key} for row in at.history]
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, result, {"told": repr((timeless, at.best_epoch, at.best))})
