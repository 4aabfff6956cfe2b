"""How the classes, and the conditions that photos were taken in, are spread over the data and its splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from certero.data.lost_classes import say_empty, worst
from certero.data.table import SCHEMA, Photos
from certero.findings.findings import Finding, Severity
from certero.interchange import Json
from certero.photos.views import Measures
from certero.records.photos import SPLITS
from certero.sentences import message, sentence
from certero.stats.slices import hour, lighting

_UNEVEN, _VERY_UNEVEN = 5.0, 20.0
_FEW_PHOTOS = 20
# A condition counts as missing only where at least this many photos of it would be expected.
_EXPECTED = 10.0
_MOST_VALUES = 24


def judge_balance(used: pl.DataFrame) -> list[Finding]:
    """Findings of the kinds imbalance and class_missing_in_split.

    Args:
        used: rows of the used photos.
    """
    counts = {str(label): int(n) for label, n in used["label"].drop_nulls().value_counts(sort=True).iter_rows()}
    if len(counts) < 2:
        return []
    findings: list[Finding] = []
    largest = max(counts, key=lambda name: counts[name])
    smallest = min(counts, key=lambda name: (counts[name], name))
    ratio = counts[largest] / counts[smallest]
    if ratio >= _UNEVEN:
        severity: Severity = "high" if ratio >= _VERY_UNEVEN else "medium"
        said = sentence(
            "%(largest)s has %(most)d photos, %(smallest)s %(fewest)d: %(ratio).0f times as many",
            largest=largest,
            most=counts[largest],
            smallest=smallest,
            fewest=counts[smallest],
            ratio=ratio,
        )
        findings.append(Finding("imbalance", severity, said, labels=(largest, smallest), score=ratio))
    few = sorted(name for name, n in counts.items() if n < _FEW_PHOTOS)
    if few:
        said = sentence(
            "under %(least)d photos: %(labels)s",
            least=_FEW_PHOTOS,
            labels=", ".join(f"{name} ({counts[name]})" for name in few),
        )
        fewest = min(counts[name] for name in few)
        findings.append(Finding("imbalance", "medium", said, labels=tuple(few), score=_FEW_PHOTOS / fewest))
    given = [name for name in SPLITS if name in set(used["split"])]
    for split in given if len(given) > 1 else []:
        there = set(used.filter(pl.col("split") == split)["label"])
        missing = sorted(set(counts) - there)
        if missing:
            said = sentence("%(split)s has no photo of %(labels)s", split=message(split), labels=", ".join(missing))
            share = len(missing) / len(counts)
            findings.append(Finding("class_missing_in_split", "high", said, (), (split,), tuple(missing), share))
    return findings


def judge_conditions(used: pl.DataFrame, conditions: Mapping[str, Sequence[str | None]]) -> list[Finding]:
    """Findings of the kind condition_missing_in_split, one for each condition and split.

    Args:
        used: rows of the used photos.
        conditions: by what it is (hour, camera, ...), its value for each row; None where unknown.
    """
    given = [name for name in SPLITS if name in set(used["split"])]
    findings: list[Finding] = []
    for name, values in conditions.items():
        column = pl.Series("value", values, dtype=pl.String)
        known = column.drop_nulls()
        if len(given) < 2 or not 2 <= known.n_unique() <= _MOST_VALUES:
            continue
        totals = {str(value): int(n) for value, n in known.value_counts().iter_rows()}
        for split in given:
            inside = (used["split"] == split).fill_null(False)
            here = set(column.filter(inside).drop_nulls())
            expected = {value: n * float(inside.sum()) / used.height for value, n in totals.items()}
            missing = sorted(value for value, n in expected.items() if value not in here and n >= _EXPECTED)
            if missing:
                said = sentence(
                    "%(split)s has no photo with %(name)s %(values)s",
                    split=message(split),
                    name=name,
                    values=", ".join(missing),
                )
                share = sum(totals[value] for value in missing) / len(known)
                # Groups are kept in one split on purpose.
                severity: Severity = "low" if name == "group" else "medium"
                findings.append(
                    Finding("condition_missing_in_split", severity, said, splits=(split,), score=round(share, 4))
                )
    return findings


def tabulate(used: pl.DataFrame) -> Json:
    """Photos by class and split: `{CLASS: {split: n}}`; `all` counts every split and none."""
    table: Json = {}
    for label in sorted(used["label"].drop_nulls().unique().to_list()):
        rows = used.filter(pl.col("label") == label)
        counts = {str(split): int(n) for split, n in rows["split"].drop_nulls().value_counts().iter_rows()}
        table[label] = {"all": rows.height, **{name: counts.get(name, 0) for name in SPLITS}}
    return table


def judge_losses(photos: Photos) -> list[Finding]:
    """Findings of the kind class_lost."""
    findings = [
        Finding("class_lost", "high" if share == 1 else "medium", said, labels=(label,), score=share)
        for label, said, share in worst(photos)
    ]
    return findings + [
        Finding("class_lost", "high", say_empty(label, kinds), labels=(label,), score=1.0)
        for label, kinds in photos.empty_classes.items()
    ]


def conditions_of(used: pl.DataFrame, measures: Sequence[Measures]) -> dict[str, list[str | None]]:
    """What photos were taken under: the manifest's own columns, too."""
    return {
        message("lighting"): lighting(used["brightness"].to_numpy()),
        message("hour"): hour(used["captured_at"].to_numpy()),
        message("group"): used["group"].to_list(),
        message("camera"): [each.camera for each in measures],
        **{name: used[name].cast(pl.String).to_list() for name in used.columns if name not in SCHEMA},
    }
