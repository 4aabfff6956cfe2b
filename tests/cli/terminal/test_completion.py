"""Shells complete words of certero: the real shells are asked, where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from certero.cli.main import VERBS, main
from certero.cli.shells import SHELLS
from certero.config.packaged import recipe_names

Ask = Callable[[str], list[str]]


def _answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["--complete", *words]) == 0
    return [line.partition("\t")[0] or "files" for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("words", "answers"),
    [
        (["tr"], ["train"]),
        (["e"], ["evaluate"]),
        ([""], [*VERBS, "help"]),
        (["--ins"], ["--install-completion"]),
        (["--show-completion", ""], list(SHELLS)),
        (["help", "pre"], ["predict"]),
        (["train", "--rec"], ["--recipe"]),
        (["train", "--no-t"], ["--no-test"]),
        (["audit", "x", "--no-"], ["--no-network"]),
        (["train", "--recipe", "gro"], ["grocery-cnn-1", "grocery-cnn-2", "files"]),
        (["train", "--recipe", ""], [*recipe_names(), "files"]),
        (["train", "--recipe=pro"], ["--recipe=probe", "files"]),
        (["train", "--recipe", "=", "pro"], ["probe", "files"]),  # as bash divides it
        (["train", "--device", "="], ["auto", "cpu", "cuda", "mps"]),
        (["train", "x", "--fit", "s"], ["stretch"]),
        (["train", "--epochs", ""], []),
        (["train", ""], ["files"]),
        (["train", "--no-test", ""], ["files"]),
        (["train", "x", ""], []),
        (["predict", "m", "x", "y", ""], ["files"]),
        (["train", "--", "--re"], ["files"]),
        (["evaluate", "m", "x", "--times", "na"], ["name"]),
        (["value", "--case", "sh"], ["shop", "shop-as-reported", "files"]),
        (["cache", ""], ["show", "prune"]),
        (["nonsense", ""], []),
        (["train", "--nonsense", ""], ["files"]),
    ],
)
def test_what_may_stand_last(words: list[str], answers: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _answer(words, capsys) == answers


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_every_verb_is_offered(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    offered = set(_answer([verb, "--"], capsys))
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert {word.strip(",") for word in text.split() if word.startswith("--") and "Default:" not in word} >= offered
    assert {"--lang", "--help"} <= offered


def test_completing_imports_no_library_of_the_work(tmp_path: Path) -> None:
    program = (
        "import sys; from certero.cli.main import main\n"
        f"for verb in {[*VERBS]}:\n"
        "    main(['--complete', verb, '--']); main(['--complete', verb, '']); main(['--complete', verb[:2]])\n"
        "print(sorted(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert not {"numpy", "polars", "torch", "onnxruntime", "rich"} & set(eval(found.stdout.splitlines()[-1]))


# --- The real shells ---


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home, with `certero` on its path."""
    command = tmp_path / "bin" / "certero"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m certero "$@"\n')
    command.chmod(0o755)
    (tmp_path / "a photo.jpg").touch()
    return tmp_path


