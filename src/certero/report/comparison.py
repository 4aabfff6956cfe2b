"""A comparison of models as a page, and the table that the command line prints too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from certero.amounts import size
from certero.interchange import Json
from certero.language import _, language, ngettext, translate
from certero.machine.files import write_whole
from certero.records.comparison import ComparedModel, Comparison, Pair
from certero.records.quantity import Quantity
from certero.report.charts import Dot, dots_axis
from certero.report.figures import MINUS, MISSING, NO_BREAK_SPACE, SHADES, known, percent, signed, slice_words
from certero.report.money import rounded
from certero.report.page import environment

#: More rows of one chart than these are folded.
MOST_ROWS = 12
# Where an axis of differences may end, and the step between its marks; shares.
_REACHES = ((0.01, 0.005), (0.02, 0.01), (0.05, 0.025), (0.1, 0.05), (0.2, 0.1), (0.5, 0.25), (1.0, 0.5))


def write_comparison(output: Path, answer: Json, command: str = "") -> None:
    """Writes the page of a comparison: one file that needs nothing else, in the language in use.

    Args:
        output: the file; an earlier one is replaced whole.
        answer: the keys of `certero compare --json`.
        command: the command line, empty for none.

    Raises:
        OutputError: if the file cannot be written.
    """
    write_whole(output, render_comparison(answer, command).encode("utf-8", "replace"))


def render_comparison(answer: Json, command: str = "") -> str:
    """The page's HTML; see `write_comparison`."""
    comparison = Comparison.from_json(answer)
    accuracies = [
        Dot(_title(row), row.accuracy or Quantity.from_json(None), row.n or None) for row in comparison.models
    ]
    view = {
        "language": language(),
        "SHADES": SHADES,
        "MOST_ROWS": MOST_ROWS,
        "answer": comparison,
        "headline": headline(comparison),
        "advice": advice(comparison),
        "accuracies": accuracies,
        "axis": dots_axis(accuracies),
        "pairs": [_view_pair(pair) for pair in comparison.pairs],
        "rows": table_rows(comparison),
        "tests": [_test_row(pair) for pair in comparison.pairs],
        "command": command,
    }
    return environment().get_template("comparison.html.jinja").render(view)


def headline(answer: Comparison) -> list[str]:
    """What can be said, the plainest first: the verdict on two models, or on the one ahead of several."""
    pairs = answer.pairs
    if not pairs or answer.best is None:
        return [_("Nothing tells which model is better: they were not judged on the same photos.")]
    best = answer.best
    if len(pairs) == 1:
        return [_sentence(pairs[0].says)]
    ahead = best.letter
    lines = []
    if best.better_than:
        lines.append(
            _("%(letter)s is better than %(others)s.") % {"letter": ahead, "others": ", ".join(best.better_than)}
        )
    else:
        lines.append(_("%(letter)s has the highest accuracy, which may be chance.") % {"letter": ahead})
    shown = [pair for pair in pairs if ahead in (pair.first, pair.second)]
    return lines + [_sentence(pair.says) for pair in shown]


def _sentence(text: str) -> str:
    said = translate(text)
    return said[:1].upper() + said[1:] + "."


def advice(answer: Comparison) -> list[str]:
    """What to mind: how sure the choice is, and what speaks for the other model."""
    lines = []
    if answer.openings:
        lines.append(
            ngettext(
                "These photos had been opened once before: trust the figures less.",
                "These photos had been opened %(times)d times before: trust the figures less.",
                answer.openings,
            )
            % {"times": answer.openings}
        )
    lines += [_sentence(said) for said in dict.fromkeys(pair.caution for pair in answer.pairs) if said]
    if len(answer.models) > 2 and answer.pairs:
        lines.append(
            _(
                "The best of several models is a little worse on new photos than here, because luck helped to choose "
                "it. Judge it once more, alone, on other photos."
            )
        )
    lines += _trade(answer)
    return lines


