"""Other shares of the classes: how near the found ones are, what they gain, and when they are refused; simulated.

A probe learns classes that overlap, the rarest 3.5 % of its photos, and is calibrated on its own folds; then come
photos with shares drawn evenly from all there can be: alone, or with classes that moved, in other light, or with a
class that it never learnt.

python benchmarks/shares.py 100
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from certero.engine.blas import one_blas_thread
from certero.probe.probe import fit_head
from certero.records.preprocessing import Preprocessing
from certero.runtime.card import Card, Fingerprints
from certero.runtime.new_shares import find_shares
from certero.stages.held_out_shares import describe_shares
from certero.stats.calibration import calibrate, softmax
from certero.stats.intervals import percentile_interval, proportion, resample
from certero.stats.shares import estimate_shares

#: Dimensions of the features, and the strength of the probe.
D, STRENGTH = 12, 0.1
NAMES = tuple("abcdefghij")


@dataclass(frozen=True)
class World:
    """A set of new photos.

    Args:
        name: in the table.
        n: photos.
        classes: that the probe learns.
        moved: by how many standard deviations each class has moved, each its own way.
        scale: of the features; 1 is the light of training.
        new: share of photos of a class that was never learnt.
        same: the shares of training.
    """

    name: str
    n: int = 300
    classes: int = 3
    moved: float = 0.0
    scale: float = 1.0
    new: float = 0.0
    same: bool = False


WORLDS = (
    World("shares of training", same=True),
    World("other shares", n=30),
    World("other shares", n=100),
    World("other shares"),
    World("other shares", n=3000),
    World("other shares", classes=10),
    World("and classes moved by 0.5", moved=0.5),
    World("and classes moved by 1", moved=1.0),
    World("and classes moved by 2", moved=2.0),
    World("and features at 60 % (darker)", scale=0.6),
    World("and features at 30 % (dark)", scale=0.3),
    World("and 30 % of a new class", new=0.3),
    World("and 60 % of a new class", new=0.6),
    World("a new class alone", new=1.0),
)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, help="draws of each world")
    runs = parser.parse_args().runs
    heads = (
        "photos",
        "n",
        "classes",
        "refused",
        "shares off by",
        "as trained",
        "adapted",
        "share held",
        "adapted held",
    )
    print("| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    with one_blas_thread():
        for world in WORLDS:
            drawn = [draw(world, np.random.default_rng([seed, world.n, world.classes])) for seed in range(runs)]
            print(row(world, np.array(drawn)), flush=True)


def row(world: World, drawn: np.ndarray) -> str:
    """A row of the table, of draws [runs, 6]."""
    refused, off, plain, adapted, held, accuracy = np.nanmean(drawn, axis=0)
    tail = (
        f"{100 * off:.1f}",
        f"{100 * plain:.1f}",
        f"{100 * adapted:.1f}",
        f"{100 * held:.0f}",
        f"{100 * accuracy:.0f}",
    )
    return f"| {world.name} | {world.n} | {world.classes} | {100 * refused:.0f} % | " + " | ".join(tail) + " |"


def draw(world: World, generator: np.random.Generator) -> list[float]:
    """Refused; half the sum of errors of the shares; accuracy as trained and adapted; whether the intervals hold."""
    k = world.classes
    centres = generator.standard_normal((k + 1, D)) * 0.65
    shares = np.r_[0.035, np.full(k - 1, 0.965 / (k - 1))]
    ask, card = learn(centres[:k], shares, generator)
    now = shares if world.same else generator.dirichlet(np.ones(k))
    moved = centres + world.moved * directions(k + 1, generator)

    def photos(n: int) -> tuple[np.ndarray, np.ndarray]:
        truth = np.where(generator.random(n) < world.new, k, generator.choice(k, p=now, size=n))
        return truth, world.scale * (moved[truth] + generator.standard_normal((n, D)))

    truth, features = photos(world.n)
    outputs = ask(features)
    found = find_shares(card, outputs)
    refused = found.now is None
    best = estimate_shares(outputs, found.before)
    names = (outputs * best / found.before).argmax(axis=1)
    plain, adapted = (outputs.argmax(axis=1) == truth).mean(), (names == truth).mean()
    if world.new == 1:
        return [refused, np.nan, plain, adapted, np.nan, np.nan]
    off = np.abs(best - np.bincount(truth, minlength=k)[:k] / world.n).sum() / 2
    draws = resample(lambda w: estimate_shares(outputs, found.before, weights=w, start=best), world.n, n_resamples=100)
    ends = [percentile_interval(float(best[c]), draws[:, c], world.n).interval for c in range(k)]
    held = np.mean([np.nan if end is None else end[0] <= now[c] <= end[1] for c, end in enumerate(ends)])
    # What the interval of the adapted accuracy speaks of: further photos, adapted to shares found anew.
    others = []
    for _ in range(5):
        again, more = photos(world.n)
        said = ask(more)
        others.append(((said * estimate_shares(said, found.before) / found.before).argmax(axis=1) == again).mean())
    interval = proportion(names == truth).interval
    inside = np.nan if interval is None else interval[0] <= np.mean(others) <= interval[1]
    return [refused, off, plain, adapted, held, inside]


def directions(k: int, generator: np.random.Generator) -> np.ndarray:
    """Unit vectors [k, D]."""
    drawn = generator.standard_normal((k, D))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def learn(
    centres: np.ndarray, shares: np.ndarray, generator: np.random.Generator
) -> tuple[Callable[[np.ndarray], np.ndarray], Card]:
    """A calibrated probe of 430 photos, and its card."""
    k, n = len(centres), 430
    truth = np.r_[np.repeat(np.arange(k), 6), generator.choice(k, p=shares, size=n - 6 * k)]
    features = (centres[truth] + generator.standard_normal((n, D))).astype(np.float32)
    weights = n / (k * np.bincount(truth, minlength=k))
    folds, logits = np.arange(n) % 5, np.zeros((n, k))
    for fold in range(5):
        inside = folds != fold
        head = fit_head(features[inside], truth[inside], k, STRENGTH, weights[truth[inside]], rooted=False)
        logits[~inside] = linear(head, features[~inside])
    head = fit_head(features, truth, k, STRENGTH, weights[truth], rooted=False)
    fitted = calibrate(logits, truth, class_weights=weights)
    scale = fitted.temperature, fitted.offsets
    before, outcomes = describe_shares(softmax(logits, *scale), truth, NAMES[:k], "balanced")
    card = Card(NAMES[:k], Preprocessing(32, 32), {}, {}, Fingerprints.none(), {}, shares=before, outcomes=outcomes)
    return lambda more: softmax(linear(head, more), *scale), card


def linear(head: object, features: np.ndarray) -> np.ndarray:
    """Logits of a head that acts on features as they are."""
    weights, bias = head.folded()  # type: ignore[attr-defined]
    return np.asarray(features @ weights.T + bias)


if __name__ == "__main__":
    main()
