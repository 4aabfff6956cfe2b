"""What a training run would do, take and need, without training: `certero train --dry-run`.

The photos are scanned, separated and split as the run itself would do it, and what that finds is remembered: no time is
lost by it. The test photos stay sealed: what is measured here is measured on others.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from certero.cache import BlobCache
from certero.config import TrainSettings, cache_folder, resolve
from certero.data.split import fold_training_mask
from certero.data.table import Photos, held_out
from certero.data.table import development as development_rows
from certero.engine.threads import count_cores
from certero.learn.export import count_parameters
from certero.learn.features import Precision, RememberedFeatures, choose_device
from certero.learn.probe import check_class_weights, time_fitting
from certero.pipelines.fit import RUNTIME, Network, choose_folds, embed_photos, encode, loading_network, versions
from certero.pipelines.prepare import Prepared, RememberedLook, prepare
from certero.pipelines.resources import Resources, resources
from certero.pipelines.tables import describe_photos, describe_separation
from certero.records import Json, Progress, no_progress
from certero.runtime.network import Network as Runtime
from certero.stats.requirements import parse_requirement

# Photos that are shown to the network to learn its speed here: one to two seconds of it.
_MEASURED = 48
_LOOKED_AT = 64
_ROWS_FITTED = 400
_SESSIONS = 3
# The model file's remembered answers are checked on 32 to 63 photos (`measure.py`).
_CHECKED = 32

# Steps of the optimiser: over all strengths of a fold, for the last fit, which starts close to its end, and for one
# from nothing. Means of 429 barn crops in 3 classes (88, 32, 32) and 2,698 grocery photos in 36 (135, 16, 35).
_PATH_STEPS = 110
_LAST_STEPS = 24
_COLD_STEPS = 34
_RANDOM_SPLITS = 5
# Seconds of one core of the machine that the rest was measured on, which opens the bundled network in so many.
_OPENING_SECONDS = 0.02
_START_SECONDS = 2.2
_LIBRARIES_SECONDS = 1.8
_MODEL_SECONDS = 0.06
_REPORT_SECONDS = 0.3
_BOOTSTRAP_SECONDS = 2.0e-5  # a photo and class
# Beyond what this process holds now: the libraries of the fit and the report.
_LIBRARIES_BYTES = 120_000_000
_REPORT_BYTES = 600_000
_ROW_BYTES = 400
_BYTES_BESIDE_AN_ENTRY = 120


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
    disk: Json
    versions: Json
    notes: list[str]

    def to_json(self) -> Json:
        """The contents of `certero train --dry-run --json`."""
        return {"schema": 1, **dataclasses.asdict(self)}


def plan(data: str | Path, *, recipe: str = "probe", progress: Progress = no_progress, **settings: Any) -> Plan:
    """What `certero.train` with the same arguments would do, take and need; nothing is trained and no run written.

    Args:
        data: folder of class folders, pre-split folder, or manifest.
        recipe: a recipe's name or TOML file.
        progress: called with (stage, done, total).
        **settings: fields of `certero.config.TrainSettings`.

    Raises:
        UserError: a kind of it for each mistake that the user can mend, as `certero.train` would raise it.
    """
    resolved = resolve(recipe, **settings)
    for requirement in resolved.require:
        parse_requirement(requirement)
    data = Path(data)
    with resources(resolved.workers, progress) as tools, loading_network(resolved, tools) as finish_loading:
        prepared = prepare(data, resolved, tools)
        facts_remembered = tools.fingerprints.hits
        classes = prepared.photos.classes()
        check_class_weights(classes, resolved.class_weights)
        for requirement in resolved.require:
            parse_requirement(requirement, classes)
        ready = tools.networks.hits > 0
        network = finish_loading()
        work = _count_work(prepared, classes, resolved)
        measured = _measure(prepared, classes, network, resolved, tools)
        seconds = _expect_seconds(prepared, classes, resolved, tools, work, measured)
        return Plan(
            evaluation=prepared.evaluation,
            cv={"folds": prepared.folds, "reason": prepared.reason} if prepared.evaluation == "cv" else None,
            separation=describe_separation(prepared.separation),
            **describe_photos(prepared.photos, data, classes),
            folds=_count_folds(prepared, classes),
            model={
                "recipe": resolved.recipe,
                "backbone": resolved.backbone,
                "image_size": network.preprocessing.width,
                "parameters": count_parameters(network.onnx) + len(classes) * (measured.width + 1),
                "device": measured.device,
                "precision": measured.precision,
            },
            fits={
                "models": work.models,
                "folds": work.inner_folds,
                "strengths": len(resolved.strengths),
                "total": work.fits,
            },
            remembered={"facts": facts_remembered, "features": measured.remembered, "network": ready},
            measured={
                "photos": measured.photos,
                "photos_per_second": round(1 / measured.photo_seconds, 1),
                "workers": measured.workers,
                "slowness": round(measured.slowness, 2),
            },
            seconds={stage: round(value, 2) for stage, value in seconds.items()},
            memory_bytes=_expect_memory(work, measured),
            disk=_expect_disk(prepared, classes, network, measured),
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


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was found out about this machine and the caches.

    Args:
        device: that features are computed on.
        precision: that they are computed in.
        width: D, numbers that describe a photo.
        workers: threads.
        photos: photos that were shown to the network here.
        photo_seconds: a photo from file to features, all cores at work.
        look_seconds: a photo that is remembered, looked at again.
        step_seconds: of one optimiser step on one row, every core busy with a fit of its own.
        slowness: wall time of a fixed piece of work, in those of the reference machine.
        remembered: used photos whose features the model file needs not compute again.
        new_fast: photos to show to the engine that fits.
        new_shipped: photos to show to the model file, where that is another engine or judges them.
    """

    device: str
    precision: str
    width: int
    workers: int
    photos: int
    photo_seconds: float
    look_seconds: float
    step_seconds: float
    slowness: float
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
    fits = models * (len(inner) * len(settings.strengths) + 1) + (_RANDOM_SPLITS if judged else 0)
    return _Work(models, len(inner), fits, largest, judged)


