"""Progress on standard error: a bar on a terminal, plain lines in a log; both say how much time a stage has left."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING

from certero.amounts import duration
from certero.cli.terminal import signals
from certero.cli.terminal.output import tell, visible
from certero.language import _, translate
from certero.records.protocols import Progress
from certero.records.stages import STAGES, Stage
from certero.sentences import Sentence

if TYPE_CHECKING:
    from rich.progress import Task, TaskID
    from rich.text import Text

_SECONDS_A_LINE = 5.0

# What a bar or a line is given: in the reader's language already.
_Shown = Callable[[str, int, int, str], None]


def _nothing(_stage: str, _done: int, _total: int, _detail: str) -> None:
    """What `--quiet` shows."""


@contextlib.contextmanager
def show_progress(quiet: bool = False) -> Iterator[Progress]:
    """Yields the function that stages report to; it also ends the command if a signal to stop was swallowed."""
    with contextlib.ExitStack() as stack:
        shown: _Shown
        if quiet:
            shown = _nothing
        # A terminal that cannot move its cursor (an editor's, a serial line's) would get each picture of a bar anew.
        elif sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
            shown = stack.enter_context(_bars())
        else:
            shown = _Lines()

        def report(stage: Stage | Sentence, done: int, total: int, detail: Sentence | None = None, /) -> None:
            signals.check()
            said = translate(stage if isinstance(stage, Sentence) else STAGES[stage])
            shown(said, done, total, visible(translate(detail)) if detail else "")

        yield report


@contextlib.contextmanager
def _bars() -> Iterator[_Shown]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    reader = copy_context()

    class Times(ProgressColumn):
        """The time left while a stage runs, and what it took in the end."""

        def render(self, task: Task) -> Text:
            # Bars are drawn from a thread of their own, which begins in English.
            return reader.copy().run(self._words, task)

        def _words(self, task: Task) -> Text:
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

        def report(stage: str, done: int, total: int, detail: str) -> None:
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

    def __call__(self, stage: str, done: int, total: int, detail: str) -> None:
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
            text = _("%(stage)s: %(words)s")
            left = ""
            if fresh > 0:
                text = _("%(stage)s: %(words)s, about %(left)s left")
                left = duration(took / fresh * (total - done))
            _say(text, stage=stage, words=words, left=left)


def _say(text: str, **values: object) -> None:
    tell(text % values)
