"""How fast this machine is now, from a few seconds of the work that a training run is made of.

What a piece of work costs is counted in processor time, which other programs hardly change. How much of the processor a
thread gets beside them is measured over all pieces together, because it changes from one second to the next.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from certero.machine.cache import BlobCache
from certero.probe.features import Embedder, RememberedFeatures
from certero.probe.probe import load_solver, time_fitting
from certero.records.protocols import no_progress
from certero.runs.seal import Development
from certero.runtime.network import Network as Runtime
from certero.stages.embedder import embed_photos
from certero.stages.look import RememberedLook
from certero.stages.tools import Tools

# Photos that are shown to the network: one to two seconds of it.
_SHOWN = 48
_LOOKED_AT = 64
# More rows cost as much each.
_MOST_ROWS_FITTED = 1500
_OPENED = 3
# Processor time in which the machine that fixed costs were measured on opens the bundled network.
_REFERENCE_OPENING_SECONDS = 0.02
# A thread gets at least so much of a core, however busy the machine seems for a moment.
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Speed:
    """Wall times, every core at work, on this machine as busy as it is now.

    Args:
        photos: that were shown to the network.
        workers: threads.
        share: of a core that each thread gets beside other programs, up to 1.
        photo_seconds: a photo from file to features.
        look_seconds: a remembered photo, looked at again.
        step_seconds: of one optimiser step on one row, in one thread.
        slowness: of one thread, beside the machine that fixed costs were measured on.
        width: D, numbers that describe a photo.
    """

    photos: int
    workers: int
    share: float
    photo_seconds: float
    look_seconds: float
    step_seconds: float
    slowness: float
    width: int


@dataclass(slots=True)
class _Clock:
    """Sums what pieces of work took.

    Args:
        wanted: seconds of cores that the threads would have had alone on the machine.
        got: seconds of processor that they had.
    """

    wanted: float = 0.0
    got: float = 0.0

    @contextmanager
    def piece(self, threads: int) -> Iterator[list[float]]:
        """Yields a list that holds wall and processor seconds when the block has ended.

        Args:
            threads: that the block keeps busy.
        """
        took: list[float] = []
        wall, processor = time.perf_counter(), time.process_time()
        yield took
        took += [time.perf_counter() - wall, time.process_time() - processor]
        self.wanted += took[0] * threads
        self.got += took[1]


def measure_speed(
    development: Development, rows_fitted: int, n_classes: int, embedder: Embedder, workers: int, tools: Tools
) -> Speed:
    """Shows some photos to the network, looks at some again, and fits a little.

    Args:
        development: photos that may be shown; none of a sealed test set.
        rows_fitted: photos that a fold fits on.
        n_classes: K.
        embedder: the backbone, as it would run.
        workers: threads.
        tools: cores, caches and progress; features that are computed here are remembered.
    """
    clock = _Clock()
    tools.progress("measure", 0, 3)
    with clock.piece(1):
        opening = _time_opening(embedder)
        # The fit needs it; loading it here keeps that out of what the fit is measured by.
        load_solver()
    shown, width, showing_wall, showing = _show(development, embedder, workers, tools, clock)
    tools.progress("measure", 1, 3)
    looked, looking = _look(development.paths(), tools, workers, clock)
    tools.progress("measure", 2, 3)
    with clock.piece(workers):
        step = time_fitting(max(2, min(rows_fitted, _MOST_ROWS_FITTED)), width, n_classes, workers, tools.map)
    tools.progress("measure", 3, 3)
    share = min(1.0, max(_LEAST_SHARE, clock.got / clock.wanted))
    # Where a GPU computes, the processor's time says nothing.
    on_cpu = embedder.backend.device == "cpu"
    photo_seconds = max(showing - opening, showing / 2) / (share * workers) if on_cpu else showing_wall
    return Speed(
        photos=shown,
        workers=workers,
        share=share,
        photo_seconds=photo_seconds / shown,
        look_seconds=looking / (share * workers) / looked,
        step_seconds=step / share,
        slowness=opening / _REFERENCE_OPENING_SECONDS / share,
        width=width,
    )


def remembered(hashes: Sequence[str], embedder: Embedder, tools: Tools) -> set[str]:
    """The content hashes of photos whose embeddings are remembered, as this backend computes them."""
    return set(RememberedFeatures.of(embedder, tools.features).get(list(dict.fromkeys(hashes))))


def _time_opening(embedder: Embedder) -> float:
    Runtime(embedder.onnx)  # the first also loads the library
    start = time.thread_time()
    for _number in range(_OPENED):
        Runtime(embedder.onnx)
    return (time.thread_time() - start) / _OPENED


def _show(
    development: Development, embedder: Embedder, workers: int, tools: Tools, clock: _Clock
) -> tuple[int, int, float, float]:
    """Photos that were shown while the clock ran, the width of what came out, wall and processor seconds.

    Photos whose features are not remembered yet are taken first, and their features kept.
    """
    different = development.table.unique("content_hash", maintain_order=True)
    known = remembered(different["content_hash"].to_list(), embedder, tools)
    unknown = different.filter(~pl.col("content_hash").is_in(known))
    with tempfile.TemporaryDirectory() as folder:
        scratch = BlobCache("features", Path(folder)) if unknown.is_empty() else None
        try:
            silent = dataclasses.replace(tools, progress=no_progress, features=scratch or tools.features)
            shown = different if scratch else unknown
            sample = shown.gather_every(max(1, shown.height // _SHOWN)).head(_SHOWN)
            paths, hashes = Development(sample, development.root).paths(), sample["content_hash"].to_list()
            first = min(2 * workers, len(paths) // 2)
            if first:
                embed_photos(paths[:first], hashes[:first], embedder, silent)
            with clock.piece(workers) as took:
                found = embed_photos(paths[first:], hashes[first:], embedder, silent)
        finally:
            if scratch is not None:
                scratch.close()
    return len(found), found.shape[1], took[0], took[1]


def _look(paths: Sequence[Path], tools: Tools, workers: int, clock: _Clock) -> tuple[int, float]:
    """Photos that were looked at again, and processor seconds."""
    sample = paths[:: max(1, len(paths) // _LOOKED_AT)][:_LOOKED_AT]
    # In threads: their processor time is this process's.
    look = RememberedLook(tools.fingerprints, tools.map, tools.map)
    with clock.piece(workers) as took:
        for _seen in look(sample):
            pass
    look.save()
    return len(sample), took[1]
