"""A measured figure and how well it is known."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from certero.interchange import Json


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured figure with its 95 % interval.

    Args:
        value: the point estimate; None where it is undefined (0/0), never 0 instead.
        low: lower end of the interval, None where no honest interval exists.
        high: upper end.
        method: how the interval was found: `wilson`, `wilson_effective_n`, `grouped_bootstrap`, `bootstrap`,
            `too_few_groups`, `undefined`, ...
        n: number of photos behind the figure.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    n: int

    def to_json(self) -> Json:
        """The contract's five keys."""
        return dataclasses.asdict(self)
