"""Options and arguments: how one is declared, and those that several verbs share.

What one means is a message of the catalogue: `cli.terminal.help` looks it up where it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from certero.config.panels import DATA, OUTPUT, WORK
from certero.config.parsing import FIGURE_FOR, TIMES
from certero.sentences import message


def option(
    *names: str,
    help: str,
    panel: str,
    metavar: str | None = None,
    default: str | None = None,
    choices: Callable[[], Sequence[str]] | None = None,
    least: int | None = None,
) -> Any:
    """An option, for `Annotated`.

    Args:
        *names: such as `--json`; none takes the parameter's name. `--on/--off` for two.
        help: what it is; a message.
        panel: heading of the help.
        metavar: stands for the value; one that holds `FILE`, `FOLDER` or `RUN` lets the shell complete a path.
        default: in words, a message where they are any.
        choices: values that the shell offers.
        least: of a whole number.
    """
    return typer.Option(
        *names,
        help=help,
        rich_help_panel=panel,
        metavar=metavar,
        show_default=False if default is None else default,
        autocompletion=choices,
        min=least,
    )


def argument(metavar: str, help: str, choices: Callable[[], Sequence[str]] | None = None) -> Any:
    """A word without dashes, for `Annotated`; see `option`."""
    return typer.Argument(metavar=metavar, help=help, rich_help_panel=DATA, show_default=False, autocompletion=choices)


def one_of(*words: str) -> dict[str, Any]:
    """The `metavar` and `choices` of an option that takes one of these words."""
    return {"metavar": "|".join(words), "choices": lambda: words}


Lang = Annotated[
    str | None,
    option(
        "--lang",
        help=message("Language of this help, of results, errors and reports."),
        panel=OUTPUT,
        default=message("the locale's"),
        **one_of("en", "es"),
    ),
]
Quiet = Annotated[bool, option("--quiet", "-q", help=message("Show no progress."), panel=OUTPUT)]
Workers = Annotated[
    int | None,
    option(
        "--workers",
        help=message("Threads for decoding and computing."),
        panel=WORK,
        metavar="N",
        default=message("every core"),
        least=1,
    ),
]
LabelLevel = Annotated[
    str | None,
    option(
        "--label-level",
        help=message("Which folder names the class: 1, 2, ... or leaf."),
        panel=DATA,
        default="1",
        **one_of("1", "2", "leaf"),
    ),
]
GroupBy = Annotated[
    str | None,
    option(
        "--group-by",
        help=message("Photos that depend on each other: a manifest column, 'parent', or a regular expression."),
        panel=DATA,
        metavar="COLUMN",
        default=message("by time, else copies"),
        choices=lambda: ["parent"],
    ),
]
Block = Annotated[
    str | None,
    option(
        "--block",
        help=message("Photos taken within one such block of time depend on each other, e.g. 1h."),
        panel=DATA,
        metavar="TIME",
        default=message("whole days, else from the photos"),
    ),
]
FigureFor = Annotated[
    str | None,
    option(
        "--for",
        help=message("What the figure must speak of: other hours of the same days, other days, or other places."),
        panel=DATA,
        default=message("the most that the photos allow"),
        **one_of(*FIGURE_FOR),
    ),
]
Times = Annotated[
    str | None,
    option(
        "--times",
        help=message("Where capture times are taken from."),
        panel=DATA,
        default="auto",
        **one_of(*TIMES),
    ),
]
Split = Annotated[
    str | None,
    option(
        "--split",
        help=message("Judge one split of the data alone."),
        panel=DATA,
        default=message("all"),
        **one_of("train", "val", "test"),
    ),
]
JsonFile = Annotated[
    str | None,
    option("--json", help=message("Write the results as JSON; - is standard output."), panel=OUTPUT, metavar="FILE"),
]
Decide = Annotated[
    float | None,
    option(
        "--decide",
        help=message("Give a label only from this probability up; other photos get none."),
        panel=OUTPUT,
        metavar="X",
        default=message("the model's own threshold, else none"),
    ),
]
Require = Annotated[
    list[str] | None,
    option(
        "--require",
        help=message('A bar, e.g. "f1>=0.8" for every class; may be repeated.'),
        panel=OUTPUT,
        metavar="BAR",
    ),
]
StrictBars = Annotated[
    bool, option("--strict", help=message("Exit with 2 unless every --require is met."), panel=OUTPUT)
]
SharesOption = Annotated[
    str | None,
    option(
        "--shares",
        help=message(
            "Weigh the outputs for other shares of the classes: adapt finds them from the photos, without labels."
        ),
        panel=DATA,
        metavar="adapt|CLASS=SHARE,...",
        default=message("as in training"),
        choices=lambda: ["adapt"],
    ),
]
