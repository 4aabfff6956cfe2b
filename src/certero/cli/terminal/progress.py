"""Progress on standard error: a bar on a terminal, plain lines in a log; both say how much time a stage has left."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from certero.amounts import duration
from certero.cli.terminal import signals
from certero.cli.terminal.output import tell, visible
from certero.language import _, translate
from certero.records.protocols import Progress, no_progress
from certero.sentences import Message, message

if TYPE_CHECKING:
    from rich.progress import Task, TaskID
    from rich.text import Text

_SECONDS_A_LINE = 5.0

#: Marked for the catalogue: stages report under these names.
STAGES = (
    message("render"),
    message("scan"),
    message("look closer"),
    message("separate"),
    message("near copies"),
    message("labels"),
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
        # A terminal that cannot move its cursor (an editor's, a serial line's) would get each picture of a bar anew.
        elif sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
            shown = stack.enter_context(_bars())
        else:
            shown = _Lines()

        def report(stage: str, done: int, total: int, detail: str = "", /) -> None:
            signals.check()
            shown(translate(stage) if isinstance(stage, Message) else _(stage), done, total, visible(detail))

        yield report


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Times(ProgressColumn):
        """The time left while a stage runs, and what it took in the end."""

        def render(self, task: Task) -> Text:
            if task.finished:
                return Text(_("took {time}").format(time=duration(task.finished_time or 0)))
            left = task.time_remaining
            if left is None:
                return Text(_("{time} so far").format(time=duration(task.elapsed or 0)))
            return Text(_("{time} left").format(time=duration(left)))

    detail = TextColumn("{task.fields[detail]}", markup=False)
    columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), Times(), detail)
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}
        reached: dict[str, int] = {}

        def report(stage: str, done: int, total: int, detail: str = "", /) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, detail=detail)
            elif done < reached[stage]:
                # The stage begins again, for the next fold: with a clock of its own.
                bars.reset(tasks[stage], total=total)
            reached[stage] = done
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
            self._stage, self._started, self._spoke, self._first = stage, now, now, done
        took = now - self._started
        if done >= total:
            if took >= 1.0 or (total > 1 and stage not in self._ended):
                words = detail or _("%(total)d done") % {"total": total}
                _say(_("%(stage)s: %(words)s in %(seconds).1f s"), stage=stage, words=words, seconds=took)
            self._ended.add(stage)
            self._stage = ""
        elif now - self._spoke >= _SECONDS_A_LINE:
            self._spoke = now
            # What was there at the start (photos remembered) took no time, and says nothing of the rest.
            fresh = done - self._first
            words = detail or _("%(done)d of %(total)d") % {"done": done, "total": total}
            text = "%(stage)s: %(words)s"
            left = ""
            if fresh > 0:
                text = _("%(stage)s: %(words)s, about %(left)s left")
                left = duration(took / fresh * (total - done))
            _say(text, stage=stage, words=words, left=left)


def _say(text: str, **values: object) -> None:
    tell(text % values)
