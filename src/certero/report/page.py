"""The report: one HTML file that needs nothing else, for readers who know photos better than statistics."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from certero.errors import MissingExtra
from certero.interchange import Json
from certero.language import _, language, ngettext, translate
from certero.machine.files import write_whole
from certero.photos.listing import describe_passed_over
from certero.records.scores import WorstSlice
from certero.report import charts, figures, money
from certero.report.advice import advise, is_weak_part
from certero.report.pictures import Mistake
from certero.report.training import view_training
from certero.report.trust import reasons, verdict

if TYPE_CHECKING:
    import jinja2

MOST_PICTURES = 24
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
    output: Path, *, metrics: Json, config: Json, mistakes: Sequence[Mistake], augmented: bytes | None = None
) -> None:
    """Write the report as one self-contained HTML file; an earlier file is replaced whole or not at all.

    It is written in the language in use, see `certero.language.use_language`.

    Args:
        output: the file to write; its folder exists.
        metrics: the contents of `metrics.json` (of training or of an evaluation).
        config: every setting, resolved.
        mistakes: the worst first; the first `MOST_PICTURES` are shown.
        augmented: a sheet of photos as training showed them, JPEG.

    Raises:
        MissingExtra: Jinja2 is not installed.
        OutputError: the file cannot be written.
    """
    write_whole(output, _encode(render(metrics, config, mistakes, augmented)))


def render(metrics: Json, config: Json, mistakes: Sequence[Mistake], augmented: bytes | None = None) -> str:
    """The report's HTML; see `write_report`."""
    view = _view(metrics, config, mistakes) | view_training(metrics, augmented)
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
        # Any part of the metrics may be null or missing; the templates ask before they speak.
        undefined=jinja2.ChainableUndefined,
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
    environment.tests |= {"known": figures.known, "with_interval": figures.has_interval, "weak_part": is_weak_part}
    environment.globals |= {
        "share_axis": charts.share_axis,
        "dots_axis": charts.dots_axis,
        "mark_words": charts.mark_words,
    }
    return environment


def _view(metrics: Json, config: Json, mistakes: Sequence[Mistake]) -> Json:
    """What the templates speak about."""
    headline = figures.choose_headline(metrics)
    body = headline.body or {}
    confusion = body.get("confusion") or {}
    trust = reasons(metrics, headline)
    class_rows = figures.rank_classes(body)
    return {
        "language": language(),
        "SIZE_HERE": SIZE_HERE,
        "answer_dots": charts.answer_dots(body, metrics),
        "trust": trust,
        "verdict": verdict(trust, headline),
        "advice": advise(metrics, headline),
        "reliability": charts.reliability_chart(
            body.get("reliability"), (body.get("before_calibration") or {}).get("reliability")
        ),
        "sureness": charts.sureness_chart(body.get("abstention")),
        "ranking": charts.ranking_chart(body.get("curves")),
        "worst_slice": figures.worst_slice_sentence(
            WorstSlice.from_json(body["worst_slice"]) if body.get("worst_slice") else None
        ),
        "decay": charts.decay_chart(metrics.get("separation") or {}),
        "class_dots": charts.class_dots(class_rows),
        "slices": [(name, _slice_dots(rows), rows) for name, rows in figures.group_slices(body.get("slices"))],
        "MOST_DOTS": MOST_DOTS,
        "OPEN_PICTURES": OPEN_PICTURES,
        "metrics": metrics,
        "config": config,
        "headline": headline,
        "body": headline.body,
        "classes": (metrics.get("data") or {}).get("classes") or confusion.get("classes") or [],
        "majority": figures.majority(body),
        "splits": {name: counts for name, counts in (metrics.get("splits") or {}).items() if counts},
        "of_many": figures.of_many(body.get("accuracy")),
        "most_frequent_class": figures.most_frequent_class(body),
        "class_rows": class_rows,
        "heat_rows": figures.heat_rows(confusion) if confusion else [],
        "confusions": figures.top_confusions(confusion) if confusion else [],
        "methods": figures.interval_methods(body, metrics.get("random_split_accuracy")),
        "mistakes": list(mistakes)[:MOST_PICTURES] if headline.body else [],
        "SHADES": figures.SHADES,
        "SMALL_MATRIX": SMALL_MATRIX,
        "LARGEST_MATRIX": LARGEST_MATRIX,
    }


def _slice_dots(rows: Sequence[Json]) -> list[charts.Dot]:
    named = [(figures.slice_words(str(row.get("slice")), row.get("value"))[1], row) for row in rows]
    return [charts.Dot(name, row.get("accuracy"), row.get("n")) for name, row in named]
