"""Ctrl-C and the request to end: both unwind the stack, so that nothing half-written is left.

A second signal, or a few seconds after the first, ends the process whatever it is doing: a thread that waits for a
disk that does not answer, or a library that does not come back, would keep it for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType

from certero.sentences import message

#: Unwinding takes a moment: photos that are being decoded are decoded to the end.
PATIENCE_SECONDS = 5.0

ENDED = message("Interrupted; what did not come back was ended. Run the same command again.")
#: In the language of the command.
farewell: str = ENDED

_received: list[int] = []
_wake: int | None = None


class Stopped(KeyboardInterrupt):
    """Somebody wants the command to end. A plain KeyboardInterrupt inside `exec` would cost us the exit code."""


def listen() -> None:
    """Raises `Stopped` in the main thread on SIGINT and SIGTERM, unless we were started to ignore them (nohup)."""
    global _wake
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, _stop)
    if heard and sys.platform != "win32":
        # Python runs a handler only between two of its own steps in the main thread; a library may not come back to
        # one. What the system writes into this pipe is read by a thread beside it.
        read, _wake = os.pipe()
        os.set_blocking(_wake, False)
        signal.set_wakeup_fd(_wake, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(read,), name="certero signals", daemon=True).start()


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


def _stop(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    if _wake is not None:
        with contextlib.suppress(OSError):
            os.write(_wake, b"\0")  # the stack unwinds from now on, also where a signal had been put off
    raise Stopped


def _watch(read: int) -> None:
    """Ends the process where it does not end by itself: see the module."""
    came, first, unwinding = 0, signal.SIGINT, False
    while True:
        byte = os.read(read, 1)
        if byte == b"\0":
            if not unwinding:
                unwinding = True
                threading.Thread(target=_end_later, args=(first,), daemon=True).start()
        elif byte and byte[0] in (signal.SIGINT, signal.SIGTERM):
            came += 1
            first = signal.Signals(byte[0]) if came == 1 else first
            # One that is put off, while a network saves where it stands, is no second one.
            if came == 1 and signal.getsignal(first) is not _stop:
                continue
            if came >= 3 or (came == 2 and signal.getsignal(first) is _stop):
                _end_later(first, 0.5)
            elif not unwinding:
                unwinding = True
                threading.Thread(target=_end_later, args=(first,), daemon=True).start()


def _end_later(number: int, seconds: float = PATIENCE_SECONDS) -> None:
    time.sleep(seconds)
    for last in (end_children, remove_unfinished):
        with contextlib.suppress(Exception):
            last()
    with contextlib.suppress(OSError):
        os.write(2, f"{farewell}\n".encode())
    os._exit(128 + number)


def end_children() -> None:
    """Ends the processes that work for this one, whatever they are doing."""
    processes = sys.modules.get("certero.engine.processes")
    if processes is not None:
        processes.end_all()


def remove_unfinished() -> None:
    """Removes files and folders that were in the making."""
    import shutil

    disk = sys.modules.get("certero.machine.files")
    for place in list(disk.in_the_making) if disk is not None else ():
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                place.unlink()
