"""What each shell needs to complete words of certero, and the file of the user's that it reads."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from certero.errors import ConfigError, OutputError, reason_of
from certero.sentences import Message, message, sentence

SHELLS = ("bash", "zsh", "fish")

_NEXT = {
    "bash": message(
        "New shells read it where bash-completion is installed; elsewhere put this line into ~/.bashrc: source %(file)s"
    ),
    "zsh": message(
        "New shells read it where this stands in ~/.zshrc: fpath+=(%(folder)s); autoload -Uz compinit; compinit"
    ),
    "fish": message("New shells read it."),
}
# In the first lines of each script.
_MARK = "written by: certero --install-completion"


def script(shell: str | None, flag: str) -> str:
    """The script that teaches a shell to complete certero.

    Args:
        shell: None takes the user's.
        flag: to name in an error.

    Raises:
        ConfigError: if it is none of `SHELLS`.
    """
    return (resources.files("certero.cli.shells") / f"certero.{_known(shell, flag)}").read_text("utf-8")


def install(shell: str | None) -> list[Message]:
    """Writes the script to where the user's shell looks for it; says where that is and what is left to do.

    Nothing else is touched. A second time writes the same.

    Raises:
        ConfigError: if the shell is none of `SHELLS`.
        OutputError: if the file cannot be written, or is not certero's.
    """
    from certero.machine.files import write_whole

    flag = "--install-completion"
    text, shell = script(shell, flag), _known(shell, flag)
    file = _place(shell)
    try:
        if file.exists() and _MARK not in file.read_text("utf-8", "replace"):
            raise OutputError(
                "%(flag)s must not write over what is not certero's; found another file at %(file)s. Move it away.",
                flag=flag,
                file=file,
            )
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "%(flag)s must write %(file)s; %(reason)s. Use --show-completion and put it where your shell looks.",
            flag=flag,
            file=file,
            reason=reason_of(error),
        ) from error
    write_whole(file, text.encode())
    values = {"file": file, "folder": file.parent}
    return [sentence("Completion for %(shell)s: %(file)s", shell=shell, file=file), sentence(_NEXT[shell], **values)]


def _known(shell: str | None, flag: str) -> str:
    asked = shell or Path(os.environ.get("SHELL", "")).name
    if asked not in SHELLS:
        raise ConfigError(
            "%(flag)s must name one of %(shells)s; found %(asked)r. For example: certero %(flag)s bash",
            flag=flag,
            shells=", ".join(SHELLS),
            asked=asked,
        )
    return asked


def _place(shell: str) -> Path:
    if shell == "bash":
        return _folder("XDG_DATA_HOME", ".local/share") / "bash-completion" / "completions" / "certero"
    if shell == "zsh":
        return _folder("ZDOTDIR", "") / ".zfunc" / "_certero"
    return _folder("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / "certero.fish"


def _folder(variable: str, below_home: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / below_home)
