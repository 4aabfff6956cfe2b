"""`certero audit DATA`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from certero.cli.terminal.options import GroupBy, JsonFile, LabelLevel, Lang, Quiet, Times, Workers, argument, option
from certero.cli.terminal.output import check_targets, say
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import print_json, print_places
from certero.config.panels import NETWORK, OUTPUT
from certero.errors import UserError
from certero.language import _
from certero.sentences import message


class SeriousFindings(UserError):
    """`--strict` and a finding of severity high."""


ABOUT = (
    message(
        "Find copies, leaks between splits, wrong labels, unusable photos, imbalance and shortcuts, before training."
    ),
)

Data = Annotated[Path, argument("DATA", message("Labelled photos: folders or a manifest."))]
Network = Annotated[
    bool,
    option(
        "--network/--no-network",
        help=message("Use a network to judge labels and to find cropped and turned copies."),
        panel=NETWORK,
        default="--network",
    ),
]
ImageSize = Annotated[
    int | None,
    option(help=message("Side of the network's input, pixels, 32 to 1024."), panel=NETWORK, metavar="N", default="224"),
]
Fix = Annotated[
    Path | None,
    option(help=message("Write a cleaned manifest (CSV); photos are never touched."), panel=OUTPUT, metavar="FILE"),
]
Report = Annotated[
    Path | None, option(help=message("Write an HTML report with pictures."), panel=OUTPUT, metavar="FILE")
]
Strict = Annotated[bool, option("--strict", help=message("Exit with 2 if there is a serious finding."), panel=OUTPUT)]


def command(
    data: Data,
    label_level: LabelLevel = None,
    group_by: GroupBy = None,
    times: Times = None,
    network: Network = True,
    image_size: ImageSize = None,
    fix: Fix = None,
    report: Report = None,
    as_json: JsonFile = None,
    strict: Strict = False,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Runs `certero audit`; `ABOUT` says what it does."""
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
        from certero.cli.terminal.audit_summary import summarise

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
