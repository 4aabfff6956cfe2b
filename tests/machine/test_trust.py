"""What another user could have written into a cache is not believed, and what is nonsense is computed again."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("polars", reason="needs the [report] extra")

from certero.cli.main import main
from certero.data.patterns import match_all
from certero.errors import SplitError
from certero.machine.cache import CACHES, BlobCache, distrusted, prune_caches
from certero.machine.trust import distrust

if TYPE_CHECKING:
    from certero.pipelines.train import Run

_unix = pytest.mark.skipif(sys.platform == "win32", reason="owners and permissions of Unix")
_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
_SOMEBODY = 4711


def _filled(folder: Path) -> Path:
    cache = BlobCache("features", folder)
    cache.put_many([("a", b"mine")])
    cache.close()
    return folder


@_unix
def test_a_cache_is_its_users_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        _filled(tmp_path / "cache")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "cache").iterdir()} == {0o600}


@_unix
def test_a_cache_of_an_older_version_is_closed_to_others(tmp_path: Path) -> None:
    folder = _filled(tmp_path / "cache")
    (folder / "features.sqlite").chmod(0o644)
    assert BlobCache("features", folder).get_many(["a"]) == {"a": b"mine"}
    assert stat.S_IMODE((folder / "features.sqlite").stat().st_mode) == 0o600


@_unix
@pytest.mark.parametrize("what", ["", "features.sqlite"])
def test_what_everybody_may_write_is_not_believed(what: str, tmp_path: Path) -> None:
    folder = _filled(tmp_path / "cache")
    (folder / what).chmod(0o777)
    assert list(distrusted(folder)) == [folder / what]
    assert BlobCache("features", folder).get_many(["a"]) == {}


@_unix
@_root
@pytest.mark.parametrize("what", ["", "features.sqlite"])
def test_what_another_user_owns_is_not_believed(what: str, tmp_path: Path) -> None:
    folder = _filled(tmp_path / "cache")
    os.chown(folder / what, _SOMEBODY, _SOMEBODY)
    assert BlobCache("features", folder).get_many(["a"]) == {}
    assert str(_SOMEBODY) in (distrust(folder / what) or "")


@_unix
def test_a_link_of_ones_own_is_followed_and_one_of_another_user_is_not(tmp_path: Path) -> None:
    _filled(tmp_path / "cache")
    (tmp_path / "link").symlink_to("cache")
    assert BlobCache("features", tmp_path / "link").get_many(["a"]) == {"a": b"mine"}
    if os.geteuid() == 0:
        os.lchown(tmp_path / "link", _SOMEBODY, _SOMEBODY)
        assert BlobCache("features", tmp_path / "link").get_many(["a"]) == {}


@_unix
def test_doctor_calls_an_open_cache_and_an_open_log_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, variable in (("cache", "CERTERO_CACHE"), ("state", "CERTERO_STATE")):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
        monkeypatch.setenv(variable, str(tmp_path / name))
    assert main(["doctor", "--json", "-"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    problems = [check["found"] for check in checks if check["status"] == "problem"]
    assert sum("everybody may write to it" in found for found in problems) == 2


@pytest.mark.slow
@_unix
@pytest.mark.usefixtures("small_run")
def test_a_network_that_somebody_put_into_an_open_cache_reaches_no_model(
    small_barn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(os.environ["CERTERO_CACHE"], tmp_path / "cache")
    connection = sqlite3.connect(tmp_path / "cache" / "networks.sqlite")
    for (key,) in connection.execute("SELECT key FROM entry").fetchall():
        cache = BlobCache("networks", tmp_path / "cache")
        cache.put_many([(key, b"changed")])
        cache.close()
    connection.close()
    (tmp_path / "cache").chmod(0o777)
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "cache"))
    words = ["train", str(small_barn / "beds.csv"), "-o", str(tmp_path / "run"), "--random-splits", "0"]
    assert main(words) == 0
    assert "is not used: everybody may write to it" in capsys.readouterr().out
    assert (tmp_path / "run" / "model.onnx").stat().st_size > 1_000_000


# --- Nonsense in a folder that is believed ---


def test_entries_of_wrong_types_are_spoiled_entries(tmp_path: Path) -> None:
    folder = _filled(tmp_path / "cache")
    connection = sqlite3.connect(folder / "features.sqlite")
    with connection:
        connection.execute("INSERT INTO entry VALUES ('text', 'x', 'words')")
        connection.execute("INSERT INTO entry VALUES ('none', NULL, NULL)")
        connection.execute("INSERT INTO entry VALUES ('number', 1, 2)")
        connection.execute("INSERT INTO last_use VALUES ('text', 'yesterday')")
        connection.execute("UPDATE last_use SET used = 'never' WHERE key = 'a'")
    connection.close()
    cache = BlobCache("features", folder)
    assert cache.get_many(["a", "text", "none", "number"]) == {"a": b"mine"}
    cache.close()
    assert prune_caches(folder, max_bytes=0).entries == 4


@pytest.mark.slow
def test_nonsense_that_is_whole_is_computed_again(
    small_barn: Path, small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    shutil.copytree(os.environ["CERTERO_CACHE"], tmp_path / "cache")
    for name in CACHES:
        connection = sqlite3.connect(tmp_path / "cache" / f"{name}.sqlite")
        entries = connection.execute("SELECT key, length(blob) FROM entry").fetchall()
        connection.close()
        cache = BlobCache(name, tmp_path / "cache")
        wrong = [
            b"",
            b"{}",
            b"[" * 9999,
            np.full(1280, np.nan, np.float32).tobytes(),
            rng.bytes(77),
            rng.bytes(16),
            b'{"status": "ok"}',
        ]
        cache.put_many((key, wrong[number % len(wrong)]) for number, (key, _size) in enumerate(entries) if number % 3)
        cache.close()
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "cache"))
    assert main(["train", str(small_barn / "beds.csv"), "-o", str(tmp_path / "run"), "-q", "--random-splits", "0"]) == 0
    assert (tmp_path / "run" / "predictions.csv").read_bytes() == small_run.path.joinpath(
        "predictions.csv"
    ).read_bytes()


# --- A user's regular expression ---


def test_an_expression_gives_its_first_group_or_all_that_it_matches() -> None:
    names = ["cam1/a.jpg", "cam22/ñ\u2028\udce9.jpg", "none.jpg", "cam3/\n.jpg"]
    assert match_all(r"cam(\d+)/", names) == ["1", "22", None, "3"]
    assert match_all(r"cam\d+", names) == ["cam1", "cam22", None, "cam3"]
    many = [f"cam{number % 7}/{number}.jpg" for number in range(1234)]
    assert match_all(r"cam(\d)", many) == [str(number % 7) for number in range(1234)]


def test_an_expression_without_an_end_is_stopped_and_names_the_photo() -> None:
    names = [f"a{number}.jpg" for number in range(700)]
    names[650] = "a" * 60 + "!.jpg"
    with pytest.raises(SplitError, match=r"'\(a\+\)\+\$' does not within 0.5 s on a{60}!\.jpg"):
        match_all("(a+)+$", names, seconds=0.5)


@pytest.mark.parametrize("pattern", ["(", "(" * 5000 + ")" * 5000, "a{99999999999999999999}", "[z-a]"])
def test_an_expression_that_is_none_is_one_line(pattern: str) -> None:
    with pytest.raises(SplitError, match="must be a valid regular expression"):
        match_all(pattern, ["a"])
