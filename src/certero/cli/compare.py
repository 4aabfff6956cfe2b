"""`certero compare MODEL MODEL...`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from certero.cli.terminal.options import DataBlock, DataGroupBy, DataSplit, DataTimes, Lang, Quiet, Workers
from certero.cli.terminal.output import check_targets, of_model, put_table, say
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import print_json, print_places, say_passed_over
from certero.interchange import Json
from certero.language import _, translate

# More models than these get a line each rather than a column.
_MOST_COLUMNS = 3


def command(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="Runs, model files, or ONNX files of others with a card beside them."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled photos that all models judge. Default: the test photos that the runs share."),
    ] = None,
    card: Annotated[
        list[Path] | None,
        typer.Option(help="TOML card of an ONNX file of others; may be repeated. Default: NAME.toml beside NAME.onnx."),
    ] = None,
    split: DataSplit = None,
    label: Annotated[str | None, typer.Option(help="The class of every photo of --data.")] = None,
    label_level: Annotated[
        str | None, typer.Option(help="Which folder of --data names the class: 1, 2, ... or leaf.")
    ] = None,
    group_by: DataGroupBy = None,
    block: DataBlock = None,
    times: DataTimes = None,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Measure how fast each model is here.")] = True,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page to this file.")] = None,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - is standard output.")
    ] = None,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Compare models on the same photos, pair by pair: is one better, by how much, and at what cost."""
    reads = [place for model in models for place in of_model(model)]
    check_targets({"--json": as_json, "--report": report}, [*reads, data, *(card or ())])
    from certero.config.parsing import parse_label_level
    from certero.pipelines.compare import compare

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
        print_comparison(answer)
        if report is not None:
            print_places([(_("Report"), report)])


def print_comparison(answer: Json) -> None:
    """Prints the verdicts, the table and what to mind."""
    from certero.report.comparison import advice, headline

    for row in answer["models"]:
        say(f"{row['letter']}: {row['name']}")
    for note in answer["notes"]:
        say(_("Note: %(note)s.") % {"note": translate(note)})
    if unreadable := (answer["counts"] or {}).get("unreadable"):
        say(_("Photos that could not be read and were not judged: %(count)d.") % {"count": unreadable})
    if passed_over := (answer["counts"] or {}).get("passed_over"):
        say(say_passed_over(passed_over))
    say("")
    _print_table(answer)
    say("")
    for line in [*headline(answer), *advice(answer)]:
        say(line)


def _print_table(answer: Json) -> None:
    from certero.report.comparison import table_rows

    rows = [(name, [cell.replace("\u00a0%", "%") for cell in cells]) for name, cells in table_rows(answer)]
    letters = [row["letter"] for row in answer["models"]]
    if len(letters) > _MOST_COLUMNS:
        grid = [["", *(name for name, _cells in rows)]]
        grid += [[letter, *(cells[place] for _name, cells in rows)] for place, letter in enumerate(letters)]
    else:
        grid = [["", *letters], *([name, *cells] for name, cells in rows)]
    put_table(grid[0], grid[1:])
