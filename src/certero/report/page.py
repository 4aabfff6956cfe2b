"""The report: one HTML file that needs nothing else, for readers who know photos better than statistics."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from certero.config.setting import Fitting, settings_of
from certero.config.settings import TrainSettings
from certero.errors import MissingExtra
from certero.language import _, language, ngettext, translate
from certero.machine.files import write_whole
from certero.photos.listing import describe_passed_over
from certero.records.dependence import ONLY_IF
from certero.records.metrics import Metrics, headline
from certero.records.scores import Scores, Slice
from certero.report import answer, calibration, charts, figures, money
from certero.report.advice import advise
from certero.report.coverage import view_coverage
from certero.report.names import draw_names
from certero.report.pictures import NO_PICTURES, Gallery, Mistake
from certero.report.questions import answer_questions
from certero.report.training import view_training
from certero.report.trust import reasons, verdict
from certero.stats.slices import FEWEST_PHOTOS

if TYPE_CHECKING:
    import jinja2

#: Mistakes, right answers and least sure photos that a report shows.
MOST_PICTURES, MOST_RIGHT, MOST_UNSURE = 25, 10, 5
#: Mistakes on the summary that is printed.
MOST_ON_PAPER = 10
#: More than these are folded, so that the weak classes are not far below.
OPEN_PICTURES = 10
#: Up to this many classes the confusion matrix is shown at once, above it the top confusions lead.
SMALL_MATRIX = 15
#: Above this many classes a matrix on paper or a screen helps nobody; `metrics.json` has it.
LARGEST_MATRIX = 60
#: Up to this many classes, and rows of a slice, the chart shows all at once; above it the rest is folded.
MOST_DOTS = 12

SIZE_HERE = "\ue000"


def write_report(
    output: Path,
    *,
    metrics: Metrics,
    config: Mapping[str, object],
    gallery: Gallery = NO_PICTURES,
    augmented: bytes | None = None,
) -> None:
    """Write the report as one self-contained HTML file; an earlier file is replaced whole or not at all.

    It is written in the language in use, see `certero.language.use_language`.

    Args:
        output: the file to write; its folder exists.
        metrics: of a training or of an evaluation.
        config: every setting, resolved.
        gallery: the photos to show; the first `MOST_PICTURES` mistakes are.
        augmented: a sheet of photos as training showed them, JPEG.

    Raises:
        MissingExtra: Jinja2 is not installed.
        OutputError: the file cannot be written.
    """
    write_whole(output, _encode(render(metrics, config, gallery, augmented)))


def render(
    metrics: Metrics,
    config: Mapping[str, object],
    gallery: Gallery = NO_PICTURES,
    augmented: bytes | None = None,
) -> str:
    """The report's HTML; see `write_report`."""
    view = _view(metrics, config, gallery) | {"training": view_training(metrics.training, augmented)}
    return _state_size(environment().get_template("report.html.jinja").render(view))


def restate_size(page: str) -> str:
    """A report to which something was added, with its new size in the footer."""
    return _state_size(re.sub(r'(<span id="page-size">)[\d,]*(</span>)', rf"\g<1>{SIZE_HERE}\g<2>", page))


