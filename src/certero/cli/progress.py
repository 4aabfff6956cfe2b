"""Progress on standard error: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from certero.cli import signals
from certero.language import _, message, translate
from certero.records import Progress, no_progress

if TYPE_CHECKING:
    from rich.progress import TaskID

_SECONDS_A_LINE = 5.0

#: Marked for the catalogue: stages report under these names.
STAGES = (
    message("render"),
    message("scan"),
    message("separate"),
    message("network"),
    message("features"),
    message("fit"),
    message("calibrate"),
    message("export"),
    message("evaluate"),
    message("predict"),
    message("random split"),
)


@contextlib.contextmanager
def show_progress(quiet: bool = False) -> Iterator[Progress]:
    """Yields the function that stages report to; it also ends the command if a signal to stop was swallowed."""
    with contextlib.ExitStack() as stack:
        shown: Progress
        if quiet:
            shown = no_progress
        elif sys.stderr.isatty():
            shown = stack.enter_context(_bars())
        else:
            shown = _Lines()

        def report(stage: str, done: int, total: int) -> None:
            signals.check()
            shown(translate(stage), done, total)

        yield report


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


class _Lines:
    """A line every few seconds while a stage takes long, and one when it ends; quick repeats are not worth a line."""

    def __init__(self) -> None:
        self._stage = ""
        self._started = self._spoke = 0.0
        self._ended: set[str] = set()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started, self._spoke = stage, now, now
        took = now - self._started
        if done >= total:
            if took >= 1.0 or (total > 1 and stage not in self._ended):
                _say(_("%(stage)s: %(total)d done in %(seconds).1f s"), stage=stage, total=total, seconds=took)
            self._ended.add(stage)
            self._stage = ""
        elif now - self._spoke >= _SECONDS_A_LINE:
            self._spoke = now
            left = took / max(done, 1) * (total - done)
            _say(
                _("%(stage)s: %(done)d of %(total)d, about %(seconds).0f s left"),
                stage=stage,
                done=done,
                total=total,
                seconds=left,
            )


def _say(text: str, **values: object) -> None:
    print(text % values, file=sys.stderr, flush=True)
