"""The figures of a model whose outputs were weighed for other shares of the classes: `shares` of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from certero.records.quantity import Quantity
from certero.records.record import Record
from certero.records.scores import Scores
from certero.sentences import Message


@dataclass(frozen=True, slots=True)
class Weighed(Record):
    """What other shares of the classes make of the outputs, on the photos that the model has never seen.

    Args:
        method: `adapt`: the shares were found from the photos, no label was used; or `given`.
        n: photos that they were found from; 0 where they were given.
        before: share of each class that the probabilities stand for as the model was trained.
        now: share of each class that they are weighed for; None where it cannot be found.
        plausible: whether other shares alone may explain the outputs; None where that was not asked, or cannot be.
        reason: why the outputs were left as they are; None where they were weighed.
        changed: photos that are named otherwise than without.
        adapted: every figure with these shares; None where the outputs were left as they are.
    """

    method: str
    n: int
    before: Mapping[str, float]
    now: Mapping[str, Quantity] | None
    plausible: bool | None
    reason: Message | None
    changed: int | None
    adapted: Scores | None
