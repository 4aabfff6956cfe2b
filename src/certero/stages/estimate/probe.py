"""What the training of a probe would take: a few seconds of its work are timed, the rest is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from certero.config.settings import TrainSettings
from certero.data.labels import encode
from certero.engine.threads import count_cores
from certero.machine.limits import peak_memory
from certero.probe.export import count_parameters
from certero.probe.features import Embedder
from certero.runs.seal import Development
from certero.stages.estimate.plan import Estimate, count_table_bytes
from certero.stages.estimate.speed import Speed, measure_speed, remembered
from certero.stages.other_half import may_ask_other_half
from certero.stages.prepare import Prepared
from certero.stages.probe_training import choose_folds
from certero.stages.tools import Tools

# Remembered embeddings are checked against the model file on 32 to 63 photos (`stages.model_outputs`).
_CHECKED = 32
# Steps of the optimiser: over all strengths of a fold, for the last fit, which starts close to its end, and for one
# from nothing. Means of 429 barn crops in 3 classes (88, 32, 32) and 2,698 grocery photos in 36 (135, 16, 35).
_PATH_STEPS = 110
_LAST_STEPS = 24
_COLD_STEPS = 34
# Fixed costs on the machine whose slowness is 1, idle: seconds.
_OPENING_SECONDS = 0.02
# A photo laid on those that could be altered copies of it: 4,964 grocery photos took 3 s of two cores.
_NEAR_SECONDS = 0.0006
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
_BYTES_BESIDE_AN_ENTRY = 120


def estimate_probe(prepared: Prepared, embedder: Embedder, settings: TrainSettings, tools: Tools) -> Estimate:
    """What a run that fits a probe would take.

    Args:
        prepared: photos; none of the sealed ones is shown to the network.
        embedder: the backbone.
        settings: resolved.
        tools: cores, caches and progress.
    """
    network_remembered = tools.networks.hits > 0
    work = _count_work(prepared, settings)
    classes, shown = prepared.classes, prepared.development
    workers = settings.workers or count_cores()
    inner_rows = round(work.fitted_rows * work.share_fitted)
    speed = measure_speed(shown, inner_rows, len(classes), embedder, workers, tools)
    # Cross-validation shows every photo to the network as one to fit on.
    is_sealed = prepared.evaluation != "cv" and settings.open_test
    judged = prepared.sealed.content_hashes() if is_sealed else []
    ahead = _count_photos(shown, judged, embedder, settings.views or 1, tools)
    head_bytes = len(classes) * speed.width * 4
    return Estimate(
        model={
            "recipe": settings.recipe,
            "backbone": settings.backbone,
            "image_size": embedder.preprocessing.width,
            "parameters": count_parameters(embedder.onnx) + len(classes) * (speed.width + 1),
            "device": embedder.backend.device,
            "precision": embedder.backend.precision,
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
        features_remembered=ahead.remembered,
        network_remembered=network_remembered,
        measured={
            "photos": speed.photos,
            "photos_per_second": round(1 / speed.photo_seconds, 1),
            "workers": speed.workers,
            "core_share": round(speed.share, 2),
            "slowness": round(speed.slowness, 2),
        },
        seconds=_expect_seconds(prepared, settings, tools.seconds["separate"], work, ahead, speed),
        memory_bytes=_expect_memory(work, speed),
        run_bytes=len(embedder.onnx) + head_bytes + _REPORT_BYTES + count_table_bytes(prepared),
        cache_bytes=(ahead.new_fast + ahead.new_views + ahead.new_shipped) * (speed.width * 4 + _BYTES_BESIDE_AN_ENTRY),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """How often what is done.

    Args:
        models: model files made, throw-away ones of cross-validation included.
        inner_folds: folds in which a model's strength is chosen.
        fits: of the probe, those of the random split included.
        rows: photos that the largest model is fitted on.
        views: of each of them.
        judged: photos that the headline rests on; 0 with `--no-test`.
    """

    models: int
    inner_folds: int
    fits: int
    rows: int
    views: int
    judged: int

    @property
    def fitted_rows(self) -> int:
        """Rows of features that the largest model is fitted on."""
        return self.rows * self.views

    @property
    def share_fitted(self) -> float:
        """Of these photos, how many each fold fits on."""
        return (self.inner_folds - 1) / self.inner_folds if self.inner_folds > 1 else 1.0


@dataclass(frozen=True, slots=True)
class _Photos:
    """Photos that are still to be shown to the network, and those that need not be.

    Args:
        remembered: used photos whose features the model file needs not compute again.
        new_fast: photos to show to the backend that fits.
        new_shipped: further photos to show to the model file.
        new_views: other views of photos to fit on, to show to the backend.
    """

    remembered: int
    new_fast: int
    new_shipped: int
    new_views: int


def _count_work(prepared: Prepared, settings: TrainSettings) -> _Work:
    gap, rows = prepared.separation.gap, prepared.development
    models, largest = 1, len(rows)
    judged = len(prepared.sealed) if settings.open_test else 0
    if prepared.evaluation == "cv":
        rows = rows.outside_fold(0, gap)
        models += prepared.folds if judged else 0
    truth = encode(rows.table["label"], prepared.classes)
    inner, _source = choose_folds(rows, truth, prepared.given_val, gap, settings)
    halves = 2 if may_ask_other_half(prepared.separation) else 0
    fits = models * (len(inner) * len(settings.strengths) + 1) + (settings.random_splits + halves if judged else 0)
    return _Work(models, len(inner), fits, largest, settings.views or 1, judged)


def _count_photos(shown: Development, judged: Sequence[str], embedder: Embedder, views: int, tools: Tools) -> _Photos:
    """What is still to be computed of photos to fit on, and of others, given by their content."""
    fitted_on = shown.table["content_hash"].to_list()
    every = [*fitted_on, *judged]
    known = remembered(every, embedder.as_shipped(), tools)
    known_fast = remembered(fitted_on, embedder, tools)
    new_shipped = set(every) - known - (set() if embedder.backend.in_torch else set(fitted_on))
    different = set(fitted_on)
    known_views = [remembered(fitted_on, embedder.of_view(number), tools) for number in range(1, views)]
    new_views = sum(len(different - each) for each in known_views)
    return _Photos(sum(key in known for key in every), len(different - known_fast), len(new_shipped), new_views)


def _expect_seconds(
    prepared: Prepared,
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
    path = rounds * work.share_fitted * work.fitted_rows * step * _PATH_STEPS * len(settings.strengths) / 5
    fits = work.models * (path + work.fitted_rows * step * _LAST_STEPS)
    random_rounds = -(-settings.random_splits // speed.workers)
    # Of cross-validation's models, the first judges new photos, the others remembered ones; of these a sample is shown
    # to the network again.
    first_judges = ahead.new_fast / prepared.folds if is_cv and work.judged else 0.0
    checks = max(0, work.models - 2) if is_cv else int(ahead.new_shipped < work.judged)
    checked = checks * min(work.judged, 1.5 * _CHECKED)
    opening = _OPENING_SECONDS * slowness
    seconds = {
        "start": _START_SECONDS * slowness,
        "scan": len(prepared.catalogue) * speed.look_seconds,
        "separate": separating,
        "network": _NETWORK_SECONDS * slowness,
        "features": (ahead.new_fast + ahead.new_views - first_judges) * speed.photo_seconds + opening * work.views,
        "fit": fits + _LIBRARIES_SECONDS * slowness,
        "export": work.models * _MODEL_SECONDS * slowness,
    }
    if prepared.separation.rule == "copies" or prepared.evaluation == "given":
        seconds["near copies"] = len(prepared.catalogue) * _NEAR_SECONDS * slowness
    if work.judged:
        shown = ahead.new_shipped + first_judges + checked
        bootstrap = work.judged * len(prepared.classes) * _BOOTSTRAP_SECONDS * slowness
        seconds["evaluate"] = shown * speed.photo_seconds + work.models * 2 * opening
        seconds["score"] = random_rounds * work.fitted_rows * step * _COLD_STEPS + bootstrap + 0.1 * slowness
    seconds["fingerprints"] = FINGERPRINTS_SECONDS * slowness
    seconds["report"] = _REPORT_SECONDS * slowness
    return seconds


def _expect_memory(work: _Work, speed: Speed) -> int:
    """Peak of the run: what this process has needed so far, and the features that fits side by side copy."""
    features = work.fitted_rows * speed.width * 4
    return round(peak_memory() + _LIBRARIES_BYTES + features * (2 + 3 * min(speed.workers, work.inner_folds)))