def _trade(answer: Comparison) -> list[str]:
    """Where nobody can tell which model is better, the faster one has an argument."""
    best = answer.best
    if not answer.pairs or best is None or not best.cannot_tell:
        return []
    rows = {row.letter: row for row in answer.models}
    open_ = [best.letter, *best.cannot_tell]
    latencies = [(rows[letter].latency_ms, letter) for letter in open_]
    timed = [(found.value, letter) for found, letter in latencies if found is not None and found.value is not None]
    if len(timed) < 2 or min(timed)[0] * 1.5 > max(timed)[0]:
        return []
    text = _(
        "While nobody can tell which is better, %(letter)s has speed on its side: %(fast)s ms a photo against %(slow)s."
    )
    fast, slow = min(timed), max(timed)
    return [text % {"letter": fast[1], "fast": _short(fast[0]), "slow": _short(slow[0])}]


def table_rows(answer: Comparison) -> list[tuple[str, list[str]]]:
    """The comparison table: what is compared, and a cell for each model."""
    models = answer.models
    epochs = [row.epochs for row in models]
    rows = [
        (_("accuracy"), [_share(row.accuracy) for row in models]),
        (_("macro F1"), [_share(row.macro_f1) for row in models]),
        (_("photos judged"), [f"{row.n:,}" for row in models]),
        (
            _("accuracy on val, mean over epochs"),
            [_share(None if row is None else row.mean_accuracy) for row in epochs],
        ),
        (_("accuracy on val, last epoch"), [_share(None if row is None else row.final_accuracy) for row in epochs]),
        (_("seconds an epoch"), [_amount(None if row is None else row.seconds) for row in epochs]),
        (_("ms a photo, one core"), [_amount(row.latency_ms) for row in models]),
        (_("photos a second"), [_amount(row.photos_per_second) for row in models]),
        (_("file size"), [size(row.file_bytes) for row in models]),
        (_("parameters"), [f"{row.parameters:,}" for row in models]),
        (_("input, pixels"), [str(row.image_size) for row in models]),
        (_("recipe"), [row.recipe or (_("foreign") if row.kind == "foreign" else MISSING) for row in models]),
        (
            _("seen in training, left out"),
            [MISSING if row.seen is None else f"{row.seen:,}" for row in models],
        ),
    ]
    return [(name, cells) for name, cells in rows if any(cell != MISSING for cell in cells)]


def _share(quantity: Quantity | None) -> str:
    if quantity is None or not known(quantity.value):
        return MISSING
    text = percent(quantity.value)
    if quantity.low is None:
        return text
    ends = {"low": percent(quantity.low, unit=False), "high": percent(quantity.high, unit=False)}
    return text + " (" + _("%(low)s to %(high)s") % ends + ")"


def _amount(quantity: Quantity | None) -> str:
    if quantity is None or quantity.interval is None or not known(quantity.value):
        return MISSING
    text = _short(quantity.value)
    ends = {"low": _short(quantity.interval[0]), "high": _short(quantity.interval[1])}
    return text + " (" + _("%(low)s to %(high)s") % ends + ")"


def _short(value: float) -> str:
    return rounded(value, 0 if value >= 100 else 1 if value >= 1 else 2)


def interval_points(quantity: Quantity) -> str:
    """`−0.4 to +2.1`, or why there is no interval."""
    if quantity.low is not None:
        return _("%(low)s to %(high)s") % {"low": signed(quantity.low), "high": signed(quantity.high)}
    if quantity.method == "too_few_groups":
        return _("too few groups for an interval")
    if quantity.method == "no_variation":
        return _("no photo differs")
    return _("no interval")


@dataclass(frozen=True, slots=True)
class SignedAxis:
    """An axis of differences, as far to both sides of 0."""

    reach: float
    step: float

    def place(self, difference: float) -> float:
        """Percent of the axis' length, within it."""
        return round(50 + 50 * max(-1.0, min(1.0, difference / self.reach)), 2)

    @property
    def marks(self) -> list[tuple[float, str]]:
        """Place and words of each mark."""
        steps = round(self.reach / self.step)
        return [
            (self.place(k * self.step), f"{100 * k * self.step:+g}".replace("-", MINUS) if k else "0")
            for k in range(-steps, steps + 1)
        ]


