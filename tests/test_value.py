"""What a model is worth: pinned sums, thresholds against brute force, intervals against a known truth."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import certero
from certero.business import outcomes as results
from certero.business.case import example_names, gains, parse_case, read_case
from certero.business.outcomes import Outcomes, outcomes_of_figures, outcomes_of_photos
from certero.business.studentised import LEAST_ERROR
from certero.business.template import template
from certero.business.threshold import ALWAYS_ASK, best_threshold, best_thresholds_per_class, short_between
from certero.business.worth import accept, gain_columns, measure, payback
from certero.cli.main import main
from certero.errors import ConfigError
from certero.pipelines.train import Run
from certero.records import Json
from certero.runtime.model_file import read_model

SHOP = {
    "volume_per_month": 1000,
    "by_hand_minutes": 4,
    "with_model_minutes": 1,
    "error_minutes": 4,
    "hour_cost": 10000,
    "development_hours": 80,
    "development_hour_cost": 30000,
}
BEDS = ("empty", "lying", "standing")
FARM = {
    "volume_per_month": 26000,
    "by_hand_minutes": 0.1,
    "with_model_minutes": 0.005,
    "hour_cost": 60,
    "error_cost": 2.0,
    "ask_minutes": 0.02,
    "development_hours": 120,
    "development_hour_cost": 250,
}


def some_outcomes(n: int = 60, seed: int = 0, units: int | None = None) -> Outcomes:
    """Answers of a fictitious model on beds, surer where it is right."""
    random = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(3), random.integers(0, 3, n - 3)])
    probabilities = random.dirichlet(np.ones(3), n)
    probabilities[np.arange(n), truth] += random.uniform(0, 1.5, n)
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).round(2)
    groups = None if units is None else [f"{row % units:03d}" for row in range(n)]
    return outcomes_of_photos(BEDS, truth, probabilities, groups, [f"{row}.jpg" for row in range(n)])


def run_json(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Json:
    assert main([*arguments, "--json", "-", "--quiet"]) == 0
    answer: Json = json.loads(capsys.readouterr().out)
    return answer


# --- the shop's figures


def test_the_shop_as_its_report_computed_it(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run_json(["value", "--case", "shop-as-reported"], capsys)
    assert answer["schema"] == 1
    expected = {
        "gain_per_item_minutes": 0.88,
        "minutes_per_month": 880,
        "money_per_month": 146666.66666666666,
        "payback_months": 16.363636363636363,
    }
    for key, figure in expected.items():
        assert answer[key]["value"] == pytest.approx(figure, abs=1e-9, rel=1e-12), key
        assert answer[key]["low"] is None, "a precision without its number of photos has no interval"
        assert answer[key]["method"] == "photos_unknown"
    assert answer["probability_never"] is None
    assert any("counts every photo as answered" in note for note in answer["notes"])


def test_the_shop_as_it_should_be_counts_photos_without_label_and_has_an_interval() -> None:
    answer = certero.value(case="shop")
    right, wrong = 0.40, 0.40 / 0.47 - 0.40
    gain = right * 3 + wrong * (3 - 4)
    assert answer["gain_per_item_minutes"]["value"] == pytest.approx(gain, abs=1e-9)
    assert answer["asked"]["value"] == pytest.approx(1 - 0.40 / 0.47, abs=1e-9)
    months = answer["payback_months"]
    assert months["value"] == pytest.approx(2_400_000 / (1000 * gain * 10000 / 60), abs=1e-9)
    assert months["low"] < months["value"] < months["high"]
    assert answer["n"] == 2266
    # Its other model: no photo without label, and less money for it.
    case = {**SHOP, "figures": {"precision": 0.38, "recall": 0.38, "n": 2266}}
    assert certero.value(case=case)["gain_per_item_minutes"]["value"] < gain - 0.2


@pytest.mark.parametrize("name", example_names())
def test_every_example_works_alone_and_counts_are_the_same_as_shares(name: str) -> None:
    answer = certero.value(case=name)
    assert answer["payback_months"]["value"] is not None
    assert answer["models"] == []


def test_counts_give_what_precision_and_recall_give() -> None:
    counted = certero.value(case={**SHOP, "figures": {"right": 400, "wrong": 451, "no_label": 149}})
    shares = certero.value(case={**SHOP, "figures": {"precision": 400 / 851, "recall": 0.4, "n": 1000}})
    for key in ("gain_per_item_money", "payback_months", "asked"):
        for end in ("value", "low", "high"):
            assert counted[key][end] == pytest.approx(shares[key][end], abs=1e-9)


# --- closed forms


def test_gains_are_the_pinned_sums() -> None:
    case = parse_case({**FARM, "error_minutes": {"empty": 1.0, "lying": 2.0, "standing": 3.0}, "error_cost": 0.5})
    minutes, money = gains(case, BEDS)
    for true, predicted in itertools.product(range(3), range(3)):
        fix = 0 if true == predicted else [1.0, 2.0, 3.0][true]
        assert minutes[true, predicted] == pytest.approx(0.1 - 0.005 - fix, abs=1e-12)
        assert money[true, predicted] == pytest.approx((0.1 - 0.005 - fix) * 1 - 0.5 * (true != predicted), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    threshold=st.floats(0, 1),
    shares=st.one_of(st.none(), st.lists(st.floats(0.05, 1), min_size=3, max_size=3)),
    ask=st.floats(0, 1),
    rate=st.one_of(st.just(0.0), st.floats(1e-9, 0.5)),
)
def test_every_figure_equals_a_sum_by_hand(
    seed: int, threshold: float, shares: list[float] | None, ask: float, rate: float
) -> None:
    random = np.random.default_rng(seed)
    matrix = {a: {b: float(random.uniform(-1, 4)) for b in BEDS} for a in BEDS}
    fields: dict[str, Any] = {**FARM, "error_cost": matrix, "ask_cost": ask, "running_cost_per_month": 50.0}
    fields |= {"discount_rate_per_year": rate, "horizon_months": 24}
    if shares is not None:
        fields["class_shares"] = {name: share / sum(shares) for name, share in zip(BEDS, shares, strict=True)}
    case, rows = parse_case(fields), some_outcomes(seed=seed)
    figures = measure(case, accept(rows, threshold, results.check_shares(rows, case.class_shares)))
    total = right = asked = 0.0
    for truth, predicted, sure in zip(rows.truth, rows.predicted, rows.confidence, strict=True):
        mine = int((rows.truth == truth).sum())
        weight = 1 / 60 if shares is None else fields["class_shares"][BEDS[truth]] / mine
        if sure < threshold:
            gain = -0.02 * 60 / 60 - ask
            asked += weight
        else:
            gain = (0.1 - 0.005) * 60 / 60 - matrix[BEDS[truth]][BEDS[predicted]]
            right += weight * (truth == predicted)
        total += weight * gain
    net = 26000 * total - 50
    assert figures["gain_per_item_money"]["value"] == pytest.approx(total, abs=1e-9)
    assert figures["asked"]["value"] == pytest.approx(asked, abs=1e-9)
    assert figures["right"]["value"] == pytest.approx(right, abs=1e-9)
    monthly = (1 + rate) ** (1 / 12) - 1
    worth = sum(net / (1 + monthly) ** month for month in range(1, 25)) - 30000
    assert figures["return_at_horizon"]["value"] == pytest.approx(worth, rel=1e-9, abs=1e-6)
    if net > 0:
        assert figures["payback_months"]["value"] == pytest.approx(30000 / net, rel=1e-9)
        months = figures["discounted_payback_months"]["value"]
        if months is not None and rate > 1e-6:
            assert net * (1 - (1 + monthly) ** -months) / monthly == pytest.approx(30000, rel=1e-6)
    else:
        assert figures["payback_months"]["value"] is None


def test_at_the_break_even_accuracy_nothing_is_gained_or_lost() -> None:
    case = parse_case({**SHOP, "running_cost_per_month": 20000, "horizon_months": 30, "discount_rate_per_year": 0.12})
    figures = certero.value(case={**SHOP, "running_cost_per_month": 20000, "horizon_months": 30,
                                  "discount_rate_per_year": 0.12, "figures": {"accuracy": 0.6, "n": 500}})  # fmt: skip
    for key, figure in (
        ("break_even_accuracy", "net_per_month"),
        ("break_even_accuracy_at_horizon", "return_at_horizon"),
    ):
        bar = figures[key]
        assert bar["low"] == bar["value"] == bar["high"], "every error costs the same, so nothing measured enters"
        assert bar["method"] == "exact"
        rows = outcomes_of_figures(parse_case({**SHOP, "figures": {"accuracy": bar["value"], "n": 500}}).figures)  # type: ignore[arg-type]
        assert measure(case, accept(rows, None, None))[figure]["value"] == pytest.approx(0, abs=1e-4)


def test_a_loss_never_pays_back_and_says_how_sure_that_is() -> None:
    answer = certero.value(case={**SHOP, "figures": {"accuracy": 0.1, "n": 300}})
    assert answer["payback_months"]["value"] is None
    assert answer["probability_never"] == 1.0
    near = certero.value(case={**SHOP, "figures": {"accuracy": 0.26, "n": 300}})
    assert near["payback_months"]["value"] is not None
    assert near["payback_months"]["high"] is None
    assert 0.1 < near["probability_never"] < 0.6
    assert near["payback_months"]["low"] == pytest.approx(2_400_000 / near["net_per_month"]["high"], rel=1e-12)


def test_payback_within_the_month_and_without_cost() -> None:
    case = parse_case(SHOP)
    assert payback(case, 2_400_000.0) == 1.0
    assert payback(case, 0.0) is None
    assert payback(parse_case({**SHOP, "development_hours": 0}), 1.0) == 0.0


# --- thresholds


def brute_force(case: Any, rows: Outcomes, shares: Any, rule: Mapping[str, float] | float) -> float:
    figures = measure(case, accept(rows, rule if isinstance(rule, float) else dict(rule), shares))
    return float(figures["gain_per_item_money"]["value"])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cost=st.floats(0, 8), ask=st.floats(0, 0.5), weighted=st.booleans())
def test_the_best_threshold_is_that_of_an_enumeration(seed: int, cost: float, ask: float, weighted: bool) -> None:
    fields: dict[str, Any] = {**FARM, "error_cost": cost, "ask_cost": ask}
    if weighted:
        fields["class_shares"] = {"empty": 0.2, "lying": 0.2, "standing": 0.6}
    case, rows = parse_case(fields), some_outcomes(40, seed)
    shares = results.check_shares(rows, case.class_shares)
    tried = [brute_force(case, rows, shares, float(t)) for t in [0.0, *np.unique(rows.confidence), ALWAYS_ASK]]
    threshold, gain = best_threshold(case, rows, shares)
    assert gain == pytest.approx(max(tried), abs=1e-9)
    assert brute_force(case, rows, shares, threshold) == pytest.approx(max(tried), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_thresholds_per_class_are_those_of_an_enumeration(seed: int) -> None:
    case = parse_case({**FARM, "error_cost": {"empty": 0.3, "lying": 0.2, "standing": 0.1}})
    rows = some_outcomes(14, seed)
    each = [[0.0, *np.unique(rows.confidence[rows.predicted == k]).tolist(), ALWAYS_ASK] for k in range(3)]
    best = max(
        brute_force(case, rows, None, dict(zip(BEDS, map(float, rule), strict=True)))
        for rule in itertools.product(*each)
    )
    thresholds, gain = best_thresholds_per_class(case, rows, None)
    assert gain == pytest.approx(best, abs=1e-9)
    assert brute_force(case, rows, None, thresholds) == pytest.approx(best, abs=1e-9)


def test_where_errors_cost_nothing_all_is_accepted_and_where_they_ruin_nothing_is() -> None:
    rows = some_outcomes(50, 3)
    assert best_threshold(parse_case({**FARM, "error_cost": 0.0}), rows, None)[0] == 0.0
    wrong = outcomes_of_photos(BEDS, (rows.predicted + 1) % 3, np.eye(3)[rows.predicted] * 0.9, None, rows.paths)
    assert best_threshold(parse_case({**FARM, "ask_minutes": 0}), wrong, None)[0] == ALWAYS_ASK


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_short_threshold_parts_what_it_should(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    if low < high:
        assert low < short_between(low, high) <= high


# --- intervals


@pytest.mark.parametrize("kind", ["photos", "groups", "few groups", "shares"])
def test_the_interval_of_payback_holds_the_truth_19_times_in_20(kind: str) -> None:
    random, tails, runs, hits = np.random.default_rng(5), results.tails(), 500, 0
    accuracy, seen = np.array([0.9, 0.8, 0.7]), np.array([0.6, 0.3, 0.1])
    used = np.array([0.3, 0.3, 0.4]) if kind == "shares" else seen
    fields = {**SHOP, "error_minutes": 6}
    if kind == "shares":
        fields["class_shares"] = dict(zip(BEDS, used.tolist(), strict=True))
    case = parse_case(fields)
    truth_months = 2_400_000 / (1000 * (3 - 6 * (1 - float(used @ accuracy))) * 10000 / 60)
    n_units, size = {"groups": (50, 5), "few groups": (15, 20)}.get(kind, (200, 1))
    for _run in range(runs):
        label = np.repeat(random.choice(3, n_units, p=seen), size)
        sure = accuracy[label]
        if size > 1:  # photos of one group are right or wrong together, intra-group correlation 0.25
            sure = np.repeat(random.beta(sure[::size] * 3, (1 - sure[::size]) * 3), size)
        predicted = np.where(random.random(len(label)) < sure, label, (label + 1) % 3)
        units = [f"{row // size:03d}" for row in range(len(label))] if size > 1 else None
        rows = outcomes_of_photos(BEDS, label, np.eye(3)[predicted], units, [str(row) for row in range(len(label))])
        found = measure(case, accept(rows, None, results.check_shares(rows, case.class_shares)), tails)[
            "payback_months"
        ]
        hits += found["low"] <= truth_months and (found["high"] is None or truth_months <= found["high"])
    # 500 runs know the share to two standard errors of 2 points; benchmarks/payback_coverage.py measures it closer.
    assert 0.93 <= hits / runs <= 0.98


@pytest.mark.parametrize("weighted", [False, True])
def test_the_interval_of_groups_is_that_of_a_bootstrap_t_by_hand(weighted: bool) -> None:
    case = parse_case({**FARM, "class_shares": {"empty": 0.5, "lying": 0.3, "standing": 0.2}} if weighted else FARM)
    rows = some_outcomes(150, 4, units=15)
    shares = results.check_shares(rows, case.class_shares)
    answers = accept(rows, 0.5, shares)
    money = gain_columns(case, answers)[1]
    assert rows.units is not None

    def mean_and_error(times: Mapping[int, int], feature: Any) -> tuple[float, float]:
        """The weighted mean of groups that were drawn so often, and its standard error from first principles."""
        photos = [row for row in range(150) for _time in range(times.get(int(rows.units[row]), 0))]  # type: ignore[index]
        if shares is None:
            weights = dict.fromkeys(photos, 1 / len(photos))
            means = [np.mean(feature[photos])] * 3
        else:
            per_class = [[row for row in photos if rows.truth[row] == label] for label in range(3)]
            weights = {row: shares[k] / len(mine) for k, mine in enumerate(per_class) for row in mine}
            means = [np.mean(feature[mine]) for mine in per_class]
        mean = sum(weights[row] * feature[row] for row in photos)
        squares = 0.0
        for group, often in times.items():
            of_group = sum(
                weights[i] * (feature[i] - means[rows.truth[i]]) for i in np.flatnonzero(rows.units == group)
            )
            squares += often * of_group**2
        return float(mean), math.sqrt(squares)

    value, error = mean_and_error(dict.fromkeys(range(15), 1), money)
    ts = []
    for counts in np.concatenate(list(results.draw(rows))):
        mean, own = mean_and_error({group: int(often) for group, often in enumerate(counts) if often}, money)
        ts.append((mean - value) / max(own, LEAST_ERROR * error))
    low, high = (value - float(t) * error for t in np.quantile(ts, [0.975, 0.025]))
    found = measure(case, answers)["gain_per_item_money"]
    assert found["value"] == pytest.approx(value, abs=1e-9)
    if weighted:  # wider by as much as few groups of a class leave fewer degrees of freedom; here every group has all
        factor = (found["high"] - value) / (high - value)
        assert 1 <= factor < 1.5
        low, high = value - factor * (value - low), value + factor * (high - value)
    assert found["low"] == pytest.approx(low, abs=1e-9)
    assert found["high"] == pytest.approx(min(high, 0.095), abs=1e-9)


def test_a_class_that_weighs_much_and_comes_in_few_groups_makes_the_interval_wide() -> None:
    random = np.random.default_rng(3)
    label = np.repeat([0] * 18 + [1] * 3, 10)
    right = random.random(210) < np.repeat(random.beta(8, 2, 21), 10)
    answers = np.eye(3)[np.where(right, label, 2)]
    rows = outcomes_of_photos(
        BEDS, label, answers, [f"{row // 10:02d}" for row in range(210)], list(map(str, range(210)))
    )
    widths = []
    for share in (0.1, 0.5, 0.9):
        found = measure(parse_case(SHOP), accept(rows, None, np.array([1 - share, share, 0.0])))["right"]
        assert 0 <= found["low"] < found["high"] <= 1
        widths.append(found["high"] - found["low"])
    assert widths == sorted(widths)
    assert widths[2] > 2 * widths[0]


def test_groups_widen_the_interval_and_too_few_give_none() -> None:
    case = parse_case(FARM)
    alone = some_outcomes(200, 1)
    label = np.repeat(alone.truth[:40], 5)
    probabilities = np.eye(3)[np.repeat(alone.predicted[:40], 5)]
    names = [str(row) for row in range(200)]
    free = measure(case, accept(outcomes_of_photos(BEDS, label, probabilities, None, names), None, None))
    grouped = [f"{row // 5:02d}" for row in range(200)]
    bound = measure(case, accept(outcomes_of_photos(BEDS, label, probabilities, grouped, names), None, None))
    few = [f"{row // 25:02d}" for row in range(200)]
    none = measure(case, accept(outcomes_of_photos(BEDS, label, probabilities, few, names), None, None))
    key = "gain_per_item_money"
    assert bound[key]["method"] == "grouped_bootstrap_t"
    assert bound[key]["high"] - bound[key]["low"] > 1.7 * (free[key]["high"] - free[key]["low"])
    assert none[key]["value"] == bound[key]["value"]
    assert (none[key]["low"], none[key]["method"], none["probability_never"]) == (None, "too_few_groups", None)


def test_random_numbers_are_uniform_and_differ_by_resample() -> None:
    numbers = results.random_numbers(np.arange(200, dtype=np.uint32), 1000)
    shares = numbers / 2**32
    assert abs(shares.mean() - 0.5) < 4 / math.sqrt(12 * shares.size)
    assert np.histogram(shares, 16, (0, 1))[0].std() < 4 * math.sqrt(shares.size / 16)
    assert abs(np.corrcoef(shares[:-1].ravel(), shares[1:].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(shares[:, :-1].ravel(), shares[:, 1:].ravel())[0, 1]) < 0.01


# --- sensitivity


def test_the_decision_flips_where_it_says() -> None:
    fields = {**SHOP, "running_cost_per_month": 10000, "ask_minutes": 0.3, "discount_rate_per_year": 0.1}
    figures = {"precision": 0.6, "recall": 0.5, "n": 900}
    answer = certero.value(case={**fields, "figures": figures})
    flipped = 0
    for row in answer["sensitivity"]:
        if row["flips_at"] is None or row["assumption"] == "accuracy":
            continue
        again = certero.value(case={**fields, row["assumption"]: row["flips_at"], "figures": figures})
        assert again["return_at_horizon"]["value"] == pytest.approx(0, abs=1e-3), row["assumption"]
        flipped += 1
    assert flipped >= 8
    accuracy = next(row for row in answer["sensitivity"] if row["assumption"] == "accuracy")
    assert accuracy["flips_at"] == pytest.approx(answer["break_even_accuracy_at_horizon"]["value"], abs=1e-9)
    moved = certero.value(case={**fields, "by_hand_minutes": 4.8, "figures": figures})
    row = next(row for row in answer["sensitivity"] if row["assumption"] == "by_hand_minutes")
    assert row["payback_high"] == pytest.approx(moved["payback_months"]["value"], abs=1e-9)


# --- a run


def test_a_run_is_judged_on_photos_that_it_never_saw_and_its_threshold_chosen_on_others(small_run: Run) -> None:
    answer = certero.value(small_run.path, case=FARM)
    test = small_run.metrics["test"]
    assert answer["n"] == test["n"]
    accuracy = answer["accept_all"]["accuracy"]["value"]
    assert accuracy == pytest.approx(test["accuracy"]["value"], abs=1e-12)
    gain = (0.1 - 0.005) - (1 - accuracy) * 2.0
    assert answer["accept_all"]["gain_per_item_money"]["value"] == pytest.approx(gain, abs=1e-9)
    assert answer["threshold"]["source"] == "held_out"
    assert answer["class_shares_from"] == "photos"
    held_out = pl.read_csv(small_run.path / "held_out.csv")
    assert answer["threshold"]["n"] == held_out.height
    assert any(row["threshold"] == 0 for row in answer["curve"])
    assert sum(answer["class_shares"].values()) == pytest.approx(1)


def test_held_out_answers_are_not_those_of_a_model_that_knows_the_photos(small_run: Run) -> None:
    held_out = pl.read_csv(small_run.path / "held_out.csv")
    assert held_out.columns == pl.read_csv(small_run.path / "predictions.csv").columns
    table = pl.read_parquet(small_run.path / "data.parquet")
    if small_run.metrics["evaluation"] != "cv":
        assert set(held_out["split"]) <= {"train", "val"}
        test = set(table.filter(pl.col("split") == "test")["path"])
        assert not test & set(held_out["path"])
        known = pl.read_csv(small_run.path / "predictions.csv").filter(pl.col("split") != "test")
        both = held_out.join(known, on="path")
        assert (both["probability"] - both["probability_right"]).abs().max() > 1e-3  # type: ignore[operator]


def copied(run: Run, place: Path) -> Path:
    shutil.copytree(run.path, place)
    return place


def test_predict_and_evaluate_abstain_by_the_saved_threshold(
    small_run: Run, small_barn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(small_run, tmp_path / "run")
    answer = run_json(
        ["value", str(run), "--case", _write(tmp_path, FARM), "--threshold", "0.9", "--save-threshold"], capsys
    )
    assert answer["threshold"]["saved"]
    assert read_model(run / "model.onnx")[1].threshold == 0.9
    photos = sorted((small_barn / "beds").rglob("*.jpg"))
    before = certero.load(small_run.path).predict(photos)
    after = certero.load(run).predict(photos)
    for old, new in zip(before, after, strict=True):
        assert old.probabilities == new.probabilities
        assert new.abstained == (old.probability < 0.9)
        assert new.label == (None if new.abstained else old.label)
    assert any(row.abstained for row in after)
    assert not all(row.abstained for row in after)
    metrics = certero.evaluate(run, small_barn / "beds.csv")
    assert metrics["threshold"] == 0.9
    assert sum(metrics["test"]["confusion"]["no_label"]) == sum(row.abstained for row in after)
    # 0 accepts everything again.
    run_json(["value", str(run), "--case", _write(tmp_path, FARM), "--threshold", "0", "--save-threshold"], capsys)
    assert read_model(run / "model.onnx")[1].threshold is None


def test_thresholds_per_class_are_saved_and_obeyed(small_run: Run, small_barn: Path, tmp_path: Path) -> None:
    run = copied(small_run, tmp_path / "run")
    costly = {**FARM, "error_cost": 4.0, "ask_minutes": 0}
    answer = certero.value(run, case=costly, per_class=True, save_threshold=True)
    rule = answer["threshold"]["per_class"]
    card = read_model(run / "model.onnx")[1]
    assert card.threshold == rule
    assert card.schema == 2, "an older certero must not read what it cannot obey"
    assert set(rule) == set(card.classes)
    for row in certero.load(run).predict(sorted((small_barn / "beds").rglob("*.jpg"))):
        assert row.probabilities is not None
        best = max(row.probabilities, key=lambda name: row.probabilities[name])  # type: ignore[index]
        assert row.abstained == (row.probability < rule[best])
    again = certero.value(run, case=costly, threshold="model")
    assert again["gain_per_item_money"]["value"] == pytest.approx(answer["gain_per_item_money"]["value"], abs=1e-12)


def test_models_are_compared_on_the_same_photos_by_the_same_draws(small_run: Run, tmp_path: Path) -> None:
    other = copied(small_run, tmp_path / "other")
    rows = (other / "predictions.csv").read_text("utf-8").splitlines()
    # The other model names everything lying, with the same sureness.
    changed = []
    for line in rows[1:]:
        cells = line.split(",")
        changed.append(",".join([*cells[:3], "lying", "0.9", "0.05", "0.9", "0.05"]))
    (other / "predictions.csv").write_text("\n".join([rows[0], *changed]) + "\n", "utf-8")
    answer = certero.value(small_run.path, small_run.path, other, case=FARM, threshold="none")
    same, worse = (row["compared"] for row in answer["models"])
    assert same["money_per_month"]["value"] == 0
    assert same["verdict"] == "cannot tell"
    difference = answer["models"][1]["money_per_month"]["value"] - answer["money_per_month"]["value"]
    assert worse["money_per_month"]["value"] == pytest.approx(difference, abs=1e-9)
    if worse["money_per_month"]["low"] is not None:
        assert worse["verdict"] == "worse"
        assert worse["money_per_month"]["low"] <= difference <= worse["money_per_month"]["high"]


def test_other_photos_are_judged_without_those_that_were_trained_on(
    small_run: Run, small_barn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = _write(tmp_path, FARM)
    if small_run.metrics["evaluation"] == "cv":
        assert main(["value", str(small_run.path), "--case", case, "--data", str(small_barn / "beds.csv"), "-q"]) == 2
        assert "were in training" in capsys.readouterr().err
    from PIL import Image, ImageOps

    for name in BEDS:
        (tmp_path / "new" / name).mkdir(parents=True)
        for file in sorted((small_barn / "beds" / name).iterdir())[:6]:
            ImageOps.flip(Image.open(file)).save(tmp_path / "new" / name / file.name)
    answer = run_json(["value", str(small_run.path), "--case", case, "--data", str(tmp_path / "new")], capsys)
    assert answer["evaluation"] == "data"
    assert 0 < answer["n"] <= 18


def test_value_imports_no_torch(small_run: Run) -> None:
    code = (
        "import sys; from certero.cli.main import main; "
        f"assert main(['value', {str(small_run.path)!r}, '--case', 'shop', '-q', '--json', '-']) == 0; "
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _write(folder: Path, fields: Mapping[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items() if not isinstance(value, dict)]
    for key, table in fields.items():
        if isinstance(table, dict):
            lines.append(f"[{key}]")
            lines += [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in table.items()]
    file = folder / "case.toml"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return str(file)


# --- mistakes

ALONE = {**SHOP, "figures": {"accuracy": 0.5, "n": 100}}
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "zero volume": ({**ALONE, "volume_per_month": 0}, "volume_per_month must be a number, above 0; found 0"),
    "negative rate": ({**ALONE, "hour_cost": -1}, "hour_cost must be a number, at least 0; found -1"),
    "negative discount": (
        {**ALONE, "discount_rate_per_year": -0.1},
        "discount_rate_per_year must be a number, at least",
    ),
    "percent": ({**ALONE, "discount_rate_per_year": 10}, "must be a share, 0.1 for 10 %"),
    "unknown field": ({**ALONE, "volume_month": 5}, "found volume_month. Did you mean volume_per_month?"),
    "missing field": ({"volume_per_month": 5}, "found no by_hand_minutes, with_model_minutes, hour_cost"),
    "text": ({**ALONE, "hour_cost": "much"}, "hour_cost must be a number, at least 0; found 'much'"),
    "true": ({**ALONE, "hour_cost": True}, "hour_cost must be a number"),
    "two ways": ({**SHOP, "figures": {"accuracy": 0.5, "precision": 0.4}}, "must be given in one way"),
    "recall above precision": ({**SHOP, "figures": {"precision": 0.4, "recall": 0.5}}, "recall must not be above"),
    "share above one": ({**SHOP, "figures": {"accuracy": 47}}, "share from 0 to 1, 0.47 for 47 %"),
    "no figures": (SHOP, "a case without [figures] needs a MODEL"),
    "classes without counts": ({**ALONE, "error_cost": {"a": 1}}, "error_cost by class needs figures by class"),
    "decimal sign": ({**ALONE, "currency_format": {"thousands": ".", "decimal": "."}}, "must differ from thousands"),
    "n does not fit": ({**SHOP, "figures": {"right": 3, "wrong": 3, "n": 9}}, "sum to the photos; found 6 and n = 9"),
}
RUN_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "shares do not sum to one": ({**FARM, "class_shares": {"empty": 0.5, "lying": 0.3, "standing": 0.3}}, "sum to 1.1"),
    "shares of unknown classes": (
        {**FARM, "class_shares": {"cow": 1.0}},
        "found unknown cow; no empty, lying, standing",
    ),
    "matrix with the wrong classes": (
        {**FARM, "error_cost": {"empty": 1, "lying": 1}},
        "error_cost must name every class of the model (empty, lying, standing); found no standing",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_case_is_one_clear_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields, message = MISTAKES[name]
    assert main(["value", "--case", _write(tmp_path, fields)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize("name", RUN_MISTAKES)
def test_a_case_that_does_not_fit_the_model_is_one_clear_line(
    name: str, small_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields, message = RUN_MISTAKES[name]
    assert main(["value", str(small_run.path), "--case", _write(tmp_path, fields), "-q"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_class_that_the_case_expects_must_be_among_the_test_photos(
    small_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(small_run, tmp_path / "run")
    lines = (run / "predictions.csv").read_text("utf-8").splitlines()
    kept = [line for line in lines if line.split(",")[2] != "standing"]
    (run / "predictions.csv").write_text("\n".join(kept) + "\n", "utf-8")
    fields = {**FARM, "class_shares": {"empty": 0.5, "lying": 0.3, "standing": 0.2}}
    assert main(["value", str(run), "--case", _write(tmp_path, fields), "-q"]) == 2
    assert "found none of standing" in capsys.readouterr().err
    fields["class_shares"] = {"empty": 0.5, "lying": 0.5, "standing": 0.0}
    assert main(["value", str(run), "--case", _write(tmp_path, fields), "-q"]) == 0


def test_a_model_without_stored_answers_is_one_clear_line(
    small_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = _write(tmp_path, FARM)
    shutil.copy(small_run.model, tmp_path / "model.onnx")
    assert main(["value", str(tmp_path / "model.onnx"), "--case", case, "-q"]) == 2
    assert "with predictions.csv and data.parquet" in capsys.readouterr().err
    run = copied(small_run, tmp_path / "sealed")
    lines = (run / "predictions.csv").read_text("utf-8").splitlines()
    kept = [line for line in lines if line.split(",")[1] in ("split", "train", "val")]
    (run / "predictions.csv").write_text("\n".join(kept) + "\n", "utf-8")
    assert main(["value", str(run), "--case", case, "-q"]) == 2
    assert "never opened them (--no-test)" in capsys.readouterr().err
    old = copied(small_run, tmp_path / "old")
    (old / "held_out.csv").unlink()
    assert main(["value", str(old), "--case", case, "--save-threshold", "-q"]) == 2
    assert "held_out.csv" in capsys.readouterr().err
    assert main(["value", str(old), "--case", case, "-q"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--case must name the assumptions"),
        (["--case", "nowhere.toml"], "nowhere.toml: No such file"),
        (["--case", "shop", "--threshold", "high"], "--threshold must be best, model, none or a number"),
        (["--case", "shop", "--threshold", "1.5"], "--threshold must lie between 0 and 1"),
        (["--case", "shop", "--save-threshold"], "need a MODEL"),
        (["--case", "shop", "--split", "test"], "found no --data"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["value", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_a_threshold_at_which_nothing_earns_is_not_saved(small_run: Run, tmp_path: Path) -> None:
    run = copied(small_run, tmp_path / "run")
    before = (run / "model.onnx").read_bytes()
    ruinous = {**FARM, "with_model_minutes": 5.0, "ask_minutes": 0.0}
    with pytest.raises(ConfigError, match="asking a person always is best"):
        certero.value(run, case=ruinous, save_threshold=True)
    assert (run / "model.onnx").read_bytes() == before


# --- the template


def test_init_writes_a_case_that_works_and_never_overwrites(
    small_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["value", "--init"]) == 0
    assert main(["value", str(small_run.path), "--case", "case.toml", "-q"]) == 0
    assert "Payback" in capsys.readouterr().out
    before = Path("case.toml").read_text("utf-8")
    assert main(["value", "--init"]) == 2
    assert "must not overwrite" in capsys.readouterr().err
    assert Path("case.toml").read_text("utf-8") == before
    assert main(["value", str(small_run.path), "--init", "--case", "mine.toml"]) == 0
    assert "lying" in Path("mine.toml").read_text("utf-8")


def test_the_template_names_every_field_and_its_comments_work_too() -> None:
    from dataclasses import fields

    from certero.business.case import Case, CurrencyFormat

    text = template(BEDS)
    for field in [*fields(Case), *fields(CurrencyFormat)]:
        assert field.name in text, field.name
    classes = ("plain", 'with "quotes" and.dots', "señal")
    lines = template(classes).splitlines()
    start = lines.index("# [class_shares]")
    shares = [line.removeprefix("# ") for line in lines[start : start + 4]]
    assert set(tomllib.loads("\n".join(shares))["class_shares"]) == set(classes)
    pairs = [line.removeprefix("# ") for line in lines if line.startswith("# error_cost.")]
    assert set(tomllib.loads("\n".join(pairs))["error_cost"]) == set(classes)


def test_the_shipped_farm_fits_the_demo() -> None:
    case = read_case("farm")
    assert set(case.class_shares or {}) == set(BEDS)
