"""`certero compare MODEL MODEL...`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from certero.cli.terminal.options import (
    Block,
    FigureFor,
    GroupBy,
    JsonFile,
    LabelLevel,
    Lang,
    Quiet,
    Split,
    Times,
    Workers,
    argument,
    option,
)
from certero.cli.terminal.output import check_targets, of_model, put_table, say
from certero.cli.terminal.passed_over import say_passed_over
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import print_json, print_places
from certero.config.panels import DATA, OUTPUT, WORK
from certero.language import _, translate
from certero.sentences import message

if TYPE_CHECKING:
    from certero.records.comparison import Comparison

# More models than these get a line each rather than a column.
_MOST_COLUMNS = 3

ABOUT = (message("Compare models on the same photos, pair by pair: is one better, by how much, and at what cost."),)

Models = Annotated[
    list[Path],
    argument("MODEL...", message("Runs, model files, or ONNX files of others with a card beside them.")),
]
Data = Annotated[
    Path | None,
    option(
        help=message("Labelled photos that all models judge; the options below speak of them."),
        panel=DATA,
        metavar="FOLDER",
        default=message("the test photos that the runs share"),
    ),
]
Card = Annotated[
    list[Path] | None,
    option(
        help=message("TOML card of an ONNX file of others; may be repeated."),
        panel=DATA,
        metavar="FILE",
        default=message("NAME.toml beside NAME.onnx"),
    ),
]
Label = Annotated[str | None, option(help=message("The class of every photo of --data."), panel=DATA, metavar="CLASS")]
Speed = Annotated[
    bool,
    option(
        "--speed/--no-speed",
        help=message("Measure how fast each model is here."),
        panel=WORK,
        default="--speed",
    ),
]
Report = Annotated[Path | None, option(help=message("Write an HTML page."), panel=OUTPUT, metavar="FILE")]


def command(
    models: Models,
    data: Data = None,
    card: Card = None,
    split: Split = None,
    label: Label = None,
    label_level: LabelLevel = None,
    group_by: GroupBy = None,
    block: Block = None,
    figure_for: FigureFor = None,
    times: Times = None,
    speed: Speed = True,
    report: Report = None,
    as_json: JsonFile = None,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Runs `certero compare`; `ABOUT` says what it does."""
    reads = [place for model in models for place in of_model(model)]
    check_targets({"--json": as_json, "--report": report}, [*reads, data, *(card or ())])
    from certero.config.parsing import parse_label_level
    from certero.pipelines.compare import compare
    from certero.records import comparison

    with show_progress(quiet) as progress:
        answer = compare(
            *models,
            data=data,
            card=tuple(card or ()),
            split=split,
            label=label,
            label_level=None if label_level is None else parse_label_level(label_level),
            group_by=group_by,
            block=block,
            figure_for=figure_for,
            times=times,
            speed=speed,
            report=report,
            workers=workers,
            progress=progress,
            command=["certero", "compare", *sys.argv[2:]],
            lang=lang,
        )
    if as_json is not None:
        print_json(answer, as_json)
    if as_json != "-":
        print_comparison(comparison.Comparison.from_json(answer))
        if report is not None:
            print_places([(_("Report"), report)])


def print_comparison(answer: Comparison) -> None:
    """Prints the verdicts, the table and what to mind."""
    from certero.report.comparison import advice, headline

    for row in answer.models:
        say(f"{row.letter}: {row.name}")
    for note in answer.notes:
        say(_("Note: %(note)s.") % {"note": translate(note)})
    if answer.counts is not None and (unreadable := answer.counts.unreadable):
        say(_("Photos that could not be read and were not judged: %(count)d.") % {"count": unreadable})
    if answer.counts is not None and (passed_over := answer.counts.passed_over):
        say(say_passed_over(passed_over))
    say("")
    _print_table(answer)
    say("")
    for line in [*headline(answer), *advice(answer)]:
        say(line)


def _print_table(answer: Comparison) -> None:
    from certero.report.comparison import table_rows

    rows = [(name, [cell.replace("\u00a0%", "%") for cell in cells]) for name, cells in table_rows(answer)]
    letters = [row.letter for row in answer.models]
    if len(letters) > _MOST_COLUMNS:
        grid = [["", *(name for name, _cells in rows)]]
        grid += [[letter, *(cells[place] for _name, cells in rows)] for place, letter in enumerate(letters)]
    else:
        grid = [["", *letters], *([name, *cells] for name, cells in rows)]
    put_table(grid[0], grid[1:])
