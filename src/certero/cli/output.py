"""What a command says on standard output or writes to the file that was asked for."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from certero.errors import OutputError

STDOUT = "-"


def say(text: str, *, end: str = "\n") -> None:
    """Prints for people; characters that their terminal cannot show become `?`.

    Raises:
        OutputError: if standard output cannot be written.
        BrokenPipeError: if its reader has left.
    """
    _send(text + end, None)


def check_target(target: str | Path | None, flag: str) -> None:
    """Refuses a file that cannot be written before any work is done for it; `-` is standard output.

    Raises:
        OutputError: if the file's folder is missing or closed, or the file is a folder.
    """
    if target is None or target == STDOUT:
        return
    path = Path(target)
    folder = path.parent
    reason = ""
    with contextlib.suppress(OSError):
        if not folder.is_dir():
            reason = f"there is no folder {folder}"
        elif path.is_dir():
            reason = "it is a folder"
        elif not os.access(folder, os.W_OK):
            reason = f"the folder {folder} may not be written"
    if reason:
        raise OutputError(f"{flag} must be a file that can be written; {path}: {reason}. Choose another place.")


def write(text: str, target: str) -> None:
    """Writes data for machines, in UTF-8, whole or not at all, to a file; or to standard output for `-`.

    Raises:
        OutputError: if it cannot be written.
    """
    if target == STDOUT:
        _send(text, "utf-8")
    else:
        from certero.disk import write_whole

        write_whole(Path(target), text.encode("utf-8", "replace"))


def _send(text: str, encoding: str | None) -> None:
    if sys.stdout is None:
        raise OutputError("standard output must be open; it is closed. Write to a file instead.")
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a notebook's or a test's is something else
            sys.stdout.reconfigure(encoding=encoding, errors="replace")
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence()
        raise OutputError(f"standard output must be writable; {error.strerror}. Free the disk.") from error


def silence() -> None:
    """Sends what is still buffered for standard output nowhere, so that Python's end does not fail on it."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
