"""A folder-wide cache of small blobs in one SQLite file, safe for several processes at once.

Entries carry a checksum: what a power cut or a bad disk damaged is deleted and computed again, never used.
A cache that cannot be written (full or read-only disk), or that another user can write to, costs time, not the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from certero.machine.folders import cache_folder
from certero.machine.trust import create_private, distrust, make_private
from certero.sentences import Sentence

#: Every cache: facts of photos, features of photos, exported networks.
CACHES = ("fingerprints", "features", "networks")

# Raise it when the tables change, and extend `_migrate`.
_SCHEMA = 1
_CHECKSUM_BYTES = 8
_KEYS_A_QUERY = 500
_BUSY_SECONDS = 30.0
# Precision of the last use: a finer one would write on every read.
_USE_SECONDS = 3600
_SUFFIXES = ("", "-wal", "-shm")
_SPOILED = ".spoiled"


class BlobCache:
    """Blobs by text key.

    Args:
        name: which cache, e.g. `fingerprints`; one file each in the cache folder.
        folder: where the file lives; the user's cache folder by default.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.path = (folder or cache_folder()) / f"{name}.sqlite"
        #: Entries read since the cache was opened.
        self.hits = 0
        self._used: set[str] = set()
        self._connection = self._open()

    @property
    def is_open(self) -> bool:
        """Whether anything can be remembered."""
        return self._connection is not None

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The blobs that are there and undamaged, by key."""
        found: dict[str, bytes] = {}
        if self._connection is None:
            return found
        stale = int(time.time()) - _USE_SECONDS
        for start in range(0, len(keys), _KEYS_A_QUERY):
            part = keys[start : start + _KEYS_A_QUERY]
            marks = ",".join("?" * len(part))
            try:
                rows = self._connection.execute(
                    "SELECT entry.key, checksum, blob, used FROM entry LEFT JOIN last_use USING (key) "
                    f"WHERE entry.key IN ({marks})",
                    part,
                ).fetchall()
            except sqlite3.DatabaseError as error:
                if _is_spoiled(error):
                    self._rebuild()
                return found
            for key, checksum, blob, used in rows:
                # Another tool may have written text or nothing where bytes belong.
                if isinstance(blob, bytes) and checksum == _checksum(key, blob):
                    found[key] = blob
                    if not isinstance(used, int) or used < stale:
                        self._used.add(key)
        self.hits += len(found)
        if len(self._used) >= _KEYS_A_QUERY:
            self._remember_use()
        return found

    def put_many(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Stores or replaces entries in one transaction."""
        if self._connection is None:
            return
        kept = list(items)
        now = int(time.time())
        with self._writing(self._connection) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO entry VALUES (?, ?, ?)",
                ((key, _checksum(key, blob), blob) for key, blob in kept),
            )
            connection.executemany("INSERT OR REPLACE INTO last_use VALUES (?, ?)", ((key, now) for key, _blob in kept))

    def close(self) -> None:
        """Releases the file."""
        self._remember_use()
        self._release()

    def list_uses(self) -> list[tuple[int, str, int]]:
        """Every entry as (last use in seconds since 1970, key, size in bytes); nothing if the file is damaged."""
        if self._connection is None:
            return []
        try:
            return self._connection.execute(
                "SELECT CAST(coalesce(used, 0) AS INTEGER), entry.key, length(entry.key) + coalesce(length(blob), 0) "
                "FROM entry LEFT JOIN last_use USING (key)"
            ).fetchall()
        except sqlite3.DatabaseError as error:
            if _is_spoiled(error):
                self._rebuild()
            return []

    def forget(self, keys: Sequence[str]) -> int:
        """Removes entries in one transaction and frees their disk space; returns how many were removed.

        Other processes may read and write meanwhile.
        """
        gone = 0
        if self._connection is not None:
            with self._writing(self._connection) as connection:
                each = [(key,) for key in keys]
                connection.executemany("DELETE FROM last_use WHERE key = ?", each)
                gone = connection.executemany("DELETE FROM entry WHERE key = ?", each).rowcount
            self._shrink()
        return max(0, gone)

    def _shrink(self) -> None:
        if self._connection is None:
            return
        # Busy or full: the space stays in the file, for the next entries.
        with contextlib.suppress(sqlite3.OperationalError):
            if self._connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 2:
                # Not `execute`: that takes one step of the statement, which frees one page.
                self._connection.executescript("PRAGMA incremental_vacuum")
            else:
                self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _remember_use(self) -> None:
        keys, self._used = self._used, set()
        if not keys or self._connection is None:
            return
        now = int(time.time())
        with self._writing(self._connection) as connection:
            # Only for entries that are still there: another process may have removed them.
            connection.executemany(
                "INSERT OR REPLACE INTO last_use SELECT key, ? FROM entry WHERE key = ?", ((now, key) for key in keys)
            )

    @contextlib.contextmanager
    def _writing(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        try:
            with connection:
                yield connection
        except sqlite3.DatabaseError as error:
            # Full or read-only disk, or another run holds the lock too long: the work is done but not remembered.
            if _is_spoiled(error):
                self._rebuild()

    def _open(self) -> sqlite3.Connection | None:
        for _attempt in range(2):
            try:
                make_private(self.path.parent)
                if distrusted(self.path.parent):
                    return None
                create_private(self.path)
                connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, check_same_thread=False)
                # Takes effect in a new file only, and lets `forget` free space bit by bit.
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                _migrate(connection)
                return connection
            except sqlite3.DatabaseError as error:
                if not _is_spoiled(error):
                    return None
                self._set_aside()
            except OSError:
                return None
        return None

    def _rebuild(self) -> None:
        self._used = set()
        self._release()
        self._set_aside()
        self._connection = self._open()

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _set_aside(self) -> None:
        # Renamed, not deleted: another run may still read the old file.
        for suffix in _SUFFIXES:
            spoiled = self.path.with_name(self.path.name + suffix)
            # No such file, or another run was faster.
            with contextlib.suppress(OSError):
                spoiled.replace(spoiled.with_name(f"{spoiled.name}{_SPOILED}"))