def _count_folds(prepared: Prepared, classes: Sequence[str]) -> list[Json] | None:
    if prepared.evaluation != "cv":
        return None
    used = prepared.photos.used()
    counts = [
        dict(used.filter(pl.col("fold") == fold)["label"].value_counts().iter_rows()) for fold in range(prepared.folds)
    ]
    return [{label: count.get(label, 0) for label in classes} for count in counts]


# --- Measuring ---


def _measure(
    prepared: Prepared, classes: Sequence[str], network: Network, settings: TrainSettings, tools: Resources
) -> _Measured:
    """Shows some photos to the network, looks at some again and fits a little; test photos stay closed."""
    photos = prepared.photos
    silent = dataclasses.replace(tools, progress=no_progress)
    workers = settings.workers or count_cores()
    device, precision = choose_device(settings.device, settings.precision)
    tools.progress("measure", 0, 3)
    opening = _time_opening(network)
    # Cross-validation shows every photo to the network, each as a photo to fit on.
    rows = photos.used() if prepared.evaluation == "cv" else development_rows(photos)
    measured, photo_seconds, width = _time_features(photos, rows, network, device, precision, silent, opening, workers)
    tools.progress("measure", 1, 3)
    look_seconds = _time_looks(photos.paths(rows), tools)
    tools.progress("measure", 2, 3)
    step = time_fitting(min(rows.height, _ROWS_FITTED), width, len(classes), workers, tools.map)
    tools.progress("measure", 3, 3)
    judged = held_out(photos) if prepared.evaluation != "cv" and settings.open_test else None
    shown = rows if judged is None else pl.concat([rows, judged])
    fast = _engine(device, precision)
    known_shipped = _remembered(shown["pixel_hash"], network, tools, _engine(*RUNTIME))
    known_fast = known_shipped if fast == _engine(*RUNTIME) else _remembered(rows["pixel_hash"], network, tools, fast)
    development = set(rows["pixel_hash"])
    both = fast == _engine(*RUNTIME)
    return _Measured(
        device=device,
        precision=precision,
        width=width,
        workers=workers,
        photos=measured,
        photo_seconds=photo_seconds,
        look_seconds=look_seconds,
        step_seconds=step,
        slowness=opening / _OPENING_SECONDS,
        remembered=sum(key in known_shipped for key in shown["pixel_hash"]),
        new_fast=len(development - known_fast),
        new_shipped=len(set(shown["pixel_hash"]) - known_shipped - (development if both else set())),
    )


def _engine(device: str, precision: str) -> str:
    """The name that remembered features carry, as in `learn.features.embed`."""
    return f"torch-{device}-{precision}" if device != "cpu" or precision == "bf16" else "onnxruntime"


def _remembered(hashes: pl.Series, network: Network, tools: Resources, engine: str) -> set[str]:
    cache = RememberedFeatures(tools.features, network.network_id, network.preprocessing, engine)
    return set(cache.get(hashes.unique().to_list()))


def _time_opening(network: Network) -> float:
    times: list[float] = []
    for _number in range(_SESSIONS + 1):
        start = time.perf_counter()
        Runtime(network.onnx)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))  # the first also loads the library


