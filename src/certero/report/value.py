"""The section about money: figures, charts and sliders, in a report or on a page of its own."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from certero.interchange import Json, json_text
from certero.language import _, language
from certero.machine.files import read_file, write_whole
from certero.report import money
from certero.report.figures import SHADES, known, percent
from certero.report.page import environment, restate_size

BEGIN, END = "<!-- value -->", "<!-- /value -->"
#: With more photos than this the page would grow too large to compute in.
MOST_PHOTOS = 20_000
#: More classes than this are folded.
MOST_SHARES = 6
_POLICY = re.compile(r"(content=\"default-src 'none'[^\"]*?)(; script-src [^\"]*)?\"")
# The drawing area of a chart inside its frame of 330 x 258.
_LEFT, _WIDTH, _TOP, _HEIGHT = 62.0, 250.0, 16.0, 200.0


def add_to_report(place: Path, answer: Json, page: Json) -> None:
    """Writes the section into a report of certero, in the place of an earlier one, or as a page of its own.

    Args:
        place: the HTML file; a report keeps everything else, any other file is replaced.
        answer: the keys of `certero value --json`.
        page: what the sliders compute from.

    Raises:
        OutputError: if the file cannot be written.
    """
    section, script = render_section(answer, page)
    old = _read(place)
    start, end = old.find(BEGIN), old.find(END)
    if 0 <= start < end:
        html = old[: start + len(BEGIN)] + "\n" + section + old[end:]
        html = restate_size(_allow(html, script))
    else:
        html = (
            environment()
            .get_template("value_page.html.jinja")
            .render(
                section=section,
                language=language(),
                title=answer["case"]["title"],
                model=answer["model"] or "",
                SHADES=SHADES,
            )
        )
        html = _allow(html, script)
    write_whole(place, html.encode("utf-8", "replace"))


def render_section(answer: Json, page: Json) -> tuple[str, str]:
    """The section's HTML, and the script in it; without too many photos the script is empty."""
    script = ""
    if len(page["photos"]["truth"]) <= MOST_PHOTOS:
        script = (resources.files("certero.report") / "templates" / "value.js").read_text("utf-8")
    case = answer["case"]
    data = page | {"words": words(case), "item_digits": money.item_digits(case)}
    html = (
        environment()
        .get_template("value.html.jinja")
        .render(
            answer=answer,
            case=case,
            headline=headline(answer),
            rows=figure_rows(answer),
            cash=cash_chart(answer),
            curve=curve_chart(answer),
            assumptions=assumption_rows(answer),
            controls=controls(answer, page) if script else [],
            shares=list((answer["class_shares"] or {}).items()),
            MOST_SHARES=MOST_SHARES,
            data=_safe(json_text(data)),
            script=script,
            percent=percent,
            money=lambda value, **more: money.money(value, case, **more),
        )
    )
    return html, script


def _safe(text: str) -> str:
    """JSON that no class name can end early: it stands in an HTML script element."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _read(place: Path) -> str:
    try:
        return read_file(place).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _allow(html: str, script: str) -> str:
    """The page with a policy that runs this one script, known by its hash, and no other."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"; script-src 'sha256-{digest}'" if script else ""
    return _POLICY.sub(lambda match: f'{match[1]}{allowed}"', html, count=1)


def headline(answer: Json) -> str:
    """The answer in one sentence."""
    payback = answer["payback_months"]
    case = answer["case"]
    if payback["value"] is None:
        return _("It does not pay back: a month costs more than it brings.")
    worth = answer["return_at_horizon"]
    if known(worth["low"]) and known(worth["high"]) and worth["low"] < 0 < worth["high"]:
        ends = {end: money.money(worth[end], case) for end in ("low", "high")}
        return _open_verdict() % (ends | {"horizon": f"{case['horizon_months']:g}"})
    values = {"months": money.rounded(payback["value"], 1), "horizon": f"{case['horizon_months']:g}"}
    if payback["value"] > case["horizon_months"]:
        return _("It pays back after %(months)s months, later than the %(horizon)s planned.") % values
    return _("It pays back after %(months)s months.") % values


