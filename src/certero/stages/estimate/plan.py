"""The plan of a training run: what it would do, take and need."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from certero.interchange import Json
from certero.stages.prepare import Prepared


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
    notes: list[str]

    def to_json(self) -> Json:
        """The contents of `certero train --dry-run --json`."""
        return {"schema": 1, **dataclasses.asdict(self)}


def count_folds(prepared: Prepared, classes: Sequence[str]) -> list[Json] | None:
    """Photos of each class that each fold judges; None without cross-validation."""
    if prepared.evaluation != "cv":
        return None
    used = prepared.photos.used()
    counts = [
        dict(used.filter(pl.col("fold") == fold)["label"].value_counts().iter_rows()) for fold in range(prepared.folds)
    ]
    return [{label: count.get(label, 0) for label in classes} for count in counts]
