"""The seal of the test set: each look at it is logged before a figure is known, and counted ever after."""

from __future__ import annotations

import datetime
import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from certero.config import state_folder
from certero.disk import lock_descriptor
from certero.errors import OutputError
from certero.interchange import json_text
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
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
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
            # A line cut by a power failure must not swallow this one.
            cut = logged != b"" and not logged.endswith(b"\n")
            line = (("\n" if cut else "") + json_text(record, ensure_ascii=True) + "\n").encode()
            # One write in append mode: where files cannot be locked, lines of two runs at once do not mix either.
            # An almost full disk takes the beginning of a line without an error.
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            f"the log of test openings must be writable, or the test set stays sealed; {log}: {error.strerror}."
        ) from error
    return Opening(record, earlier)


def _parse(logged: bytes) -> list[Json]:
    records: list[Json] = []
    for line in logged.decode("utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
