"""The plan of a training run: what it would do, take and need."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import polars as pl

from certero.interchange import Json
from certero.sentences import Sentence
from certero.stages.prepare import Prepared

_ROW_BYTES = 400


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a fitter expects of a run: its part of the plan.

    Args:
        model: recipe, backbone, image size, parameters, device and precision.
        fits: how many models and fits of the probe.
        features_remembered: photos whose embeddings need not be computed again.
        network_remembered: whether the exported backbone need not be drawn again.
        measured: what the estimate rests on.
        seconds: expected wall time by stage, without the sum.
        memory_bytes: expected peak of the process.
        run_bytes: of the run's files.
        cache_bytes: that the cache would grow by.
    """

    model: Json
    fits: Json
    features_remembered: int
    network_remembered: bool
    measured: Json
    seconds: dict[str, float]
    memory_bytes: int
    run_bytes: int
    cache_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training run would do, and what it would take on this machine as busy as it is now.

    Args:
        evaluation: `given`, `split` or `cv`, as in metrics.json; so are `cv`, `separation`, `data`, `counts`, `listed`,
            `splits`, `notes` and `versions`.
        folds: photos of each class that each fold judges; None without cross-validation.
        model: recipe, backbone, image size, parameters, device and precision.
        fits: how many models and fits of the probe.
        remembered: what need not be computed again.
        measured: what the estimate rests on.
        seconds: expected wall time by stage, and `total`.
        memory_bytes: expected peak of the process.
        memory_free_bytes: what it may hold now, with other programs and limits; None where that is not known.
        disk: bytes that the run and the cache would take, and what is free.
    """

    evaluation: str
    cv: Json | None
    separation: Json
    data: Json
    counts: Json
    listed: Json
    splits: Json
    folds: list[Json] | None
    model: Json
    fits: Json
    remembered: Json
    measured: Json
    seconds: dict[str, float]
    memory_bytes: int
    memory_free_bytes: int | None
    disk: Json
    versions: Json
    notes: list[Sentence]

    def to_json(self) -> Json:
        """The contents of `certero train --dry-run --json`."""
        return {"schema": 1, **dataclasses.asdict(self)}


def count_table_bytes(prepared: Prepared) -> int:
    """Of the files of a run that have a row a photo."""
    return len(prepared.catalogue) * (_ROW_BYTES + 12 * len(prepared.classes))


def count_folds(prepared: Prepared) -> list[Json] | None:
    """Photos of each class that each fold judges; None without cross-validation."""
    if prepared.evaluation != "cv":
        return None
    used = prepared.development.table
    counts = [
        dict(used.filter(pl.col("fold") == fold)["label"].value_counts().iter_rows()) for fold in range(prepared.folds)
    ]
    return [{label: count.get(label, 0) for label in prepared.classes} for count in counts]
