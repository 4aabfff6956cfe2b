"""Local and quiet: nothing leaves the machine, and no file appears outside certero's folders and the output.

The commands run as real processes in a network namespace without any network, so that nothing leaves even where the
promise is broken; strace shows what they would have sent, and which files they touched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

_CERTERO = (sys.executable, "-m", "certero")
_WRITES = re.compile(
    r"\b(?:creat|mkdir|mkdirat|rename|renameat|renameat2|unlink|unlinkat|rmdir|link|linkat|symlink|symlinkat"
    r"|mknod|mknodat|chmod|fchmodat|chown|lchown|fchownat|truncate|utime|utimes|utimensat|futimesat)\("
)
_OPENS_TO_WRITE = re.compile(r"\bopen(?:at2?)?\(.*(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC)")
# A path, after the folder that it is relative to where there is one: AT_FDCWD</home/ana>, "x" or 6</tmp>, "x".
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"')
_SENDS = re.compile(r"\b(?:connect|bind|sendto|sendmsg|sendmmsg)\(.*sa_family=(?P<family>AF_\w+)(?P<rest>.*)")
_LOOPBACK = re.compile(r'inet_addr\("127\.|inet_pton\(AF_INET6, "::1"')
_NAME_SERVER = re.compile(r"htons\(53\)")  # a name asked of a local server is asked of others next


@dataclass(frozen=True, slots=True)
class Trace:
    """What a process and its children did: lines that reached for the network, and paths that were written."""

    network: list[str]
    written: set[Path]

    def outside(self, *folders: Path) -> set[Path]:
        """Written paths outside these folders; devices and shared memory do not count."""
        allowed = (*folders, Path("/dev"), Path("/proc"))
        return {path for path in self.written if not any(path.is_relative_to(folder) for folder in allowed)}


def read_trace(text: str, start: Path) -> Trace:
    """Reads what `strace -f -y -e trace=network,%file` wrote of a process started in a folder."""
    network: list[str] = []
    written: set[Path] = set()
    for line in text.splitlines():
        if sent := _SENDS.search(line):
            family, rest = sent["family"], sent["rest"]
            local = family in ("AF_UNIX", "AF_NETLINK", "AF_UNSPEC")
            loopback = _LOOPBACK.search(rest) and not _NAME_SERVER.search(rest)
            if not (local or loopback):
                network.append(line)
        # A failed call wrote nothing. An unfinished one counts, for its result stands on another line.
        if re.search(r"\) = -1 E\w+", line) or not (_WRITES.search(line) or _OPENS_TO_WRITE.search(line)):
            continue
        for found in _PATH.finditer(line):
            written.add(Path(os.path.normpath(start / (found["folder"] or "") / found["path"])))
    return Trace(network, written)


@cache
def _tools() -> tuple[str, ...] | str:
    """The command that puts a process into an empty network and traces it, or the reason why there is none."""
    for tool in ("strace", "unshare"):
        if shutil.which(tool) is None:
            return f"needs {tool}, which is not installed"
    trace = ("strace", "-f", "-y", "-s", "400", "-e", "trace=network,%file")
    reason = ""
    for unshare in (("unshare", "-n"), ("unshare", "-r", "-n")):
        probe = subprocess.run(
            [*unshare, *trace, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False
        )
        if probe.returncode == 0:
            return (*unshare, *trace)
        reason = probe.stderr.strip().splitlines()[-1] if probe.stderr.strip() else f"exit code {probe.returncode}"
    return f"needs a network namespace and strace, which this machine forbids: {reason}"


@dataclass(frozen=True, slots=True)
class Watched:
    """Runs commands in an empty network, with an empty home, and tells what they did."""

    folder: Path

    def run(self, *command: str) -> Trace:
        tools = _tools()
        if isinstance(tools, str):
            pytest.skip(tools)
        # With CI set, ONNX Runtime's telemetry is silent anyway.
        environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
        environment |= {
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "temporary"),
            "CERTERO_CACHE": str(self.folder / "cache"),
            "CERTERO_STATE": str(self.folder / "state"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for name in list(environment):
            if name.startswith("XDG_"):
                del environment[name]
        for name in ("home", "temporary", "work"):
            (self.folder / name).mkdir(exist_ok=True)
        log = self.folder / "trace"
        answer = subprocess.run(
            [*tools, "-o", str(log), *command],
            env=environment,
            cwd=self.folder / "work",
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr[-2000:]
        trace = read_trace(log.read_text("utf-8", "replace"), self.folder / "work")
        log.unlink()
        return trace

    def outside(self, trace: Trace) -> set[Path]:
        """What was written outside certero's own folders and the output."""
        return trace.outside(*(self.folder / name for name in ("temporary", "cache", "state", "output")))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(tmp_path_factory.mktemp("quiet"))


