"""`certero demo`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from certero.cli.terminal.options import JsonFile, Lang, Quiet, Workers, option
from certero.cli.terminal.output import check_target
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import print_json, print_places, print_summary
from certero.config.panels import DATA, OUTPUT
from certero.language import _
from certero.sentences import message

ABOUT = (
    message("Draw a small barn as an overhead camera would see it, train on its beds, and report. Downloads nothing."),
)

Output = Annotated[
    Path,
    option(
        "--output",
        "-o",
        help=message("Folder for the barn and its runs."),
        panel=OUTPUT,
        metavar="FOLDER",
        default="demo",
    ),
]
Seed = Annotated[
    int, option(help=message("Another seed, another barn."), panel=DATA, metavar="N", default="0", least=0)
]
Open = Annotated[
    bool,
    option(
        "--open/--no-open",
        help=message("Show the report in the browser, where there is one."),
        panel=OUTPUT,
        default="--open",
    ),
]


def command(
    output: Output = Path("demo"),
    seed: Seed = 0,
    open_report: Open = True,
    as_json: JsonFile = None,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Runs `certero demo`; `ABOUT` says what it does."""
    check_target(as_json, "--json")
    from certero.pipelines.demo import demo
    from certero.records.metrics import Metrics

    with show_progress(quiet) as progress:
        command = ["certero", "demo", *sys.argv[2:]]
        run = demo(output, seed=seed, workers=workers, progress=progress, command=command, lang=lang)
    if as_json is not None:
        print_json(run.metrics, as_json)
    if as_json == "-":
        return
    print_summary(Metrics.from_json(run.metrics))
    print_places([(_("Report"), run.report), (_("Model"), run.model), (_("Barn"), output / "barn")])
    if open_report and sys.stdout.isatty():
        import webbrowser

        webbrowser.open(run.report.resolve().as_uri())
