"""Paired comparison: each formula against an independent implementation, intervals and verdicts by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("scipy", reason="comparing needs the [report] extra")

from certero.interchange import Json
from certero.stats.intervals import proportion
from certero.stats.many_tests import holm
from certero.stats.paired import (
    POWER,
    SIGNIFICANCE,
    Answers,
    compare_answers,
    group_signs,
    mcnemar,
    photos_needed,
    smallest_difference,
)

TABLES = [(0, 0), (0, 1), (0, 6), (2, 9), (9, 2), (10, 10), (37, 60), (1, 400)]


@pytest.mark.parametrize(("first", "second"), TABLES)
def test_mcnemar_is_that_of_scipy_and_statsmodels(first: int, second: int) -> None:
    from scipy.stats import binomtest

    table = pytest.importorskip("statsmodels.stats.contingency_tables", reason="needs statsmodels, of the [dev] extra")
    if first + second:
        assert mcnemar(first, second) == pytest.approx(binomtest(first, first + second).pvalue, rel=1e-9)
    oracle = table.mcnemar([[50, first], [second, 7]], exact=True).pvalue
    assert mcnemar(first, second) == pytest.approx(oracle, rel=1e-9)


@pytest.mark.parametrize(("first", "second"), TABLES)
def test_the_test_of_groups_of_one_photo_is_mcnemars(first: int, second: int) -> None:
    # A group whose difference is 2 makes it take the general way; two that cancel change nothing of the sum's spread
    # only through it, so the plain case is compared.
    assert group_signs([-1] * first + [1] * second + [0] * 9) == pytest.approx(mcnemar(first, second), abs=1e-12)


@pytest.mark.parametrize(
    "differences", [[3, 1, -2, 4, 0, 5, -1], [2, 2, 2, 2, 2, 2, 2, 2, 2, 2], [7, -7, 1], [1, 2, 3, 4, 5, 6, 7, 8, -9]]
)
def test_the_test_of_groups_counts_every_choice_of_signs(differences: list[int]) -> None:
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    assert group_signs(differences) == pytest.approx(np.mean([s >= observed for s in sums]), abs=1e-12)


def test_holm_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="needs statsmodels, of the [dev] extra")
    generator = np.random.default_rng(3)
    for size in (1, 2, 7, 30):
        p_values = generator.uniform(0, 0.2, size).tolist()
        assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1].tolist())
    assert holm([None, 0.02, None]) == [None, 0.02, None]


@pytest.mark.parametrize(("discordance", "difference"), [(0.2, 0.05), (0.1, 0.02), (0.3, -0.1), (0.05, 0.05)])
@pytest.mark.parametrize("significance", [0.05, 0.05 / 3])
def test_photos_needed_is_the_sample_size_of_statsmodels(
    discordance: float, difference: float, significance: float
) -> None:
    power = pytest.importorskip("statsmodels.stats.power", reason="needs statsmodels, of the [dev] extra")
    gap = abs(difference)
    oracle = power.normal_sample_size_one_tail(
        gap, POWER, significance / 2, std_null=discordance**0.5, std_alternative=(discordance - gap**2) ** 0.5
    )
    needed = photos_needed(discordance, difference, significance=significance)
    assert needed is not None
    assert needed - oracle == pytest.approx(0.5, abs=0.5)
    doubled = photos_needed(discordance, difference, design_effect=2.0, significance=significance)
    assert doubled == pytest.approx(2 * oracle, abs=1)


@pytest.mark.parametrize(("discordance", "difference"), [(0.2, 0.05), (0.12, 0.04)])
def test_so_many_photos_tell_in_eight_of_ten_cases(discordance: float, difference: float) -> None:
    needed = photos_needed(discordance, difference)
    assert needed is not None
    generator = np.random.default_rng(0)
    shares = [(discordance + difference) / 2, (discordance - difference) / 2]
    draws = generator.multinomial(needed, [*shares, 1 - discordance], size=2000)
    told = np.mean([mcnemar(int(row[0]), int(row[1])) < SIGNIFICANCE for row in draws])
    assert 0.76 < told < 0.84


def test_the_smallest_difference_is_the_inverse_of_the_photos_needed() -> None:
    for n in (200, 1000, 30_000):
        found = smallest_difference(0.15, n, design_effect=1.7)
        assert found is not None
        assert photos_needed(0.15, found, design_effect=1.7) == pytest.approx(n, abs=2)
    assert smallest_difference(0.01, 20) is None
    assert smallest_difference(0.0, 1000) is None
    assert photos_needed(0.1, 0.0) is None


def answers_of(
    right: list[np.ndarray], groups: np.ndarray | None = None, columns: dict[str, list[str]] | None = None
) -> Answers:
    """Photos of class 0 and 1 in turn; a wrong answer names the other class."""
    truth = np.arange(len(right[0])) % 2
    predicted = [np.where(hits, truth, 1 - truth) for hits in right]
    return Answers(truth, predicted, ("a", "b"), 2, groups, columns or {})


def draw(generator: np.random.Generator, groups: int, size: int, gain: float, alike: float) -> list[np.ndarray]:
    """Two classifiers of accuracy 0.75 - gain/2 and 0.75 + gain/2 whose luck is shared within groups."""
    n = groups * size
    shared = np.repeat(generator.random((2, groups)), size, axis=1)
    copied = np.repeat(generator.random((2, groups)) < alike, size, axis=1)
    luck = np.where(copied, shared, generator.random((2, n)))
    return [luck[0] < 0.75 - gain / 2, luck[1] < 0.75 + gain / 2]


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "size", "alike"), [(300, 1, 0.0), (30, 10, 0.0), (30, 10, 0.3), (12, 20, 0.3)])
def test_intervals_hold_the_true_difference_and_equal_models_are_rarely_called_different(
    groups: int, size: int, alike: float
) -> None:
    generator = np.random.default_rng(1)
    repetitions, gain = 200, 0.06
    held = called = 0
    for _repetition in range(repetitions):
        labels = None if size == 1 else np.repeat(np.arange(groups), size)
        _models, (pair,) = compare_answers(
            answers_of(draw(generator, groups, size, gain, alike), labels), n_resamples=200
        )
        held += pair.accuracy.low <= gain <= pair.accuracy.high
        _models, (pair,) = compare_answers(
            answers_of(draw(generator, groups, size, 0.0, alike), labels), n_resamples=200
        )
        called += pair.verdict in ("better", "worse")
    # 3 standard errors of 200 repetitions around the 95 % that is promised.
    assert held / repetitions > 0.9
    assert called / repetitions < 0.1


def test_copies_of_one_model_are_never_called_different() -> None:
    generator = np.random.default_rng(5)
    hits = generator.random(400) < 0.8
    for groups in (None, np.arange(400) // 20):
        models, pairs = compare_answers(answers_of([hits, hits, hits], groups))
        assert [pair.verdict for pair in pairs] == ["alike"] * 3
        assert all(pair.p == 1.0 and pair.accuracy.value == 0 for pair in pairs)
        assert all(row.tested.verdict == "alike" for pair in pairs for row in pair.per_class.values())
        assert models[0] == models[1] == models[2]


def test_a_clear_difference_is_told_and_points_the_right_way() -> None:
    generator = np.random.default_rng(2)
    right = [generator.random(800) < share for share in (0.7, 0.85)]
    for groups in (None, np.arange(800) // 20):
        for order, verdict in (((0, 1), "better"), ((1, 0), "worse")):
            _models, (pair,) = compare_answers(answers_of([right[place] for place in order], groups))
            assert pair.verdict == verdict
            assert (pair.accuracy.value > 0) == (verdict == "better")
            assert pair.test == ("mcnemar" if groups is None else "group_signs")
            assert pair.photos_needed < 800


def test_photos_that_are_alike_count_less() -> None:
    generator = np.random.default_rng(8)
    # 20 groups of 40 photos that each model names all rightly or all wrongly: 800 photos say what 20 do.
    right = [np.repeat(generator.random(20) < share, 40) for share in (0.5, 0.75)]
    _models, (alone,) = compare_answers(answers_of(right))
    _models, (grouped,) = compare_answers(answers_of(right, np.arange(800) // 40))
    assert alone.verdict == "better"
    assert grouped.verdict == "cannot tell"
    assert grouped.design_effect == pytest.approx(40 * 20 / 19, rel=0.01)
    assert grouped.photos_needed > 800 > alone.photos_needed


def test_the_interval_of_groups_is_students_t_by_hand() -> None:
    """The resamples' standard error is, but for chance, that of a ratio of sums over groups."""
    from scipy.stats import t

    generator = np.random.default_rng(4)
    sizes = generator.integers(5, 40, 12)
    groups = np.repeat(np.arange(12), sizes)
    of_group = generator.random(12)[groups]
    right = [
        np.where(generator.random(len(groups)) < 0.4, of_group, generator.random(len(groups))) < p for p in (0.6, 0.8)
    ]
    _models, (pair,) = compare_answers(answers_of(right, groups), n_resamples=4000)
    gains = right[1].astype(float) - right[0]
    residuals = np.array([(gains[groups == group] - gains.mean()).sum() for group in range(12)])
    error = math.sqrt(12 / 11 * (residuals**2).sum()) / len(groups)
    # Satterthwaite: twice the squared mean of the variance's estimate over the estimate's own variance.
    squares = residuals**2
    degrees = min(11.0, 2 * squares.mean() ** 2 / (squares.var() / 12))
    reach = float(t.ppf(0.975, degrees)) * error
    # One more group of the usual size, in which one model is right and the other wrong throughout.
    tolerance, reach = 0.08 * reach, reach + 1 / (1 + sizes.sum() ** 2 / (sizes**2).sum())
    # What is left open of the two shares that make up the difference may reach further.
    lost, won = (proportion(gains == sign, groups) for sign in (-1, 1))
    down = max(reach, math.hypot(won.value - won.low, lost.high - lost.value))
    up = max(reach, math.hypot(won.high - won.value, lost.value - lost.low))
    assert pair.accuracy.value == pytest.approx(gains.mean())
    assert pair.accuracy.low == pytest.approx(gains.mean() - down, abs=tolerance)
    assert pair.accuracy.high == pytest.approx(gains.mean() + up, abs=tolerance)


