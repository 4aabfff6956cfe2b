"""`certero doctor`"""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated

from certero.cli.terminal.options import JsonFile, Lang, option
from certero.cli.terminal.output import check_target, say, visible, write
from certero.config.panels import OUTPUT
from certero.errors import UserError
from certero.interchange import json_text
from certero.language import _, ngettext, use_language
from certero.sentences import message

if TYPE_CHECKING:
    from certero.pipelines.doctor import Check, Diagnosis

_NAME_WIDTH = 20
_LEAST_WIDTH, _MOST_WIDTH = 60, 120


class ProblemFound(UserError):
    """`--strict` and a check that found a problem."""


ABOUT = (
    message("Look at this machine and installation, and say what to do."),
    message(
        "ok: nothing to do. note: works, but worth knowing. problem: can spoil results or stop the work. Changes "
        "nothing and sends nothing."
    ),
)

Strict = Annotated[bool, option("--strict", help=message("Exit with 2 if a problem was found."), panel=OUTPUT)]


def command(
    as_json: JsonFile = None,
    strict: Strict = False,
    lang: Lang = None,
) -> None:
    """Runs `certero doctor`; `ABOUT` says what it does."""
    use_language(lang)
    check_target(as_json, "--json")
    from certero.pipelines.doctor import diagnose

    diagnosis = diagnose()
    if as_json is not None:
        write(json_text(diagnosis.to_json(), indent=1) + "\n", as_json)
    if as_json != "-":
        for line in show(diagnosis, shutil.get_terminal_size().columns):
            say(line)
    if strict and diagnosis.status == "problem":
        names = ", ".join(check.name for check in diagnosis.checks if check.status == "problem")
        raise ProblemFound(
            "--strict needs a machine without problems; found some with %(names)s. Do as it says above.", names=names
        )


def show(diagnosis: Diagnosis, width: int) -> list[str]:
    """The checks as lines for a terminal so many characters wide, and the sum of them."""
    lines = [line for check in diagnosis.checks for line in _show(check, max(_LEAST_WIDTH, min(width, _MOST_WIDTH)))]
    statuses = [check.status for check in diagnosis.checks]
    problems, notes = statuses.count("problem"), statuses.count("note")
    if problems == 0 and notes == 0:
        return [*lines, "", _("All is well.")]
    parts = [
        ngettext("{n} problem", "{n} problems", problems).format(n=problems),
        ngettext("{n} note", "{n} notes", notes).format(n=notes),
    ]
    return [*lines, "", ", ".join(part for part, n in zip(parts, (problems, notes), strict=True) if n) + "."]


def _show(check: Check, width: int) -> list[str]:
    words = {"ok": _("ok"), "note": _("note"), "problem": _("PROBLEM")}
    start = f"{words[check.status]:<9}{check.name:<{_NAME_WIDTH}}"
    indent = " " * (9 + _NAME_WIDTH)
    lines = _wrap(check.found, width, start, indent)
    if check.advice:
        lines += _wrap(check.advice, width, f"{indent}> ", f"{indent}  ")
    if check.source and check.status != "ok":
        lines.append(f"{indent}  {check.source}")
    return lines


def _wrap(text: str, width: int, first: str, following: str) -> list[str]:
    # Paths and commands stay whole, to be copied.
    return textwrap.wrap(
        visible(text),
        width,
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )
