"""Which photos a report shows: mistakes of every kind, right answers beside them, and the least sure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from certero.errors import PhotoError
from certero.machine.files import read_file
from certero.photos import pixels
from certero.report.page import MOST_PICTURES, MOST_RIGHT, MOST_UNSURE
from certero.report.pictures import THUMBNAIL_SIDE, Gallery, Mistake, thumbnail

if TYPE_CHECKING:
    from numpy.typing import NDArray


def collect_gallery(
    table: pl.DataFrame,
    paths: Sequence[Path],
    truth: NDArray[np.int64],
    probabilities: NDArray[np.floating[Any]],
    classes: Sequence[str],
) -> Gallery:
    """The pictures of a report.

    Args:
        table: rows of the n judged photos.
        paths: where they lie.
        truth: class index [n].
        probabilities: [n, K].
        classes: names in the order of the columns.
    """
    best, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)

    def draw(rows: Iterable[int], most: int) -> list[Mistake]:
        drawn: list[Mistake] = []
        for row in rows:
            if len(drawn) == most:
                break
            try:
                photo = pixels.decode(read_file(paths[row]), at_least=(THUMBNAIL_SIDE, THUMBNAIL_SIDE)).pixels
            except (OSError, PhotoError):
                continue  # it was readable when it was judged; the report is not the place to fail
            name, label, said = table["path"][int(row)], classes[truth[row]], classes[best[row]]
            drawn.append(Mistake(name, label, said, float(confidence[row]), thumbnail(photo)))
        return drawn

    mistakes = draw(order_mistakes(truth, best, confidence), MOST_PICTURES)
    right = draw(order_right(truth, best, confidence), MOST_RIGHT)
    unsure = draw(np.argsort(confidence, kind="stable").tolist(), MOST_UNSURE)
    return Gallery(_by_confusion(mistakes), right, unsure)


def order_mistakes(
    truth: NDArray[np.int64], best: NDArray[np.int64], confidence: NDArray[np.floating[Any]]
) -> Iterator[int]:
    """Rows of the photos named wrongly: the surest of each confusion in turn, the most frequent confusions first."""
    kinds: dict[tuple[int, int], list[int]] = {}
    wrong = np.flatnonzero(best != truth)
    for row in wrong[np.argsort(-confidence[wrong], kind="stable")].tolist():
        kinds.setdefault((int(truth[row]), int(best[row])), []).append(row)
    yield from _in_turn(sorted(kinds.values(), key=len, reverse=True))


def order_right(
    truth: NDArray[np.int64], best: NDArray[np.int64], confidence: NDArray[np.floating[Any]]
) -> Iterator[int]:
    """Rows of the photos named rightly: of each class in turn, the one with the most mistakes first.

    Of a class those of middling confidence come first: neither the easiest nor a lucky one.
    """
    wrong = np.bincount(truth[best != truth], minlength=int(truth.max(initial=0)) + 1)
    by_class: list[list[int]] = []
    for index in np.argsort(-wrong, kind="stable").tolist():
        rows = np.flatnonzero((truth == index) & (best == index))
        if len(rows):
            middle = np.abs(confidence[rows] - np.median(confidence[rows]))
            by_class.append(rows[np.argsort(middle, kind="stable")].tolist())
    yield from _in_turn(by_class)


def _in_turn(queues: Sequence[Sequence[int]]) -> Iterator[int]:
    """The first of each, then the second of each, and so on."""
    for place in range(max(map(len, queues), default=0)):
        yield from (queue[place] for queue in queues if place < len(queue))


def _by_confusion(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Those of one confusion side by side, in the order in which confusions first appear."""
    order = list(dict.fromkeys((mistake.label, mistake.predicted) for mistake in mistakes))
    return sorted(mistakes, key=lambda mistake: order.index((mistake.label, mistake.predicted)))
