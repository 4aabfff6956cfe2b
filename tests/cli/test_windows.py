"""What Windows lacks and forbids, laid upon this system: no verb needs it, and nothing breaks those rules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the rules are laid upon Linux"),
]

# Python imports this at its start, in every process that a command starts, too. What Python's own library and loky need
# on Linux stays. Sources: docs.python.org, `os` and `signal` ("Availability: Unix"); Microsoft's pages on `_commit`
# (needs a descriptor that may write) and `MoveFileEx` (neither the source nor what lies in it may be open).
_RULES = """import builtins
import errno
import fcntl
import io
import os
import signal
import sys

_get, _access = fcntl.fcntl, fcntl.F_GETFL
_open, _rename, _replace, _unlink, _fsync, _readlink = io.open, os.rename, os.replace, os.unlink, os.fsync, os.readlink


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())
for _name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules.pop(_name, None)
for _name in ("O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_NOCTTY sched_getaffinity sysconf getuid geteuid getgid getegid "
    "mkfifo fchown chown killpg setsid getloadavg").split():
    if hasattr(os, _name):
        delattr(os, _name)
for _name in ("SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGQUIT SIGXCPU SIGPIPE alarm setitimer getitimer pthread_sigmask "
    "pthread_kill siginterrupt sigwait sigtimedwait pause").split():
    if hasattr(signal, _name):
        delattr(signal, _name)


def _refuse_open(path):
    full = os.path.abspath(path)
    for number in os.listdir("/proc/self/fd"):
        try:
            there = _readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if there == full or there.startswith(full + os.sep):
            raise PermissionError(errno.EACCES, f"in use by this process: {there}", str(path))


_told_by_linux = "/proc/self/statm", "/proc/self/cgroup", "/proc/meminfo", "/proc/cpuinfo", "/sys/fs/cgroup"


def no_proc(file, *rest, **named):
    if str(file).startswith(_told_by_linux):
        raise FileNotFoundError(errno.ENOENT, "no such file or directory", str(file))
    return _open(file, *rest, **named)


def rename(source, target, **rest):
    _refuse_open(source)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "cannot create a file when that file already exists", str(target))
    _rename(source, target, **rest)


def replace(source, target, **rest):
    _refuse_open(source)
    _refuse_open(target)
    if os.path.isdir(target):
        raise PermissionError(errno.EACCES, "access is denied", str(target))
    _replace(source, target, **rest)


def unlink(path, *, dir_fd=None):
    if dir_fd is None:
        _refuse_open(path)
    _unlink(path, dir_fd=dir_fd)


def fsync(descriptor):
    if _get(descriptor, _access) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "bad file descriptor")
    _fsync(descriptor)


io.open = builtins.open = no_proc
os.rename, os.replace, os.unlink, os.remove, os.fsync = rename, replace, unlink, unlink, fsync
"""


def _certero(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "sitecustomize.py").write_text(_RULES, "utf-8")
    (folder / "work").mkdir(exist_ok=True)
    path = os.pathsep.join([str(folder / "rules"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "certero", *map(str, words)],
        cwd=folder / "work",
        env={
            **os.environ,
            "PYTHONPATH": path,
            "CERTERO_CACHE": str(folder / "cache"),
            "CERTERO_STATE": str(folder / "state"),
            "CERTERO_TRACEBACK": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Error processing" not in done.stderr, "the rules themselves failed"
    return done


def test_the_rules_hold(tmp_path: Path) -> None:
    program = "import os, pathlib\nfor code in {!r}:\n    try:\n        exec(code)\n    except Exception as error:\n"
    program += "        print(type(error).__name__)\n    else:\n        print('allowed', code)"
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "sitecustomize.py").write_text(_RULES, "utf-8")
    broken = [
        "import fcntl",
        "os.O_DIRECTORY",
        "file = open('a', 'w'); os.rename('a', 'b')",
        "file = open('c', 'w'); pathlib.Path('c').unlink()",
        "pathlib.Path('d').touch(); pathlib.Path('e').touch(); pathlib.Path('d').rename('e')",
        "os.fsync(os.open('d', os.O_RDONLY))",
        "pathlib.Path('/proc/self/statm').read_text()",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program.format(broken)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "rules")},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = (
        "ModuleNotFoundError AttributeError PermissionError PermissionError FileExistsError OSError FileNotFoundError"
    )
    assert done.stdout.split() == expected.split(), done.stderr


def test_a_run_is_trained_and_used_under_the_rules(small_barn: Path, tmp_path: Path) -> None:
    for words in (
        ("train", small_barn / "beds.csv", "--image-size", "64"),
        ("predict", "runs/beds-1", small_barn / "beds", "--csv", "answers.csv"),
        ("predict", "runs/beds-1", small_barn / "beds", "--csv", "answers.csv"),
        ("evaluate", "runs/beds-1", small_barn / "beds.csv", "--report", "evaluate.html"),
        ("doctor",),
    ):
        done = _certero(tmp_path, *words)
        assert done.returncode == 0, (words, done.stderr)
    assert sorted(file.name for file in (tmp_path / "work" / "runs").iterdir()) == ["beds-1"]
    _names_are_allowed(tmp_path)


@pytest.mark.networks
def test_a_network_is_trained_whole_and_gone_on_with_under_the_rules(small_barn: Path, tmp_path: Path) -> None:
    options = ("--recipe", "cnn", "--epochs", "1", "--image-size", "32", "--cv", "0")
    done = _certero(tmp_path, "train", small_barn / "beds.csv", *options)
    assert done.returncode == 0, done.stderr
    _names_are_allowed(tmp_path)


def _names_are_allowed(folder: Path) -> None:
    forbidden: Sequence[str] = [
        str(path) for path in folder.rglob("*") if set(path.name) & set('<>:"\\|?*') or path.name[-1] in ". "
    ]
    assert not forbidden
