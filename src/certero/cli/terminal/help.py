"""The help of a verb: its options under headings, in the reader's language, at the width of the terminal.

Laid out here, not by the parser: its own help is English, in one list, and differs from version to version.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from certero.config.panels import OUTPUT, PANELS
from certero.language import _, translate
from certero.sentences import message

_LEAST_WIDTH, _MOST_WIDTH = 50, 100
_COLUMN = 26
_GAP = 2
_HELP = message("Show this help and exit.")


def lay_out_help(name: str, about: Sequence[str], parameters: Iterable[Any], width: int | None = None) -> str:
    """The help as it is printed.

    Args:
        name: such as `certero train`.
        about: paragraphs of what it does, messages.
        parameters: of the command, as the parser holds them.
        width: letters a line; None takes the terminal's.
    """
    width = max(_LEAST_WIDTH, min(width or shutil.get_terminal_size().columns, _MOST_WIDTH))
    every = [each for each in parameters if each.name != "help"]
    words = [each.metavar for each in every if each.param_type_name == "argument"]
    lines = _wrap(" ".join([_("Usage:"), name, *words, _("[options]")]), width, "", " " * 7)
    for paragraph in about:
        lines += ["", *_wrap(_(paragraph), width, "", "")]
    for panel in PANELS:
        rows = [(_names(each), meaning_of(each)) for each in every if each.rich_help_panel == panel]
        if panel == OUTPUT:
            rows.append(("-h, --help", _(_HELP)))
        if rows:
            lines += ["", f"{_(panel)}:"]
        for names, meaning in rows:
            lines += _row(names, meaning, width)
    return "\n".join(lines)


def _row(names: str, meaning: str, width: int) -> list[str]:
    indent = " " * _COLUMN
    if len(names) + 2 * _GAP > _COLUMN:
        return [" " * _GAP + names, *_wrap(meaning, width, indent, indent)]
    return _wrap(meaning, width, f"{' ' * _GAP}{names}".ljust(_COLUMN), indent)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    names = ", ".join([*sorted(parameter.opts, key=len), *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar}"


def meaning_of(parameter: Any) -> str:
    """What an option or argument is, and its default, in the language in use."""
    text = _(parameter.help) if parameter.help else ""
    if isinstance(parameter.show_default, str):
        default = translate(parameter.show_default)
        text += " " + (_("Default: %(value)s.") % {"value": default}).replace("....", "...")
    return text


def _wrap(text: str, width: int, first: str, following: str) -> list[str]:
    # What may be typed stays whole.
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )
