"""`certero demo`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from certero.cli.terminal.options import Lang, Quiet, Workers
from certero.cli.terminal.output import check_target
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import print_json, print_places, print_summary
from certero.language import _


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the barn and the run.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another barn.")] = 0,
    open_report: Annotated[
        bool, typer.Option("--open/--no-open", help="Show the report in the browser, where there is one.")
    ] = True,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the metrics as JSON; - is standard output.")
    ] = None,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Render a small synthetic barn seen by an overhead camera, train on its beds, and report. Downloads nothing."""
    check_target(as_json, "--json")
    from certero.pipelines.demo import demo

    with show_progress(quiet) as progress:
        command = ["certero", "demo", *sys.argv[2:]]
        run = demo(output, seed=seed, workers=workers, progress=progress, command=command, lang=lang)
    if as_json is not None:
        print_json(run.metrics, as_json)
    if as_json == "-":
        return
    print_summary(run.metrics)
    print_places([(_("Report"), run.report), (_("Model"), run.model), (_("Barn"), output / "barn")])
    if open_report and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(run.report.resolve().as_uri())
