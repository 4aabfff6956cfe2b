"""How often the 95 % interval of payback holds a known truth, on simulated test sets.

python benchmarks/payback_coverage.py 1000
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from certero.business import outcomes as results
from certero.business.case import parse_case
from certero.business.worth import accept, measure
from certero.stats import resampling

CLASSES = ("a", "b", "c")
CASE = {
    "volume_per_month": 1000,
    "by_hand_minutes": 4,
    "with_model_minutes": 1,
    "hour_cost": 60,
    "error_minutes": 6,
    "development_hours": 50,
    "development_hour_cost": 100,
}


@dataclass(frozen=True)
class Kind:
    """A kind of test set.

    Args:
        units: groups, or photos where they are independent.
        size: photos in each; the mean where sizes differ.
        seen: share of each class among the units.
        used: share of each class in use; None for as they come.
        accuracy: of each class.
        correlation: of photos of one group, which are right or wrong together.
        sizes_vary: standard deviation of the logarithm of the sizes.
        bad: share of groups in which 3 of 10 photos are right instead, whatever their class.
    """

    units: int
    size: int = 1
    seen: tuple[float, ...] = (0.6, 0.3, 0.1)
    used: tuple[float, ...] | None = None
    accuracy: tuple[float, ...] = (0.9, 0.8, 0.7)
    correlation: float = 0.2
    sizes_vary: float = 0.0
    bad: float = 0.0


SURE = (0.9, 0.9, 0.9)
# Each group is of one class.
KINDS = {
    "200 independent": Kind(200),
    "400 independent, accuracy 95 %": Kind(400, accuracy=(0.95, 0.95, 0.95)),
    "300 independent, re-weighted": Kind(300, seen=(0.7, 0.2, 0.1), used=(0.2, 0.3, 0.5)),
    "3 groups of 60": Kind(3, 60),
    "5 groups of 40": Kind(5, 40),
    "7 groups of 30": Kind(7, 30),
    "5 groups of 40, re-weighted": Kind(5, 40, (0.4, 0.3, 0.3), (0.3, 0.3, 0.4)),
    "5 groups of 40, one in 10 bad": Kind(5, 40, accuracy=(0.95,) * 3, bad=0.1, correlation=0.02),
    "10 groups of 20": Kind(10, 20),
    "12 groups of 20": Kind(12, 20),
    "14 groups of 20": Kind(14, 20),
    "15 groups of 20": Kind(15, 20),
    "40 groups of 10": Kind(40, 10),
    "100 groups of 5": Kind(100, 5),
    "12 groups of 2 to 80, unequal": Kind(12, 20, sizes_vary=0.8),
    "20 groups of 2 to 80, unequal": Kind(20, 20, sizes_vary=0.8),
    "10 groups of 20, accuracy 90 %, correlation 0.3": Kind(10, 20, accuracy=SURE, correlation=0.3),
    "15 groups of 20, accuracy 90 %, correlation 0.3": Kind(15, 20, accuracy=SURE, correlation=0.3),
    "30 groups of 20, accuracy 90 %, correlation 0.3": Kind(30, 20, accuracy=SURE, correlation=0.3),
    "60 groups of 8, re-weighted": Kind(60, 8, (0.6, 0.25, 0.15), (0.4, 0.3, 0.3)),
    "20 groups of 8, re-weighted": Kind(20, 8, (0.6, 0.25, 0.15), (0.4, 0.3, 0.3)),
    "10 groups of 20, one in 10 bad": Kind(10, 20, accuracy=(0.95,) * 3, bad=0.1, correlation=0.02),
    "15 groups of 20, one in 10 bad": Kind(15, 20, accuracy=(0.95,) * 3, bad=0.1, correlation=0.02),
    "30 groups of 20, one in 20 bad": Kind(30, 20, accuracy=(0.99,) * 3, bad=0.05, correlation=0.02),
    "20 groups of 2 to 80, one in 20 bad": Kind(
        20, 20, accuracy=(0.99,) * 3, bad=0.05, correlation=0.02, sizes_vary=0.8
    ),
    "15 groups of 20, one in 10 bad, re-weighted": Kind(
        15, 20, (0.4, 0.3, 0.3), (0.3, 0.3, 0.4), (0.98,) * 3, bad=0.1, correlation=0.02
    ),
    "12 groups of 20, re-weighted": Kind(12, 20, (0.4, 0.3, 0.3), (0.3, 0.3, 0.4)),
}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=200, help="simulated test sets of each kind")
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    asked = parser.parse_args()
    print("| test photos | share of intervals that hold the truth | payback: truth | usual low | usual high | none |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, kind in KINDS.items():
        if asked.only in name:
            print(f"| {name} | {' | '.join(coverage(kind, asked.runs))} |", flush=True)


def coverage(kind: Kind, runs: int) -> list[str]:
    """Share of simulated test sets whose interval holds the true payback, and how far the interval usually reaches.

    Test sets that lack an expected class are refused by `certero value`, so others are drawn in their place. Those
    whose groups are all alike have no interval; they are counted apart.
    """
    accuracy, random, tails = np.array(kind.accuracy), np.random.default_rng(0), resampling.tails()
    shares = {} if kind.used is None else {"class_shares": dict(zip(CLASSES, kind.used, strict=True))}
    case = parse_case(CASE | shares)
    usual = float(np.array(kind.used or kind.seen) @ accuracy)
    gain = 3 - 6 * (1 - (usual + kind.bad * (0.3 - usual)))
    truth_months = 50 * 100 / (1000 * gain)
    hits, lows, highs = 0, [], []
    for _run in range(runs):
        label = random.choice(3, kind.units, p=kind.seen)
        while kind.used is not None and len(set(label.tolist())) < len(CLASSES):
            label = random.choice(3, kind.units, p=kind.seen)
        right = accuracy[label]
        if kind.size > 1:
            spread = (1 - kind.correlation) / kind.correlation
            right = random.beta(right * spread, (1 - right) * spread)
        right = np.where(random.random(kind.units) < kind.bad, 0.3, right)
        sizes = np.full(kind.units, kind.size)
        if kind.sizes_vary > 0:
            factors = random.lognormal(-(kind.sizes_vary**2) / 2, kind.sizes_vary, kind.units)
            sizes = np.maximum(2, np.round(kind.size * factors)).astype(int)
        truth = np.repeat(label, sizes)
        hit = random.random(len(truth)) < np.repeat(right, sizes)
        answers = np.eye(3)[np.where(hit, truth, (truth + 1) % 3)]
        groups = [f"{group:04d}" for group in np.repeat(np.arange(kind.units), sizes)] if kind.size > 1 else None
        rows = results.outcomes_of_photos(CLASSES, truth, answers, groups, [str(row) for row in range(len(truth))])
        rule = accept(rows, None, results.check_shares(rows, case.class_shares))
        found = measure(case, rule, tails)["payback_months"]
        if found["low"] is None:
            continue
        lows.append(found["low"])
        highs.append(np.inf if found["high"] is None else found["high"])
        hits += bool(lows[-1] <= truth_months <= highs[-1])
    reach = ["never" if np.isinf(end) else f"{end:.1f}" for end in (np.median(lows), np.median(highs))]
    return [f"{100 * hits / len(lows):.1f} %", f"{truth_months:.1f}", *reach, str(runs - len(lows))]


if __name__ == "__main__":
    main()
