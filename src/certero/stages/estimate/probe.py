"""What the training of a probe would take: a few seconds of its work are timed, the rest is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.data.split import fold_training_mask
from certero.data.table import development as development_rows
from certero.data.table import held_out
from certero.engine.threads import count_cores
from certero.interchange import Json
from certero.machine.folders import cache_folder
from certero.machine.limits import free_bytes, memory_in_all, peak_memory
from certero.probe.export import count_parameters
from certero.probe.features import Embedder
from certero.probe.probe import check_class_weights
from certero.runs.versions import versions
from certero.stages.describe import describe_photos, describe_separation
from certero.stages.embedder import loading_embedder
from certero.stages.estimate.plan import Plan, count_folds
from certero.stages.estimate.speed import Speed, measure_speed, remembered
from certero.stages.fit_probe import choose_folds
from certero.stages.prepare import Prepared, prepare
from certero.stages.tools import Resources
from certero.stats.requirements import parse_requirement

# The model file's remembered answers are checked on 32 to 63 photos (`measure.py`).
_CHECKED = 32
# Steps of the optimiser: over all strengths of a fold, for the last fit, which starts close to its end, and for one
# from nothing. Means of 429 barn crops in 3 classes (88, 32, 32) and 2,698 grocery photos in 36 (135, 16, 35).
_PATH_STEPS = 110
_LAST_STEPS = 24
_COLD_STEPS = 34
# Fixed costs on the machine whose slowness is 1, idle: seconds.
_OPENING_SECONDS = 0.02
_START_SECONDS = 1.5
_NETWORK_SECONDS = 0.08
_LIBRARIES_SECONDS = 0.4
_MODEL_SECONDS = 0.06
_REPORT_SECONDS = 0.1
#: Altered copies of a few hundred photos are shown to the model, whatever their number.
FINGERPRINTS_SECONDS = 1.0
_BOOTSTRAP_SECONDS = 6e-6  # a photo and class
# Beyond what this process holds now: the libraries of the fit and the report.
_LIBRARIES_BYTES = 120_000_000
_REPORT_BYTES = 600_000
_ROW_BYTES = 400
_BYTES_BESIDE_AN_ENTRY = 120


def plan_probe(data: Path, settings: TrainSettings, tools: Resources) -> Plan:
    """The plan of a run that fits a probe.

    Args:
        data: photos.
        settings: resolved, with `fitting = "probe"`.
        tools: cores, caches and progress.

    Raises:
        UserError: as `certero.train` would raise it.
    """
    with loading_embedder(settings, tools) as finish_loading:
        prepared = prepare(data, settings, tools)
        facts_remembered = tools.fingerprints.hits
        classes = prepared.photos.classes()
        check_class_weights(classes, settings.class_weights)
        for requirement in settings.require:
            parse_requirement(requirement, classes)
        ready = tools.networks.hits > 0
        network = finish_loading()
        work = _count_work(prepared, classes, settings)
        # Cross-validation shows every photo to the network as one to fit on.
        is_cv = prepared.evaluation == "cv"
        shown = prepared.photos.used() if is_cv else development_rows(prepared.photos)
        judged = shown.clear() if is_cv or not settings.open_test else held_out(prepared.photos)
        workers = settings.workers or count_cores()
        inner_rows = round(work.rows * work.share_fitted)
        speed = measure_speed(prepared.photos, shown, inner_rows, len(classes), network, workers, tools)
        ahead = _count_photos(shown, judged, network, tools)
        seconds = _expect_seconds(prepared, classes, settings, tools.seconds["separate"], work, ahead, speed)
        return Plan(
            evaluation=prepared.evaluation,
            cv={"folds": prepared.folds, "reason": prepared.reason} if prepared.evaluation == "cv" else None,
            separation=describe_separation(prepared.separation).to_json(),
            **describe_photos(prepared.photos, data, classes).to_json(),
            folds=count_folds(prepared, classes),
            model={
                "recipe": settings.recipe,
                "backbone": settings.backbone,
                "image_size": network.preprocessing.width,
                "parameters": count_parameters(network.onnx) + len(classes) * (speed.width + 1),
                "device": network.engine.device,
                "precision": network.engine.precision,
            },
            fits={
                "models": work.models,
                "folds": work.inner_folds,
                "strengths": len(settings.strengths),
                "total": work.fits,
                "epochs": None,
                "refit_epochs": None,
                "batch_size": None,
                "photos_fitted": None,
                "photos_judging": None,
            },
            remembered={"facts": facts_remembered, "features": ahead.remembered, "network": ready},
            measured={
                "photos": speed.photos,
                "photos_per_second": round(1 / speed.photo_seconds, 1),
                "workers": speed.workers,
                "core_share": round(speed.share, 2),
                "slowness": round(speed.slowness, 2),
            },
            seconds={stage: round(value, 2) for stage, value in seconds.items()},
            memory_bytes=_expect_memory(work, speed),
            memory_free_bytes=memory_in_all(),
            disk=_expect_disk(prepared, classes, network, ahead, speed),
            versions=versions(),
            notes=list(prepared.photos.notes),
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """How often what is done.

    Args:
        models: model files made, throw-away ones of cross-validation included.
        inner_folds: folds in which a model's strength is chosen.
        fits: of the probe, those of the random split included.
        rows: photos that the largest model is fitted on.
        judged: photos that the headline rests on; 0 with `--no-test`.
    """

    models: int
    inner_folds: int
    fits: int
    rows: int
    judged: int

    @property
    def share_fitted(self) -> float:
        """Of these photos, how many each fold fits on."""
        return (self.inner_folds - 1) / self.inner_folds if self.inner_folds > 1 else 1.0


@dataclass(frozen=True, slots=True)
class _Photos:
    """Photos that are yet to be shown to the network, and those that need not be.

    Args:
        remembered: used photos whose features the model file needs not compute again.
        new_fast: photos to show to the engine that fits.
        new_shipped: further photos to show to the model file.
    """

    remembered: int
    new_fast: int
    new_shipped: int


def _count_work(prepared: Prepared, classes: Sequence[str], settings: TrainSettings) -> _Work:
    photos, gap = prepared.photos, prepared.separation.gap
    if prepared.evaluation == "cv":
        rows = photos.table.filter(pl.Series(fold_training_mask(photos, 0, gap)))
        models = 1 + (prepared.folds if settings.open_test else 0)
        largest, judged = photos.used().height, photos.used().height
    else:
        rows = development_rows(photos)
        models, largest, judged = 1, rows.height, held_out(photos).height
    judged = judged if settings.open_test else 0
    inner, _source = choose_folds(rows, encode(rows["label"], classes), prepared.given_val, gap, settings)
    fits = models * (len(inner) * len(settings.strengths) + 1) + (settings.random_splits if judged else 0)
    return _Work(models, len(inner), fits, largest, judged)


def _count_photos(shown: pl.DataFrame, judged: pl.DataFrame, network: Embedder, tools: Resources) -> _Photos:
    every = pl.concat([shown, judged])["content_hash"]
    known = remembered(every, network.as_shipped(), tools)
    fitted_on = set(shown["content_hash"])
    known_fast = remembered(shown["content_hash"], network, tools)
    new_shipped = set(every) - known - (set() if network.engine.in_torch else fitted_on)
    return _Photos(sum(key in known for key in every), len(fitted_on - known_fast), len(new_shipped))


def _expect_seconds(
    prepared: Prepared,
    classes: Sequence[str],
    settings: TrainSettings,
    separating: float,
    work: _Work,
    ahead: _Photos,
    speed: Speed,
) -> dict[str, float]:
    """Seconds by stage, the names of metrics.json; `start` is what passes before the first."""
    slowness, step = speed.slowness, speed.step_seconds
    is_cv = prepared.evaluation == "cv"
    # Folds are fitted side by side, a core each; those left over wait for a round of their own.
    rounds = -(-work.inner_folds // speed.workers)
    path = rounds * work.share_fitted * work.rows * step * _PATH_STEPS * len(settings.strengths) / 5
    fits = work.models * (path + work.rows * step * _LAST_STEPS)
    random_rounds = -(-settings.random_splits // speed.workers)
    # Of cross-validation's models, the first judges new photos, the others remembered ones; of these a sample is shown
    # to the network again.
    first_judges = ahead.new_fast / prepared.folds if is_cv and work.judged else 0.0
    checks = max(0, work.models - 2) if is_cv else int(ahead.new_shipped < work.judged)
    checked = checks * min(work.judged, 1.5 * _CHECKED)
    opening = _OPENING_SECONDS * slowness
    seconds = {
        "start": _START_SECONDS * slowness,
        "scan": prepared.photos.table.height * speed.look_seconds,
        "separate": separating,
        "network": _NETWORK_SECONDS * slowness,
        "features": (ahead.new_fast - first_judges) * speed.photo_seconds + opening,
        "fit": fits + _LIBRARIES_SECONDS * slowness,
        "export": work.models * _MODEL_SECONDS * slowness,
    }
    if work.judged:
        shown = ahead.new_shipped + first_judges + checked
        bootstrap = work.judged * len(classes) * _BOOTSTRAP_SECONDS * slowness
        seconds["evaluate"] = shown * speed.photo_seconds + work.models * 2 * opening
        seconds["score"] = random_rounds * work.rows * step * _COLD_STEPS + bootstrap + 0.1 * slowness
    seconds["fingerprints"] = FINGERPRINTS_SECONDS * slowness
    seconds["report"] = _REPORT_SECONDS * slowness
    return seconds | {"total": sum(seconds.values())}


def _expect_memory(work: _Work, speed: Speed) -> int:
    """Peak of the run: what this process has needed so far, and the features that fits side by side copy."""
    features = work.rows * speed.width * 4
    return round(peak_memory() + _LIBRARIES_BYTES + features * (2 + 3 * min(speed.workers, work.inner_folds)))


def _expect_disk(prepared: Prepared, classes: Sequence[str], network: Embedder, ahead: _Photos, speed: Speed) -> Json:
    photos = prepared.photos.table.height
    head = len(classes) * speed.width * 4
    return {
        "run_bytes": len(network.onnx) + head + _REPORT_BYTES + photos * (_ROW_BYTES + 12 * len(classes)),
        "cache_bytes": (ahead.new_fast + ahead.new_shipped) * (speed.width * 4 + _BYTES_BESIDE_AN_ENTRY),
        "free_bytes": free_bytes(Path.cwd()),
        "cache_free_bytes": free_bytes(cache_folder()),
    }
