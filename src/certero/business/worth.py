"""What a model is worth under a case: minutes, money, payback, return and break-even, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certero.business.case import Case, gain_of_asking, gains
from certero.business.outcomes import NO_LABEL, Outcomes
from certero.interchange import Json
from certero.records.quantity import Quantity
from certero.stats import resampling
from certero.stats.intervals import transformed
from certero.stats.studentised import Figure, measured

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Decisions:
    """Outcomes, and which of them the rule accepts.

    Args:
        outcomes: n rows.
        shares: expected share of each class, None for the photos' own.
        accepted: bool [n]; the others are asked of a person.
    """

    outcomes: Outcomes
    shares: NDArray[np.float64] | None
    accepted: NDArray[np.bool_]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Bool [n]: accepted and correct."""
        right: NDArray[np.bool_] = self.accepted & (self.outcomes.predicted == self.outcomes.truth)
        return right


def gain_columns(case: Case, decisions: Decisions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain of each row: minutes and money, float64 [n] each."""
    rows = decisions.outcomes
    ask_minutes, ask_money = gain_of_asking(case)
    minutes_of, money_of = gains(case, rows.classes)
    place = (rows.truth, np.maximum(rows.predicted, 0))
    return (
        np.where(decisions.accepted, minutes_of[place], ask_minutes),
        np.where(decisions.accepted, money_of[place], ask_money),
    )


def accept(
    outcomes: Outcomes, threshold: float | dict[str, float] | None, shares: NDArray[np.float64] | None
) -> Decisions:
    """Predictions whose probability reaches the threshold (that of the predicted class, if each class has its own)."""
    named = outcomes.predicted != NO_LABEL
    if threshold is None or outcomes.counted:
        return Decisions(outcomes, shares, named)
    if isinstance(threshold, dict):
        least = np.array([threshold.get(name, 0.0) for name in outcomes.classes])[np.maximum(outcomes.predicted, 0)]
    else:
        least = np.full(len(named), threshold)
    return Decisions(outcomes, shares, named & (outcomes.confidence >= least))


def annuity(case: Case, months: float) -> float:
    """Present value of 1 paid at the end of each month."""
    rate = monthly_rate(case)
    # Through expm1 and log1p: at small rates 1 - (1 + rate) ** -months cancels to nothing.
    return months if rate == 0 else -math.expm1(-months * math.log1p(rate)) / rate


def monthly_rate(case: Case) -> float:
    """The monthly discount rate that compounds to the yearly one."""
    return math.expm1(math.log1p(case.discount_rate_per_year) / 12)


def payback(case: Case, net_per_month: float) -> float | None:
    """Months until the development cost is earned; None for never."""
    if net_per_month <= 0:
        return None
    return case.development_cost / net_per_month


def discounted_payback(case: Case, net_per_month: float) -> float | None:
    """The same with each month's money discounted to today; None for never."""
    rate = monthly_rate(case)
    if net_per_month <= 0 or rate == 0:
        return payback(case, net_per_month)
    lost = rate * case.development_cost / net_per_month
    return None if lost >= 1 else -math.log1p(-lost) / math.log1p(rate)


def net_of(case: Case, gain_money: float) -> float:
    """Money per month after running costs."""
    return case.volume_per_month * gain_money - case.running_cost_per_month


def return_of(case: Case, gain_money: float) -> float:
    """Net present value up to the horizon, development cost included."""
    return net_of(case, gain_money) * annuity(case, case.horizon_months) - case.development_cost


def needed_gain(case: Case, *, by_horizon: bool) -> float:
    """Money that an item must gain to cover the running costs, or to pay back by the horizon."""
    money = case.running_cost_per_month
    if by_horizon:
        money += case.development_cost / annuity(case, case.horizon_months)
    return money / case.volume_per_month


def measure(case: Case, decisions: Decisions, tails: list[float] | None = None) -> Json:
    """Every figure of the case under this rule; all are quantities except the two probabilities.

    Money a month is gross, net is after running costs. Payback's ends are null where the month's net may be 0 or
    less, and `probability_never` is the share of resamples in which it is.
    """
    tails = tails or resampling.tails()
    rows = decisions.outcomes
    _minutes, money = gain_columns(case, decisions)
    right, accepted = decisions.right.astype(float), decisions.accepted.astype(float)
    none_accepted = not decisions.accepted.any()
    found, values = measured(
        rows,
        decisions.shares,
        [
            *gain_figures(case, decisions),
            Figure(right, None, 0, 1, none_accepted),
            Figure(right, accepted, 0, 1, none_accepted),
            Figure(accepted - right, None, 0, 1, none_accepted),
            Figure(accepted, None, 0, 1, none_accepted or bool(decisions.accepted.all())),
        ],
        tails,
    )
    gain_minutes, gain_money, of_right, accuracy, wrong, answered = found
    net = transformed(gain_money, lambda gain: net_of(case, gain))
    worth = transformed(gain_money, lambda gain: return_of(case, gain))
    never = not_by_horizon = None
    if values is not None and resampling.why_no_interval(rows) is None:
        defined = values[:, 1][~np.isnan(values[:, 1])]
        if len(defined):
            net_drawn = case.volume_per_month * defined - case.running_cost_per_month
            never = float(np.mean(net_drawn <= 0))
            not_by_horizon = float(np.mean(net_drawn * annuity(case, case.horizon_months) < case.development_cost))
    table = np.stack([right, accepted, right * money, (accepted - right) * money], axis=1)
    bars = _break_even(case, decisions, table, tails)
    return {
        "gain_per_item_minutes": gain_minutes.to_json(),
        "gain_per_item_money": gain_money.to_json(),
        "minutes_per_month": transformed(gain_minutes, lambda gain: case.volume_per_month * gain).to_json(),
        "money_per_month": transformed(gain_money, lambda gain: case.volume_per_month * gain).to_json(),
        "net_per_month": net.to_json(),
        "payback_months": _falling(net, lambda value: payback(case, value)).to_json(),
        "discounted_payback_months": _falling(net, lambda value: discounted_payback(case, value)).to_json(),
        "probability_never": never,
        "probability_not_by_horizon": not_by_horizon,
        "return_at_horizon": worth.to_json(),
        "return_ratio_at_horizon": _ratio_to_cost(worth, case).to_json(),
        "break_even_accuracy": bars[0].to_json(),
        "break_even_accuracy_at_horizon": bars[1].to_json(),
        "accuracy": accuracy.to_json(),
        "right": of_right.to_json(),
        "wrong": wrong.to_json(),
        "asked": _falling(answered, lambda share: 1 - share).to_json(),
    }


def gain_figures(case: Case, decisions: Decisions) -> list[Figure]:
    """Minutes and money gained per item, between the gains of the worst and of the best prediction."""
    columns = gain_columns(case, decisions)
    found = []
    for column, of_answers, of_asking in zip(
        columns, gains(case, decisions.outcomes.classes), gain_of_asking(case), strict=True
    ):
        least, most = min(float(of_answers.min()), of_asking), max(float(of_answers.max()), of_asking)
        found.append(Figure(column, None, least, most, settled=not decisions.accepted.any()))
    return found


def _falling(base: Quantity, change: Callable[[float], float | None]) -> Quantity:
    """A figure that falls as another rises; its upper end is null if it may never be reached."""

    def at(value: float | None) -> float | None:
        return None if value is None else change(value)

    return Quantity(at(base.value), at(base.high), at(base.low), base.method, base.n)


def _ratio_to_cost(worth: Quantity, case: Case) -> Quantity:
    if case.development_cost == 0:
        return Quantity(None, None, None, "undefined", worth.n)
    return transformed(worth, lambda value: value / case.development_cost)


def _break_even(case: Case, decisions: Decisions, columns: NDArray[np.float64], tails: list[float]) -> list[Quantity]:
    """The accuracy of accepted predictions at which an item gains just enough, with the mix of errors unchanged.

    To carry the running costs, and to pay back by the horizon. 0 if even wrong predictions gain enough, undefined
    if no accuracy does. The gains of right and wrong predictions enter as ratios, so the interval is that of
    percentiles.

    Args:
        case: the case.
        decisions: n rows.
        columns: right, accepted, money of right, money of wrong, float64 [n, 4].
        tails: from `resampling.tails`.
    """
    rows = decisions.outcomes
    _minutes, ask = gain_of_asking(case)
    right_gain, wrong_gain = _plain_gains(case)

    def needed(table: NDArray[np.float64], wanted: float) -> NDArray[np.float64]:
        right, accepted = table[:, 0], table[:, 1]
        of_right = resampling.divided(table[:, 2], right, right_gain)
        of_wrong = resampling.divided(table[:, 3], accepted - right, wrong_gain)
        accuracy = resampling.divided(
            wanted - (1 - accepted) * ask - accepted * of_wrong, accepted * (of_right - of_wrong)
        )
        accuracy = np.where(of_right > of_wrong, np.maximum(accuracy, 0.0), np.nan)
        return np.where(accuracy <= 1, accuracy, np.nan)

    point = resampling.row_weights(rows, decisions.shares) @ columns
    drawn = resampling.replicate(rows, decisions.shares, columns)
    degrees = resampling.degrees_of_freedom(rows, decisions.shares, columns[:, 0])
    tail, method = tails[min(degrees, len(tails)) - 1], "grouped_bootstrap" if rows.grouped else "bootstrap"
    bars = []
    for wanted in (needed_gain(case, by_horizon=False), needed_gain(case, by_horizon=True)):
        values = None if drawn is None else needed(drawn, wanted)
        found = resampling.quantity(float(needed(point[None], wanted)[0]), values, rows, tail, method)
        # If every error costs the same, the bar follows from the case alone: no measurement enters it.
        exact = found.method == "no_variation"
        bars.append(Quantity(found.value, found.value, found.value, "exact", found.n) if exact else found)
    return bars


def _plain_gains(case: Case) -> tuple[float, float]:
    """Money gained by a right and by a wrong prediction; NaN if that depends on the class."""
    saved = case.by_hand_minutes - case.with_model_minutes
    right = wrong = saved * case.hour_cost / 60
    for cost, money in ((case.error_minutes, case.hour_cost / 60), (case.error_cost, 1.0)):
        if isinstance(cost, float):
            wrong -= cost * money
        else:
            wrong = math.nan
            if any(isinstance(row, dict) and label in row for label, row in cost.items()):
                right = math.nan
    return right, wrong


def cash(case: Case, figures: Json) -> list[Json]:
    """Cumulative money at the end of each month up to the horizon, discounted to today: month, value, low, high."""
    net = figures["net_per_month"]

    def at(monthly: float | None, months: float) -> float | None:
        return None if monthly is None else monthly * annuity(case, months) - case.development_cost

    months: list[float] = [*range(math.floor(case.horizon_months) + 1)]
    if months[-1] < case.horizon_months:
        months.append(case.horizon_months)
    return [{"month": month, **{end: at(net[end], month) for end in ("value", "low", "high")}} for month in months]


def compare(case: Case, first: Decisions, other: Decisions, tails: list[float]) -> Json:
    """Another model compared with the first on the same photos: differences, and a verdict by their interval."""
    differences = []
    for ours, theirs in zip(gain_figures(case, first), gain_figures(case, other), strict=True):
        span = ours.most - ours.least
        # As a share of what it could be, a difference of nearly nothing would count as half of it.
        differences.append(Figure(theirs.feature - ours.feature, None, -span, span, settled=True))
    per_item, _values = measured(first.outcomes, first.shares, differences, tails)
    monthly = transformed(per_item[1], lambda gain: case.volume_per_month * gain)
    verdict = "cannot tell"
    if monthly.low is not None and monthly.high is not None:
        verdict = "better" if monthly.low > 0 else "worse" if monthly.high < 0 else "cannot tell"
    return {
        "gain_per_item_minutes": per_item[0].to_json(),
        "gain_per_item_money": per_item[1].to_json(),
        "money_per_month": monthly.to_json(),
        "verdict": verdict,
    }