def _open_verdict() -> str:
    """What is said while the interval of the return holds a loss and a gain."""
    return _(
        "These photos cannot tell whether it pays: after %(horizon)s months the return lies between %(low)s "
        "and %(high)s."
    )


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A line of the table of figures.

    Args:
        key: in the JSON.
        name: in words.
        kind: how it is written: `minutes`, `item_money`, `money`, `months`, `share`.
        quantity: the figure; of a probability the value alone.
    """

    key: str
    name: str
    kind: str
    quantity: Json


def figure_rows(answer: Json) -> list[FigureRow]:
    """The figures to show, in their order."""
    case = answer["case"]
    horizon = {"horizon": f"{case['horizon_months']:g}"}
    listed = [
        ("payback_months", _("Payback, months"), "months"),
        ("gain_per_item_minutes", _("Minutes gained an item"), "item_minutes"),
        ("gain_per_item_money", _("Gain an item"), "item_money"),
        ("minutes_per_month", _("Minutes gained a month"), "minutes"),
        ("money_per_month", _("Gain a month"), "money"),
        ("net_per_month", _("Gain a month after running costs"), "money"),
        ("return_at_horizon", _("Return after %(horizon)s months") % horizon, "money"),
        ("accuracy", _("Accuracy of accepted answers"), "share"),
        ("break_even_accuracy_at_horizon", _("Accuracy that pays back in %(horizon)s months") % horizon, "share"),
        ("break_even_accuracy", _("Accuracy that carries the running costs"), "share"),
        ("asked", _("Photos that a person is asked about"), "share"),
        ("probability_never", _("Chance that it never pays back"), "share"),
        ("probability_not_by_horizon", _("Chance of no payback in %(horizon)s months") % horizon, "share"),
    ]
    if case["discount_rate_per_year"] > 0:
        listed.insert(1, ("discounted_payback_months", _("Payback, months, money discounted"), "months"))
    rows = []
    for key, name, kind in listed:
        found = answer[key]
        if not isinstance(found, dict):
            found = {"value": found, "low": None, "high": None}
        rows.append(FigureRow(key, name, kind, found))
    return rows


def words(case: Json) -> Json:
    """What the script says."""
    horizon = {"horizon": f"{case['horizon_months']:g}"}
    return {
        "never": _("never"),
        "to": _("%(low)s to %(high)s"),
        "not_at_all": _("It does not pay back: a month costs more than it brings."),
        "cannot_tell": _open_verdict() % (horizon | {"low": "{low}", "high": "{high}"}),
        "late": _("It pays back after %(months)s months, later than the %(horizon)s planned.")
        % (horizon | {"months": "{months}"}),
        "in_time": _("It pays back after %(months)s months.") % {"months": "{months}"},
        "per_class": _("one a class"),
    }


@dataclass(frozen=True, slots=True)
class Control:
    """A slider.

    Args:
        name: what the script knows it by.
        label: in words.
        value: where it stands.
        least: its left end.
        most: its right end.
        text: its value, written.
    """

    name: str
    label: str
    value: float
    least: float
    most: float
    text: str


def controls(answer: Json, page: Json) -> list[Control]:
    """The sliders but for those of the class shares."""
    case = answer["case"]
    found = [
        _span("volume", _("Items a month"), case["volume_per_month"], money.rounded(case["volume_per_month"], 0)),
        _span("hour_cost", _("Cost of an hour"), case["hour_cost"], money.money(case["hour_cost"], case)),
        Control("error_factor", _("Cost of an error, as a factor of the case's"), 1.0, 0.0, 4.0, "×\u00a01.00"),
    ]
    if page["photos"]["confidence"] is not None:
        threshold = page["threshold"] or 0.0
        text = _("one a class") if page["per_class"] else money.rounded(threshold, 3)
        found.append(Control("threshold", _("Below this probability a person is asked"), threshold, 0.0, 1.01, text))
    return found


def _span(name: str, label: str, value: float, text: str) -> Control:
    return Control(name, label, value, 0.0, 3 * value if value > 0 else 100.0, text)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart's geometry, pixels of its frame.

    Args:
        band: points of an area; empty without an interval.
        line: points of the line.
        x_marks: place and words.
        y_marks: place and words.
        zero: y of 0; None outside.
        mark: x of what is marked; None for nothing.
    """

    band: str
    line: str
    x_marks: list[tuple[float, str]]
    y_marks: list[tuple[float, str]]
    zero: float | None
    mark: float | None


def cash_chart(answer: Json) -> Chart:
    """Cumulative money by month with its band."""
    case = answer["case"]
    rows = answer["cash"]
    months = [row["month"] for row in rows]
    payback = answer["discounted_payback_months"]["value"]
    return _chart(
        months,
        [row["value"] for row in rows],
        None if rows[0]["low"] is None else ([row["low"] for row in rows], [row["high"] for row in rows]),
        nice_marks(0, case["horizon_months"], 5),
        lambda mark: money.rounded(mark, 0),
        lambda mark: short_money(mark),
        payback if payback is not None and payback <= months[-1] else None,
    )