@pytest.mark.parametrize(("groups", "p", "low"), [(2, None, None), (3, 0.25, 0.0), (5, 0.0625, 0.0)])
def test_fewer_than_six_groups_give_no_verdict(groups: int, p: float | None, low: float | None) -> None:
    # Even if every group prefers the same model, chance would do that once in 2^(groups - 1) times.
    right = [np.arange(60 * groups) % 4 > 0, np.ones(60 * groups, bool)]
    _models, (pair,) = compare_answers(answers_of(right, np.arange(60 * groups) // 60))
    assert (pair.verdict, pair.reason) == ("cannot tell", "too_few_groups")
    assert pair.p == (None if p is None else pytest.approx(p))
    assert (pair.accuracy.low is None) == (low is None)
    assert pair.accuracy.value == pytest.approx(0.25)


def test_enough_groups_of_one_mind_give_one() -> None:
    right = [np.arange(1200) % 4 > 0, np.ones(1200, bool)]
    _models, (six,) = compare_answers(answers_of(right, np.arange(1200) // 200))
    assert six.p == pytest.approx(2 / 2**6)
    _models, (twelve,) = compare_answers(answers_of(right, np.arange(1200) // 100))
    assert twelve.verdict == "better"


def test_groups_without_any_difference_still_leave_room_for_one() -> None:
    hits = np.arange(400) % 7 > 0
    _models, (pair,) = compare_answers(answers_of([hits, hits], np.arange(400) // 40))
    assert pair.verdict == "alike"
    assert pair.accuracy.low < -0.05
    assert pair.accuracy.high > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("groups", [10, 20])
def test_a_model_that_fails_in_one_group_of_ten_is_allowed_for(groups: int) -> None:
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(groups), 20)
    held = 0
    for _repetition in range(150):
        chance = np.where(generator.random(groups) < 0.1, 0.2, 0.95)[labels]
        right = [generator.random(len(labels)) < chance, generator.random(len(labels)) < 0.95]
        _models, (pair,) = compare_answers(answers_of(right, labels), n_resamples=100)
        held += pair.accuracy.low <= 0.075 <= pair.accuracy.high
    assert held / 150 > 0.88


def test_many_models_need_more_evidence_than_two() -> None:
    generator = np.random.default_rng(0)
    truth = np.zeros(200, bool)
    better = truth.copy()
    better[:9] = True
    worse = truth.copy()
    worse[9:11] = True
    others = [generator.random(200) < 0.05 for _model in range(4)]
    _models, (pair,) = compare_answers(answers_of([worse, better]))
    _models, pairs = compare_answers(answers_of([worse, better, *others]))
    assert pair.p == pairs[0].p == pair.p_holm
    assert pairs[0].p_holm > pair.p_holm
    assert pairs[0].photos_needed > pair.photos_needed


def test_macro_f1_is_scikit_learns_and_names_outside_the_judged_classes_are_wrong() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn, of the [report] extra")
    generator = np.random.default_rng(4)
    truth = generator.integers(0, 3, 300)
    predicted = [np.where(generator.random(300) < 0.7, truth, generator.integers(0, 4, 300)) for _model in range(2)]
    models, (pair,) = compare_answers(Answers(truth, predicted, ("a", "b", "c", "other"), 3, None, {}))
    scores = [metrics.f1_score(truth, given, average="macro") for given in predicted]
    assert [row.macro_f1.value for row in models] == pytest.approx(scores)
    assert pair.macro_f1.value == pytest.approx(scores[1] - scores[0])
    assert set(pair.per_class) == {"a", "b", "c"}
    for index, name in enumerate("abc"):
        shown = truth == index
        recalls = [float((given[shown] == index).mean()) for given in predicted]
        assert pair.per_class[name].recall.value == pytest.approx(recalls[1] - recalls[0])


def test_slices_add_up_and_are_judged_together() -> None:
    generator = np.random.default_rng(6)
    right = [generator.random(600) < 0.7, generator.random(600) < 0.7]
    right[1][:150] = True  # better at night alone
    columns = {"light": ["night" if place < 150 else "day" for place in range(600)], "one": ["x"] * 600}
    _models, (pair,) = compare_answers(answers_of(right, None, columns))
    rows = {row.value: row for row in pair.slices}
    assert set(rows) == {"night", "day"}
    assert sum(row.tested.n for row in rows.values()) == 600
    assert rows["night"].tested.verdict == "better"
    assert rows["day"].tested.verdict == "cannot tell"
    assert rows["night"].tested.p_holm >= rows["night"].tested.p
    assert _quantities_are_ordered(pair.to_json())


def _quantities_are_ordered(value: object) -> bool:
    if isinstance(value, dict) and set(value) == {"value", "low", "high", "method", "n"}:
        row: Json = value
        return row["low"] is None or row["low"] <= row["value"] <= row["high"]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(_quantities_are_ordered(item) for item in inner)
