"""A negative number that people read has a minus sign, of one kind, from one home; what programs read has a hyphen."""

from __future__ import annotations

import re

import pytest
from report_examples import beds, quantity, text_of

from certero.cli.terminal.summary import summarise
from certero.records.metrics import Metrics
from certero.report.figures import number, signed
from certero.report.money import money, rounded
from certero.report.page import render

# A hyphen before a digit, unless it stands inside a name, a date or an option.
_HYPHEN = re.compile(r"(?<![\w-])-[$€]?\d")


def _below() -> Metrics:
    """A random split that claims less than measured."""
    metrics = beds()
    metrics["random_split_accuracy"] = quantity(0.85)
    metrics["optimism_of_random_split"] = {"value": -0.031, "low": -0.06, "high": -0.01, "method": "paired", "n": 96}
    return Metrics.from_json(metrics)


@pytest.mark.parametrize("where", ["page", "terminal"])
def test_what_lies_below_zero_has_a_minus_sign(where: str) -> None:
    said = text_of(render(_below(), {})) if where == "page" else "\n".join(summarise(_below()))
    assert _HYPHEN.findall(said) == []


def test_the_homes_of_numbers_write_it() -> None:
    style = {"symbol": "$", "symbol_after": False, "thousands": ",", "decimal": ".", "decimals": 2}
    case = {"currency_format": style, "currency": "USD"}
    assert (signed(-0.031), number(-0.25), rounded(-3.26, 1)) == ("−3.1", "−0.250", "−3.3")
    assert money(-611.0, case) == "−$611.00"


def test_the_terminal_says_how_much_a_random_split_is_off_in_a_sentence() -> None:
    lines = [line for line in summarise(_below()) if "random split" in line]
    assert lines == ["A random split would have claimed 85.0%, 3.1 points less than measured (1.0 to 6.0)."]
