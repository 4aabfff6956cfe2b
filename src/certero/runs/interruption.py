"""Ctrl-C during the training of a network: the first lets the step finish and saves its state, the second quits."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from certero.sentences import Sentence


class Interrupted(KeyboardInterrupt):
    """Work was stopped on request and saved; the message says how to continue."""

    def __init__(self, said: Sentence) -> None:
        super().__init__(said)
        self.said = said


@contextlib.contextmanager
def deferred_signals() -> Iterator[Callable[[], bool]]:
    """Inside it, the first SIGINT or SIGTERM is only remembered; the yielded function says whether one came.

    A second one is handled as usual. After the block, so is the remembered one: it ends the command with
    the exit code of its signal.
    """
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread receives signals and may listen for them.
        yield lambda: False
        return
    came: list[int] = []
    before: dict[int, Any] = {}

    def remember(number: int, frame: FrameType | None) -> None:
        if came:
            _hand_on(before[number], number, frame)
        came.append(number)

    numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        handler = signal.getsignal(number)
        # A command started to ignore a signal (nohup) keeps ignoring it.
        if handler not in (signal.SIG_IGN, None):
            before[number] = handler
            signal.signal(number, remember)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        _hand_on(before[came[0]], came[0], None)


def _hand_on(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    else:
        signal.signal(number, handler)
        signal.raise_signal(number)
