"""Photos that a model is to be judged on, and its outputs for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.data.layout import LabelLevel, some, split_named, where_classes_are
from certero.data.scan import list_photos
from certero.data.separation import Separation, SpeaksOf
from certero.data.table import Photos
from certero.errors import ConfigError, DataError
from certero.names import find_class
from certero.photos.listing import printable, typed
from certero.runtime.card import Card
from certero.runtime.inference import require_all
from certero.runtime.predictor import Predictor
from certero.sentences import message, sentence, sentences
from certero.stages.tools import Tools

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So few photos of days that the model knows, among those that it does not, change nothing.
_TOUCHING = 0.1


def list_judged(data: Path, classes: Sequence[str], label: str | None, label_level: LabelLevel | None) -> Photos:
    """The listed photos; a folder that is itself named after a class, without class folders in it, is that class."""
    data = typed(data)
    named = None if label is None else find_class(label, classes)
    if label is not None and named is None:
        raise ConfigError(
            "--label must be a class of the model (%(classes)s); found %(label)r.",
            classes=", ".join(classes),
            label=label,
        )
    if label is None and data.is_dir() and label_level is None:
        inside = [folder.name for folder in data.iterdir() if folder.is_dir()]
        if not any(split_named(name) or find_class(name, classes) for name in inside):
            named = find_class(data.resolve().name, classes)
    return _spelled(list_photos(data, label_level=label_level, single_label=named, classes=classes), classes)


def _spelled(photos: Photos, classes: Sequence[str]) -> Photos:
    """The photos with the labels that the model spells otherwise in its own spelling, and a note of them."""
    found = {label: find_class(label, classes) for label in sorted(set(photos.table["label"].drop_nulls()))}
    spelled = {label: name for label, name in found.items() if name is not None and name != label}
    notes = [
        sentence("%(label)s is taken for the class %(chosen)s", label=label, chosen=name)
        for label, name in spelled.items()
    ]
    return photos.with_columns(pl.col("label").replace(spelled)).noted(notes) if spelled else photos


def keep_known(photos: Photos, classes: Sequence[str], split: str | None) -> Photos:
    """The rows to judge: of the wanted split, and of classes that the model knows; the others are counted in a note.

    Raises:
        DataError: if no photo is left.
    """
    table = photos.table
    if split is not None:
        table = table.filter(pl.col("split") == split)
        if table.is_empty():
            found = ", ".join(sorted(photos.table["split"].drop_nulls().unique())) or message("no splits")
            raise DataError(
                "--split %(split)s needs photos of that split; DATA has %(found)s. Leave --split out.",
                split=split,
                found=found,
            )
    unknown = table.filter(~pl.col("label").is_in(list(classes)))["label"].value_counts()
    notes = [
        sentences(
            "%(count)d photo of class %(label)s, which the model does not know, was left out",
            "%(count)d photos of class %(label)s, which the model does not know, were left out",
            count=count,
            label=label,
        )
        for label, count in sorted(unknown.iter_rows())
    ]
    table = table.filter(pl.col("label").is_in(list(classes)))
    if table.is_empty():
        place = where_classes_are(photos.table["path"].to_list()) if photos.source != "manifest" else None
        above = (
            sentence(
                "the folder that holds the class folders (%(folder)s holds %(inside)s)",
                folder=printable(str(photos.root / place[0])),
                inside=some(place[1]),
            )
            if place
            else message("the folder that holds the class folders")
        )
        raise DataError(
            "DATA must hold classes that the model knows (%(classes)s); found %(found)s. Point to "
            "%(above)s, name the class of all photos with --label, or count how many the model refuses with --unknown.",
            classes=", ".join(classes),
            found=", ".join(sorted(unknown["label"])),
            above=above,
        )
    kept = dataclasses.replace(photos, table=table).noted(notes)
    if kept.used().is_empty():
        first = table.row(0, named=True)
        raise DataError(
            "DATA must hold readable photos; none of %(height)s can be read (first: %(path)s: %(problem)s).",
            height=table.height,
            path=first["path"],
            problem=kept.problem(first["problem"]),
        )
    return kept


def without_known_units(separation: Separation, units: Sequence[str | None], fresh: NDArray[np.bool_]) -> Separation:
    """The rule as it is for a model that learnt from some of these photos: its days are not other days to it.

    Args:
        separation: of the judged photos.
        units: [n] unit of each of them.
        fresh: bool [n], photos that the model was not trained on.
    """
    known = {unit for unit, new in zip(units, fresh.tolist(), strict=True) if not new}
    shared = sum(new and unit in known for unit, new in zip(units, fresh.tolist(), strict=True))
    if separation.speaks_of in ("hours", "unknown") or shared <= _TOUCHING * int(fresh.sum()):
        return separation
    description = sentence(
        "%(rule)s; the model learnt from photos of %(known)d of them", rule=separation.description, known=len(known)
    )
    speaks_of: SpeaksOf = "hours" if separation.speaks_of == "days" else "unknown"
    return dataclasses.replace(separation, description=description, speaks_of=speaks_of)


def answer_photos(
    predictor: Predictor, photos: Photos, tools: Tools
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The model's probabilities [n, K] and embeddings [n, D] of the used photos."""
    used = photos.used()
    rows: list[tuple[NDArray[np.float32], ...]] = []
    answers = predictor.answers(photos.paths(used), ["probabilities", "embedding"])
    for row in require_all(used["path"], answers):
        rows.append(row)
        tools.progress("evaluate", len(rows), used.height)
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


def accept(card: Card, probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Bool [n]: photos whose likeliest class reaches the model's own threshold."""
    least = np.array([card.least_probability(name) for name in card.classes])
    accepted: NDArray[np.bool_] = probabilities.max(axis=1).astype(np.float64) >= least[probabilities.argmax(axis=1)]
    return accepted
