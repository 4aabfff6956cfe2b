"""Ctrl-C and the request to end: both unwind the stack, so that nothing half-written is left."""

from __future__ import annotations

import signal

_received: list[int] = []


class Stopped(KeyboardInterrupt):
    """Somebody wants the command to end. A plain KeyboardInterrupt inside `exec` would cost us the exit code."""


def listen() -> None:
    """Raises `Stopped` in the main thread on SIGINT and SIGTERM, unless we were started to ignore them (nohup)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def exit_code() -> int | None:
    """128 + the signal that came, None if none has."""
    return 128 + _received[0] if _received else None


def check() -> None:
    """Raises once more what a library may have swallowed, as some do while they are imported.

    Raises:
        Stopped: if a signal has come.
    """
    if _received:
        raise Stopped


def _stop(number: int, _frame: object) -> None:
    _received.append(number)
    raise Stopped
