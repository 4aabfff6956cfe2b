"""What the training of a network would take: a throw-away network trains a few steps, the rest is counted.

The photos that it is tried on are those of train; the network and what it learnt are thrown away.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.data.split import fold_training_mask
from certero.data.table import development as development_rows
from certero.data.table import held_out
from certero.learn.batches import cap_classes
from certero.machine.folders import cache_folder
from certero.machine.limits import available_bytes, free_bytes, memory_in_all, peak_memory
from certero.probe.probe import check_class_weights
from certero.runs.versions import versions
from certero.stages.describe import describe_photos, describe_separation
from certero.stages.estimate.plan import Plan, count_folds
from certero.stages.estimate.probe import FINGERPRINTS_SECONDS
from certero.stages.fit_network import VAL_TIMES, NetworkFitter, Tried, hold_back
from certero.stages.prepare import Prepared, prepare
from certero.stages.tools import Resources
from certero.stats.requirements import parse_requirement

# The model file looks at a photo in about the time in which torch judges one.
_REPORT_BYTES, _ROW_BYTES = 900_000, 400
# Fixed costs, and what a byte of weights takes to export, to check and to save.
_START_SECONDS, _SCAN_SECONDS, _EXPORT_SECONDS, _REPORT_SECONDS = 3.0, 0.01, 3.0, 1.0
_SECONDS_A_WEIGHT_BYTE = 1.5e-8
_WEIGHTS_BYTES = 4


@dataclass(frozen=True, slots=True)
class _Part:
    """Photos of one training: fitted on, judging each epoch, looked at by its model file."""

    fitted: int
    judging: int
    looked_at: int


def plan_network(data: Path, settings: TrainSettings, tools: Resources) -> Plan:
    """The plan of a run that trains a network whole.

    Args:
        data: photos.
        settings: resolved, with `fitting = "network"`.
        tools: cores, caches and progress.

    Raises:
        UserError: as `certero.train` would raise it.
    """
    with tempfile.TemporaryDirectory() as folder:
        fitter = NetworkFitter(settings, tools, Path(folder), "")
        scanning = time.perf_counter()
        prepared = prepare(data, settings, tools)
        scanning = time.perf_counter() - scanning - tools.seconds["separate"]
        facts_remembered = tools.fingerprints.hits
        classes = prepared.photos.classes()
        check_class_weights(classes, settings.class_weights)
        for requirement in settings.require:
            parse_requirement(requirement, classes)
        fitter.check(prepared.photos.table, classes)
        parts, largest = _count_parts(prepared, classes, settings)
        tools.progress("measure", 0, 1)
        tried = fitter.try_out(largest, prepared.photos.paths(largest), classes)
        tools.progress("measure", 1, 1)
    is_cv = prepared.evaluation == "cv"
    judged = 0
    if settings.open_test:
        judged = prepared.photos.used().height if is_cv else held_out(prepared.photos).height
    trainer = fitter.trainer()
    seconds = _expect_seconds(prepared, settings, parts, tried, judged, tools.seconds["separate"], scanning)
    weights = tried.parameters * _WEIGHTS_BYTES
    return Plan(
        evaluation=prepared.evaluation,
        cv={"folds": prepared.folds, "reason": prepared.reason} if is_cv else None,
        separation=describe_separation(prepared.separation).to_json(),
        **describe_photos(prepared.photos, data, classes).to_json(),
        folds=count_folds(prepared, classes),
        model={
            "recipe": settings.recipe,
            "backbone": None if settings.layers else settings.backbone,
            "image_size": fitter.preprocessing.width,
            "parameters": tried.parameters,
            "device": trainer.device,
            "precision": "bf16" if trainer.in_bf16 else "fp32",
        },
        fits={
            "models": len(parts),
            "folds": None,
            "strengths": None,
            "total": len(parts) + (settings.random_splits if judged else 0),
            "epochs": settings.epochs,
            "refit_epochs": settings.refit_epochs,
            "batch_size": settings.batch_size,
            "photos_fitted": parts[-1].fitted,
            "photos_judging": parts[-1].judging,
        },
        remembered={"facts": facts_remembered, "features": 0, "network": False},
        measured={
            "photos": tried.photos,
            "photos_per_second": round(1 / tried.step_seconds, 2),
            "workers": fitter.threads(),
            "core_share": None,
            "slowness": None,
        },
        seconds={stage: round(value, 2) for stage, value in seconds.items()},
        memory_bytes=_expect_memory(fitter, settings, parts, weights),
        memory_free_bytes=memory_in_all(),
        disk={
            # The model file, the weights beside it, and what a training saves until it is done.
            "run_bytes": 2 * weights + _REPORT_BYTES + prepared.photos.table.height * (_ROW_BYTES + 12 * len(classes)),
            "cache_bytes": 0,
            "free_bytes": free_bytes(Path.cwd()),
            "cache_free_bytes": free_bytes(cache_folder()),
        },
        versions=versions(),
        notes=list(prepared.photos.notes),
    )


def _count_parts(
    prepared: Prepared, classes: Sequence[str], settings: TrainSettings
) -> tuple[list[_Part], pl.DataFrame]:
    """One entry a training, the shipped one last, and the photos of that one."""
    photos, gap = prepared.photos, prepared.separation.gap
    if prepared.evaluation == "cv":
        last = photos.used()
        folds = range(prepared.folds if settings.open_test else 0)
        tables = [*(photos.table.filter(pl.Series(fold_training_mask(photos, fold, gap))) for fold in folds), last]
    else:
        last = development_rows(photos)
        tables = [last]
    parts = []
    for table in tables:
        truth = encode(table["label"], classes)
        train, val = hold_back(table, truth, gap, settings)
        train = train[cap_classes(truth[train], settings.class_cap, settings.seed)]
        parts.append(_Part(len(train), len(val), table.height))
    return parts, last


def _expect_seconds(
    prepared: Prepared,
    settings: TrainSettings,
    parts: Sequence[_Part],
    tried: Tried,
    judged: int,
    separating: float,
    scanning: float,
) -> dict[str, float]:
    weights = tried.parameters * _WEIGHTS_BYTES
    look = tried.judge_seconds + tried.decode_seconds
    # An epoch that is the best so far is saved: its weights, and all that training needs to go on.
    save = 4 * weights * _SECONDS_A_WEIGHT_BYTE

    def training(part: _Part) -> float:
        epoch = part.fitted * tried.step_seconds + part.judging * tried.judge_seconds + save
        refit = (part.fitted + VAL_TIMES * part.judging) * tried.step_seconds + save
        # The last layer begins where a regression on what the others say of the photos ends.
        begin = part.fitted * tried.judge_seconds if settings.start_strength and not settings.layers else 0.0
        return begin + settings.epochs * epoch + settings.refit_epochs * refit

    seconds = {
        "start": _START_SECONDS,
        "scan": min(scanning, prepared.photos.table.height * _SCAN_SECONDS),
        "separate": separating,
        "decode": sum((part.fitted + part.judging) * tried.decode_seconds for part in parts),
        "fit": sum(training(part) for part in parts),
        "export": len(parts) * (_EXPORT_SECONDS + weights * _SECONDS_A_WEIGHT_BYTE),
        "calibrate": sum(part.judging * look for part in parts),
        "evaluate": sum(part.looked_at * look for part in parts) + judged * look,
    }
    if judged:
        # Each network of a random split is asked about the photos left over.
        others = judged if prepared.evaluation != "cv" else judged // prepared.folds
        times = settings.random_splits
        seconds["score"] = times * (training(parts[0]) + others * look + parts[0].fitted * tried.decode_seconds) + 1.0
    seconds["fingerprints"] = FINGERPRINTS_SECONDS
    seconds["report"] = _REPORT_SECONDS
    return seconds | {"total": sum(seconds.values())}


def _expect_memory(fitter: NetworkFitter, settings: TrainSettings, parts: Sequence[_Part], weights: int) -> int:
    """What the tried steps took, the photos that are kept, and the moving average."""
    larger, judged = fitter.roomy.width, fitter.preprocessing.width
    fitted, judging = max(part.fitted for part in parts), max(part.judging for part in parts)
    learnt = fitted + (judging if settings.refit_epochs else 0)
    stores = (learnt * larger * larger * 3, judging * judged * judged * 3)
    kept = sum(size for size in stores if size <= available_bytes() * 0.4)
    average = weights if settings.ema else 0
    return peak_memory() + kept + average
