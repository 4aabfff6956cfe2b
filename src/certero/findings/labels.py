"""Labels that are probably wrong, and photos that look more like another class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.data.labels import encode
from certero.data.strata import split_units
from certero.findings.duplicates import PLACEHOLDER
from certero.findings.findings import Finding, Severity, concerning
from certero.likeness.clusters import join
from certero.likeness.sets import Link
from certero.records.protocols import Map
from certero.sentences import Sentence, sentence, sentences
from certero.stats.suspicion import suspect

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FOLDS = 5
# With fewer separated units folds would leave out whole classes; then only copies are kept together.
_LEAST_UNITS = 10
# Below this, the photos of a class say nothing about one of them.
_LEAST_PHOTOS = 5
# Probability of being wrong from which a person should correct a label, and from which they should look at it.
_PROBABLY_WRONG, _MAY_BE_WRONG = 0.5, 0.05
# Classes that a note names.
_NAMED = 10


def judge_labels(
    used: pl.DataFrame,
    embeddings: NDArray[np.float32],
    folds: NDArray[np.int64],
    tellable: NDArray[np.bool_],
    map: Map,
) -> tuple[list[Finding], list[Sentence]]:
    """Findings of the kinds suspicious_label and doubtful_label, and notes on labels that were not judged.

    Args:
        used: rows of the used photos.
        embeddings: of the same photos.
        folds: which holds each out.
        tellable: photos that show something that a label can mean, bool [n].
        map: ordered parallel map.
    """
    counts = dict(used.filter(pl.Series(tellable))["label"].value_counts().iter_rows())
    classes = sorted(label for label, count in counts.items() if count >= _LEAST_PHOTOS)
    small = sorted(set(used["label"]) - set(classes))
    notes: list[Sentence] = []
    if small:
        notes.append(
            sentences(
                "labels of %(count)d class are not judged, it has under %(least)d photos: %(classes)s",
                "labels of %(count)d classes are not judged, they have under %(least)d photos: %(classes)s",
                count=len(small),
                least=_LEAST_PHOTOS,
                classes=_few(small),
            )
        )
    judged = tellable & used["label"].is_in(classes).to_numpy()
    if len(classes) < 2 or len(np.unique(folds[judged])) < 2:
        return [], notes
    table = used.filter(pl.Series(judged))
    truth = encode(table["label"], classes)
    found = suspect(embeddings if judged.all() else embeddings[judged], truth, folds[judged], map)
    if not found.judged.all():
        alone = table.filter(pl.Series(~found.judged))
        notes.append(
            sentences(
                "the label of %(count)d photo is not judged, most photos of its class belong together: %(classes)s",
                "labels of %(count)d photos are not judged, most photos of their class belong together: %(classes)s",
                count=alone.height,
                classes=_few(sorted(set(alone["label"]))),
            )
        )
    findings: list[Finding] = []
    for row in np.flatnonzero(found.judged).tolist():
        wrong, likelier = float(found.wrong[row]), classes[int(found.suggested[row])]
        suspicious = found.share > 0 and wrong >= _MAY_BE_WRONG
        if not suspicious and not found.doubted[row]:
            continue
        said = sentence(
            "labelled %(label)s (%(own).0f %%), looks like %(likelier)s",
            label=table["label"][row],
            own=100 * float(found.own[row]),
            likelier=likelier,
        )
        severity: Severity = "low" if not suspicious else "high" if wrong >= _PROBABLY_WRONG else "medium"
        kind = "suspicious_label" if suspicious else "doubtful_label"
        findings.append(concerning(kind, severity, said, table[row], wrong, likelier))
    return findings, notes


def fold_photos(used: pl.DataFrame, links: Sequence[Link]) -> NDArray[np.int64]:
    """The fold that holds each photo out; copies, and photos that the rule keeps together, share one."""
    units = used["unit"].to_list()
    if len(set(units)) < _LEAST_UNITS:
        units = [str(row) for row in range(used.height)]
    number: dict[str, int] = {}
    for row, unit in enumerate(units):
        number.setdefault(unit, row)
    together = [(number[unit], row) for row, unit in enumerate(units)]
    joined = [str(root) for root in join(used.height, [*together, *((i, j) for i, j, _how, _score in links)]).tolist()]
    return split_units(used["label"].to_list(), joined, min(_FOLDS, len(set(joined))), 0)


def stand_ins(used: pl.DataFrame, findings: Sequence[Finding]) -> NDArray[np.bool_]:
    """Which rows hold a placeholder: a picture under so many labels that none of them means it.

    A photo and its copy under another label are judged: one of the two labels is wrong.
    """
    said = {
        path
        for finding in findings
        if finding.kind == "label_conflict" and len(finding.paths) >= PLACEHOLDER
        for path in finding.paths
    }
    return used["path"].is_in(said).to_numpy()


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
