"""Where nothing tells which photos depend on each other: every interval is marked, in one place.

Its ends are those of photos of which no two show the same scene. The true range may be much wider, and nobody can tell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from certero.records.photo_counts import SeparationFacts
from certero.records.quantity import Quantity
from certero.records.record import Record
from certero.sentences import message

T = TypeVar("T", bound=Record)

#: `Quantity.method` of an interval that holds only if no two photos show the same scene.
DEPENDENCE_UNKNOWN = "dependence_unknown"

#: What a marked interval holds under; behind a figure, or at the foot of a page.
ONLY_IF = message(
    "only if no two photos show the same scene; nothing tells which photos belong together, so the true range may be "
    "much wider"
)

_KEYS = {"value", "low", "high", "method", "n"}


def is_unknown(separation: SeparationFacts) -> bool:
    """Whether nothing tells which photos depend on each other; files of older versions tell it by the rule alone."""
    return separation.speaks_of == "unknown" or (separation.speaks_of is None and separation.rule == "copies")


def marked(record: T) -> T:
    """The same record; each figure in it that has an interval says that its dependence is unknown."""
    changed = _marked(record)
    assert isinstance(changed, type(record))
    return changed


def mark(answer: Any) -> Any:
    """`marked` of figures that are JSON already, e.g. of `certero value`."""
    if isinstance(answer, Mapping):
        found = {name: mark(part) for name, part in answer.items()}
        if found.keys() >= _KEYS and found["low"] is not None:
            found["method"] = DEPENDENCE_UNKNOWN
        return found
    return [mark(part) for part in answer] if isinstance(answer, list | tuple) else answer


def _marked(value: Any) -> Any:
    if isinstance(value, Quantity):
        return value if value.interval is None else dataclasses.replace(value, method=DEPENDENCE_UNKNOWN)
    if isinstance(value, Record):
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}  # type: ignore[arg-type]
        changed = {name: new for name, part in parts.items() if (new := _marked(part)) is not part}
        return dataclasses.replace(value, **changed) if changed else value  # type: ignore[type-var]
    if isinstance(value, Mapping):
        mapped = {name: _marked(part) for name, part in value.items()}
        return mapped if any(mapped[name] is not part for name, part in value.items()) else value
    if isinstance(value, tuple):
        row = tuple(map(_marked, value))
        return row if any(new is not part for new, part in zip(row, value, strict=True)) else value
    return value
