"""Which calibration makes the probability of a rare class mean what it says, and how often the check cries wolf.

python benchmarks/calibration.py 40
python benchmarks/calibration.py 0 --photos path/to/beds.csv

Opens no test photo: methods are compared on simulated photos, on a given val split, or by the hours of four fifths of a
day.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from bench import print_machine, print_table
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import norm

from certero.config.recipes import resolve
from certero.data.labels import encode
from certero.data.split import split_units
from certero.probe.probe import fit_probe, weigh_classes
from certero.stages.embedder import embed_photos, loading_embedder
from certero.stages.prepare import prepare
from certero.stages.tools import open_tools
from certero.stats.calibration import ABSENT, calibrate, fit_offsets, fit_temperature, softmax
from certero.stats.calibration_check import check_calibration
from certero.stats.reliability import expected_calibration_error

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Method = Callable[[Floats, Integers, Floats, Integers], Callable[[Floats], Floats]]

SHARES = (0.68, 0.285, 0.035)
NAMES = ("empty", "lying", "standing")
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_SURE_SETTINGS = ((429, 2.2), (1500, 2.2), (429, 3.0), (1500, 3.0))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=40, help="simulated training sets of each kind")
    parser.add_argument("--photos", type=Path, help="manifest with capture times, or with a given val split")
    given = parser.parse_args()
    print_machine()
    if given.photos:
        rows = list(on_photos(given.photos))
        print_table(("training", "calibration", "log loss", "accuracy", "rarest: found", "named", "said"), rows)
    if given.runs:
        columns = ("training", "calibration", "log loss", "mean p", "said", "right", "apart", "found", "accuracy")
        for n, apart in _SURE_SETTINGS:
            print(f"\n{n} photos, class means {apart} apart:\n")
            print_table(columns, list(compare(n, apart, given.runs)))
        print()
        rows = list(false_alarms(10 * given.runs))
        print_table(("photos", "groups", "correlation", "error above its band", "a class off"), rows)


def free(deviation: float, *, vector: bool = False, undo: bool = False) -> Method:
    """Temperature and offsets with a normal prior around 0, or around what the class weights would be undone by.

    Args:
        deviation: of the prior of an offset.
        vector: a temperature a class.
        undo: the prior lies around minus the logarithm of the class weights.
    """

    def fit(logits: Floats, truth: Integers, weights: Floats, _units: Integers) -> Callable[[Floats], Floats]:
        n, k = logits.shape
        known = logits > ABSENT / 2
        target = np.where(known, 1 / (n + 2) / np.maximum(known.sum(axis=1, keepdims=True) - 1, 1), 0.0)
        target[np.arange(n), truth] = 1 - 1 / (n + 2)
        centre = -np.log(weights) if undo else np.zeros(k)
        scales = k if vector else 1

        def apply(found: Floats, these: Floats) -> Floats:
            return these * np.exp(found[:scales]) + centre + found[scales:]

        def loss(found: Floats) -> float:
            logs = log_softmax(np.where(known, apply(found, logits), -1e9), axis=1)
            prior = (found[scales:] ** 2).sum() / deviation**2 + ((found[:scales] - found[:scales].mean()) ** 2).sum()
            return float(-(target * np.where(known, logs, 0.0)).sum() + prior / 2) / n

        best = minimize(loss, np.zeros(scales + k), method="BFGS").x
        return lambda these: softmax(apply(best, these))

    return fit


def temperature(logits: Floats, truth: Integers, _weights: Floats, _units: Integers) -> Callable[[Floats], Floats]:
    """One temperature."""
    found = fit_temperature(logits, truth)
    return lambda these: softmax(these, found)


def offsets(logits: Floats, truth: Integers, weights: Floats, _units: Integers) -> Callable[[Floats], Floats]:
    """What certero fits."""
    found = fit_offsets(logits, truth, weights)
    return lambda these: softmax(these, *found)


def chosen(logits: Floats, truth: Integers, weights: Floats, units: Integers) -> Callable[[Floats], Floats]:
    """What certero ships: the better on held-out photos of nothing, a temperature, and temperature and offsets."""
    found = calibrate(logits, truth, units, class_weights=weights)
    return lambda these: softmax(these, found.temperature, found.offsets)


METHODS: dict[str, Method] = {
    "none": lambda _logits, _truth, _weights, _units: softmax,
    "temperature": temperature,
    "offsets N(0, 0.3²)": free(0.3),
    "offsets N(0, 1)": free(1.0),
    "offsets N(-log weight, 0.3²)": free(0.3, undo=True),
    "offsets N(-log weight, 1)": free(1.0, undo=True),
    "-log weight exactly": free(1e-3, undo=True),
    "vector scaling, N(0, 1)": free(1.0, vector=True),
    "certero's offsets": offsets,
    "certero's choice": chosen,
}


def simulate(n: int, apart: float, random: np.random.Generator) -> tuple[NDArray[np.float32], Integers]:
    """Features of three normal classes in 24 dimensions, the last one rare, and the classes."""
    means = np.random.default_rng(5).standard_normal((3, 24))
    means *= apart / np.linalg.norm(means, axis=1, keepdims=True)
    truth = random.choice(3, p=SHARES, size=n)
    while np.bincount(truth, minlength=3).min() < 3:
        truth = random.choice(3, p=SHARES, size=n)
    return (means[truth] + random.standard_normal((n, 24))).astype(np.float32), truth


def compare(n: int, apart: float, runs: int) -> Iterator[tuple[str, ...]]:
    """A row for each training and method, means over the runs, judged on 20,000 other photos each."""
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for run in range(runs):
        random = np.random.default_rng([run, n, round(10 * apart)])
        features, truth = simulate(n, apart, random)
        others, shown = simulate(20_000, apart, random)
        folds = [(np.arange(n) % 5 != fold, np.arange(n) % 5 == fold) for fold in range(5)]
        for training in ("balanced", "none"):
            weights = weigh_classes(truth, NAMES, training)
            probe = fit_probe(features, truth, folds, STRENGTHS, weights, map)
            logits = probe.head.logits(others)
            for name, method in METHODS.items():
                if training == "none" and "weight" in name:
                    continue
                probabilities = method(probe.oof_logits, truth, weights, np.arange(n))(logits)
                found.setdefault((training, name), []).append(_figures(probabilities, shown))
    for (training, name), rows in found.items():
        loss, mean, said, right, found_share, accuracy = np.nanmean(rows, axis=0)
        gap = np.nanmean([abs(row[2] - row[3]) for row in rows])
        shares = (mean, said, right, gap, found_share, accuracy)
        yield training, name, f"{loss:.3f}", *(f"{100 * share:.1f} %" for share in shares)


def _figures(probabilities: Floats, truth: Integers) -> tuple[float, ...]:
    """Log loss; of the rare class mean probability, probability and precision where named, recall; accuracy."""
    named, rare = probabilities.argmax(axis=1), len(SHARES) - 1
    called = named == rare
    return (
        -np.log(probabilities[np.arange(len(truth)), truth].clip(1e-9)).mean(),
        probabilities[:, rare].mean(),
        probabilities[called, rare].mean() if called.any() else np.nan,
        (truth[called] == rare).mean() if called.any() else np.nan,
        called[truth == rare].mean(),
        (named == truth).mean(),
    )


def on_photos(manifest: Path) -> Iterator[tuple[str, ...]]:
    """A row for each training and method, on development photos: judged on val, or hour by hour without a fifth."""
    settings = resolve("probe")
    with open_tools() as tools, loading_embedder(settings, tools) as finish:
        prepared = prepare(manifest, settings, tools)
        table, classes = prepared.development.table, prepared.classes
        features = embed_photos(prepared.development.paths(), table["content_hash"].to_list(), finish(), tools)
    truth = encode(table["label"], classes)
    units = table["unit"].to_list()
    val = (table["split"] == "val").to_numpy()
    if val.any():
        parts = [(~val, val)]
    else:
        units = [str(time)[:13] for time in table["captured_at"]]
        kept = split_units(truth.tolist(), units, 5, 0) != 0
        features, truth = features[kept], truth[kept]
        units = [unit for unit, keep in zip(units, kept, strict=True) if keep]
        fold = split_units(truth.tolist(), units, 4, 1)
        parts = [(fold != number, fold == number) for number in range(4)]
    rare = int(np.bincount(truth).argmin())
    answers: dict[tuple[str, str], list[Floats]] = {}
    for inside, outside in parts:
        known = np.unique(np.array(units)[inside], return_inverse=True)[1]
        within = split_units(truth[inside].tolist(), [str(unit) for unit in known], 5, 0)
        folds = [(within != number, within == number) for number in range(5)]
        for training in ("balanced", "none"):
            weights = weigh_classes(truth[inside], classes, training)
            probe = fit_probe(features[inside], truth[inside], folds, settings.strengths, weights, map)
            told = probe.held_out
            for name, method in METHODS.items():
                if (training == "none" and "weight" in name) or (len(classes) > 10 and "vector" in name):
                    continue
                apply = method(probe.oof_logits[told], truth[inside][told], weights, known[told])
                answers.setdefault((training, name), []).append(apply(probe.head.logits(features[outside])))
    shown = np.concatenate([truth[outside] for _inside, outside in parts])
    for (training, name), found in answers.items():
        probabilities = np.concatenate(found)
        named = probabilities.argmax(axis=1)
        called = named == rare
        loss = -np.log(probabilities[np.arange(len(shown)), shown].clip(1e-9)).mean()
        hits = f"{(called & (shown == rare)).sum()} of {(shown == rare).sum()}"
        said = f"{100 * probabilities[called, rare].mean():.0f} %" if called.any() else "-"
        yield training, name, f"{loss:.4f}", f"{100 * (named == shown).mean():.1f} %", hits, str(called.sum()), said


def false_alarms(runs: int) -> Iterator[tuple[str, ...]]:
    """A row for each kind of test set whose probabilities are right: how often the check objects.

    Photos of a group are alike by a normal variable that they share, which is not how certero redraws them.
    """
    for n, groups, correlation in (
        *((n, n, 0.0) for n in (150, 429, 1500)),
        *((429, groups, correlation) for groups in (3, 5, 10, 30) for correlation in (0.0, 0.1, 0.3)),
    ):
        random = np.random.default_rng([n, groups, round(10 * correlation)])
        above = off = 0
        for _ in range(runs):
            kinds = random.choice(3, p=SHARES, size=n)
            logits = random.normal(scale=1.3, size=(n, 3)) + 3.0 * np.eye(3)[kinds]
            probabilities = softmax(logits)
            codes = np.arange(n) if groups == n else np.sort(random.integers(0, groups, n))
            common = random.standard_normal(codes.max() + 1)[codes]
            luck = norm.cdf(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * random.standard_normal(n))
            order = np.argsort(-probabilities, axis=1)
            cumulated = np.take_along_axis(probabilities, order, axis=1).cumsum(axis=1)
            place = (luck[:, None] > cumulated).sum(axis=1).clip(0, 2)
            truth = order[np.arange(n), place]
            groups_of = None if groups == n else np.unique(codes, return_inverse=True)[1]
            photo, label = np.arange(n), probabilities.argmax(axis=1)
            found = check_calibration(probabilities, truth, NAMES, groups_of, photo, label)
            error = expected_calibration_error(probabilities, truth)
            above += (error or 0.0) > (found.perfect.high or 1.0)
            off += any(row.verdict == "off" for row in found.by_class.values())
        shown = "independent" if groups == n else str(groups)
        yield str(n), shown, f"{correlation:g}", f"{100 * above / runs:.1f} %", f"{100 * off / runs:.1f} %"


if __name__ == "__main__":
    main()
