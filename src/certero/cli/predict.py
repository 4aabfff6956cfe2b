"""`certero predict MODEL IMAGE|DIR...`"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from certero.cli.terminal.groups import Common, with_groups
from certero.cli.terminal.options import SharesOption, argument, one_of, option
from certero.cli.terminal.output import STDOUT, check_targets, of_model, put_table, tell, write
from certero.cli.terminal.passed_over import say_passed_over
from certero.cli.terminal.progress import show_progress
from certero.config.panels import OUTPUT
from certero.errors import ConfigError, UserError
from certero.interchange import class_columns, csv_text, json_text
from certero.language import _, ngettext, translate, use_language
from certero.records.prediction import Prediction
from certero.sentences import in_a_row, message

_MOST_SHARES = 10
_CSV_FOR = ("programs", "spreadsheet")


if TYPE_CHECKING:
    from certero.runtime.new_shares import NewShares


class UnreadablePhotos(UserError):
    """`--strict` and at least one photo that could not be read."""


ABOUT = (message("Label photos with a model. Needs no torch. A photo that cannot be read gets a row with its error."),)

Model = Annotated[Path, argument("MODEL", message("A model.onnx, or the folder of its run."))]
Images = Annotated[list[str], argument("IMAGE|DIR...", message("Photos, or folders to search."))]
Json = Annotated[
    str | None,
    option("--json", help=message("Write a JSON list; - is standard output."), panel=OUTPUT, metavar="FILE"),
]
JsonLines = Annotated[
    str | None,
    option(
        "--jsonl",
        help=message("Write one JSON object a line; - is standard output, as they come."),
        panel=OUTPUT,
        metavar="FILE",
    ),
]
Csv = Annotated[
    str | None,
    option(
        "--csv",
        help=message("Write CSV with one column a class; - is standard output."),
        panel=OUTPUT,
        metavar="FILE",
    ),
]
CsvFor = Annotated[
    str | None,
    option(
        help=message("spreadsheet: an apostrophe before texts that one would run as a formula."),
        panel=OUTPUT,
        default="programs",
        **one_of(*_CSV_FOR),
    ),
]
LeastSure = Annotated[
    int | None,
    option(
        help=message("Give only the N photos of which the model is least sure, the least sure first: to label next."),
        panel=OUTPUT,
        metavar="N",
    ),
]
Strict = Annotated[bool, option("--strict", help=message("Exit with 2 if any photo could not be read."), panel=OUTPUT)]


@dataclass(frozen=True, slots=True)
class Targets:
    """Where the predictions go; nowhere: a table."""

    as_json: Json = None
    as_jsonl: JsonLines = None
    as_csv: Csv = None
    csv_for: CsvFor = None

    def asked(self) -> list[tuple[str, str]]:
        """The options that were given, each with its target.

        Raises:
            ConfigError: if they do not go together.
        """
        pairs = (("--json", self.as_json), ("--jsonl", self.as_jsonl), ("--csv", self.as_csv))
        asked = [(name, target) for name, target in pairs if target]
        if len({target for _name, target in asked}) < len(asked):
            raise ConfigError(
                "--json, --jsonl and --csv must go to different places; two go to the same. Name two files."
            )
        if self.csv_for not in (None, *_CSV_FOR):
            raise ConfigError(
                "--csv-for must be one of %(known)s; found %(word)r.",
                known=", ".join(_CSV_FOR),
                word=self.csv_for,
            )
        if self.csv_for is not None and self.as_csv is None:
            raise ConfigError("--csv-for says what reads the CSV; found no --csv beside it. Add --csv FILE.")
        return asked


@with_groups
def command(
    model: Model,
    images: Images,
    targets: Targets,
    common: Common,
    shares: SharesOption = None,
    least_sure: LeastSure = None,
    strict: Strict = False,
) -> None:
    """Runs `certero predict`; `ABOUT` says what it does."""
    use_language(common.lang)
    asked = targets.asked()
    if least_sure is not None and least_sure < 1:
        raise ConfigError("--least-sure must be a number of photos above 0; found %(found)s.", found=least_sure)
    as_json, as_jsonl, as_csv, csv_for = targets.as_json, targets.as_jsonl, targets.as_csv, targets.csv_for
    check_targets(dict(asked), [*of_model(model), *images])
    from certero.config.parsing import parse_shares
    from certero.runs.model import load
    from certero.runtime.least_sure import pick_least_sure
    from certero.runtime.predictor import name_photos

    wish = None if shares is None else parse_shares(shares)
    predictor = load(model, workers=common.workers)
    as_they_come = as_jsonl == STDOUT and least_sure is None
    predictions: list[Prediction] = []
    named = name_photos(images)
    weighed: list[NewShares] = []
    with show_progress(common.quiet) as progress:
        for prediction in predictor.stream(named, progress, shares=wish, told=weighed.append):
            predictions.append(prediction)
            if as_they_come:
                write(_json_line(prediction), STDOUT)
    every = predictions
    if least_sure is not None:
        predictions = pick_least_sure(every, least_sure)
    if as_json:
        write(json_text([prediction.to_json() for prediction in predictions], indent=1) + "\n", as_json)
    if as_jsonl and not as_they_come:
        write("".join(map(_json_line, predictions)), as_jsonl)
    if as_csv:
        write(_to_csv(predictions, predictor.classes, csv_for == "spreadsheet", wish is not None), as_csv)
    if not asked:
        _print_table(predictions)
    if wish is not None:
        for shares_now in weighed:
            tell(_say_shares(predictor.classes, shares_now))
        tell(_say_changed(every))
    if named.passed_over:
        tell(say_passed_over(named.passed_over))
    broken = [prediction for prediction in every if prediction.error is not None]
    if broken:
        first = in_a_row([broken[0].path, broken[0].error or ""], ": ")
        if strict:
            raise UnreadablePhotos(
                "--strict needs every photo to be readable; %(n_broken)s of %(n_predictions)s "
                "photos could not be read; first: %(first)s.",
                n_broken=len(broken),
                n_predictions=len(every),
                first=first,
            )
        counts = {"broken": len(broken), "photos": len(every), "first": translate(first)}
        text = ngettext(
            "%(broken)d of %(photos)d photos could not be read; first: %(first)s",
            "%(broken)d of %(photos)d photos could not be read; first: %(first)s",
            len(broken),
        )
        tell(text % counts)


def _json_line(prediction: Prediction) -> str:
    return json_text(prediction.to_json()) + "\n"


def _say_shares(classes: Sequence[str], weighed: NewShares) -> str:
    """The shares in training and those that the outputs were weighed for; of many classes those that moved most."""
    before, now = weighed.before.tolist(), weighed.reached.tolist()
    moved = sorted(range(len(classes)), key=lambda number: -abs(now[number] - before[number]))
    each = (f"{classes[number]} {before[number]:.1%} > {now[number]:.1%}" for number in sorted(moved[:_MOST_SHARES]))
    return _("Shares of the classes, in training > here: %(shares)s") % {"shares": ", ".join(each)}


def _say_changed(predictions: Sequence[Prediction]) -> str:
    """How many photos other shares of the classes name otherwise."""
    plain = [(row.label, row.as_trained.label) for row in predictions if row.as_trained is not None]
    text = ngettext(
        "With other shares of the classes %(changed)d of %(count)d photo is named otherwise. This holds where each "
        "class looks as it did in training and only its share has changed.",
        "With other shares of the classes %(changed)d of %(count)d photos are named otherwise. This holds where each "
        "class looks as it did in training and only its share has changed.",
        len(plain),
    )
    return text % {"changed": sum(now != before for now, before in plain), "count": len(plain)}


def _to_csv(predictions: Sequence[Prediction], classes: Sequence[str], for_spreadsheet: bool, with_shares: bool) -> str:
    more = ["label_as_trained", "probability_as_trained"] if with_shares else []
    rows: list[list[object]] = [["path", "label", "probability", "abstained", "error", *more, *class_columns(classes)]]
    for row in predictions:
        each = [row.probabilities[name] for name in classes] if row.probabilities else [None] * len(classes)
        plain = row.as_trained
        others = [] if not with_shares else [None, None] if plain is None else [plain.label, plain.probability]
        rows.append([row.path, row.label, row.probability, row.abstained, row.error, *others, *each])
    return csv_text(rows, for_spreadsheet=for_spreadsheet)


def _print_table(predictions: list[Prediction]) -> None:
    header = (_("photo"), _("label"), _("probability"))
    broken = {number for number, row in enumerate(predictions) if row.error is not None}
    put_table(header, map(_cells, predictions), red=broken)


def _cells(row: Prediction) -> tuple[str, str, str]:
    if row.error is not None:
        return row.path, _("unreadable: %(error)s") % {"error": translate(row.error)}, ""
    return row.path, _("(abstains)") if row.label is None else row.label, f"{row.probability:.3f}"