def _environment(home: Path) -> dict[str, str]:
    of_the_user = ("XDG_", "LC_", "LANG", "ZDOTDIR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(of_the_user)}
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return kept | {"HOME": str(home), "PATH": path, "LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path)}


def _shell(home: Path, shell: str, *words: str) -> str:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [program, *words], cwd=home, env=_environment(home), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _ask_bash(home: Path, line: str) -> list[str]:
    """The answers of the function that bash would call, with the words as bash divides them."""
    script = home / ".local/share/bash-completion/completions/certero"
    words = " ".join(f"'{word}'" for word in line.replace("=", " = ").split(" ")) if "=" in line else None
    words = words or " ".join(f"'{word}'" for word in line.split(" "))
    program = (
        f"source '{script}'; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _certero; "
        'complete -p certero >/dev/null || exit 3; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return _shell(home, "bash", "--norc", "-c", program).split()


def _ask_fish(home: Path, line: str) -> list[str]:
    answers = _shell(home, "fish", "--command", f"complete --do-complete '{line}'").splitlines()
    return [answer.partition("\t")[0] for answer in answers]


def _ask_zsh(home: Path, line: str) -> list[str]:
    """A real terminal: zsh completes nowhere else. What stands on the line after Tab is what it chose."""
    import pty
    import select
    import time

    if (program := shutil.which("zsh")) is None:
        pytest.skip("zsh is not installed")
    (home / ".zshrc").write_text(
        "fpath+=(~/.zfunc); autoload -Uz compinit; compinit -u -D\nPS1='ready> '\nunsetopt beep\n"
        # What is on the line, once it is completed.
        "show() { print -r -- \"<<$BUFFER>>\" > ~/answer; exit }\nzle -N show; bindkey '^X' show\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(home)
        os.execve(program, ["zsh", "-i"], _environment(home) | {"TERM": "dumb"})
    seen = b""

    def wait_for(what: bytes, seconds: float) -> None:
        nonlocal seen
        until = time.monotonic() + seconds
        while what not in seen and time.monotonic() < until:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    seen += os.read(terminal, 4096)
                except OSError:
                    return

    wait_for(b"ready> ", 30)
    os.write(terminal, f"{line}\t\x18".encode())
    until = time.monotonic() + 60
    while not (home / "answer").exists() and time.monotonic() < until:
        wait_for(b"never", 0.1)
    os.close(terminal)
    os.waitpid(child, 0)
    return [(home / "answer").read_text().strip().removeprefix("<<").removesuffix(">>").split("certero ")[1].strip()]


def _install(home: Path, shell: str) -> list[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [home / "bin" / "certero", "--install-completion", shell],
        env=_environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(os.name == "nt", reason="shells of Unix")
@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("certero tr", ["train"]),
        ("certero train --rec", ["--recipe"]),
        ("certero train --recipe gro", ["grocery-cnn-1", "grocery-cnn-2"]),
        ("certero train --recipe ", list(recipe_names())),
        ("certero train --recipe=pro", ["probe"]),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_real_shell_completes(shell: str, line: str, answers: list[str], home: Path) -> None:
    _install(home, shell)
    found = _ask_bash(home, line) if shell == "bash" else _ask_fish(home, line)
    found = [answer.removeprefix("--recipe=") for answer in found]
    assert [answer for answer in found if "/" not in answer and answer not in ("bin", "a photo.jpg")] == answers


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="shells of Unix")
@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("certero tr", "train"),
        ("certero train --rec", "train --recipe"),
        ("certero train --recipe pro", "train --recipe probe"),
        ("certero train --device=cp", "train --device=cpu"),
        ("certero audit a", r"audit a\ photo.jpg"),
    ],
)
def test_zsh_completes_on_a_terminal(line: str, answer: str, home: Path) -> None:
    _install(home, "zsh")
    assert _ask_zsh(home, line) == [answer]


# --- Installing ---


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".local/share/bash-completion/completions/certero"),
        ("zsh", ".zfunc/_certero"),
        ("fish", ".config/fish/completions/certero.fish"),
    ],
)
def test_installing_writes_one_file_says_which_and_can_be_done_again(
    shell: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    assert main(["--install-completion"]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / place) in said
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / place]
    first = (tmp_path / place).read_bytes()
    assert main(["--install-completion", shell]) == 0
    assert capsys.readouterr().out == said
    assert (tmp_path / place).read_bytes() == first
    assert main(["--show-completion", shell]) == 0
    assert capsys.readouterr().out == first.decode()
    (tmp_path / place).write_text("mine")
    assert main(["--install-completion", shell]) == 2
    assert "must not write over" in capsys.readouterr().err
    assert (tmp_path / place).read_text() == "mine"


@pytest.mark.parametrize("shell", ["/bin/tcsh", ""])
@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_an_unknown_shell_costs_one_line_and_no_file(
    shell: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", shell)
    assert main([option]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"ConfigError: {option} must name one of bash, zsh, fish; found {Path(shell).name!r}. "
        f"For example: certero {option} bash\n"
    )
    assert list(tmp_path.iterdir()) == []
