"""What the training of a network would take: a throw-away network trains a few steps, the rest is counted.

The photos that it is tried on are those of train; the network and what it learnt are thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.learn.batches import SHARE_OF_MEMORY, cap_classes
from certero.machine.limits import fits, peak_memory
from certero.stages.estimate.plan import Estimate, count_table_bytes
from certero.stages.estimate.probe import FINGERPRINTS_SECONDS
from certero.stages.network_training import VAL_TIMES, NetworkTraining, Tried, hold_back
from certero.stages.prepare import Prepared
from certero.stages.tools import Tools

# The model file looks at a photo in about the time in which torch judges one.
_REPORT_BYTES = 900_000
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


def estimate_network(prepared: Prepared, training: NetworkTraining, settings: TrainSettings, tools: Tools) -> Estimate:
    """What a run that trains a network whole would take.

    Args:
        prepared: photos; none of the sealed ones is shown to the network.
        training: of the run's networks.
        settings: resolved.
        tools: cores, caches and progress.
    """
    parts = _count_parts(prepared, settings)
    tools.progress("measure", 0, 1)
    tried = training.try_out(prepared.development, prepared.classes)
    tools.progress("measure", 1, 1)
    judged = len(prepared.sealed) if settings.open_test else 0
    trainer = training.trainer()
    weights = tried.parameters * _WEIGHTS_BYTES
    return Estimate(
        model={
            "recipe": settings.recipe,
            "backbone": None if settings.layers else settings.backbone,
            "image_size": training.preprocessing.width,
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
        features_remembered=0,
        network_remembered=False,
        measured={
            "photos": tried.photos,
            "photos_per_second": round(1 / tried.step_seconds, 2),
            "workers": training.threads(),
            "core_share": None,
            "slowness": None,
        },
        seconds=_expect_seconds(prepared, settings, parts, tried, judged, tools.seconds),
        memory_bytes=_expect_memory(training, settings, parts, weights),
        # The model file, the weights beside it, and what a training saves until it is done.
        run_bytes=2 * weights + _REPORT_BYTES + count_table_bytes(prepared),
        cache_bytes=0,
    )


def _count_parts(prepared: Prepared, settings: TrainSettings) -> list[_Part]:
    """One entry a training, the shipped one last."""
    development, gap = prepared.development, prepared.separation.gap
    folds = range(prepared.folds if settings.open_test else 0)
    parts = []
    for photos in [*(development.outside_fold(fold, gap) for fold in folds), development]:
        truth = encode(photos.table["label"], prepared.classes)
        train, val = hold_back(photos, truth, gap, settings)
        train = train[cap_classes(truth[train], settings.class_cap, settings.seed)]
        parts.append(_Part(len(train), len(val), len(photos)))
    return parts


def _expect_seconds(
    prepared: Prepared,
    settings: TrainSettings,
    parts: Sequence[_Part],
    tried: Tried,
    judged: int,
    took: Mapping[str, float],
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
        "scan": min(took["scan"], len(prepared.catalogue) * _SCAN_SECONDS),
        "separate": took["separate"],
        "decode": sum((part.fitted + part.judging) * tried.decode_seconds for part in parts),
        "fit": sum(training(part) for part in parts),
        "export": len(parts) * (_EXPORT_SECONDS + weights * _SECONDS_A_WEIGHT_BYTE),
        "calibrate": sum(part.judging * look for part in parts),
        "evaluate": sum(part.looked_at * look for part in parts) + judged * look,
    }
    if judged:
        # Each network of a random split predicts the photos left over.
        others = judged if prepared.evaluation != "cv" else judged // prepared.folds
        times = settings.random_splits
        seconds["score"] = times * (training(parts[0]) + others * look + parts[0].fitted * tried.decode_seconds) + 1.0
    seconds["fingerprints"] = FINGERPRINTS_SECONDS
    seconds["report"] = _REPORT_SECONDS
    return seconds


def _expect_memory(training: NetworkTraining, settings: TrainSettings, parts: Sequence[_Part], weights: int) -> int:
    """What the tried steps took, the photos that are kept, and the moving average."""
    larger, judged = training.roomy.width, training.preprocessing.width
    fitted, judging = max(part.fitted for part in parts), max(part.judging for part in parts)
    learnt = fitted + (judging if settings.refit_epochs else 0)
    stores = (learnt * larger * larger * 3, judging * judged * judged * 3)
    kept = sum(size for size in stores if fits(size, SHARE_OF_MEMORY))
    average = weights if settings.ema else 0
    return peak_memory() + kept + average
