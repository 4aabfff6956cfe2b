"""What a random split would have claimed: the same number of photos, neighbours on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.engine.blas import one_blas_thread
from certero.probe.probe import fit_head, load_solver, room_for_copies
from certero.records.protocols import Map, Progress, no_progress
from certero.stats.intervals import FEWEST_RESAMPLED
from certero.stats.random_split import Claims, claims_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def claim_at_random(
    features: Sequence[NDArray[np.float32]],
    truth: NDArray[np.int64],
    drawn: Sequence[NDArray[np.bool_]],
    strength: float,
    weights: NDArray[np.float64],
    map: Map,
    progress: Progress = no_progress,
    views: Sequence[NDArray[np.float32]] = (),
) -> Claims:
    """The predictions of throw-away probes on random splits of all the photos.

    Args:
        features: float32 [n, D] of every used photo, as arrays of some of the rows each, one after another.
        truth: class index [n], in the order of the features.
        drawn: bool [n], the training photos of each split; the others are its test set.
        strength: the C that the honest run chose.
        weights: weight of each class [K].
        map: ordered parallel map; a split is one item.
        progress: told how many splits are done.
        views: float32 [m, D] each, of other views of the first m photos, which the honest run learnt from; of the
            others the photo itself stands for them.
    """
    width, looks = features[0].shape[1], 1 + len(views)
    room = room_for_copies(max((int(inside.sum()) for inside in drawn), default=0) * looks, width)

    def judge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
        with room:
            rows, weighed = _take(features, inside), np.tile(weights[truth[inside]], looks) / looks
            if views:
                rows = np.concatenate([rows, *(_take_views(view, features, inside) for view in views)])
            head = fit_head(rows, np.tile(truth[inside], looks), len(weights), strength, weighed, overwrite=True)
            del rows
        return np.asarray(head.logits(_take(features, ~inside)).argmax(axis=1) == truth[~inside])

    right: list[NDArray[np.bool_]] = []
    load_solver()
    with one_blas_thread():
        for found in map(judge, drawn):
            right.append(found)
            progress("random split", len(right), len(drawn))
    return claims_of(drawn, right, len(truth))


def _take(parts: Sequence[NDArray[np.float32]], chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A copy of the chosen rows, without one of all rows."""
    taken = np.empty((int(chosen.sum()), parts[0].shape[1]), np.float32)
    start = place = 0
    for part in parts:
        rows = part[chosen[start : start + len(part)]]
        taken[place : place + len(rows)] = rows
        start, place = start + len(part), place + len(rows)
    return taken


def _take_views(
    view: NDArray[np.float32], parts: Sequence[NDArray[np.float32]], chosen: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The chosen rows of another view, and of the photo itself where there is none."""
    seen = np.arange(len(chosen)) < len(view)
    return np.concatenate([view[chosen[: len(view)]], _take(parts, chosen & ~seen)])


def units_to_draw(table: pl.DataFrame) -> list[str]:
    """What the intervals of a comparison of splits draw: units, or hours where those are few and times are known.

    Three beds tell nothing of a fourth. Yet how much a random split flatters on these three can be told, as well as
    their hours differ.

    Args:
        table: rows of the photos.
    """
    units: list[str] = table["unit"].to_list()
    if len(set(units)) < FEWEST_RESAMPLED and table["captured_at"].null_count() == 0:
        hours = table["captured_at"].dt.truncate("1h").cast(pl.String).to_list()
        if len(set(hours)) >= FEWEST_RESAMPLED:
            return hours
    return units
