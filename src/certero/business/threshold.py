"""The most profitable threshold between accepting the model's prediction and asking a person."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from certero.business.case import Case, gain_of_asking
from certero.business.outcomes import NO_LABEL, Outcomes
from certero.business.worth import Decisions, accept, gain_columns, gain_figures
from certero.interchange import Json
from certero.stats import resampling
from certero.stats.intervals import transformed
from certero.stats.studentised import measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A threshold that no probability reaches.
ALWAYS_ASK = 1.01
_CURVE_POINTS = 41
# Into so many parts units are dealt to choose a threshold without the part that it is judged on.
_MOST_PARTS = 10


def best_threshold(case: Case, outcomes: Outcomes, shares: NDArray[np.float64] | None) -> tuple[float, float]:
    """The single threshold that earns most on these photos, and the money per item that it gains there.

    Every threshold that tells two of the photos apart is tried; of equal ones the lowest, which asks least. 0
    accepts all, `ALWAYS_ASK` none.
    """
    return _best(case, outcomes, shares, np.arange(len(outcomes.truth)))


def best_thresholds_per_class(
    case: Case, outcomes: Outcomes, shares: NDArray[np.float64] | None
) -> tuple[dict[str, float], float]:
    """The most profitable threshold of each predicted class, and the gain of all of them together.

    The gain is a sum over predicted classes, so each threshold is chosen by itself. A class that was never predicted
    takes the common one.
    """
    chosen = _by_class(case, outcomes, shares, np.arange(len(outcomes.truth)))
    _minutes, money = gain_columns(case, accept(outcomes, chosen, shares))
    return chosen, float(resampling.row_weights(outcomes, shares) @ money)


def decide_apart(
    case: Case, held_out: Outcomes, judged: Outcomes, shares: NDArray[np.float64] | None, *, per_class: bool
) -> Decisions:
    """What is accepted where photos are judged that thresholds are chosen on: each by one chosen without its unit.

    A threshold looks better than it is on the photos that it was chosen on, however their outputs were made. Units are
    dealt into at most 10 parts; the photos of each are judged by the threshold that earns most on the others.

    Args:
        case: the case.
        held_out: outputs to choose on.
        judged: outputs to judge; photos of the same path are the same.
        shares: expected share of each class, None for the photos' own.
        per_class: choose one threshold for each predicted class.

    Source: S. Varma, R. Simon, BMC Bioinformatics 7 (2006), 91.
    """
    units = np.arange(len(judged.truth)) if judged.units is None else judged.units
    part = units % min(_MOST_PARTS, int(units.max()) + 1)
    part_of = dict(zip(judged.paths, part.tolist(), strict=True))
    held_part = np.array([part_of.get(path, -1) for path in held_out.paths])
    least = np.zeros(len(part))
    for number in np.unique(part).tolist():
        others, inside = np.flatnonzero(held_part != number), part == number
        if per_class:
            rules = _by_class(case, held_out, shares, others)
            table = np.array([rules[name] for name in judged.classes])
            least[inside] = table[np.maximum(judged.predicted[inside], 0)]
        else:
            least[inside] = _best(case, held_out, shares, others)[0]
    return Decisions(judged, shares, (judged.predicted != NO_LABEL) & (judged.confidence >= least))


def _by_class(
    case: Case, outcomes: Outcomes, shares: NDArray[np.float64] | None, rows: NDArray[np.int64]
) -> dict[str, float]:
    """The most profitable threshold of each predicted class on these rows."""
    common, _gain = _best(case, outcomes, shares, rows)
    chosen = {}
    for index, name in enumerate(outcomes.classes):
        named = rows[outcomes.predicted[rows] == index]
        chosen[name] = _best(case, outcomes, shares, named)[0] if len(named) else common
    return chosen


def _best(
    case: Case, outcomes: Outcomes, shares: NDArray[np.float64] | None, rows: NDArray[np.int64]
) -> tuple[float, float]:
    weights = resampling.row_weights(outcomes, shares)[rows]
    _minutes, money = gain_columns(case, accept(outcomes, None, shares))
    _ask_minutes, ask = gain_of_asking(case)
    order = np.argsort(-outcomes.confidence[rows], kind="stable")
    confidence = outcomes.confidence[rows][order]
    added = (weights * (money[rows] - ask))[order]
    # Entry k: the k most confident predictions are accepted.
    totals = np.concatenate([[0.0], np.cumsum(added)]) + ask * float(weights.sum())
    # No threshold separates two equal probabilities.
    possible = np.concatenate([[True], confidence[:-1] > confidence[1:], [True]]) if len(rows) else np.array([True])
    totals = np.where(possible, totals, -math.inf)
    best = float(totals.max())
    # Rounding errors of the sums must not decide between thresholds that earn the same.
    k = int(np.flatnonzero(totals >= best - 1e-12 * max(1.0, abs(best)))[-1])
    if k == len(rows):
        return 0.0, float(totals[k])
    if k == 0:
        return ALWAYS_ASK, float(totals[k])
    return short_between(float(confidence[k]), float(confidence[k - 1])), float(totals[k])


def short_between(low: float, high: float) -> float:
    """A number above `low` and at most `high`, near their middle, with as few decimals as possible.

    >>> short_between(0.61234, 0.6789), short_between(0.5, 0.5000001)
    (0.65, 0.50000005)
    """
    middle = (low + high) / 2
    for digits in range(1, 17):
        rounded = round(middle, digits)
        if low < rounded <= high:
            return rounded
    return high


def curve(case: Case, outcomes: Outcomes, shares: NDArray[np.float64] | None, tails: list[float]) -> list[Json]:
    """Value against coverage on these photos, from accepting every prediction to accepting none.

    Returns:
        Rows of `threshold`, `answered` (share), `accuracy` of the accepted (null where there are none), and the
        quantities `gain_per_item_money` and `money_per_month`.
    """
    distinct = np.unique(outcomes.confidence)
    ranks = np.unique(np.linspace(0, len(distinct), _CURVE_POINTS).round().astype(int)).tolist()
    thresholds = [_below_rank(distinct, rank) for rank in ranks]
    ruled = [accept(outcomes, threshold, shares) for threshold in thresholds]
    weights = resampling.row_weights(outcomes, shares)
    gained, _values = measured(outcomes, shares, [gain_figures(case, decisions)[1] for decisions in ruled], tails)
    rows = []
    for threshold, decisions, gain in zip(thresholds, ruled, gained, strict=True):
        answered, right = float(weights @ decisions.accepted), float(weights @ decisions.right)
        rows.append(
            {
                "threshold": threshold,
                "answered": answered,
                "accuracy": right / answered if answered > 0 else None,
                "gain_per_item_money": gain.to_json(),
                "money_per_month": transformed(gain, lambda money: case.volume_per_month * money).to_json(),
            }
        )
    return rows


def _below_rank(distinct: NDArray[np.float64], rank: int) -> float:
    """A threshold that the probabilities from this rank on reach."""
    if rank == 0:
        return 0.0
    return ALWAYS_ASK if rank == len(distinct) else short_between(float(distinct[rank - 1]), float(distinct[rank]))
