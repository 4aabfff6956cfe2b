"""What programs and spreadsheets read: JSON without NaN, CSV, and the columns of classes."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

Json = dict[str, Any]

#: Fixed columns of the CSV files with one column a class; no class's column has one of these names.
FIXED_COLUMNS = ("path", "split", "label", "predicted", "probability", "abstained", "error")

_CLASS_PREFIX = "class_"
# What a spreadsheet takes for the start of a formula, full-width signs included.
# Source: OWASP, CSV Injection.
_RUN = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def json_text(data: Any, *, indent: int | None = None, sort_keys: bool = False, ensure_ascii: bool = False) -> str:
    """The data as JSON that every parser reads: figures that are not finite become null.

    >>> json_text({"loss": float("nan"), "n": 3})
    '{"loss": null, "n": 3}'
    """
    how = {"indent": indent, "sort_keys": sort_keys, "ensure_ascii": ensure_ascii, "allow_nan": False}
    try:
        return json.dumps(data, **how)  # type: ignore[arg-type]
    except ValueError:
        return json.dumps(_finite(data), **how)  # type: ignore[arg-type]


def csv_text(rows: Iterable[Sequence[object]], *, for_spreadsheet: bool = False) -> str:
    """The rows as CSV, None as an empty cell.

    Args:
        rows: cells, header included.
        for_spreadsheet: texts that a spreadsheet would run get an apostrophe in front, as a person would type it.
    """
    lines: list[str] = []
    # A cell with a carriage return is quoted only if the line end has one.
    writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
    for row in rows:
        writer.writerow(["" if cell is None else _harmless(cell) if for_spreadsheet else cell for cell in row])
    return "".join(line[:-2] + "\n" for line in lines)


def class_columns(classes: Sequence[str]) -> list[str]:
    """The column of each class: its name, with the prefix `class_` if a fixed column or another class has that name.

    >>> class_columns(["label", "lying", "class_label"])
    ['class_class_label', 'lying', 'class_label']
    """
    return apart(classes, FIXED_COLUMNS, _CLASS_PREFIX)


def apart(names: Sequence[str], taken: Iterable[str], prefix: str) -> list[str]:
    """The names; those that are taken get as many prefixes as it takes to make them unique."""
    fixed = set(taken)
    used = fixed | set(names)
    found: list[str] = []
    for name in names:
        column = name
        if column in fixed:
            while column in used:
                column = prefix + column
            used.add(column)
        found.append(column)
    return found


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return data


def _harmless(cell: object) -> object:
    if isinstance(cell, str) and not _RUN.isdisjoint((cell[:1], cell.lstrip()[:1])):
        return "'" + cell
    return cell
