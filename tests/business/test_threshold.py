"""Thresholds judged on the photos that they are chosen on: each photo by one chosen without its group."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from value_examples import FARM

from certero.business.case import parse_case
from certero.business.outcomes import Outcomes, outcomes_of_photos
from certero.business.threshold import best_thresholds_per_class, decide_apart
from certero.business.worth import accept, gain_columns

CLASSES = ("a", "b", "c")
CASE = parse_case(FARM | {"error_minutes": 0.6, "error_cost": 0.0})
_GROUPS, _EACH, _REPEATS = 6, 12, 250


def _world(draw: np.random.Generator, groups: int = _GROUPS, each: int = _EACH) -> tuple[Outcomes, Outcomes]:
    """Outputs of two models, alike as those of the folds and of the shipped one are, for the same photos."""
    n = groups * each
    unit = np.repeat(np.arange(groups), each)
    truth = draw.integers(0, 3, n)
    common = 2.2 * np.eye(3)[truth] + draw.normal(0, 0.6, (groups, 3))[unit] + draw.normal(0, 1.2, (n, 3))
    pair = []
    for _model in range(2):
        logits = common + draw.normal(0, 0.4, (n, 3))
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        names = [f"{place:04d}" for place in range(n)]
        pair.append(outcomes_of_photos(CLASSES, truth, shares, [f"{u:03d}" for u in unit], names))
    return pair[0], pair[1]


def _gain(outcomes: Outcomes, rule: dict[str, float]) -> float:
    return float(gain_columns(CASE, accept(outcomes, rule, None))[1].mean())


@pytest.mark.slow
def test_a_threshold_chosen_apart_claims_what_it_will_earn() -> None:
    draw = np.random.default_rng(12)
    _held, later = _world(draw, 2000, 12)
    naive, apart, true = [], [], []
    for _ in range(_REPEATS):
        held, judged = _world(draw)
        rule, _gain_there = best_thresholds_per_class(CASE, held, None)
        true.append(_gain(later, rule))
        naive.append(_gain(judged, rule))
        apart.append(float(gain_columns(CASE, decide_apart(CASE, held, judged, None, per_class=True))[1].mean()))
    error = np.std(np.array(apart) - true) / np.sqrt(_REPEATS)
    assert np.mean(naive) > np.mean(true) + 8 * error
    assert abs(np.mean(apart) - np.mean(true)) < 3 * error


@pytest.mark.parametrize("per_class", [False, True])
def test_no_photo_of_a_group_has_a_say_in_the_threshold_that_judges_it(per_class: bool) -> None:
    held, judged = _world(np.random.default_rng(3))
    before = decide_apart(CASE, held, judged, None, per_class=per_class).accepted
    assert judged.units is not None
    for unit in (0, 5, 11):
        inside = judged.units == unit
        spoiled = dataclasses.replace(
            held,
            truth=np.where(inside, (held.truth + 1) % 3, held.truth),
            confidence=np.where(inside, 1 - held.confidence, held.confidence),
        )
        after = decide_apart(CASE, spoiled, judged, None, per_class=per_class).accepted
        assert (after[inside] == before[inside]).all()


def test_photos_are_matched_by_name_and_not_by_place() -> None:
    held, judged = _world(np.random.default_rng(4))
    shuffled = held.take(np.random.default_rng(5).permutation(len(held.truth)))
    one, other = (decide_apart(CASE, rows, judged, None, per_class=False) for rows in (held, shuffled))
    assert (one.accepted == other.accepted).all()