@pytest.fixture(scope="module")
def trained(watched: Watched, small_barn: Path) -> Trace:
    """A model trained from nothing: the cache is empty, so that torch and the weights are at work too."""
    pytest.importorskip("onnx", reason="training needs the [train] extra")
    options = ("--output", str(watched.folder / "output" / "run"), "--image-size", "64", "--cv", "0", "--block", "1h")
    (watched.folder / "output").mkdir()
    return watched.run(*_CERTERO, "train", str(small_barn / "beds.csv"), *options)


def test_the_watch_sees_a_packet_and_a_file(watched: Watched) -> None:
    code = (
        "import pathlib, socket\n"
        "pathlib.Path('note.txt').write_text('x')\n"
        "pathlib.Path('~/.rc').expanduser().write_text('x')\n"
        "pathlib.Path('note.txt').rename('renamed.txt')\n"
        "for family, address in ((socket.AF_INET, '192.0.2.1'), (socket.AF_INET6, '2001:db8::1')):\n"
        "    try:\n"
        "        socket.socket(family, socket.SOCK_DGRAM).sendto(b'x', (address, 9))\n"
        "    except OSError:\n"
        "        pass\n"
        "try:\n"
        "    socket.getaddrinfo('example.org', 443)\n"
        "except OSError:\n"
        "    pass\n"
    )
    trace = watched.run(sys.executable, "-c", code)
    assert sum("192.0.2.1" in line or "2001:db8::1" in line for line in trace.network) == 2
    work, home = watched.folder / "work", watched.folder / "home"
    assert watched.outside(trace) >= {work / "note.txt", work / "renamed.txt", home / ".rc"}
    for path in (work / "renamed.txt", home / ".rc"):
        path.unlink()


def test_the_watch_lets_loopback_pass_but_no_name_server() -> None:
    lines = {
        'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = 0': 0,
        'connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0': 1,
        'connect(3, {sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 0': 0,
        'connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("10.1.2.3")}, 16 <unfinished ...>': 1,
        'connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0': 0,
    }
    for line, expected in lines.items():
        assert len(read_trace(line, Path("/")).network) == expected, line


def test_training_is_local_and_quiet(watched: Watched, trained: Trace) -> None:
    assert (watched.folder / "output" / "run" / "model.onnx").is_file()
    assert trained.network == []
    assert watched.outside(trained) == set()
    assert list((watched.folder / "home").iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_model_answers_local_and_quiet(verb: str, watched: Watched, small_barn: Path) -> None:
    target = watched.folder / "output" / f"{verb}.json"
    data = small_barn / "beds" / ("lying" if verb == "predict" else "")
    trace = watched.run(*_CERTERO, verb, str(watched.folder / "output" / "run"), str(data), "--json", str(target))
    assert target.is_file()
    assert trace.network == []
    assert watched.outside(trace) == set()
    assert list((watched.folder / "home").iterdir()) == []


@pytest.mark.usefixtures("trained")
def test_without_certeros_care_onnx_runtime_would_not_be_quiet(watched: Watched) -> None:
    # Shows that the tests above would see its telemetry: before it sends, it keeps a database in the home folder.
    code = "import onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1])"
    trace = watched.run(sys.executable, "-c", code, str(watched.folder / "output" / "run" / "model.onnx"))
    outside = watched.outside(trace)
    if not outside and not trace.network:
        pytest.skip("this version of ONNX Runtime keeps no telemetry on this machine: there is nothing to silence")
    assert trace.network or any("onnxruntime" in str(path) for path in outside)
    shutil.rmtree(watched.folder / "home")
