"""How often the 95 % intervals hold a known truth, on simulated test sets of correlated groups.

python benchmarks/interval_coverage.py 2000
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from certero.stats.intervals import proportion
from certero.stats.ranking import rank
from certero.stats.scores import Resamples, score

GROUPS = (10, 20, 50)
CORRELATIONS = (0.0, 0.1, 0.3)
SHARES = (0.5, 0.9, 0.98)
SIZES = ("10 photos each", "2 to 20 photos")
# Runs of the figures that draw the photos again: each run costs a bootstrap.
BOOTSTRAP_SHARE = 0.1
Integers = NDArray[np.int64]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=2000, help="simulated test sets of each kind")
    runs = parser.parse_args().runs
    print("| share | groups | correlation | " + " | ".join(SIZES) + " | mean width |")
    print("| --- " * 6 + "|")
    cells: dict[float, list[float]] = {share: [] for share in SHARES}
    for share, groups, correlation in itertools.product(SHARES, GROUPS, CORRELATIONS):
        found = [coverage(share, groups, correlation, size, runs) for size in SIZES]
        cells[share] += [held for held, _width in found]
        shown = " | ".join(f"{100 * held:.1f} %" for held, _width in found)
        width = float(np.mean([width for _held, width in found]))
        print(f"| {share} | {groups} | {correlation} | {shown} | {width:.2f} |", flush=True)
    judged = [held for share in SHARES[:2] for held in cells[share]]
    print(f"\nShares 0.5 and 0.9: mean {100 * np.mean(judged):.1f} %, least {100 * min(judged):.1f} %.")
    print(f"Share 0.98: mean {100 * np.mean(cells[0.98]):.1f} %, least {100 * min(cells[0.98]):.1f} %.\n")
    print("| groups | correlation | macro F1 | area under the ROC curve | average precision |")
    print("| --- | --- | --- | --- | --- |")
    for groups, correlation in itertools.product(GROUPS, CORRELATIONS):
        shown = " | ".join(f"{100 * held:.1f} %" for held in coverage_of_figures(groups, correlation, runs))
        print(f"| {groups} | {correlation} | {shown} |", flush=True)


def sizes_of(groups: int, size: str, random: np.random.Generator) -> Integers:
    """Photos of each group."""
    return np.full(groups, 10) if size == SIZES[0] else random.integers(2, 21, groups)


def coverage(share: float, groups: int, correlation: float, size: str, runs: int, seed: int = 0) -> tuple[float, float]:
    """How many of the intervals of a share hold it, and their mean width: beta-binomial groups."""
    random = np.random.default_rng([seed, groups, round(1000 * correlation), round(1000 * share), SIZES.index(size)])
    held, widths = 0, []
    for _run in range(runs):
        sizes = sizes_of(groups, size, random)
        found = proportion(answers(share, correlation, sizes, random), np.repeat(np.arange(groups), sizes))
        held += found.low <= share <= found.high
        widths.append(found.high - found.low)
    return held / runs, float(np.mean(widths))


def answers(share: float, correlation: float, sizes: Integers, random: np.random.Generator) -> NDArray[np.bool_]:
    """Right or wrong, for each photo of groups of these sizes."""
    chance = np.full(len(sizes), share)
    if correlation:
        spread = (1 - correlation) / correlation
        chance = random.beta(share * spread, (1 - share) * spread, len(sizes))
    right: NDArray[np.bool_] = random.random(int(sizes.sum())) < np.repeat(chance, sizes)
    return right


def scored(
    groups: int, correlation: float, random: np.random.Generator
) -> tuple[NDArray[np.float64], Integers, Integers]:
    """Probabilities [n, 3], truth and group: what a group has in common moves all its photos' logits alike."""
    sizes = sizes_of(groups, SIZES[1], random)
    group = np.repeat(np.arange(groups), sizes)
    truth = random.choice(3, len(group), p=(0.5, 0.3, 0.2))
    common, own = random.normal(size=(groups, 3)), random.normal(size=(len(group), 3))
    logits = np.sqrt(correlation) * common[group] + np.sqrt(1 - correlation) * own
    logits[np.arange(len(group)), truth] += 1.8
    shares = np.exp(2 * logits)
    return shares / shares.sum(axis=1, keepdims=True), truth, group


def coverage_of_figures(groups: int, correlation: float, runs: int, seed: int = 0) -> Iterator[float]:
    """How many intervals of macro F1, mean ROC area and mean average precision hold the figure of endless photos."""
    random = np.random.default_rng([seed, groups, round(1000 * correlation)])
    # What one group has in common is drawn anew for each, so endless groups have this truth.
    parts = [scored(2000, correlation, random) for _ in range(10)]
    probabilities = np.concatenate([part[0] for part in parts])
    truth = np.concatenate([part[1] for part in parts])
    ranked = rank(probabilities, truth)
    whole = score(probabilities, truth, ("a", "b", "c"), resamples=Resamples(2))
    true = (whole.macro_f1.value, ranked.macro.roc_auc.value, ranked.macro.average_precision.value)
    few = max(1, round(BOOTSTRAP_SHARE * runs))
    held = np.zeros(3)
    for run in range(runs):
        probabilities, truth, group = scored(groups, correlation, random)
        found = rank(probabilities, truth, group).macro
        held[1] += found.roc_auc.low <= true[1] <= found.roc_auc.high
        held[2] += found.average_precision.low <= true[2] <= found.average_precision.high
        if run < few:
            macro = score(probabilities, truth, ("a", "b", "c"), group).macro_f1
            held[0] += macro.low <= true[0] <= macro.high
    yield from (held / [few, runs, runs]).tolist()


if __name__ == "__main__":
    main()
