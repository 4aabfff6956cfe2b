"""Money, minutes and months as people read them. The page's script writes figures by the same rules."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from certero.interchange import Json
from certero.language import _
from certero.report.figures import MINUS, MISSING, NO_BREAK_SPACE, known


def rounded(value: float, digits: int, thousands: str = ",", decimal: str = ".") -> str:
    """A figure with a fixed number of decimals; halves go away from 0, as in JavaScript's `toFixed`.

    >>> rounded(146666.6667, 2), rounded(-0.25, 1), rounded(-0.001, 1)
    ('146,666.67', '−0.3', '0.0')
    """
    text = f"{Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):f}"
    negative = text.startswith("-") and any(digit in "123456789" for digit in text)
    whole, _point, rest = text.lstrip("-").partition(".")
    groups: list[str] = []
    while len(whole) > 3:
        groups.insert(0, whole[-3:])
        whole = whole[:-3]
    return (MINUS if negative else "") + thousands.join([whole, *groups]) + (decimal + rest if rest else "")


def money(value: Any, case: Json, *, per_item: bool = False) -> str:
    """An amount by the case's `currency_format`; of one item with more decimals."""
    if not known(value):
        return MISSING
    style = case["currency_format"]
    digits = item_digits(case)["money"] if per_item else style["decimals"]
    text = rounded(abs(value), digits, style["thousands"], style["decimal"])
    sign = MINUS if value < 0 and any(digit in "123456789" for digit in text) else ""
    symbol = style["symbol"]
    if symbol is None:
        return f"{sign}{text}{NO_BREAK_SPACE}{case['currency']}" if case["currency"] else sign + text
    return f"{sign}{text}{NO_BREAK_SPACE}{symbol}" if style["symbol_after"] else f"{sign}{symbol}{text}"


def item_digits(case: Json) -> Json:
    """Decimals of one item's minutes and money: the smaller the item, the more."""
    minutes = case["by_hand_minutes"]
    worth = minutes * case["hour_cost"] / 60
    return {
        "minutes": 2 if minutes >= 1 else 4,
        "money": case["currency_format"]["decimals"] + (2 if worth >= 1 else 4),
    }


def plain(value: float) -> str:
    """A figure of any size with about four digits that count.

    >>> plain(0.090493), plain(22971.4), plain(2.0), plain(1234.5)
    ('0.09049', '22,971', '2', '1,234')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def money_with_interval(quantity: Json, case: Json, *, per_item: bool = False) -> str:
    """An amount, and its interval in parentheses where there is one."""
    text = money(quantity["value"], case, per_item=per_item)
    if not (known(quantity["low"]) and known(quantity["high"])):
        return text
    ends = {end: money(quantity[end], case, per_item=per_item) for end in ("low", "high")}
    return text + " (" + _("%(low)s to %(high)s") % ends + ")"


def number_with_interval(quantity: Json, digits: int) -> str:
    """A figure, and its interval in parentheses where there is one."""
    if not known(quantity["value"]):
        return MISSING
    text = rounded(quantity["value"], digits)
    if not (known(quantity["low"]) and known(quantity["high"])):
        return text
    ends = {end: rounded(quantity[end], digits) for end in ("low", "high")}
    return text + " (" + _("%(low)s to %(high)s") % ends + ")"


def in_months(quantity: Json) -> str:
    """A payback in months; its upper end may be never."""
    if quantity["value"] is None:
        return _("never")
    text = _("%(months)s months") % {"months": rounded(quantity["value"], 1)}
    if quantity["low"] is None:
        return text
    high = _("never") if quantity["high"] is None else rounded(quantity["high"], 1)
    return text + " (" + _("%(low)s to %(high)s") % {"low": rounded(quantity["low"], 1), "high": high} + ")"


def figure_text(value: Any, kind: str, case: Json) -> str:
    """A figure as the table writes it; the page's script has the same rules."""
    if kind == "months":
        return _("never") if value is None else rounded(value, 1)
    if value is None:
        return MISSING
    if kind in ("money", "item_money"):
        return money(value, case, per_item=kind == "item_money")
    if kind == "share":
        return rounded(100 * value, 1) + f"{NO_BREAK_SPACE}%"
    return rounded(value, item_digits(case)["minutes"] if kind == "item_minutes" else 0)


def words_of_assumption(name: str) -> str:
    """An assumption of the case, in words."""
    words = {
        "volume_per_month": _("items a month"),
        "by_hand_minutes": _("minutes by hand"),
        "with_model_minutes": _("minutes with the model"),
        "hour_cost": _("cost of an hour"),
        "ask_minutes": _("minutes to ask a person"),
        "ask_cost": _("money to ask a person"),
        "development_hours": _("hours of development"),
        "development_hour_cost": _("cost of an hour of development"),
        "running_cost_per_month": _("running cost a month"),
        "error_minutes": _("minutes that an error costs"),
        "error_cost": _("money that an error costs"),
        "error_minutes_factor": _("minutes that errors cost, as a factor"),
        "error_cost_factor": _("money that errors cost, as a factor"),
        "accuracy": _("accuracy of accepted answers (measured)"),
    }
    return words.get(name, name)