def _state_size(page: str) -> str:
    # The page states its own size, so the figure is filled in last; it stands in the footer, after all data.
    before, _place, after = page.rpartition(SIZE_HERE)
    kilobytes = -(-len(_encode(before + after)) // 1000)
    while (whole := len(_encode(f"{before}{kilobytes:,}{after}"))) > 1000 * kilobytes:
        kilobytes = -(-whole // 1000)
    return f"{before}{kilobytes:,}{after}"


def _encode(page: str) -> bytes:
    # Names that are not UTF-8 reach us with surrogates; a "?" in the report is better than no report.
    return page.encode("utf-8", "replace")


@functools.cache
def environment() -> jinja2.Environment:
    """The templates, with the filters that they use."""
    try:
        # Here and not above: whoever only predicts does not pay for it.
        import jinja2
    except ImportError as error:
        raise MissingExtra(
            "a report needs Jinja2, which is not installed; install it with: pip install 'certero[report]'"
        ) from error

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("certero.report", "templates"),
        autoescape=True,
        # A misspelt attribute fails where it stands, instead of leaving a sentence out.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    # They ask for the language at each call, so one environment serves every language.
    environment.install_gettext_callables(_, ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {
        "percent": figures.percent,
        "points": figures.points,
        "number": figures.number,
        "flatten": figures.flatten,
        "figure": money.figure_text,
        "decisive": figures.decisive_first,
        "minutes": charts.lag_words,
        "said": lambda text: translate(text) if isinstance(text, str) else text,
        "passed_over": lambda counts: ", ".join(map(translate, describe_passed_over(counts))),
    }
    environment.tests |= {"known": figures.known, "with_interval": figures.has_interval}
    environment.globals |= {
        "only_if": ONLY_IF,
        "share_axis": charts.share_axis,
        "dots_axis": charts.dots_axis,
        "mark_words": charts.mark_words,
    }
    return environment


def _view(metrics: Metrics, config: Mapping[str, object], gallery: Gallery) -> dict[str, object]:
    """What the templates speak about; `body` and what is made of it are None or empty without a headline."""
    found = headline(metrics)
    trust = reasons(metrics, found)
    body = found.body
    coverage, advice = view_coverage(metrics), advise(metrics, found)
    mistakes = list(gallery.mistakes)[:MOST_PICTURES] if body else []
    return {
        "language": language(),
        "SIZE_HERE": SIZE_HERE,
        "trust": trust,
        "verdict": verdict(trust, metrics, found),
        "coverage": coverage,
        "advice": advice,
        "questions": answer_questions(metrics, found, trust, coverage, advice),
        "decay": charts.decay_chart(metrics.separation),
        "names": draw_names(metrics.names),
        "MOST_DOTS": MOST_DOTS,
        "OPEN_PICTURES": OPEN_PICTURES,
        "metrics": metrics,
        "config": _looked_at(config),
        "headline": found,
        "body": body,
        "classes": metrics.data.classes or (() if body is None else body.confusion.classes),
        "splits": {name: counts for name, counts in metrics.splits.items() if counts},
        "methods": figures.interval_methods(body, metrics.random_split_accuracy),
        "mistakes": mistakes,
        "right": list(gallery.right)[:MOST_RIGHT] if body else [],
        "unsure": list(gallery.unsure)[:MOST_UNSURE] if body else [],
        "places": _first_of_each(mistakes),
        "MOST_ON_PAPER": MOST_ON_PAPER,
        "SHADES": figures.SHADES,
        "SMALL_MATRIX": SMALL_MATRIX,
        "LARGEST_MATRIX": LARGEST_MATRIX,
        **(_NO_FIGURES if body is None else _view_figures(body, metrics)),
    }


def _looked_at(config: Mapping[str, object]) -> dict[str, object]:
    """The settings without those that this way of fitting does not look at: a probe has no epochs."""
    fitting: Fitting = (
        "probe" if config.get("fitting") != "network" else "layers" if config.get("layers") else "backbone"
    )
    known = settings_of(TrainSettings)
    return {name: value for name, value in config.items() if name not in known or fitting in known[name].used_by}


def _first_of_each(mistakes: Sequence[Mistake]) -> dict[tuple[str, str | None], int]:
    """The number of the first picture of each confusion: where a cell of the confusion matrix leads."""
    places: dict[tuple[str, str | None], int] = {}
    for number, mistake in enumerate(mistakes):
        places.setdefault((mistake.label, mistake.predicted), number)
    return places


_NO_FIGURES: Mapping[str, object] = {
    "answer_dots": [],
    "in_the_long_run": "",
    "judged_by": "",
    "units": "",
    "beside": [],
    "weaker_than_others": None,
    "most_frequent_class": None,
    "level_dots": [],
    "sureness": None,
    "ranking": None,
    "worst_slice": None,
    "slices": [],
    "class_rows": [],
    "class_dots": [],
    "calibration_rows": [],
    "heat_rows": [],
    "confusions": [],
}


def _view_figures(body: Scores, metrics: Metrics) -> dict[str, object]:
    class_rows = figures.rank_classes(body)
    # Where only copies are kept together, the split is a random one.
    claim_says_something = answer.speaks_of(metrics) != "unknown" or metrics.evaluation == "given"
    return {
        "answer_dots": charts.answer_dots(body, metrics.random_split_accuracy if claim_says_something else None),
        "in_the_long_run": answer.in_the_long_run(metrics, body),
        "judged_by": answer.judged_by(metrics, body),
        "units": answer.units(metrics),
        "beside": answer.beside(metrics, body),
        "weaker_than_others": answer.weaker_than_others(body),
        "most_frequent_class": figures.most_frequent_class(body),
        "level_dots": charts.level_dots(body.levels),
        "sureness": charts.sureness_chart(body.abstention.curve),
        "ranking": charts.ranking_chart(body),
        "worst_slice": figures.worst_slice_sentence(body.worst_slice),
        "slices": [_view_slice(name, rows) for name, rows in figures.group_slices(body.slices)],
        "class_rows": class_rows,
        "class_dots": charts.class_dots(class_rows),
        "calibration_rows": calibration.class_rows(body),
        "heat_rows": figures.heat_rows(body.confusion),
        "confusions": figures.top_confusions(body.confusion),
    }


def _view_slice(name: str, rows: Sequence[Slice]) -> tuple[str, list[charts.Dot], list[Slice], str]:
    """What divides the photos, the parts to draw, and those of too few photos, counted."""
    drawn = [row for row in rows if row.n >= FEWEST_PHOTOS]
    few = [
        f"{figures.slice_words(row.slice, row.value)[1]} ({figures.number(row.n)})" for row in rows if row not in drawn
    ]
    dots = [charts.Dot(figures.slice_words(row.slice, row.value)[1], row.accuracy, row.n) for row in drawn]
    return name, dots, drawn, ", ".join(few)
