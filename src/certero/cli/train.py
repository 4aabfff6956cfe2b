"""`certero train DATA`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from certero.cli.terminal.options import LabelLevel, Lang, Quiet, Times, Workers
from certero.cli.terminal.output import check_targets, of_model
from certero.cli.terminal.progress import show_progress
from certero.cli.terminal.summary import check_strict, print_json, print_places, print_summary
from certero.language import _, use_language


def command(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with one folder a class, pre-split folder, or manifest.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="probe (default), finetune, cnn, cow-cnn, grocery-cnn-1, grocery-cnn-2, or a TOML file of settings."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the run; must not exist yet. Default: runs/NAME-1, -2, ..."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run that was cut off while it trained a network.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Times that each photo is shown to a network.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photos a step of a network's training.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of a network, at its highest.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw or sgd.")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, light, standard or strong changes to the photos a network is shown.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better figure on val.")
    ] = None,
    class_cap: Annotated[int | None, typer.Option(help="Train on at most so many photos of each class.")] = None,
    label_also: Annotated[
        list[str] | None,
        typer.Option(help="Column of finer labels that training tells apart and judging does not; may be repeated."),
    ] = None,
    kernels: Annotated[
        str | None,
        typer.Option(help="off trains a network with torch's own code alone: slower, the same but for rounding."),
    ] = None,
    random_splits: Annotated[
        int | None,
        typer.Option(help="Throw-away models that show what a random split would have claimed; 0 for none."),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Pretrained network: efficientnet_lite0, or a timm name whose weights are at hand."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of weights to start from: of the backbone, or of an earlier run.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the network's input, pixels.")] = None,
    fit: Annotated[str | None, typer.Option(help="letterbox keeps the photo's shape, stretch does not.")] = None,
    class_weights: Annotated[str | None, typer.Option(help="none, balanced, or CLASS=WEIGHT,...")] = None,
    group_by: Annotated[
        str | None,
        typer.Option(help="Keep together: a manifest column, 'parent', or a regular expression over the path."),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(help="Photos taken within one such block stay together, e.g. 1h. Default: from the photos."),
    ] = None,
    gap: Annotated[str | None, typer.Option(help="Least time between photos of two splits; default 10m.")] = None,
    times: Times = None,
    cv: Annotated[
        int | None,
        typer.Option(
            help="Cross-validate with so many folds; 0 never. Default: 5 where one test split would be too small."
        ),
    ] = None,
    split_seed: Annotated[int | None, typer.Option(help="Seed of the split alone.")] = None,
    split_from: Annotated[Path | None, typer.Option(help="Run whose test photos stay in test.")] = None,
    label_level: LabelLevel = None,
    min_photos: Annotated[
        int | None,
        typer.Option(help="Leave out classes with fewer readable photos. Default: refuse those with fewer than 2."),
    ] = None,
    keep_leaks: Annotated[
        bool, typer.Option("--keep-leaks", help="Train on copies of given val and test photos too.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything but the split.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, int8, fp32 or bf16, of the network; auto is int8 on a CPU.")
    ] = None,
    workers: Workers = None,
    decide: Annotated[
        float | None, typer.Option(help="Give a label only from this probability on; other photos get none.")
    ] = None,
    require: Annotated[
        list[str] | None, typer.Option(help='A bar, e.g. "f1>=0.8" for every class; may be repeated.')
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 unless every --require is met.")] = False,
    no_test: Annotated[bool, typer.Option("--no-test", help="Stop before the test set is opened.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, how long it would take and what it needs.")
    ] = False,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the metrics as JSON; - is standard output.")
    ] = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Train a classifier on labelled photos, measure it once on photos it never saw, and write a report.

    The test photos stay sealed until the end; photos taken minutes apart, or of one group, never land on both sides.
    """
    check_targets({"--json": as_json}, [data, recipe, weights, *of_model(split_from)])
    settings = {
        "backbone": backbone,
        "weights": None if weights is None else str(weights),
        "image_size": image_size,
        "fit": fit,
        "class_weights": class_weights,
        "group_by": group_by,
        "block": block,
        "gap": gap,
        "times": times,
        "cv": cv,
        "split_seed": split_seed,
        "split_from": None if split_from is None else str(split_from),
        "label_level": label_level,
        "min_photos": min_photos,
        "keep_leaks": keep_leaks or None,
        "seed": seed,
        "device": device,
        "precision": precision,
        "workers": workers,
        "decide": decide,
        "require": tuple(require) if require else None,
        "open_test": False if no_test else None,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "optimizer": optimizer,
        "augment": augment,
        "patience": patience,
        "class_cap": class_cap,
        "label_also": tuple(label_also) if label_also else None,
        "kernels": kernels,
        "random_splits": random_splits,
    }
    if dry_run:
        use_language(lang)
        from certero.cli.terminal.plan_summary import print_plan
        from certero.pipelines.plan import plan

        with show_progress(quiet) as progress:
            found = plan(data, recipe=recipe or "probe", output=output, progress=progress, **settings)
        if as_json is not None:
            print_json(found.to_json(), as_json)
        if as_json != "-":
            print_plan(found)
        return
    from certero.pipelines.train import train

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
    if as_json is not None:
        print_json(run.metrics, as_json)
    if as_json != "-":
        print_summary(run.metrics)
        print_places([(_("Report"), run.report), (_("Model"), run.model)])
    if strict:
        check_strict(run.metrics)
