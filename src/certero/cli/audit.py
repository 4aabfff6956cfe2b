"""`certero audit DATA`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from certero.cli.terminal.audit_summary import summarise
from certero.cli.terminal.options import GroupBy, LabelLevel, Lang, Quiet, Times, Workers
from certero.cli.terminal.output import check_targets, say
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import print_json, print_places
from certero.errors import UserError
from certero.language import _


class SeriousFindings(UserError):
    """`--strict` and a finding of severity high."""


def command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled photos: folders or a manifest.")],
    label_level: LabelLevel = None,
    group_by: GroupBy = None,
    times: Times = None,
    network: Annotated[
        bool,
        typer.Option("--network/--no-network", help="Judge labels and find cropped and turned copies by a network."),
    ] = True,
    image_size: Annotated[
        int | None, typer.Option(min=32, max=1024, help="Side of the network's input, pixels.")
    ] = None,
    fix: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a cleaned manifest (CSV); photos are never touched.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report with pictures to this file.")] = None,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the findings as JSON; - is standard output.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 if there is a serious finding.")] = False,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Find copies, leaks between splits, wrong labels, unusable photos, imbalance and shortcuts, before training."""
    check_targets({"--json": as_json, "--report": report, "--fix": fix}, [data])
    from certero.config.parsing import parse_label_level
    from certero.pipelines.audit import audit

    with show_progress(quiet) as progress:
        answer = audit(
            data,
            label_level=None if label_level is None else parse_label_level(label_level),
            group_by=group_by,
            times=times or "auto",
            network=network,
            image_size=image_size,
            fix=fix,
            report=report,
            workers=workers,
            progress=progress,
            command=["certero", "audit", *sys.argv[2:]],
            lang=lang,
        )
    if as_json is not None:
        print_json(answer, as_json)
    if as_json != "-":
        for line in summarise(answer):
            say(line)
        places = [(_("Report"), report), (_("Cleaned manifest"), fix)]
        if shown := [(what, place) for what, place in places if place is not None]:
            print_places(shown)
    serious = answer["counts"]["findings"]["high"]
    if strict and serious:
        raise SeriousFindings(
            "--strict needs data without serious findings; found %(serious)s. Do as it says above.", serious=serious
        )
