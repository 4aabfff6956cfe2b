"""The log of test openings: each look at test photos is logged before its figure is known, and counted from then on."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from certero.errors import OutputError, reason_of
from certero.interchange import Json, json_text
from certero.machine.files import lock_descriptor
from certero.machine.folders import state_folder
from certero.machine.trust import create_private, make_private

# Enough to tell photos apart (2^-64 a pair), short enough to log thousands of photos at each opening.
_DIGITS = 16
# One page, which most lines fit into.
_LEAST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Opening:
    """One look at test photos.

    Args:
        record: the line that was logged.
        earlier: openings before this one that shared at least one photo with it.
    """

    record: Json
    earlier: int


def check_log(*, keep: bool = True) -> None:
    """Raises unless an opening can be logged, as far as can be known beforehand.

    Args:
        keep: whether the log's folder, if made for this check, stays.

    Raises:
        OutputError: with what to do.
    """
    log = _log()
    made = [folder for folder in log.parents if not folder.exists()]
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            # The file is not made here: another run might write its line into it before this one removes it.
            log.open("ab").close()
        with tempfile.TemporaryFile(dir=log.parent) as file:
            file.write(bytes(_LEAST_BYTES))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise  # not the folder's fault
        raise _sealed(log, error) from error
    finally:
        for folder in made if not keep else ():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _log() -> Path:
    return state_folder() / "openings.jsonl"


def _sealed(log: Path, error: OSError) -> OutputError:
    return OutputError(
        "the log of test openings must be writable, or the test set stays sealed; %(log)s: "
        "%(reason)s. Set CERTERO_STATE to a folder that can be written.",
        log=log,
        reason=reason_of(error),
    )


def open_test_set(pixel_hashes: Sequence[str], *, purpose: str, data: str, run: str) -> Opening:
    """Logs that these photos are about to be opened, and counts the earlier openings.

    The log is `openings.jsonl` in the state folder, with one line for each opening.

    Raises:
        OutputError: if the log cannot be written; without it the test set stays sealed.
    """
    photos = sorted({pixel_hash[:_DIGITS] for pixel_hash in pixel_hashes})
    log = _log()
    try:
        make_private(log.parent)
        create_private(log)
        with log.open("a+b", buffering=0) as file:
            # Of two runs at once, the second waits here and then counts the first.
            lock_descriptor(file.fileno())
            file.seek(0)
            logged = file.readall()
            earlier = sum(1 for line in _parse(logged) if not set(photos).isdisjoint(line.get("photos") or ()))
            record: Json = {
                "schema": 1,
                "opened_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "purpose": purpose,
                "data": data,
                "run": run,
                "n": len(pixel_hashes),
                "earlier": earlier,
                "photos": photos,
            }
            # A line that a power failure cut short must not swallow this one.
            cut = logged != b"" and not logged.endswith(b"\n")
            line = (("\n" if cut else "") + json_text(record, ensure_ascii=True) + "\n").encode()
            # One write in append mode: even if files cannot be locked, lines of two runs at once do not mix.
            # An almost full disk accepts the beginning of a line without an error.
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise  # not the folder's fault
        raise _sealed(log, error) from error
    return Opening(record, earlier)


def _parse(logged: bytes) -> list[Json]:
    records: list[Json] = []
    for line in logged.decode("utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("photos"), list | None):
            records.append(record)
    return records
