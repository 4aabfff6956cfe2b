"""The cache: whole entries or none, whatever happens to its file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from certero.cache import BlobCache


def test_an_entry_comes_back_as_it_was_put(tmp_path: Path) -> None:
    cache = BlobCache("things", tmp_path)
    cache.put_many([("a", b"one"), ("b", b"")])
    assert BlobCache("things", tmp_path).get_many(["a", "b", "c"]) == {"a": b"one", "b": b""}


def test_more_keys_than_a_query_takes_are_all_found(tmp_path: Path) -> None:
    cache = BlobCache("things", tmp_path)
    cache.put_many((str(n), str(n).encode()) for n in range(1234))
    assert len(cache.get_many([str(n) for n in range(2000)])) == 1234


def test_a_spoiled_entry_is_forgotten(tmp_path: Path) -> None:
    cache = BlobCache("things", tmp_path)
    cache.put_many([("a", b"one"), ("b", b"two")])
    with sqlite3.connect(cache.path) as connection:
        connection.execute("UPDATE entry SET blob = x'00' WHERE key = 'a'")
    assert cache.get_many(["a", "b"]) == {"b": b"two"}


def test_an_entry_under_another_key_is_not_believed(tmp_path: Path) -> None:
    cache = BlobCache("things", tmp_path)
    cache.put_many([("a", b"one")])
    with sqlite3.connect(cache.path) as connection:
        connection.execute("UPDATE entry SET key = 'b'")
    assert cache.get_many(["b"]) == {}


def test_a_file_that_is_no_database_is_set_aside_and_made_anew(tmp_path: Path) -> None:
    (tmp_path / "things.sqlite").write_bytes(b"not a database, but long enough to look at" * 100)
    cache = BlobCache("things", tmp_path)
    cache.put_many([("a", b"one")])
    assert cache.get_many(["a"]) == {"a": b"one"}


def test_damage_in_the_middle_of_the_file_loses_the_memory_and_not_the_run(tmp_path: Path) -> None:
    cache = BlobCache("things", tmp_path)
    cache.put_many((str(n), b"x" * 5000) for n in range(200))
    cache.close()
    content = bytearray(cache.path.read_bytes())
    content[4096 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4096)
    cache.path.write_bytes(content)
    spoiled = BlobCache("things", tmp_path)
    found = spoiled.get_many([str(n) for n in range(200)])
    assert all(blob == b"x" * 5000 for blob in found.values())
    spoiled.put_many([("new", b"entry")])
    BlobCache("things", tmp_path).put_many([("new", b"entry")])
    assert BlobCache("things", tmp_path).get_many(["new"]) == {"new": b"entry"}


def test_a_file_with_other_columns_is_set_aside_and_made_anew(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "things.sqlite") as connection:
        connection.execute("CREATE TABLE entry (name TEXT)")
    for put_first in (True, False):
        cache = BlobCache("things", tmp_path)
        assert cache.get_many(["a"]) == ({} if put_first else {"a": b"one"})
        cache.put_many([("a", b"one")])
        assert cache.get_many(["a"]) == {"a": b"one"}
        cache.close()


def test_what_cannot_be_read_or_written_for_now_is_not_thrown_away(tmp_path: Path) -> None:
    cache = BlobCache("things", tmp_path)
    cache.put_many([("a", b"one")])
    assert cache._connection is not None
    # SQLite then ends every statement as it does on a full disk: with an OperationalError.
    cache._connection.set_progress_handler(lambda: 1, 1)
    assert cache.get_many(["a"]) == {}
    cache.put_many([("b", b"two")])
    assert list(tmp_path.glob("*.spoiled")) == []
    cache._connection.set_progress_handler(None, 1)
    assert cache.get_many(["a", "b"]) == {"a": b"one"}
    cache.put_many([("b", b"two")])
    assert BlobCache("things", tmp_path).get_many(["a", "b"]) == {"a": b"one", "b": b"two"}


def test_a_folder_that_cannot_be_made_means_no_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = BlobCache("things", tmp_path / "file")
    cache.put_many([("a", b"one")])
    assert cache.get_many(["a"]) == {}


def test_two_processes_write_one_cache_without_loss(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from certero.cache import BlobCache\n"
        "cache = BlobCache('things', Path(sys.argv[1]))\n"
        "for n in range(50): cache.put_many([(f'{sys.argv[2]}-{n}-{m}', b'x' * 2000) for m in range(4)])\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    keys = [f"{name}-{n}-{m}" for name in ("a", "b") for n in range(50) for m in range(4)]
    assert len(BlobCache("things", tmp_path).get_many(keys)) == 400
