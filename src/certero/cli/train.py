"""`certero train DATA`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from certero.cli.terminal.options import JsonFile, Lang, Quiet, StrictBars, argument, option
from certero.cli.terminal.output import check_targets, of_model
from certero.cli.terminal.settings import given_settings, with_settings
from certero.config.panels import OUTPUT, WORK
from certero.language import _, use_language
from certero.sentences import message

ABOUT = (
    message("Train a classifier on labelled photos, measure it once on held-out photos, and write a report."),
    message(
        "The test photos stay sealed until the end. Photos taken minutes apart, or of one group, never land on both "
        "sides."
    ),
)

Data = Annotated[Path, argument("DATA", message("Folder with one folder a class, pre-split folder, or manifest."))]
Output = Annotated[
    Path | None,
    option(
        "--output",
        "-o",
        help=message("Folder of the run; must not exist yet."),
        panel=OUTPUT,
        metavar="FOLDER",
        default="runs/NAME-1, -2, ...",
    ),
]
Resume = Annotated[
    Path | None,
    option(help=message("Continue a run that was interrupted while training a network."), panel=WORK, metavar="RUN"),
]
DryRun = Annotated[
    bool,
    option(
        "--dry-run",
        help=message("Only say what would be done, how long it would take and what it needs."),
        panel=WORK,
    ),
]


@with_settings()
def command(
    data: Data,
    output: Output = None,
    resume: Resume = None,
    strict: StrictBars = False,
    dry_run: DryRun = False,
    as_json: JsonFile = None,
    quiet: Quiet = False,
    lang: Lang = None,
    **options: Any,
) -> None:
    """Runs `certero train`; `ABOUT` says what it does."""
    settings = given_settings(options)
    recipe = settings.pop("recipe")
    earlier = settings["split_from"]
    reads = [data, recipe, settings["weights"], *of_model(Path(earlier) if earlier else None)]
    check_targets({"--json": as_json}, reads)
    if dry_run:
        use_language(lang)
        _say_plan(data, recipe or "probe", output, as_json, quiet, settings)
        return
    from certero.cli.terminal.progress import show_progress
    from certero.cli.terminal.summary import check_strict, print_json, print_places, print_summary
    from certero.pipelines.train import train
    from certero.records.metrics import Metrics

    with show_progress(quiet) as progress:
        run = train(
            data,
            recipe=recipe,
            output=output,
            resume=resume,
            progress=progress,
            command=["certero", "train", *sys.argv[2:]],
            lang=lang,
            **settings,
        )
    metrics = Metrics.from_json(run.metrics)
    if as_json is not None:
        print_json(run.metrics, as_json)
    if as_json != "-":
        print_summary(metrics)
        print_places([(_("Report"), run.report), (_("Model"), run.model)])
    if strict:
        check_strict(metrics)


def _say_plan(
    data: Path, recipe: str, output: Path | None, as_json: str | None, quiet: bool, settings: dict[str, Any]
) -> None:
    from certero.cli.terminal.plan_summary import print_plan
    from certero.cli.terminal.progress import show_progress
    from certero.cli.terminal.summary import print_json
    from certero.pipelines.plan import plan

    with show_progress(quiet) as progress:
        found = plan(data, recipe=recipe, output=output, progress=progress, **settings)
    if as_json is not None:
        print_json(found.to_json(), as_json)
    if as_json != "-":
        print_plan(found)
