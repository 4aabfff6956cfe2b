"""The models of a comparison, certero's and foreign ones: opened, with what is known of each without a photo."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certero.errors import ConfigError
from certero.interchange import Json
from certero.records.preprocessing import Preprocessing
from certero.records.protocols import Map
from certero.records.quantity import Quantity
from certero.records.training import Training
from certero.runs.model import find_model
from certero.runs.stored import read_metrics
from certero.runtime.card import Fingerprints
from certero.runtime.checked import CheckedNetwork
from certero.runtime.foreign import ForeignClassifier
from certero.runtime.inference import Outputs, Photo, Runs, infer
from certero.runtime.model_file import is_foreign, read_model, take_stock
from certero.stats.intervals import spread

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Contender:
    """One model of a comparison.

    Args:
        letter: `A`, `B`, ...: what short sentences and tables call it.
        name: as the user named it.
        model: its file.
        run: the folder of its run; None for a model file alone, or a foreign one.
        classes: in the order of its outputs.
        network: what answers photos.
        outputs: of the network, the probabilities first; certero's then give the embedding, by which near copies are
            known. Empty for the only one.
        preprocessing: how a photo becomes its input.
        fingerprints: of its training photos; None for a foreign model, of which they are not known.
        facts: `kind`, `recipe`, `backbone`, `image_size`, `parameters`, `file_bytes`, `training_photos`, `epochs`.
        threshold: the model's own, which a comparison does not apply.
    """

    letter: str
    name: str
    model: Path
    run: Path | None
    classes: tuple[str, ...]
    network: Runs
    outputs: tuple[str, ...]
    preprocessing: Preprocessing
    fingerprints: Fingerprints | None
    facts: Json
    threshold: float | dict[str, float] | None

    def answer(self, photos: Sequence[Photo], map: Map) -> Iterator[Outputs]:
        """Yields the outputs' rows of each photo, or why there are none."""
        return infer(self.network, self.preprocessing, photos, self.outputs, map)


def open_contenders(models: Sequence[str | Path], cards: Sequence[str | Path], map: Map) -> list[Contender]:
    """The models in the order given.

    Args:
        models: runs, model files, or foreign ONNX files.
        cards: of the foreign models that have none beside them, in their order.
        map: ordered parallel map over the cores.

    Raises:
        ConfigError: fewer than 2 models, or a card is lacking or left over.
        ModelFileError: if a model cannot be opened.
    """
    if len(models) < 2:
        raise ConfigError(
            "a comparison needs at least 2 models; found %(n_models)s. Name another, or measure "
            "one alone: certero evaluate MODEL DATA",
            n_models=len(models),
        )
    waiting = [Path(card) for card in cards]
    opened = []
    for number, given in enumerate(models):
        model = find_model(given)
        make: Callable[..., Contender] = _open_own
        if is_foreign(model):
            make = _open_foreign
            beside = model.with_suffix(".toml")
            if beside.is_file():
                card = beside
            elif waiting:
                card = waiting.pop(0)
            else:
                raise ConfigError(
                    "a foreign MODEL needs a card that says how photos reach it; %(model)s has "
                    "none. Write %(name)s beside it, or name one with --card.",
                    model=model,
                    name=beside.name,
                )
            opened.append(make(_letter(number), str(given), model, card, map))
        else:
            opened.append(make(_letter(number), str(given), model))
    if waiting:
        raise ConfigError(
            "--card is for foreign models without a card beside them; %(waiting)s is left over. Leave it out.",
            waiting=waiting[0],
        )
    return opened


def _letter(number: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def _open_own(letter: str, name: str, model: Path) -> Contender:
    data, card = read_model(model)
    run = model.parent if (model.parent / "predictions.csv").is_file() else None
    metrics = None if run is None else read_metrics(model.parent)
    file_bytes, numbers = take_stock(data, model)
    training = card.training
    return Contender(
        letter=letter,
        name=name,
        model=model,
        run=run,
        classes=card.classes,
        network=CheckedNetwork(data, card, str(model)),
        outputs=("probabilities", "embedding"),
        preprocessing=card.preprocessing,
        fingerprints=card.fingerprints,
        facts={
            "kind": "certero",
            "recipe": training.get("recipe"),
            "backbone": training.get("backbone"),
            "image_size": card.preprocessing.width,
            "parameters": numbers if metrics is None or metrics.parameters is None else metrics.parameters,
            "file_bytes": file_bytes,
            "training_photos": len(card.fingerprints),
            "epochs": None if run is None or metrics is None else _read_epochs(run, metrics.training),
        },
        threshold=card.threshold,
    )


def _open_foreign(letter: str, name: str, model: Path, card: Path, map: Map) -> Contender:
    classifier = ForeignClassifier(model, card, map)
    return Contender(
        letter=letter,
        name=name,
        model=model,
        run=None,
        classes=classifier.classes,
        network=classifier.network,
        outputs=(),
        preprocessing=classifier.preprocessing,
        fingerprints=None,
        facts={
            "kind": "foreign",
            "recipe": None,
            "backbone": None,
            "image_size": classifier.preprocessing.width,
            "parameters": classifier.parameters,
            "file_bytes": classifier.size_bytes,
            "training_photos": None,
            "epochs": None,
        },
        threshold=None,
    )


def _read_epochs(run: Path, training: Training | None) -> Json | None:
    """What history.csv tells of a network's epochs; None for the probe, which has none."""
    try:
        with (run / "history.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        if not rows or "epoch" not in rows[0]:
            return None
        accuracies, seconds = _column(rows, "val_accuracy"), _column(rows, "seconds")
    except (OSError, ValueError, csv.Error):  # no longer as the run wrote it
        return None
    judging, shipped = (0, None) if training is None else (training.photos_judging, training.shipped_epoch or None)
    return {
        "count": len(rows),
        "shipped": shipped,
        "mean_accuracy": spread(accuracies, judging).to_json(),
        "final_accuracy": once(accuracies[-1] if accuracies else None, judging).to_json(),
        "seconds": spread(seconds, len(seconds)).to_json(),
    }


def _column(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name)]


def once(value: float | None, n: int) -> Quantity:
    """A figure that was measured once: nothing tells how far it may be off."""
    return Quantity(value, None, None, "undefined" if value is None else "measured_once", n if value is not None else 0)
