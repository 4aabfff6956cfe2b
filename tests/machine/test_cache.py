"""The cache: whole entries or none, whatever happens to its file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from certero.machine.cache import CACHES, BlobCache, describe_caches, prune_caches


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
        "import sys; from pathlib import Path; from certero.machine.cache import BlobCache\n"
        "cache = BlobCache('things', Path(sys.argv[1]))\n"
        "for n in range(50): cache.put_many([(f'{sys.argv[2]}-{n}-{m}', b'x' * 2000) for m in range(4)])\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    keys = [f"{name}-{n}-{m}" for name in ("a", "b") for n in range(50) for m in range(4)]
    assert len(BlobCache("things", tmp_path).get_many(keys)) == 400


# --- Pruning ---


def _fill(folder: Path, name: str, ages_days: dict[str, float], size: int = 5000) -> None:
    """Entries that were used last so many days ago."""
    cache = BlobCache(name, folder)
    cache.put_many((key, b"x" * size) for key in ages_days)
    cache.close()
    with sqlite3.connect(cache.path) as connection:
        for key, age in ages_days.items():
            connection.execute("UPDATE last_use SET used = ? WHERE key = ?", (int(time.time() - age * 86400), key))


def _keys(folder: Path, name: str, keys: list[str]) -> set[str]:
    return set(BlobCache(name, folder).get_many(keys))


def test_what_was_not_used_for_so_long_goes_and_the_rest_stays(tmp_path: Path) -> None:
    _fill(tmp_path, "features", {"old": 40, "young": 20})
    _fill(tmp_path, "networks", {"ancient": 400})
    assert prune_caches(tmp_path, unused_for=timedelta(days=30)).entries == 2
    assert _keys(tmp_path, "features", ["old", "young"]) == {"young"}
    assert _keys(tmp_path, "networks", ["ancient"]) == set()


def test_the_longest_unused_go_first_whichever_cache_holds_them(tmp_path: Path) -> None:
    _fill(tmp_path, "features", {"a": 4, "b": 2})
    _fill(tmp_path, "fingerprints", {"c": 3, "d": 1})
    assert prune_caches(tmp_path, max_bytes=10_010).entries == 2
    assert _keys(tmp_path, "features", ["a", "b"]) == {"b"}
    assert _keys(tmp_path, "fingerprints", ["c", "d"]) == {"d"}


def test_reading_an_entry_counts_as_its_use(tmp_path: Path) -> None:
    _fill(tmp_path, "features", {"read": 40, "unread": 40})
    cache = BlobCache("features", tmp_path)
    cache.get_many(["read"])
    cache.close()
    prune_caches(tmp_path, unused_for=timedelta(days=30))
    assert _keys(tmp_path, "features", ["read", "unread"]) == {"read"}


def test_pruning_gives_the_disk_back(tmp_path: Path) -> None:
    _fill(tmp_path, "features", {str(n): n for n in range(400)})
    before = sum(file.stat().st_size for file in tmp_path.iterdir())
    pruned = prune_caches(tmp_path, max_bytes=0)
    after = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert pruned.entries == 400
    assert before - after > 1_900_000
    assert abs(pruned.bytes - (before - after)) < 100_000  # files that SQLite makes beside it while it is open


def test_a_cache_of_an_earlier_version_is_kept_and_counts_as_used_now(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "features.sqlite") as connection:
        connection.execute("CREATE TABLE entry (key TEXT PRIMARY KEY, checksum BLOB, blob BLOB) WITHOUT ROWID")
    cache = BlobCache("features", tmp_path)
    cache.put_many([(str(n), b"x" * 9000) for n in range(200)])
    cache.close()
    with sqlite3.connect(cache.path) as connection:
        connection.execute("DROP TABLE last_use")
        connection.execute("PRAGMA user_version=0")
    connection.close()
    assert prune_caches(tmp_path, unused_for=timedelta(days=1)).entries == 0
    assert _keys(tmp_path, "features", ["0", "1"]) == {"0", "1"}
    assert prune_caches(tmp_path, max_bytes=9_100).bytes > 1_700_000


def test_pruning_beside_a_run_that_reads_and_writes_spoils_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from certero.machine.cache import BlobCache\n"
        "cache = BlobCache('features', Path(sys.argv[1]))\n"
        "for n in range(300):\n"
        "    cache.put_many([(str(n), str(n).encode() * 1000)])\n"
        "    found = cache.get_many([str(n)])\n"
        "    assert found in ({}, {str(n): str(n).encode() * 1000}), n\n"
        "cache.put_many([('last', b'one')])\n"
        "cache.close()\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    rounds = 0
    while run.poll() is None:
        prune_caches(tmp_path, max_bytes=0)
        rounds += 1
    assert run.returncode == 0, run.stderr.read() if run.stderr else ""
    assert rounds > 1
    cache = BlobCache("features", tmp_path)
    assert cache.get_many(["last"]) in ({}, {"last": b"one"})
    cache.put_many([("after", b"two")])
    assert cache.get_many(["after"]) == {"after": b"two"}


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_spoiled_cache_is_pruned_like_any_other(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "features.sqlite").write_bytes(content)
    _fill(tmp_path, "networks", {"kept": 0})
    assert {facts.name for facts in describe_caches(tmp_path)} == set(CACHES)
    prune_caches(tmp_path, unused_for=timedelta(days=1))
    assert _keys(tmp_path, "networks", ["kept"]) == {"kept"}
    assert not list(tmp_path.glob("*.spoiled"))
    assert [facts.entries for facts in describe_caches(tmp_path) if facts.name == "features"] == [0]


def test_describing_caches_makes_no_file(tmp_path: Path) -> None:
    assert [facts.entries for facts in describe_caches(tmp_path / "nowhere")] == [0, 0, 0]
    assert not (tmp_path / "nowhere").exists()
    assert prune_caches(tmp_path / "nowhere", max_bytes=0).entries == 0
    assert not (tmp_path / "nowhere").exists()
