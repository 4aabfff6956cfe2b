"""What names tell of which photos belong together, drawn: likeness against distance in the row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from certero.findings.families import say_family
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
    """Each way, those first that the photos bear out; of the others the sequences alone: a flat line says as much."""
    return [
        NameChart(
            translate(say_family(family)),
            family.related,
            [(_place(distance), 100 * min(1.0, max(0.0, alike))) for distance, alike in family.curve],
            [(_place(distance), f"{distance:g}") for distance, _alike in family.curve],
            100 * min(1.0, max(0.0, family.shuffled)),
        )
        for family in sorted(families, key=lambda family: not family.related)
        if family.related or family.curve
    ]


def _place(distance: float) -> float:
    return 100 * math.log(max(distance, 1.0)) / math.log(_FARTHEST)
