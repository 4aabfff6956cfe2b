"""A measured figure and how well it is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from certero.records.record import Record


@dataclass(frozen=True, slots=True)
class Quantity(Record):
    """A measured figure with its 95 % interval.

    Args:
        value: the point estimate; None where it is undefined (0/0), never 0 instead.
        low: lower end of the interval, None where no honest interval exists.
        high: upper end.
        method: how the interval was found: `wilson`, `wilson_effective_n`, `grouped_bootstrap`, `bootstrap`,
            `too_few_groups`, `undefined`, ...; `dependence_unknown` where nothing tells which photos depend on each
            other, so that it holds only if no two show the same scene; empty where a stored file lacks the figure.
        n: number of photos behind the figure.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, None where there is no interval."""
        if self.low is None or self.high is None or not (math.isfinite(self.low) and math.isfinite(self.high)):
            return None
        return self.low, self.high
