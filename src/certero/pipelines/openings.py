"""The seal of the test set: each look at it is logged before a figure is known, and counted ever after."""

from __future__ import annotations

import datetime
import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from certero.config import state_folder
from certero.errors import OutputError
from certero.records import Json

# Enough to tell photos apart (2^-64 a pair), short enough to log thousands of photos at each opening.
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Opening:
    """One look at test photos.

    Args:
        record: the line that was logged.
        earlier: openings before this one that shared at least one photo with it.
    """

    record: Json
    earlier: int


def open_test_set(pixel_hashes: Sequence[str], *, purpose: str, data: str, run: str) -> Opening:
    """Logs that these photos are about to be judged, and counts the earlier times.

    The log is `openings.jsonl` in the state folder: one line an opening.

    Raises:
        OutputError: if the log cannot be written; without it the test set stays sealed.
    """
    photos = sorted({pixel_hash[:_DIGITS] for pixel_hash in pixel_hashes})
    log = state_folder() / "openings.jsonl"
    earlier = sum(1 for line in _read(log) if not set(photos).isdisjoint(line.get("photos") or ()))
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
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        # One write in append mode: lines of two runs at once do not mix.
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            line = _line(log, record)
            # An almost full disk takes the beginning of a line without an error.
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(
            f"the log of test openings must be writable, or the test set stays sealed; {log}: {error.strerror}."
        ) from error
    return Opening(record, earlier)


def _line(log: Path, record: Json) -> bytes:
    text = json.dumps(record) + "\n"
    # A line cut by a power failure must not swallow this one.
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
    return text.encode()


def _read(log: Path) -> list[Json]:
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    records: list[Json] = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
