"""The demo: a synthetic barn, trained on and reported like any other data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from certero.barn.render import render_barn
from certero.engine.threads import Threads
from certero.language import use_language
from certero.pipelines.train import Run, train
from certero.records.protocols import Progress, no_progress
from certero.runs.folder import first_free

_DAYS, _INTERVAL_MINUTES = 10, 10


def demo(
    folder: str | Path = "demo",
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = no_progress,
    command: Sequence[str] | None = None,
    lang: str | None = None,
) -> Run:
    """Renders the barn (or finds it there), then trains on its beds.

    Args:
        folder: gets `barn` and `run-1`, `run-2`, ...
        seed: of the barn.
        workers: threads; every core by default.
        progress: called with (stage, done, total).
        command: the command line, for the report.
        lang: language of the report and of progress, `en` or `es`; default: the locale's.

    Raises:
        OutputError: if the folder holds something else or cannot be written.
    """
    use_language(lang)
    folder = Path(folder)
    barn = folder / "barn"
    # Days are what separates the photos, and every figure needs some of them for its interval.
    render_barn(
        barn, days=_DAYS, interval_minutes=_INTERVAL_MINUTES, seed=seed, progress=progress, map=Threads(workers).map
    )
    return train(
        barn / "beds.csv",
        output=first_free(folder, "run"),
        workers=workers,
        progress=progress,
        command=command,
        lang=lang,
    )
