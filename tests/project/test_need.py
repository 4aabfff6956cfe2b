"""Machines in need: what they can do is done, and what they cannot is said in one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits are set by a shell of Linux")


def _run(limit: str, *words: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of certero under limits of the shell."""
    command = ["sh", "-c", f'{limit}; exec "$@"', "sh", sys.executable, "-m", "certero", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_help_needs_next_to_nothing() -> None:
    code, out, error = _run("ulimit -v 200000; ulimit -n 32", "--help")
    assert (code, error) == (0, "")
    assert "certero VERB" in out


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["ulimit -n 64", "ulimit -v 3000000", "taskset -cp 0 $$ >/dev/null", "exec >&-"])
def test_a_plan_is_made_under_limits(small_barn: Path, tmp_path: Path, limit: str) -> None:
    if "taskset" in limit and not shutil.which("taskset"):
        pytest.skip("there is no taskset here")
    words = ("train", small_barn / "beds.csv", "--dry-run", "-q", "-o", tmp_path / "run")
    code, _out, error = _run(limit, *words)
    assert (code, error) == (0, "")


def test_open_files_that_the_machine_lacks_are_one_line_with_the_way_out(small_barn: Path, tmp_path: Path) -> None:
    code, out, error = _run("ulimit -n 12", "train", small_barn / "beds.csv", "-q", "-o", tmp_path / "run")
    assert (code, out, error.count("\n")) == (2, "", 1), error
    assert "must have more open files" in error
    assert "ulimit -n" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kilobytes", [300_000, 700_000, 1_200_000])
def test_too_few_addresses_are_refused_instead_of_hanging(small_barn: Path, tmp_path: Path, kilobytes: int) -> None:
    words = ("train", small_barn / "beds.csv", "-q", "-o", tmp_path / "run")
    code, out, error = _run(f"ulimit -v {kilobytes}", *words)
    assert (code, out, error.count("\n")) == (2, "", 1), error
    assert f"ulimit -v allows {kilobytes}" in error
    assert not (tmp_path / "run").exists()
