"""`certero value MODEL... --case FILE`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from certero.cli.terminal.options import DataBlock, DataGroupBy, DataSplit, DataTimes, Lang, Quiet, Workers
from certero.cli.terminal.output import check_targets, of_model, say
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import print_json
from certero.errors import ConfigError


def command(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MODEL...]", help="Runs, or the model.onnx in them; the first is compared with the others."
        ),
    ] = None,
    case: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME", help="The assumptions: a TOML file, or an example: shop, shop-as-reported, farm."
        ),
    ] = None,
    init: Annotated[
        bool, typer.Option("--init", help="Write a commented case to fill in, to --case or case.toml, and stop.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Labelled photos to judge on, in place of the run's own test photos.")
    ] = None,
    split: DataSplit = None,
    group_by: DataGroupBy = None,
    block: DataBlock = None,
    times: DataTimes = None,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="best|model|none|NUMBER",
            help="Below it a person is asked: the one that earns most, the model's own, none, or a probability.",
        ),
    ] = "best",
    per_class: Annotated[bool, typer.Option("--per-class", help="Choose a threshold for each class.")] = False,
    save_threshold: Annotated[
        bool, typer.Option("--save-threshold", help="Write the threshold into the model file: predict abstains by it.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="HTML file: a report of certero gets the section, else a page is written.")
    ] = None,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - is standard output.")
    ] = None,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Say what a model is worth: savings, payback, the threshold that earns most, and what it hangs on."""
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
