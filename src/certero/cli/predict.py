"""`certero predict MODEL IMAGE|DIR...`"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from certero.cli.options import Lang, Quiet, Workers
from certero.cli.output import STDOUT, check_target, say, write
from certero.cli.progress import show_progress
from certero.errors import ConfigError, UserError
from certero.language import _, ngettext, use_language
from certero.records import Prediction


class UnreadablePhotos(UserError):
    """`--strict` and at least one photo that could not be read."""


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model.onnx, or the folder of its run.")],
    images: Annotated[list[str], typer.Argument(metavar="IMAGE|DIR...", help="Photos, or folders to search.")],
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write a JSON list; - is standard output.")
    ] = None,
    as_jsonl: Annotated[
        str | None,
        typer.Option(
            "--jsonl", metavar="FILE", help="Write one JSON object a line; - is standard output, as they come."
        ),
    ] = None,
    as_csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Write CSV with one column a class; - is standard output."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 if any photo could not be read.")] = False,
    workers: Workers = None,
    quiet: Quiet = False,
    lang: Lang = None,
) -> None:
    """Label photos with a model. Needs no torch. A photo that cannot be read gets a row with its error."""
    use_language(lang)
    asked = [(name, target) for name, target in (("json", as_json), ("jsonl", as_jsonl), ("csv", as_csv)) if target]
    if len({target for _name, target in asked}) < len(asked):
        raise ConfigError("--json, --jsonl and --csv must go to different places; two go to the same. Name two files.")
    for name, target in asked:
        check_target(target, f"--{name}")
    from certero.pipelines.predict import load

    predictor = load(model, workers=workers)
    as_they_come = as_jsonl == STDOUT
    predictions: list[Prediction] = []
    with show_progress(quiet) as progress:
        for prediction in predictor.stream(images, progress):
            predictions.append(prediction)
            if as_they_come:
                write(_json_line(prediction), STDOUT)
    for name, target in asked:
        if not (as_they_come and name == "jsonl"):
            write("".join(_FORMATS[name](predictions, predictor.classes)), target)
    if not asked:
        _print_table(predictions)
    broken = [prediction for prediction in predictions if prediction.error is not None]
    if broken:
        first = f"{broken[0].path}: {broken[0].error}"
        if strict:
            raise UnreadablePhotos(
                f"--strict needs every photo to be readable; {len(broken)} of {len(predictions)} photos could not be "
                f"read; first: {first}."
            )
        counts = {"broken": len(broken), "photos": len(predictions), "first": first}
        message = ngettext(
            "%(broken)d of %(photos)d photos could not be read; first: %(first)s",
            "%(broken)d of %(photos)d photos could not be read; first: %(first)s",
            len(broken),
        )
        print(message % counts, file=sys.stderr)


def _to_json(predictions: Iterable[Prediction], _classes: Iterable[str]) -> Iterator[str]:
    yield json.dumps([prediction.to_json() for prediction in predictions], ensure_ascii=False, indent=1) + "\n"


def _to_jsonl(predictions: Iterable[Prediction], _classes: Iterable[str]) -> Iterator[str]:
    for prediction in predictions:
        yield _json_line(prediction)


def _json_line(prediction: Prediction) -> str:
    return json.dumps(prediction.to_json(), ensure_ascii=False) + "\n"


def _to_csv(predictions: Iterable[Prediction], classes: Iterable[str]) -> Iterator[str]:
    names = list(classes)
    yield _csv_line(["path", "label", "probability", "abstained", "error", *names])
    for row in predictions:
        each = [row.probabilities[name] for name in names] if row.probabilities else [None] * len(names)
        yield _csv_line([row.path, row.label, row.probability, row.abstained, row.error, *each])


_FORMATS = {"json": _to_json, "jsonl": _to_jsonl, "csv": _to_csv}


def _csv_line(cells: list[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(["" if cell is None else cell for cell in cells])
    return buffer.getvalue()


def _print_table(predictions: list[Prediction]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(_("photo"), _("label"), _("probability"), box=None, pad_edge=False, header_style="bold")
    for row in predictions:
        if row.error is not None:
            table.add_row(Text(row.path), Text(_("unreadable: %(error)s") % {"error": row.error}, style="red"), "")
            continue
        label = Text(_("(abstains)") if row.label is None else row.label)
        table.add_row(Text(row.path), label, f"{row.probability:.3f}")
    text = io.StringIO()
    # Paths must not be cut where the output goes to a file or a pipe.
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(file=text, force_terminal=on_terminal, width=None if on_terminal else 10_000)
    console.print(table, soft_wrap=True)
    say(text.getvalue(), end="")
