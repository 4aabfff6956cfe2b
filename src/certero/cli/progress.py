"""Progress on standard error: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from certero.cli import signals
from certero.records import Progress, no_progress

if TYPE_CHECKING:
    from rich.progress import TaskID

_SECONDS_A_LINE = 5.0


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

        def report(stage: str, done: int, total: int, detail: str = "", /) -> None:
            signals.check()
            shown(stage, done, total, detail)

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
        TextColumn("{task.fields[detail]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int, detail: str = "", /) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, detail=detail)
            bars.update(tasks[stage], completed=done, total=total, detail=detail)

        yield report


class _Lines:
    """A line every few seconds while a stage takes long, and one when it ends; quick repeats are not worth a line."""

    def __init__(self) -> None:
        self._stage = ""
        self._started = self._spoke = 0.0
        self._first = 0
        self._ended: set[str] = set()

    def __call__(self, stage: str, done: int, total: int, detail: str = "", /) -> None:
        now = time.monotonic()
        if stage != self._stage:
            # A resumed training starts in the middle: what was done before says nothing of the speed.
            self._stage, self._started, self._spoke, self._first = stage, now, now, max(done - 1, 0)
        took = now - self._started
        if done >= total:
            if took >= 1.0 or (total > 1 and stage not in self._ended):
                print(f"{stage}: {detail or f'{total} done'} in {took:.1f} s", file=sys.stderr, flush=True)
            self._ended.add(stage)
            self._stage = ""
        elif now - self._spoke >= _SECONDS_A_LINE:
            self._spoke = now
            left = took / max(done - self._first, 1) * (total - done)
            words = detail or f"{done} of {total}"
            print(f"{stage}: {words}, about {left:.0f} s left", file=sys.stderr, flush=True)