def _time_features(
    photos: Photos,
    rows: pl.DataFrame,
    network: Network,
    device: str,
    precision: Precision,
    tools: Resources,
    opening: float,
    workers: int,
) -> tuple[int, float, int]:
    """Photos that were shown, seconds a photo with every core at work, and the width of what came out.

    Photos whose features are not remembered yet come first, and their features are kept.
    """
    known = _remembered(rows["pixel_hash"], network, tools, _engine(device, precision))
    unknown = rows.unique("pixel_hash", maintain_order=True).filter(~pl.col("pixel_hash").is_in(known))
    sample = unknown.gather_every(max(1, unknown.height // _MEASURED)).head(_MEASURED)
    paths, hashes = photos.paths(sample), sample["pixel_hash"].to_list()
    if sample.is_empty():
        # Everything is remembered: what is measured serves the check of the model file alone.
        with tempfile.TemporaryDirectory() as folder:
            forgetful = dataclasses.replace(tools, features=BlobCache("features", Path(folder)))
            try:
                return _time_features(photos, rows, network, device, precision, forgetful, opening, workers)
            finally:
                forgetful.features.close()
    first = min(2 * workers, len(paths) // 2)
    if first:
        embed_photos(paths[:first], hashes[:first], network, device, precision, tools)
    start = time.perf_counter()
    found = embed_photos(paths[first:], hashes[first:], network, device, precision, tools)
    took = time.perf_counter() - start
    count = len(paths) - first
    return len(paths), max(took - opening, 0.5 * took) / count, found.shape[1]


def _time_looks(paths: Sequence[Path], tools: Resources) -> float:
    sample = paths[:: max(1, len(paths) // _LOOKED_AT)][:_LOOKED_AT]
    look = RememberedLook(tools.fingerprints)
    start = time.perf_counter()
    for _facts in tools.map(look, sample):
        pass
    took = time.perf_counter() - start
    look.save()
    return took / len(sample)


# --- Expecting ---


def _expect_seconds(
    prepared: Prepared,
    classes: Sequence[str],
    settings: TrainSettings,
    tools: Resources,
    work: _Work,
    measured: _Measured,
) -> dict[str, float]:
    """Seconds by stage, the names of metrics.json; `start` is what passes before the first."""
    slowness = measured.slowness
    step = measured.step_seconds
    # Folds are fitted side by side, a core each; those left over wait for a round of their own.
    rounds = -(-work.inner_folds // measured.workers)
    inside = (work.inner_folds - 1) / work.inner_folds if work.inner_folds > 1 else 1.0
    path = rounds * inside * work.rows * step * _PATH_STEPS * len(settings.strengths) / 5
    fits = work.models * (path + work.rows * step * _LAST_STEPS)
    random_rounds = -(-_RANDOM_SPLITS // measured.workers)
    # Of cross-validation's models, the first meets new photos, the others remembered ones; those are checked by sample.
    checks = max(0, work.models - 2) if prepared.evaluation == "cv" else int(measured.new_shipped < work.judged)
    checked = checks * min(work.judged, 1.5 * _CHECKED)
    seconds = {
        "start": _START_SECONDS * slowness,
        "scan": prepared.photos.table.height * measured.look_seconds,
        "separate": tools.seconds["separate"],
        "network": 0.1 * slowness,
        "features": measured.new_fast * measured.photo_seconds + measured.slowness * _OPENING_SECONDS,
        "fit": fits + _LIBRARIES_SECONDS * slowness,
        "export": work.models * _MODEL_SECONDS * slowness,
    }
    if work.judged:
        seconds["evaluate"] = (
            measured.new_shipped + checked
        ) * measured.photo_seconds + work.models * 2 * _OPENING_SECONDS * slowness
        seconds["score"] = (
            random_rounds * work.rows * step * _COLD_STEPS
            + work.judged * len(classes) * _BOOTSTRAP_SECONDS * slowness
            + 0.1 * slowness
        )
    seconds["report"] = _REPORT_SECONDS * slowness
    return seconds | {"total": sum(seconds.values())}


def _expect_memory(work: _Work, measured: _Measured) -> int:
    """Peak of the run: what this process has needed so far, and the features that fits side by side copy."""
    features = work.rows * measured.width * 4
    return round(_peak_memory() + _LIBRARIES_BYTES + features * (2 + 3 * min(measured.workers, work.inner_folds)))


def _peak_memory() -> int:
    """Most bytes that this process has held; a usual figure where the system does not say."""
    try:
        import resource
        import sys
    except ImportError:
        return 350_000_000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _expect_disk(prepared: Prepared, classes: Sequence[str], network: Network, measured: _Measured) -> Json:
    photos = prepared.photos.table.height
    head = len(classes) * measured.width * 4
    return {
        "run_bytes": len(network.onnx) + head + _REPORT_BYTES + photos * (_ROW_BYTES + 12 * len(classes)),
        "cache_bytes": (measured.new_fast + measured.new_shipped) * (measured.width * 4 + _BYTES_BESIDE_AN_ENTRY),
        "free_bytes": _free(Path.cwd()),
        "cache_free_bytes": _free(cache_folder()),
    }


def _free(folder: Path) -> int | None:
    place = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None
