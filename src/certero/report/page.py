"""The report: one HTML file that needs nothing else, for readers who know photos better than statistics."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from certero.disk import write_whole
from certero.errors import MissingExtra
from certero.records import Json
from certero.report import figures
from certero.report.pictures import Mistake
from certero.report.training import view_training

if TYPE_CHECKING:
    import jinja2

MOST_PICTURES = 24
#: Up to this many classes the confusion matrix is shown at once, above it the top confusions lead.
SMALL_MATRIX = 15
#: Above this many classes a matrix on paper or a screen helps nobody; `metrics.json` has it.
LARGEST_MATRIX = 60


def write_report(
    output: Path, *, metrics: Json, config: Json, mistakes: Sequence[Mistake], augmented: bytes | None = None
) -> None:
    """Write the report as one self-contained HTML file; an earlier file is replaced whole or not at all.

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
    page = render(metrics, config, mistakes, augmented)
    # Names that are not UTF-8 reach us with surrogates; a "?" in the report is better than no report.
    write_whole(output, page.encode("utf-8", "replace"))


def render(metrics: Json, config: Json, mistakes: Sequence[Mistake], augmented: bytes | None = None) -> str:
    """The report's HTML; see `write_report`."""
    view = _view(metrics, config, mistakes) | view_training(metrics, augmented)
    return _environment().get_template("report.html.jinja").render(view)


@functools.cache
def _environment() -> jinja2.Environment:
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
    )
    environment.filters |= {
        "percent": figures.percent,
        "points": figures.points,
        "number": figures.number,
        "flatten": figures.flatten,
        "decisive": figures.decisive_first,
    }
    environment.tests |= {"known": figures.known, "with_interval": figures.has_interval}
    return environment


def _view(metrics: Json, config: Json, mistakes: Sequence[Mistake]) -> Json:
    """What the templates speak about."""
    headline = figures.choose_headline(metrics)
    body = headline.body or {}
    confusion = body.get("confusion") or {}
    return {
        "metrics": metrics,
        "config": config,
        "headline": headline,
        "body": headline.body,
        "classes": (metrics.get("data") or {}).get("classes") or confusion.get("classes") or [],
        "majority": figures.majority(body),
        "splits": {name: counts for name, counts in (metrics.get("splits") or {}).items() if counts},
        "of_many": figures.of_many(body.get("accuracy")),
        "most_frequent_class": figures.most_frequent_class(body),
        "class_rows": figures.rank_classes(body),
        "heat_rows": figures.heat_rows(confusion) if confusion else [],
        "confusions": figures.top_confusions(confusion) if confusion else [],
        "methods": figures.interval_methods(body, metrics.get("random_split_accuracy")),
        "mistakes": list(mistakes)[:MOST_PICTURES] if headline.body else [],
        "SHADES": figures.SHADES,
        "SMALL_MATRIX": SMALL_MATRIX,
        "LARGEST_MATRIX": LARGEST_MATRIX,
    }
