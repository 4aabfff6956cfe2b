"""What beside the picture gives a label away: a network may learn it instead of what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.data.labels import encode
from certero.findings.findings import Finding, Severity
from certero.likeness.clusters import join
from certero.likeness.sets import Link
from certero.sentences import message, sentence
from certero.stats.shortcuts import Shortcut, categories, find_shortcuts

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FOLDS = 5
# A shortcut worth a finding: beyond doubt, and of what the commonest class leaves open, so much.
_STRONG, _NOTABLE = 0.5, 0.2


def look_for_shortcuts(
    used: pl.DataFrame, conditions: Mapping[str, Sequence[str | None]], links: Sequence[Link]
) -> list[Shortcut]:
    """How well each property beside the picture tells the class.

    Args:
        used: rows of the used photos.
        conditions: see `balance.conditions_of`; its group and camera are asked.
        links: between copies, which share a fold.
    """
    classes = sorted(used["label"].unique().to_list())
    truth = encode(used["label"], classes)
    folds = np.random.default_rng(0).integers(0, _FOLDS, used.height)[
        join(used.height, [(i, j) for i, j, _how, _score in links])
    ]
    hours = used["captured_at"].dt.hour().cast(pl.Float64).to_numpy()
    properties: dict[str, NDArray[np.float64]] = {
        message("file size"): used["bytes"].cast(pl.Float64).to_numpy()[:, None],
        message("dimensions"): used.select(pl.col("width", "height").cast(pl.Float64)).to_numpy(),
        message("brightness"): used["brightness"].cast(pl.Float64).to_numpy()[:, None],
        message("hour"): hours[:, None],
        message("group"): categories(conditions["group"]),
        message("camera"): categories(conditions["camera"]),
    }
    return find_shortcuts(truth, properties, used["unit"].to_list(), folds)


def judge_shortcuts(shortcuts: Sequence[Shortcut]) -> list[Finding]:
    """A finding for each shortcut that tells the class beyond doubt and well."""
    findings: list[Finding] = []
    for shortcut in shortcuts:
        accuracy = shortcut.accuracy
        doubtful = accuracy.low is not None and accuracy.low <= shortcut.majority
        if accuracy.value is None or doubtful or shortcut.explained < _NOTABLE:
            continue
        said = sentence(
            "%(name)s alone tells the class of %(accuracy).0f %% of the photos; the commonest is %(majority).0f %%",
            name=shortcut.name,
            accuracy=100 * accuracy.value,
            majority=100 * shortcut.majority,
        )
        severity: Severity = "high" if shortcut.explained >= _STRONG else "medium"
        findings.append(Finding("shortcut", severity, said, score=shortcut.explained))
    return findings