def signed_axis(quantities: Iterable[Quantity]) -> SignedAxis:
    """The shortest of a few round axes that holds these differences and their intervals."""
    ends = [abs(end) for q in quantities for end in (q.value, q.low, q.high) if known(end)]
    furthest = max(ends, default=0.0)
    return SignedAxis(*next((r for r in _REACHES if r[0] >= furthest), _REACHES[-1]))


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of a chart of differences."""

    label: str
    n: int | None
    quantity: Quantity
    kind: str
    value: str
    interval: str


def _difference(label: str, n: int | None, quantity: Quantity, verdict: str) -> Difference:
    kind = {"better": "own", "worse": "claim"}.get(verdict, "plain")
    value = MISSING
    if known(quantity.value):
        value = (_("%(points)s points") % {"points": signed(quantity.value)}).replace(" ", NO_BREAK_SPACE)
    return Difference(label, n, quantity, kind, value, interval_points(quantity))


@dataclass(frozen=True, slots=True)
class PairView:
    """What the page says of two models: in words, and as charts of differences with their axes."""

    title: str
    says: str
    counts: str
    both: list[Difference]
    axis: SignedAxis
    sections: list[tuple[str, list[Difference], SignedAxis]]


def _view_pair(pair: Pair) -> PairView:
    both = [
        _difference(_("accuracy"), None, pair.paired.accuracy, pair.paired.verdict),
        _difference(_("macro F1"), None, pair.paired.macro_f1, _by_interval(pair.paired.macro_f1)),
    ]
    classes = [
        _difference(name, row.tested.n, row.recall, row.tested.verdict)
        for name, row in sorted(pair.paired.per_class.items(), key=lambda item: _rank(item[1].recall))
        if row.tested.n
    ]
    slices: dict[str, list[Difference]] = {}
    for row in pair.paired.slices:
        name, value = slice_words(row.slice, row.value)
        slices.setdefault(name, []).append(_difference(value, row.tested.n, row.accuracy, row.tested.verdict))
    sections = [(_("By class: share of its photos that was found"), classes), *slices.items()]
    counts = _("Only %(first)s is right: %(only_first)s photos. Only %(second)s is right: %(only_second)s photos.")
    return PairView(
        title=_("%(second)s against %(first)s") % {"second": pair.second, "first": pair.first},
        says=_sentence(pair.says),
        counts=counts
        % {
            "first": pair.first,
            "second": pair.second,
            "only_first": f"{pair.paired.only_first:,}",
            "only_second": f"{pair.paired.only_second:,}",
        },
        both=both,
        axis=signed_axis(row.quantity for row in both),
        sections=[(name, rows, signed_axis(row.quantity for row in rows)) for name, rows in sections if len(rows) > 1],
    )


def _by_interval(quantity: Quantity) -> str:
    if quantity.interval is None:
        return "cannot tell"
    low, high = quantity.interval
    return "better" if low > 0 else "worse" if high < 0 else "cannot tell"


def _rank(quantity: Quantity) -> tuple[int, float]:
    return (0, -quantity.value) if known(quantity.value) else (1, 0.0)


def _test_row(pair: Pair) -> list[str]:
    tests = {"mcnemar": _("McNemar, exact"), "group_signs": _("signs of groups, exact")}
    smallest = pair.paired.smallest_difference
    return [
        _("%(second)s against %(first)s") % {"second": pair.second, "first": pair.first},
        tests.get(pair.paired.test or "", MISSING),
        _p(pair.paired.p),
        _p(pair.paired.p_holm),
        f"{pair.paired.design_effect:.1f}",
        MISSING if smallest is None else f"{100 * smallest:.1f}",
        MISSING if pair.paired.photos_needed is None else f"{pair.paired.photos_needed:,}",
    ]


def _p(value: float | None) -> str:
    return MISSING if value is None else "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _title(row: ComparedModel) -> str:
    return f"{row.letter} · {short_names([row.name])[0]}"


def short_names(names: Sequence[str]) -> list[str]:
    """The ends of long paths, enough to tell a model by."""
    return [name if len(name) <= 40 else "…" + name[-39:] for name in names]
