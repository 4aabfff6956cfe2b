"""What docs/reference.md documents, and the keys of what certero answers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from places import ROOT

from certero.records.quantity import Quantity

REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")


# Keys below these are names of classes, stages, libraries and so on; the reference writes one word for them.
_NAMED = {
    "test.per_class": "CLASS",
    "test.calibration_by_class": "CLASS",
    "test.alarms.per_class": "CLASS",
    "test.curves.per_class": "CLASS",
    "other_half.later.per_class": "CLASS",
    "other_half.earlier.per_class": "CLASS",
    "calibration.thresholds": "COVERAGE",
    "calibration.offsets": "CLASS",
    "unknown.classes": "CLASS",
    "shares.before": "CLASS",
    "shares.now": "CLASS",
    **{
        f"covers.{photos}.{what}": word
        for photos in ("judged", "training")
        for what, word in {
            "months": "MONTH",
            "hours": "HOUR",
            "lighting": "LIGHT",
            "classes": "CLASS",
            "columns": "COLUMN",
            "columns.COLUMN": "VALUE",
        }.items()
    },
    "splits.train": "CLASS",
    "splits.val": "CLASS",
    "splits.test": "CLASS",
    "data.time_source": "SOURCE",
    "counts.passed_over": "REASON",
    "counts.lost": "CLASS",
    "counts.lost.CLASS.passed_over": "REASON",
    "model.strength_losses": "C",
    "versions": "LIBRARY",
    "folds[]": "CLASS",
    "counts.kinds": "KIND",
    "near_copies.recall": "ALTERATION",
    "classes": "CLASS",
}


_QUANTITY = {field.name for field in dataclasses.fields(Quantity)}


def section(heading: str) -> str:
    """The reference below a heading, up to the next one."""
    match = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    assert match is not None, heading
    return match[1]


def documented_keys(heading: str) -> set[str]:
    """What stands as code in the first column of the tables below a heading."""
    cells = re.findall(r"^\| ([^|]*) \|", section(heading), re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def keys_of(value: Any, path: str = "") -> set[str]:
    """Every key below a JSON value: `test.per_class.CLASS.n`, `test.slices[].slice`; a quantity is one key.

    So is a list of sentences or of numbers; a list without entries shows none.
    """
    if path in ("seen.unseen", "shares.adapted") and value:
        return {path} | keys_of(value, "test")
    if isinstance(value, list) and (not value or isinstance(value[0], dict)):
        return {key for item in value for key in keys_of(item, f"{path}[]")}
    if not isinstance(value, dict) or set(value) == _QUANTITY:
        return {path}
    both = (
        "test",
        "cv",
        "unknown",
        "shares",
        "shares.now",
        "covers",
        "covers.judged",
        "covers.training",
        "test.before_calibration",
        "test.worst_slice",
        "test.weakest_class",
        "other_half",
    )
    keys = {path} if path in both else set()
    for key, item in value.items():
        name = _NAMED.get(path, "STAGE" if path == "seconds" and key != "total" else key)
        keys |= keys_of(item, f"{path}.{name}" if path else name)
    return keys


def methods_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and set(value) == _QUANTITY:
        yield value["method"]
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from methods_of(item)
