"""Where nothing tells which photos depend on each other, no figure passes for one whose range is known."""

from __future__ import annotations

import numpy as np

from certero.records.dependence import DEPENDENCE_UNKNOWN, is_unknown, mark, marked
from certero.records.photo_counts import SeparationFacts
from certero.records.quantity import Quantity
from certero.stats.requirements import judge, parse_requirement
from certero.stats.scores import score


def figures(value: object) -> list[Quantity]:
    """Every figure inside JSON."""
    if isinstance(value, dict):
        if value.keys() >= {"value", "low", "high", "method", "n"}:
            return [Quantity(**{name: value[name] for name in ("value", "low", "high", "method", "n")})]
        return [found for part in value.values() for found in figures(part)]
    return [found for part in value for found in figures(part)] if isinstance(value, list) else []


def test_every_interval_is_marked_and_nothing_else_changes() -> None:
    drawn = np.random.default_rng(0)
    scores = score(drawn.dirichlet(np.ones(3), 200), drawn.integers(0, 3, 200), ["a", "b", "c"])
    before, after = figures(scores.to_json()), figures(marked(scores).to_json())
    assert len(after) == len(before) > 30
    for old, new in zip(before, after, strict=True):
        assert (new.value, new.low, new.high, new.n) == (old.value, old.low, old.high, old.n)
        assert new.method == (old.method if old.low is None else DEPENDENCE_UNKNOWN)
    assert any(each.low is None for each in before), "figures without an interval keep their reason"
    assert figures(mark(scores.to_json())) == after


def test_a_bar_is_judged_by_the_marked_ends_and_its_figure_says_so() -> None:
    right = np.arange(200) % 20 != 0
    truth = np.arange(200) % 2
    given = np.where(right, truth, 1 - truth)
    scores = marked(score(np.eye(2)[given], truth, ["a", "b"]))
    (met, open_) = (judge(parse_requirement(bar), scores) for bar in ("accuracy>=0.9", "accuracy>=0.94"))
    assert (met.verdict, open_.verdict) == ("met", "cannot tell")
    assert met.figures[0].quantity.method == DEPENDENCE_UNKNOWN


def test_files_of_older_versions_tell_it_by_their_rule() -> None:
    facts = SeparationFacts("copies", None, None, 10)
    assert is_unknown(facts)
    assert not is_unknown(SeparationFacts("time", None, 60.0, 10))
    assert is_unknown(SeparationFacts("copies", None, None, 10, "unknown"))
    assert not is_unknown(SeparationFacts.from_json(None))
