"""Which assumption or measured figure moves the payback most, and at what value the decision flips."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from certero.business.case import Case, PerError, gain_of_asking
from certero.business.worth import Decisions, gain_columns, net_of, payback, return_of
from certero.interchange import Json
from certero.stats import resampling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Each assumption is lowered and raised by this share.
MOVED = 0.2

_NUMBERS = (
    "volume_per_month",
    "by_hand_minutes",
    "with_model_minutes",
    "hour_cost",
    "ask_minutes",
    "ask_cost",
    "development_hours",
    "development_hour_cost",
    "running_cost_per_month",
)


def analyse(case: Case, decisions: Decisions, figures: Json) -> list[Json]:
    """One row for each assumption, the one that moves the payback most first.

    Args:
        case: the case.
        decisions: which predictions are accepted.
        figures: of `measure` for them.

    Returns:
        Rows of `assumption`, `value`, `low` and `high` (what it is moved to: a fifth down and up, the accuracy over its
        interval), `payback_low`, `payback_high`, `return_low`, `return_high` (there), and `flips_at`: where the return
        at the horizon becomes 0, null where no value of it does. Costs of errors by class move together, by a factor.
    """
    weights = resampling.row_weights(decisions.outcomes, decisions.shares)

    def gain(changed: Case) -> float:
        return float(weights @ gain_columns(changed, decisions)[1])

    rows: list[Json | None] = []
    for name in _NUMBERS:
        rows.append(_row(case, gain, name, getattr(case, name), _setting(name)))
    for name in ("error_minutes", "error_cost"):
        cost: PerError = getattr(case, name)
        if isinstance(cost, float):
            rows.append(_row(case, gain, name, cost, _setting(name)))
        else:
            rows.append(_row(case, gain, f"{name}_factor", 1.0, _scaling(name, cost)))
    rows.append(_accuracy_row(case, decisions, weights, figures))
    return sorted((row for row in rows if row is not None), key=_swing, reverse=True)


def _setting(name: str) -> Callable[[float], Json]:
    return lambda x: {name: x}


def _scaling(name: str, cost: PerError) -> Callable[[float], Json]:
    return lambda x: {name: _scaled(cost, x)}


def _row(case: Case, gain: Callable[[Case], float], name: str, value: float, change: Callable[[float], Json]) -> Json:
    def at(x: float) -> tuple[float | None, float]:
        changed = dataclasses.replace(case, **change(x))
        money = gain(changed)
        return payback(changed, net_of(changed, money)), return_of(changed, money)

    low, high = value * (1 - MOVED), value * (1 + MOVED)
    # The return is linear in each assumption, so two points give its zero.
    start, step = (value, value) if value else (0.0, 1.0)
    here, there = at(start)[1], at(start + step)[1]
    slope = (there - here) / step
    flips = start - here / slope if abs(slope) * max(1.0, abs(start)) > 1e-12 * max(1.0, abs(here)) else math.nan
    return _as_row(name, value, low, high, at, flips)


def _accuracy_row(case: Case, decisions: Decisions, weights: NDArray[np.float64], figures: Json) -> Json | None:
    """The accuracy of accepted predictions over its interval, with the mix of errors unchanged."""
    measured = figures["accuracy"]
    accepted, right = float(weights @ decisions.accepted), float(weights @ decisions.right)
    if measured["value"] is None or not 0 < right < accepted:
        return None
    money = gain_columns(case, decisions)[1]
    of_right = float(weights @ (money * decisions.right)) / right
    of_wrong = float(weights @ (money * (decisions.accepted & ~decisions.right))) / (accepted - right)
    ask = gain_of_asking(case)[1]

    def at(accuracy: float) -> tuple[float | None, float]:
        gain = accepted * (accuracy * of_right + (1 - accuracy) * of_wrong) + (1 - accepted) * ask
        return payback(case, net_of(case, gain)), return_of(case, gain)

    low, high = (measured[end] if measured[end] is not None else measured["value"] for end in ("low", "high"))
    slope = at(1.0)[1] - at(0.0)[1]
    flips = -at(0.0)[1] / slope if slope else math.nan
    flips = flips if flips <= 1 else math.nan
    return _as_row("accuracy", measured["value"], low, high, at, flips)


def _as_row(
    name: str, value: float, low: float, high: float, at: Callable[[float], tuple[float | None, float]], flips: float
) -> Json:
    """The row of an assumption; `at` gives payback and return for a value of it."""
    (payback_low, return_low), (payback_high, return_high) = at(low), at(high)
    return {
        "assumption": name,
        "value": value,
        "low": low,
        "high": high,
        "payback_low": payback_low,
        "payback_high": payback_high,
        "return_low": return_low,
        "return_high": return_high,
        "flips_at": flips if math.isfinite(flips) and flips >= 0 else None,
    }


def _swing(row: Json) -> tuple[float, float]:
    low, high = row["payback_low"], row["payback_high"]
    if low is None and high is None:
        months = 0.0
    elif low is None or high is None:
        months = math.inf
    else:
        months = abs(high - low)
    return months, abs(row["return_high"] - row["return_low"])


def _scaled(cost: PerError, factor: float) -> PerError:
    if isinstance(cost, float):
        return cost * factor
    return {  # type: ignore[return-value]
        label: {name: value * factor for name, value in row.items()} if isinstance(row, dict) else row * factor
        for label, row in cost.items()
    }
