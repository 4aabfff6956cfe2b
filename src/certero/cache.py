"""A folder-wide cache of small blobs in one SQLite file, safe for several processes at once.

Entries carry a checksum: what a power cut or a bad disk spoiled is forgotten and computed again, never used.
A cache that cannot be written (full or read-only disk) costs time, not the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from certero.config import cache_folder

_CHECKSUM_BYTES = 8
_KEYS_A_QUERY = 500
_BUSY_SECONDS = 30.0


class BlobCache:
    """Blobs by text key.

    Args:
        name: which cache, e.g. `fingerprints`; one file each in the cache folder.
        folder: where the file lives; the user's cache folder by default.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.path = (folder or cache_folder()) / f"{name}.sqlite"
        self._connection = self._open()

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The blobs that are there and whole, by key."""
        found: dict[str, bytes] = {}
        if self._connection is None:
            return found
        for start in range(0, len(keys), _KEYS_A_QUERY):
            part = keys[start : start + _KEYS_A_QUERY]
            marks = ",".join("?" * len(part))
            try:
                rows = self._connection.execute(
                    f"SELECT key, checksum, blob FROM entry WHERE key IN ({marks})", part
                ).fetchall()
            except sqlite3.DatabaseError as error:
                if _is_spoiled(error):
                    self._rebuild()
                return found
            found.update({key: blob for key, checksum, blob in rows if checksum == _checksum(key, blob)})
        return found

    def put_many(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Stores or replaces entries in one transaction."""
        if self._connection is None:
            return
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO entry VALUES (?, ?, ?)",
                    ((key, _checksum(key, blob), blob) for key, blob in items),
                )
        except sqlite3.DatabaseError as error:
            # Full or read-only disk, or another run holds the lock too long: the work is done, only its memory is not.
            if _is_spoiled(error):
                self._rebuild()

    def close(self) -> None:
        """Releases the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection | None:
        for _attempt in range(2):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, check_same_thread=False)
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, checksum BLOB, blob BLOB) WITHOUT ROWID"
                )
                return connection
            except sqlite3.OperationalError:
                return None
            except sqlite3.DatabaseError:
                self._set_aside()
            except OSError:
                return None
        return None

    def _rebuild(self) -> None:
        self.close()
        self._set_aside()
        self._connection = self._open()

    def _set_aside(self) -> None:
        # Renamed, not deleted: another run may still read the old file.
        for suffix in ("", "-wal", "-shm"):
            spoiled = self.path.with_name(self.path.name + suffix)
            # Not there: no such file, or another run was faster.
            with contextlib.suppress(OSError):
                spoiled.replace(spoiled.with_name(f"{spoiled.name}.spoiled"))


def _is_spoiled(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is of no use: damaged, or of other columns. Not so where the disk is full or a lock is held."""
    return not isinstance(error, sqlite3.OperationalError) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR


def _checksum(key: str, blob: bytes) -> bytes:
    return hashlib.blake2b(blob, digest_size=_CHECKSUM_BYTES, key=key.encode()[:64]).digest()
