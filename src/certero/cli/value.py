"""`certero value MODEL... --case FILE`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from certero.cli.terminal.options import Block, GroupBy, JsonFile, Lang, Quiet, Split, Times, Workers, argument, option
from certero.cli.terminal.output import check_targets, of_model, say
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import print_json
from certero.config.panels import DATA, MONEY, OUTPUT
from certero.errors import ConfigError
from certero.sentences import message

ABOUT = (message("Say what a model is worth: savings, payback, the threshold that earns most, and what it hangs on."),)

Models = Annotated[
    list[Path] | None,
    argument("[MODEL...]", message("Runs, or the model.onnx in them; the first is compared with the others.")),
]
Case = Annotated[
    str | None,
    option(
        help=message("The assumptions: a TOML file, or an example: shop, shop-as-reported, farm."),
        panel=MONEY,
        metavar="FILE|NAME",
        choices=lambda: ["shop", "shop-as-reported", "farm"],
    ),
]
Init = Annotated[
    bool,
    option("--init", help=message("Write a commented case to fill in, to --case or case.toml, and stop."), panel=MONEY),
]
Data = Annotated[
    Path | None,
    option(
        help=message("Labelled photos to judge on; the options below speak of them."),
        panel=DATA,
        metavar="FOLDER",
        default=message("the run's own test photos"),
    ),
]
Threshold = Annotated[
    str,
    option(
        help=message(
            "Below it a person is asked: the one that earns most (best), the model's own, none, or a probability."
        ),
        panel=MONEY,
        metavar="best|model|none|X",
        default="best",
        choices=lambda: ["best", "model", "none"],
    ),
]
PerClass = Annotated[bool, option("--per-class", help=message("Choose a threshold for each class."), panel=MONEY)]
SaveThreshold = Annotated[
    bool,
    option(
        "--save-threshold",
        help=message("Write the threshold into the model file; predict then abstains below it."),
        panel=OUTPUT,
    ),
]
Report = Annotated[
    Path | None,
    option(
        help=message("HTML file: a report of certero gets the section, else a page is written."),
        panel=OUTPUT,
        metavar="FILE",
    ),
]


def command(
    models: Models = None,
    case: Case = None,
    init: Init = False,
    data: Data = None,
    split: Split = None,
    group_by: GroupBy = None,
    block: Block = None,
    times: Times = None,
    threshold: Threshold = "best",
    per_class: PerClass = False,
    save_threshold: SaveThreshold = False,
    report: Report = None,
    as_json: JsonFile = None,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Runs `certero value`; `ABOUT` says what it does."""
    if init:
        _write_template(models or [], case)
        return
    if case is None:
        raise ConfigError("--case must name the assumptions; found none. Write a file for them: certero value --init")
    reads = [place for model in models or () for place in of_model(model)]
    check_targets({"--json": as_json, "--report": report}, [*reads, data, case])
    rule = _threshold(threshold)
    from certero.cli.terminal.value_summary import summarise
    from certero.pipelines.value import value

    with show_progress(quiet) as progress:
        answer = value(
            *(models or []),
            case=case,
            data=data,
            split=split,
            group_by=group_by,
            block=block,
            times=times,
            threshold=rule,
            per_class=per_class,
            save_threshold=save_threshold,
            report=report,
            workers=workers,
            progress=progress,
            lang=lang,
        )
    if as_json is not None:
        print_json(answer, as_json)
    if as_json != "-":
        for line in summarise(answer, report):
            say(line)


def _threshold(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _write_template(models: list[Path], case: str | None) -> None:
    from certero.business.template import write_template
    from certero.runs.model import classes_of

    place = Path(case or "case.toml")
    write_template(place, classes_of(models[0]) if models else ())
    say(str(place))
