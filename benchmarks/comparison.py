"""How often `certero compare` is right about two models, on simulated test sets.

python benchmarks/comparison.py 500
"""

from __future__ import annotations

import argparse

import numpy as np

from certero.stats.paired import SIGNIFICANCE, Answers, compare_answers, mcnemar

# Name: groups, photos in each, share of photos that repeat what happened to another photo of their group.
SETS = {
    "300 independent": (300, 1, 0.0),
    "1,000 independent": (1000, 1, 0.0),
    "10 groups of 20": (10, 20, 0.3),
    "20 groups of 20": (20, 20, 0.3),
    "50 groups of 20": (50, 20, 0.3),
    "50 groups of 20, unlike": (50, 20, 0.0),
    "20 groups of 5 to 60": (20, 0, 0.3),
}
ACCURACY = 0.8
# Share of photos on which the models' luck is the same: two models err on the same hard photos.
SHARED_LUCK = 0.5


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=100, help="simulated test sets of each kind")
    parser.add_argument("--gap", type=float, default=0.06, help="true difference of the accuracies")
    asked = parser.parse_args()
    print("| test photos | intervals that hold the difference | equal models called different | the same by McNemar |")
    print(f"| --- | --- | --- | --- |  (gap {asked.gap}, {asked.runs} test sets)")
    for name in SETS:
        held, alarms, plain = judge(name, asked.runs, asked.gap)
        print(f"| {name} | {held:.1%} | {alarms:.1%} | {plain:.1%} |", flush=True)


def judge(name: str, runs: int, gap: float) -> tuple[float, float, float]:
    """Shares of test sets: interval holds the gap; a verdict on equal models; McNemar's p below the level on them."""
    random = np.random.default_rng(0)
    held = alarms = plain = 0
    for _run in range(runs):
        truth, right, labels = draw(name, random, gap)
        (pair,) = compare_answers(answers(truth, right, labels), n_resamples=500)[1]
        held += pair.accuracy.low is not None and pair.accuracy.low <= gap <= pair.accuracy.high
        truth, right, labels = draw(name, random, 0.0)
        (pair,) = compare_answers(answers(truth, right, labels), n_resamples=500)[1]
        alarms += pair.verdict in ("better", "worse")
        plain += mcnemar(pair.only_first, pair.only_second) < SIGNIFICANCE
    return held / runs, alarms / runs, plain / runs


def draw(name: str, random: np.random.Generator, gap: float) -> tuple[np.ndarray, list[np.ndarray], np.ndarray | None]:
    """True classes, what each of two models has right, and the groups."""
    groups, size, alike = SETS[name]
    sizes = np.full(groups, size) if size else random.integers(5, 61, groups)
    n = int(sizes.sum())
    repeats = np.repeat(np.arange(groups), sizes)
    luck = random.random((3, n))  # one for both models, one for each
    of_group = random.random((3, groups))[:, repeats]
    luck = np.where(random.random(n) < alike, of_group, luck)
    luck = np.where(random.random(n) < SHARED_LUCK, luck[:1], luck[1:])
    right = [luck[0] < ACCURACY - gap / 2, luck[1] < ACCURACY + gap / 2]
    return np.arange(n) % 2, right, None if size == 1 else repeats


def answers(truth: np.ndarray, right: list[np.ndarray], labels: np.ndarray | None) -> Answers:
    """A wrong answer names the other of two classes."""
    return Answers(truth, [np.where(hits, truth, 1 - truth) for hits in right], ("a", "b"), 2, labels, {})


if __name__ == "__main__":
    main()
