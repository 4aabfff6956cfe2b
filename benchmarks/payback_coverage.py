"""How often the 95 % interval of payback holds a known truth, on simulated test sets.

python benchmarks/payback_coverage.py 1000
"""

from __future__ import annotations

import argparse

import numpy as np

from certero.business import outcomes as results
from certero.business.case import parse_case
from certero.business.worth import accept, measure

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
# Name: units, photos in each, class shares among them, in use (None: as they come), accuracy by class.
SETS = {
    "200 independent": (200, 1, (0.6, 0.3, 0.1), None, (0.9, 0.8, 0.7)),
    "400 independent, accuracy 95 %": (400, 1, (0.6, 0.3, 0.1), None, (0.95, 0.95, 0.95)),
    "300 independent, re-weighted": (300, 1, (0.7, 0.2, 0.1), (0.2, 0.3, 0.5), (0.9, 0.8, 0.7)),
    "40 groups of 10": (40, 10, (0.6, 0.3, 0.1), None, (0.9, 0.8, 0.7)),
    "60 groups of 8, re-weighted": (60, 8, (0.6, 0.25, 0.15), (0.4, 0.3, 0.3), (0.9, 0.8, 0.7)),
    "15 groups of 20": (15, 20, (0.6, 0.3, 0.1), None, (0.9, 0.8, 0.7)),
}
# Of photos of one group, which are right or wrong together.
CORRELATION = 0.2


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=200, help="simulated test sets of each kind")
    runs = parser.parse_args().runs
    print("| test photos | share of intervals that hold the truth |\n| --- | --- |")
    for name in SETS:
        print(f"| {name} | {100 * coverage(name, runs):.1f} % |", flush=True)


def coverage(name: str, runs: int) -> float:
    """Share of simulated test sets whose interval holds the true payback."""
    units, size, seen, used, accuracies = SETS[name]
    accuracy, random, tails = np.array(accuracies), np.random.default_rng(0), results.tails()
    shares = {} if used is None else {"class_shares": dict(zip(CLASSES, used, strict=True))}
    case = parse_case(CASE | shares)
    gain = 3 - 6 * (1 - float(np.array(used or seen) @ accuracy))
    truth_months = 50 * 100 / (1000 * gain)
    hits = 0
    for _run in range(runs):
        label = random.choice(3, units, p=seen)
        right = accuracy[label]
        if size > 1:
            spread = (1 - CORRELATION) / CORRELATION
            right = random.beta(right * spread, (1 - right) * spread)
        truth, right = np.repeat(label, size), random.random(units * size) < np.repeat(right, size)
        answers = np.eye(3)[np.where(right, truth, (truth + 1) % 3)]
        groups = None if size == 1 else [f"{row // size:04d}" for row in range(units * size)]
        names = [str(row) for row in range(units * size)]
        rows = results.outcomes_of_photos(CLASSES, truth, answers, groups, names)
        rule = accept(rows, None, results.check_shares(rows, case.class_shares))
        found = measure(case, rule, tails)["payback_months"]
        hits += found["low"] <= truth_months and (found["high"] is None or truth_months <= found["high"])
    return hits / runs


if __name__ == "__main__":
    main()