def distrusted(folder: Path | None = None) -> dict[Path, Sentence]:
    """What another user may have written among the caches, and why: the folder, or files in it.

    Args:
        folder: of the caches; by default the user's.
    """
    place = folder or cache_folder()
    files = [place / f"{name}.sqlite{suffix}" for name in CACHES for suffix in _SUFFIXES]
    found = {path: distrust(path) for path in (place, *files)}
    return {path: reason for path, reason in found.items() if reason is not None}


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What one cache holds.

    Args:
        name: one of `CACHES`.
        path: its file, there or not.
        bytes: on the disk, including files set aside as damaged.
        entries: how many; None if the file cannot be read.
    """

    name: str
    path: Path
    bytes: int
    entries: int | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """The result of pruning.

    Args:
        entries: removed from all caches.
        bytes: of disk space freed.
    """

    entries: int
    bytes: int


def describe_caches(folder: Path | None = None) -> list[CacheFacts]:
    """What each cache holds. Creates and changes no file."""
    return [_describe(name, folder or cache_folder()) for name in CACHES]


def prune_caches(
    folder: Path | None = None, *, unused_for: timedelta | None = None, max_bytes: int | None = None
) -> Pruned:
    """Removes entries from every cache, those used longest ago first, and files set aside as damaged.

    Args:
        folder: of the caches; by default the user's.
        unused_for: entries not used for so long are removed.
        max_bytes: then the oldest are removed until the entries of all caches together are at most so large.
    """
    before = sum(facts.bytes for facts in describe_caches(folder))
    caches = [
        BlobCache(facts.name, folder) for facts in describe_caches(folder) if facts.path.exists() or facts.bytes > 0
    ]
    try:
        listed = ((used, number, key, size) for number, c in enumerate(caches) for used, key, size in c.list_uses())
        entries = sorted(listed, key=lambda entry: (entry[0], entry[1], str(entry[2])))
        left = sum(size for _used, _number, _key, size in entries)
        deadline = None if unused_for is None else time.time() - unused_for.total_seconds()
        doomed: list[list[str]] = [[] for _cache in caches]
        for used, number, key, size in entries:
            if (deadline is not None and used <= deadline) or (max_bytes is not None and left > max_bytes):
                doomed[number].append(key)
                left -= size
        gone = sum(cache.forget(keys) for cache, keys in zip(caches, doomed, strict=True))
        for cache in caches:
            for suffix in _SUFFIXES:
                # On some systems a file that another run still reads cannot be removed; the next pruning removes it.
                with contextlib.suppress(OSError):
                    cache.path.with_name(f"{cache.path.name}{suffix}{_SPOILED}").unlink(missing_ok=True)
    finally:
        for cache in caches:
            cache.close()
    after = sum(facts.bytes for facts in describe_caches(folder))
    return Pruned(gone, max(0, before - after))


def _describe(name: str, folder: Path) -> CacheFacts:
    path = folder / f"{name}.sqlite"
    size = 0
    for suffix in _SUFFIXES:
        for file in (path.with_name(path.name + suffix), path.with_name(path.name + suffix + _SPOILED)):
            with contextlib.suppress(OSError):
                size += file.stat().st_size
    if not path.exists():
        return CacheFacts(name, path, size, 0)
    entries: int | None = None
    # The table of last uses is a thousandth of the size of the entries: counting it takes no time.
    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(_open_to_read(path)) as connection:
        table = "last_use" if connection.execute("PRAGMA user_version").fetchone()[0] >= 1 else "entry"
        entries = int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    return CacheFacts(name, path, size, entries)


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version >= _SCHEMA:
        # A newer certero may have added tables; those of this one are still there.
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, checksum BLOB, blob BLOB) WITHOUT ROWID"
        )
        # A table of its own: noting a use in `entry` would write the blob beside it again.
        connection.execute("CREATE TABLE IF NOT EXISTS last_use (key TEXT PRIMARY KEY, used INTEGER) WITHOUT ROWID")
        # Earlier entries count as used now: nobody knows better.
        connection.execute("INSERT OR IGNORE INTO last_use SELECT key, ? FROM entry", (int(time.time()),))
        connection.execute(f"PRAGMA user_version={_SCHEMA}")


def _is_spoiled(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is useless: damaged, or with other columns. A full disk or a held lock do not make it so."""
    return not isinstance(error, sqlite3.OperationalError) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR


def _checksum(key: str, blob: bytes) -> bytes:
    return hashlib.blake2b(blob, digest_size=_CHECKSUM_BYTES, key=key.encode()[:64]).digest()
