"""What names tell of which photos belong together, drawn: likeness against distance in the row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from certero.findings.families import say_family, told_by_names
from certero.language import translate
from certero.records.names import NameFamily

_FARTHEST = 50


@dataclass(frozen=True, slots=True)
class NameChart:
    """One way in which names tell families.

    Args:
        says: in words.
        related: whether the photos bear it out.
        points: of a sequence, (place, likeness), both of 0 to 100.
        marks: (place, distance) on the axis.
        shuffled: likeness with the names shuffled, 0 to 100.
    """

    says: str
    related: bool
    points: list[tuple[float, float]]
    marks: list[tuple[float, str]]
    shuffled: float


def draw_names(families: Sequence[NameFamily]) -> list[NameChart]:
    """What the names tell, and where they tell nothing the row of numbers: a flat line says as much."""
    told = told_by_names(families)
    return [
        NameChart(
            translate(say_family(family)),
            family in told,
            [(_place(distance), 100 * min(1.0, max(0.0, alike))) for distance, alike in family.curve],
            [(_place(distance), f"{distance:g}") for distance, _alike in family.curve],
            100 * min(1.0, max(0.0, family.shuffled)),
        )
        for family in told or [family for family in families if family.curve]
    ]


def _place(distance: float) -> float:
    return 100 * math.log(max(distance, 1.0)) / math.log(_FARTHEST)
