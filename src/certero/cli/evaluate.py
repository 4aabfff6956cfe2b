"""`certero evaluate MODEL DATA`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from certero.cli.terminal.options import (
    Block,
    Decide,
    FigureFor,
    GroupBy,
    JsonFile,
    LabelLevel,
    Lang,
    Quiet,
    Require,
    SharesOption,
    Split,
    StrictBars,
    Times,
    Workers,
    argument,
    option,
)
from certero.cli.terminal.output import check_targets, of_model
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.shares import print_shares
from certero.cli.terminal.summary import check_strict, print_json, print_places, print_summary, print_warning
from certero.config.panels import DATA, OUTPUT
from certero.language import _
from certero.sentences import message

ABOUT = (message("Measure a model on labelled photos, with intervals, and say how many of them it was trained on."),)

Model = Annotated[Path, argument("MODEL", message("A model.onnx, or the folder of its run."))]
Data = Annotated[Path, argument("DATA", message("Labelled photos: folders, a manifest, or the folder of one class."))]
Label = Annotated[
    str | None,
    option(help=message("The class of every photo, whatever the folders are called."), panel=DATA, metavar="CLASS"),
]
Unknown = Annotated[
    bool,
    option("--unknown", help=message("No photo shows a class of the model: count how many it refuses."), panel=DATA),
]
Report = Annotated[Path | None, option(help=message("Write an HTML report."), panel=OUTPUT, metavar="FILE")]


def command(
    model: Model,
    data: Data,
    split: Split = None,
    label: Label = None,
    label_level: LabelLevel = None,
    group_by: GroupBy = None,
    block: Block = None,
    figure_for: FigureFor = None,
    times: Times = None,
    decide: Decide = None,
    require: Require = None,
    unknown: Unknown = False,
    shares: SharesOption = None,
    strict: StrictBars = False,
    report: Report = None,
    as_json: JsonFile = None,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Runs `certero evaluate`; `ABOUT` says what it does."""
    check_targets({"--json": as_json, "--report": report}, [*of_model(model), data])
    from certero.config.parsing import parse_label_level
    from certero.pipelines.evaluate import evaluate
    from certero.records.metrics import Metrics

    with show_progress(quiet) as progress:
        answer = evaluate(
            model,
            data,
            split=split,
            label=label,
            label_level=None if label_level is None else parse_label_level(label_level),
            group_by=group_by,
            times=times or "auto",
            block=block,
            figure_for=figure_for,
            decide=decide,
            require=tuple(require or ()),
            unknown=unknown,
            shares=shares,
            report=report,
            workers=workers,
            progress=progress,
            command=["certero", "evaluate", *sys.argv[2:]],
            lang=lang,
        )
    if as_json is not None:
        print_json(answer, as_json)
    metrics = Metrics.from_json(answer)
    # With --unknown nothing was judged that could have been seen.
    if as_json == "-" and metrics.seen is not None and metrics.seen.warning:
        # The figures may go into a program unseen; this must not.
        print_warning(metrics.seen.warning)
    if as_json != "-":
        print_summary(metrics)
        print_shares(metrics)
        if report is not None:
            print_places([(_("Report"), report)])
    if strict:
        check_strict(metrics)
