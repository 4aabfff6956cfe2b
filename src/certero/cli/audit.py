"""`certero audit DATA`"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from certero.cli.terminal.groups import Common, Reading, with_groups
from certero.cli.terminal.options import JsonFile, argument, option
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


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the findings go, beside the terminal."""

    fix: Fix = None
    report: Report = None
    as_json: JsonFile = None


@with_groups
def command(
    data: Data,
    reading: Reading,
    targets: Targets,
    common: Common,
    network: Network = True,
    image_size: ImageSize = None,
    strict: Strict = False,
) -> None:
    """Runs `certero audit`; `ABOUT` says what it does."""
    fix, report, as_json = targets.fix, targets.report, targets.as_json
    check_targets({"--json": as_json, "--report": report, "--fix": fix}, [data])
    from certero.config.parsing import parse_label_level
    from certero.pipelines.audit import audit

    with show_progress(common.quiet) as progress:
        answer = audit(
            data,
            label_level=None if reading.label_level is None else parse_label_level(reading.label_level),
            group_by=reading.group_by,
            times=reading.times or "auto",
            network=network,
            image_size=image_size,
            fix=fix,
            report=report,
            workers=common.workers,
            progress=progress,
            command=["certero", "audit", *sys.argv[2:]],
            lang=common.lang,
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
