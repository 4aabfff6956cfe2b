"""`certero evaluate MODEL DATA`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from certero.cli.terminal.options import GroupBy, LabelLevel, Lang, Quiet, Times, Workers
from certero.cli.terminal.output import check_targets, of_model
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import check_strict, print_json, print_places, print_summary, print_warning
from certero.language import _


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model.onnx, or the folder of its run.")],
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Labelled photos: folders, manifest, or the folder of one class.")
    ],
    split: Annotated[str | None, typer.Option(help="Judge one split of the data: train, val or test.")] = None,
    label: Annotated[
        str | None, typer.Option(help="The class of every photo, whatever the folders are called.")
    ] = None,
    label_level: LabelLevel = None,
    group_by: GroupBy = None,
    block: Annotated[
        str | None, typer.Option(help="Photos taken within one such block count as alike, e.g. 1h.")
    ] = None,
    times: Times = None,
    decide: Annotated[
        float | None, typer.Option(help="Give a label only from this probability on; other photos get none.")
    ] = None,
    require: Annotated[
        list[str] | None, typer.Option(help='A bar, e.g. "f1>=0.8" for every class; may be repeated.')
    ] = None,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="No photo shows a class of the model: count how many it refuses.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 unless every --require is met.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the metrics as JSON; - is standard output.")
    ] = None,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Measure a model on labelled photos, with intervals, and say how many of them it was trained on."""
    check_targets({"--json": as_json, "--report": report}, [*of_model(model), data])
    from certero.config.parsing import parse_label_level
    from certero.pipelines.evaluate import evaluate

    with show_progress(quiet) as progress:
        metrics = evaluate(
            model,
            data,
            split=split,
            label=label,
            label_level=None if label_level is None else parse_label_level(label_level),
            group_by=group_by,
            times=times or "auto",
            block=block,
            decide=decide,
            require=tuple(require or ()),
            unknown=unknown,
            report=report,
            workers=workers,
            progress=progress,
            command=["certero", "evaluate", *sys.argv[2:]],
            lang=lang,
        )
    if as_json is not None:
        print_json(metrics, as_json)
    # With --unknown nothing was judged that could have been seen.
    if as_json == "-" and metrics["seen"] and metrics["seen"]["warning"]:
        # The figures may go into a program unseen; this must not.
        print_warning(metrics["seen"]["warning"])
    if as_json != "-":
        print_summary(metrics)
        if report is not None:
            print_places([(_("Report"), report)])
    if strict:
        check_strict(metrics)