def curve_chart(answer: Json) -> Chart | None:
    """Money a month against the share of photos that the model answers; None without probabilities."""
    rows = sorted(answer["curve"], key=lambda row: row["answered"])
    if len(rows) < 2:
        return None
    lows = [row["money_per_month"]["low"] for row in rows]
    highs = [row["money_per_month"]["high"] for row in rows]
    values = [row["money_per_month"]["value"] for row in rows]
    # Where nothing is accepted there is nothing that could vary.
    band = None
    if any(known(low) for low in lows):
        band = (
            [low if known(low) else value for low, value in zip(lows, values, strict=True)],
            [high if known(high) else value for high, value in zip(highs, values, strict=True)],
        )
    return _chart(
        [row["answered"] for row in rows],
        values,
        band,
        [0, 0.25, 0.5, 0.75, 1],
        lambda mark: money.rounded(100 * mark, 0) + "\u00a0%",
        short_money,
        1 - answer["asked"]["value"],
    )


def _chart(
    xs: Sequence[float],
    values: Sequence[float],
    band: tuple[Sequence[float], Sequence[float]] | None,
    x_marks: Sequence[float],
    say_x: Any,
    say_y: Any,
    mark: float | None,
) -> Chart:
    every = [0.0, *values, *(band[0] if band else ()), *(band[1] if band else ())]
    y_marks = nice_marks(min(every), max(every), 5)
    low, high = min(y_marks[0], *every), max(y_marks[-1], *every)
    last = x_marks[-1] if x_marks[-1] >= xs[-1] else xs[-1]

    def x(value: float) -> float:
        return round(_LEFT + _WIDTH * value / (last or 1), 2)

    def y(value: float) -> float:
        return round(_TOP + _HEIGHT * (high - value) / ((high - low) or 1), 2)

    def points(places: Sequence[float], heights: Sequence[float]) -> str:
        return " ".join(f"{x(a)},{y(b)}" for a, b in zip(places, heights, strict=True))

    area = f"{points(xs, band[1])} {points([*reversed(xs)], [*reversed(band[0])])}" if band else ""
    return Chart(
        area,
        points(xs, values),
        [(x(m), say_x(m)) for m in x_marks],
        [(y(m), say_y(m)) for m in y_marks],
        y(0.0) if low <= 0 <= high else None,
        None if mark is None else x(mark),
    )


def nice_marks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers from at most `low` to at least `high`, about `wanted` of them.

    >>> nice_marks(-3, 14, 5)
    [-5.0, 0.0, 5.0, 10.0, 15.0]
    """
    span = high - low or abs(high) or 1.0
    raw = span / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def short_money(value: float) -> str:
    """An amount for an axis: 1,500 as `1.5 k`, 2,000,000 as `2 M`.

    >>> short_money(-1500), short_money(2e6), short_money(0.5)
    ('−1.5\\xa0k', '2\\xa0M', '0.5')
    """
    size = abs(value)
    scale, unit = (1e9, "\u00a0G") if size >= 1e9 else (1e6, "\u00a0M") if size >= 1e6 else (1e3, "\u00a0k")
    if size < 1e3:
        scale, unit = 1.0, ""
    text = money.rounded(value / scale, 2)
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text + unit


@dataclass(frozen=True, slots=True)
class AssumptionRow:
    """A line of the tornado.

    Args:
        name: in words.
        value: what the case says, written.
        moved: what it is moved to, written.
        low: left end of the bar, percent.
        high: right end, percent.
        words: the payback at both ends.
        flips: at what value there is no return at the horizon, written; empty for none.
    """

    name: str
    value: str
    moved: str
    low: float
    high: float
    words: str
    flips: str


def assumption_rows(answer: Json) -> list[AssumptionRow]:
    """The assumptions that matter, the strongest first; bars are returns at the horizon."""
    rows = [row for row in answer["sensitivity"] if row["return_low"] != row["return_high"]]
    if not rows:
        return []
    ends = [end for row in rows for end in (row["return_low"], row["return_high"])]
    least, most = min(ends), max(ends)

    def place(value: float) -> float:
        part: float = (value - least) / ((most - least) or 1)
        return round(100 * part, 2)

    found = []
    for row in rows:
        share = row["assumption"] == "accuracy"

        def say(value: float | None, share: bool = share) -> str:
            if value is None:
                return ""
            return percent(value) if share else money.plain(value)

        paybacks = [money.figure_text(row[f"payback_{end}"], "months", answer["case"]) for end in ("low", "high")]
        left, right = sorted((place(row["return_low"]), place(row["return_high"])))
        found.append(
            AssumptionRow(
                money.words_of_assumption(row["assumption"]),
                say(row["value"]),
                _("%(low)s to %(high)s") % {"low": say(row["low"]), "high": say(row["high"])},
                left,
                right,
                " → ".join(paybacks),
                say(row["flips_at"]),
            )
        )
    return found
