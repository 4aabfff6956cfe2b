"""How often the figure for other days holds the accuracy on new days, by certero's own separation, folds and probe.

A photo is a point: the centre of its class, moved by what the day and the hour do to that class, and noise. Hours of a
day depend on the one before. For each set of days the photos are separated, cross-validated and judged as `certero
train` does; the truth is the accuracy, on many new days, of the model fitted on all of them.

python benchmarks/new_days.py 200
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from certero.data.separation import separate
from certero.data.split import assign_folds, fold_training_mask
from certero.data.table import Photos, conform
from certero.engine.blas import one_blas_thread
from certero.probe.probe import Head, fit_head
from certero.stats.intervals import proportion
from certero.stats.new_group import predict_new_group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

CLASSES, WIDTH = 3, 16
SHARES = np.array([0.65, 0.25, 0.10])
HOURS, PHOTOS_AN_HOUR = 12, 12
STRENGTH = 0.1
NEW_DAYS = 500
_START = datetime(2024, 1, 8, 6)
_CENTRES = np.random.default_rng(1).standard_normal((CLASSES, WIDTH))
_CENTRES *= 3.4 / np.linalg.norm(_CENTRES, axis=1, keepdims=True)


@dataclass(frozen=True)
class World:
    """Days, and how much they and their hours differ: standard deviations of what moves a class.

    `following` is the correlation of an hour with the one before.
    """

    days: int
    day: float
    hour: float
    following: float


@dataclass(frozen=True)
class Drawn:
    """Photos: features [n, D], classes [n], times [n] and the number of the day [n]."""

    features: Floats
    truth: Ints
    times: list[datetime]
    day: Ints


WORLDS = tuple(
    World(days, day, 0.5, following) for day, following in ((0.7, 0.0), (0.7, 0.8), (0.0, 0.8)) for days in (3, 5, 10)
)


@dataclass(frozen=True)
class Held:
    """Of one set of days: whether each interval holds the truth, its width, the figure and the truth."""

    days: bool
    hours: bool
    new_day: float
    width: float
    figure: float
    truth: float


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=200, help="sets of days of each kind")
    runs = parser.parse_args().runs
    print(
        "| days | days differ | hours follow | figure | on new days | held | width | by hours held | one new day held |"
    )
    print("| --- " * 9 + "|")
    for world in WORLDS:
        found = coverage(world, runs)
        mean = {name: float(np.mean([getattr(each, name) for each in found])) for name in Held.__annotations__}
        shares = [f"{100 * mean[name]:.1f} %" for name in ("figure", "truth", "days", "hours", "new_day")]
        shown = [f"{world.days}", f"{world.day:g}", f"{world.following:g}", *shares[:3], f"{mean['width']:.2f}"]
        print(f"| {' | '.join([*shown, *shares[3:]])} |", flush=True)


def coverage(world: World, runs: int, seed: int = 0) -> list[Held]:
    """What the intervals of so many sets of days hold."""
    rng = np.random.default_rng([seed, world.days, round(100 * world.day), round(100 * world.following)])
    new = draw(world, NEW_DAYS, rng)
    with one_blas_thread():
        return [_one(world, new, rng) for _ in range(runs)]


def _one(world: World, new: Drawn, rng: np.random.Generator) -> Held:
    drawn = draw(world, world.days, rng)
    right, units = _cross_validate(drawn, "days")
    figure, new_day = proportion(right, units), predict_new_group(right, units)
    by_hours = proportion(*_cross_validate(drawn, "hours"))
    hits = _named(_fit(drawn.features, drawn.truth), new.features) == new.truth
    truth, by_day = float(hits.mean()), np.bincount(new.day, weights=hits) / np.bincount(new.day)
    low, high = figure.interval or (0.0, 1.0)
    least, most = by_hours.interval or (0.0, 1.0)
    bottom, top = new_day.interval or (0.0, 1.0)
    return Held(
        low <= truth <= high,
        least <= truth <= most,
        float(((bottom <= by_day) & (by_day <= top)).mean()),
        high - low,
        figure.value or 0.0,
        truth,
    )


def _cross_validate(drawn: Drawn, figure_for: Literal["hours", "days"]) -> tuple[NDArray[np.bool_], list[str]]:
    """Which photos were named rightly by a probe that was not fitted on their fold, and their units."""
    photos = _photos(drawn)
    separation = separate(photos, [], figure_for=figure_for)
    table = assign_folds(photos, separation, min(5, separation.counts["units"])).table
    folds, right = table["fold"].to_numpy(), np.zeros(len(drawn.truth), dtype=bool)
    for fold in range(int(folds.max()) + 1):
        inside, outside = fold_training_mask(table, fold, separation.gap), folds == fold
        head = _fit(drawn.features[inside], drawn.truth[inside])
        right[outside] = _named(head, drawn.features[outside]) == drawn.truth[outside]
    return right, table["unit"].to_list()


def draw(world: World, days: int, rng: np.random.Generator) -> Drawn:
    """Photos of so many days."""
    day = np.repeat(np.arange(days), HOURS * PHOTOS_AN_HOUR)
    hour = np.repeat(np.arange(days * HOURS), PHOTOS_AN_HOUR)
    of_day = rng.normal(0, world.day, (days, CLASSES, WIDTH))
    fresh = rng.normal(0, world.hour, (days, HOURS, CLASSES, WIDTH))
    of_hour = fresh.copy()
    for number in range(1, HOURS):
        rest = np.sqrt(1 - world.following**2)
        of_hour[:, number] = world.following * of_hour[:, number - 1] + rest * fresh[:, number]
    tilt = rng.dirichlet(SHARES * 6, days * HOURS)
    truth = (rng.random(len(hour))[:, None] > np.cumsum(tilt, axis=1)[hour]).sum(axis=1).clip(0, CLASSES - 1)
    moved = _CENTRES[truth] + of_day[day, truth] + of_hour.reshape(-1, CLASSES, WIDTH)[hour, truth]
    step = timedelta(hours=1) / PHOTOS_AN_HOUR
    clock = [timedelta(hours=number) + step * photo for number in range(HOURS) for photo in range(PHOTOS_AN_HOUR)]
    times = [_START + timedelta(days=each) + time for each in range(days) for time in clock]
    return Drawn(moved + rng.standard_normal(moved.shape), truth, times, day)


def _photos(drawn: Drawn) -> Photos:
    columns = {
        "path": [f"{number:06}.jpg" for number in range(len(drawn.truth))],
        "label": [str(label) for label in drawn.truth],
        "status": ["ok"] * len(drawn.truth),
        "captured_at": drawn.times,
    }
    return Photos(Path(), conform(pl.DataFrame(columns)), "folders")


def _fit(features: Floats, truth: Ints) -> Head:
    ones = np.ones(len(truth))
    return fit_head(features.astype(np.float32), truth, CLASSES, STRENGTH, ones, rooted=False)


def _named(head: Head, features: Floats) -> Ints:
    return np.asarray(head.logits(features.astype(np.float32)).argmax(axis=1), dtype=np.int64)


if __name__ == "__main__":
    main()
