"""One or two days: what a model trained on one half of the time says of the other half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from certero.records.comparison import ClassRecall
from certero.records.quantity import Quantity
from certero.records.record import Record


@dataclass(frozen=True, slots=True)
class Half(Record):
    """A throw-away model trained on one half of the time, and judged on the other.

    Args:
        n_train: photos that it was trained on.
        n: photos of the other half.
        accuracy: on them.
        per_class: recall of each class, by its name.
    """

    n_train: int
    n: int
    accuracy: Quantity
    per_class: Mapping[str, ClassRecall]


@dataclass(frozen=True, slots=True)
class OtherHalf(Record):
    """Both halves of the time, each asked of a model that knows the other alone.

    Args:
        cut: where the earlier half ends, as an ISO time.
        between: `days` where the cut lies between two days, `hours` where it lies within one.
        model: what was trained: `probe`, also where a network trained whole has the headline.
        later: trained on the earlier half, judged on the later.
        earlier: trained on the later half, judged on the earlier.
    """

    cut: str
    between: str
    model: str
    later: Half
    earlier: Half
