"""Photos of classes that a model does not know: does it hold back on them?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.data.table import Photos
from certero.errors import SplitError
from certero.records.dependence import marked
from certero.records.metrics import Unknown
from certero.stages.look import separate_judged
from certero.stats.intervals import proportion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from certero.runtime.card import Card

#: The share of known photos that may be refused for the sake of the unknown ones.
REFUSED_SHARE = 0.05


def keep_unknown(photos: Photos, classes: Sequence[str], split: str | None) -> Photos | None:
    """The usable photos whose class the model does not know, of the wanted split; None where there are none."""
    table = photos.table.filter(pl.col("label").is_not_null() & ~pl.col("label").is_in(list(classes)))
    if split is not None:
        table = table.filter(pl.col("split") == split)
    kept = dataclasses.replace(photos, table=table)
    return None if kept.used().is_empty() else kept


def measure_refusal(
    strange: Photos,
    answers: NDArray[np.float32],
    known: NDArray[np.float32] | None,
    known_units: Sequence[str],
    card: Card,
    *,
    group_by: str | None,
    block: timedelta | None,
) -> Unknown:
    """How many of these photos the model refuses, and how many known ones that costs.

    A photo is refused where its likeliest class has less than the probability that 95 % of the held-out photos of known
    classes reached; the threshold is in the model file and no photo here has a say in it.

    Args:
        strange: photos of classes that the model does not know.
        answers: float32 [n, K], the model's answers on its used rows.
        known: float32 [m, K], its answers on photos of known classes, None where there are none.
        known_units: which of those are not independent.
        card: of the model.
        group_by: as for the known photos.
        block: as for the known photos.
    """
    used = strange.used()
    counts = used["label"].value_counts().sort("label")
    found = Unknown(used.height, dict(counts.iter_rows()), None, None, None, None)
    threshold = (card.calibration.get("thresholds") or {}).get(f"{1 - REFUSED_SHARE:g}")
    if threshold is None:
        return found
    known_apart = False
    try:
        strange, separation = separate_judged(strange, group_by, block)
        known_apart = separation.speaks_of != "unknown"
    except SplitError:
        strange = strange.with_columns(pl.Series("unit", [str(row) for row in range(strange.table.height)]))
    own = strange.used()["unit"].to_list()
    refused = proportion(answers.max(axis=1) < threshold, own)
    return dataclasses.replace(
        found,
        refused_share=REFUSED_SHARE,
        threshold=threshold,
        refused=refused if known_apart else marked(refused),
        known_refused=None if known is None else proportion(known.max(axis=1) < threshold, list(known_units)),
    )
