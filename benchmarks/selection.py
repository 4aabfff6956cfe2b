"""What is said of the lowest class, of parts and of thresholds that were picked, where the truth is known.

python benchmarks/selection.py classes 200
python benchmarks/selection.py parts 200
python benchmarks/selection.py thresholds 200
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from certero.business.case import Case, parse_case
from certero.business.outcomes import Outcomes, outcomes_of_photos
from certero.business.threshold import best_threshold, best_thresholds_per_class, decide_apart
from certero.business.worth import accept, gain_columns
from certero.records.quantity import Quantity
from certero.stats.intervals import wilson
from certero.stats.many_tests import widened
from certero.stats.slices import slice_rows
from certero.stats.weakest import weakest_class

Floats = NDArray[np.float64]
Random = np.random.Generator


# --- the lowest of many classes


def class_worlds(draw: Random) -> Iterator[tuple[str, int, Floats]]:
    """What differs, photos a class, and the true share of each class."""
    for count, photos in ((36, 30), (36, 10), (10, 30), (3, 40), (200, 20)):
        yield "all 0.85", photos, np.full(count, 0.85)
        yield "all 0.97", photos, np.full(count, 0.97)
        yield "spread, sd 0.1", photos, draw.beta(9.9, 1.8, count)
        yield "one at 0.5, others 0.9", photos, np.r_[0.5, np.full(count - 1, 0.9)]
        yield "a tenth at 0.6, others 0.95", photos, np.where(np.arange(count) < max(1, count // 10), 0.6, 0.95)


def classes(repeats: int) -> Iterator[Sequence[object]]:
    """How far the lowest share is off, and how often its interval holds: its own, and as that of a picked class."""
    yield (
        "classes",
        "photos each",
        "true recalls",
        "off, lowest",
        "off, picked",
        "holds, lowest",
        "picked",
        "called worse",
    )
    draw = np.random.default_rng(1)
    for name, photos, true in class_worlds(draw):
        off, off_picked, holds, holds_picked, worse = [], [], 0, 0, 0
        for _ in range(repeats):
            sizes = np.maximum(2, draw.poisson(photos, len(true)))
            hits = draw.binomial(sizes, true)
            recalls = {str(place): _recall(hits[place], sizes[place]) for place in range(len(true))}
            lowest = min(recalls, key=lambda label: (recalls[label].value, -recalls[label].n))
            picked = weakest_class(recalls)
            assert picked is not None
            off.append((recalls[lowest].value or 0.0) - true[int(lowest)])
            off_picked.append((picked.recall.value or 0.0) - true[int(picked.name)])
            holds += _holds(recalls[lowest], true[int(lowest)])
            holds_picked += _holds(picked.recall, true[int(picked.name)])
            worse += picked.worse
        shares = (f"{100 * count / repeats:.0f} %" for count in (holds, holds_picked, worse))
        yield (len(true), photos, name, f"{100 * np.mean(off):+.0f}", f"{100 * np.mean(off_picked):+.0f}", *shares)


def _recall(hits: int, n: int) -> Quantity:
    return Quantity(float(hits / n), *wilson(float(hits / n), int(n)), "wilson", int(n))


def _holds(quantity: Quantity, true: float) -> bool:
    low, high = quantity.interval or (0.0, 1.0)
    return bool(low <= true <= high)


# --- a bar that every class is to meet


def bars(repeats: int) -> Iterator[Sequence[object]]:
    """How often 36 classes that all just meet a bar are said to miss it."""
    yield ("bar", "photos each", "not met, own intervals", "not met, widened", "found, if one lies 0.4 lower")
    draw = np.random.default_rng(2)
    for bar, photos in ((0.85, 30), (0.85, 100), (0.95, 30), (0.95, 100)):
        own, wider, found = 0, 0, 0
        for _ in range(repeats):
            recalls = [_recall(hits, photos) for hits in draw.binomial(photos, bar, 36)]
            own += any((recall.high or 1) < bar for recall in recalls)
            wider += any((widened(recall, 36) or (0, 1))[1] < bar for recall in recalls)
            low = _recall(draw.binomial(photos, bar - 0.4), photos)
            found += (widened(low, 36) or (0, 1))[1] < bar
        yield (bar, photos, *(f"{100 * count / repeats:.0f} %" for count in (own, wider, found)))


# --- parts of the photos


@dataclasses.dataclass(frozen=True)
class Barn:
    """Photos of some days, 24 hours each; days and hours have easier and harder photos, nights are lower by `night`."""

    days: int
    each_hour: int
    day_sd: float
    hour_sd: float
    by_day: bool

    def photos(self, draw: Random, night: float) -> tuple[NDArray[np.bool_], NDArray[np.int64], dict[str, list[str]]]:
        """Which are right, the group of each, and the columns that make parts."""
        day = np.repeat(np.arange(self.days), 24 * self.each_hour)
        hour = np.tile(np.repeat(np.arange(24), self.each_hour), self.days)
        dark = (hour < 6) | (hour > 20)
        logit = 2.5 + draw.normal(0, self.day_sd, self.days)[day]
        logit += draw.normal(0, self.hour_sd, (self.days, 24))[day, hour] - night * dark
        columns = {
            "lighting": np.where(dark, "night", np.where(draw.random(len(day)) < 0.1, "glare", "day")).tolist(),
            "hour": [f"{value:02d}:00" for value in hour],
            "camera": [f"camera {value}" for value in draw.integers(0, 3, len(day))],
        }
        return draw.random(len(day)) < 1 / (1 + np.exp(-logit)), day if self.by_day else day * 24 + hour, columns


def parts(repeats: int) -> Iterator[Sequence[object]]:
    """How often a report calls a part worse though none is, by each part's own interval and by the corrected test."""
    yield ("days", "groups", "photos an hour", "sd of days, hours", "own interval below", "surely worse", "night found")
    draw = np.random.default_rng(3)
    for days in (2, 3, 5, 10):
        for by_day in (False, True):
            for each, day_sd, hour_sd in ((4, 0.0, 0.0), (4, 0.7, 0.7), (12, 0.7, 1.2)):
                barn = Barn(days, each, day_sd, hour_sd, by_day)
                own, called, found = 0, 0, 0
                for _ in range(repeats):
                    right, groups, columns = barn.photos(draw, 0.0)
                    rows = slice_rows(right, groups, columns)
                    accuracy = right.mean()
                    own += any(row.n >= 20 and (row.accuracy.high or 1) < accuracy for row in rows)
                    called += any(row.worse for row in rows)
                    dark = slice_rows(*barn.photos(draw, 2.0))
                    found += any(row.worse for row in dark if row.value == "night")
                rates = (f"{100 * count / repeats:.0f} %" for count in (own, called, found))
                yield (days, "days" if by_day else "hours", each, f"{day_sd}, {hour_sd}", *rates)


# --- thresholds chosen on the photos that they are judged on


def two_models(draw: Random, groups: int, each: int) -> tuple[Outcomes, Outcomes]:
    """Outputs for the same photos of two models that agree as those of the folds and of the shipped one do."""
    n, unit = groups * each, np.repeat(np.arange(groups), each)
    truth = draw.integers(0, 3, n)
    common = 2.2 * np.eye(3)[truth] + draw.normal(0, 0.6, (groups, 3))[unit] + draw.normal(0, 1.2, (n, 3))
    names, units = [f"{place:05d}" for place in range(n)], [f"{value:04d}" for value in unit]

    def outputs() -> Outcomes:
        logits = common + draw.normal(0, 0.4, (n, 3))
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return outcomes_of_photos(tuple("abc"), truth, shares / shares.sum(axis=1, keepdims=True), units, names)

    return outputs(), outputs()


def thresholds(repeats: int) -> Iterator[Sequence[object]]:
    """The gain a photo in cents: true, on later photos; claimed on the photos chosen on; claimed of photos left out."""
    yield (
        "groups",
        "photos each",
        "error, minutes",
        "thresholds",
        "true",
        "same photos",
        "photos left out",
        "± (standard error)",
    )
    for minutes in (0.35, 0.6):
        case = _case(minutes)
        for groups, each in ((12, 6), (6, 12), (12, 12)):
            for per_class in (False, True):
                draw = np.random.default_rng(4)
                later = two_models(draw, 3000, 12)[1]
                true, same, apart = [], [], []
                for _ in range(repeats):
                    held, judged = two_models(draw, groups, each)
                    rule, _gain = (best_thresholds_per_class if per_class else best_threshold)(case, held, None)
                    true.append(_gain_of(case, later, rule))
                    same.append(_gain_of(case, judged, rule))
                    decided = decide_apart(case, held, judged, None, per_class=per_class)
                    apart.append(float(gain_columns(case, decided)[1].mean()))
                error = 100 * np.std(np.array(apart) - true) / np.sqrt(repeats)
                figures = (f"{100 * np.mean(gains):.2f}" for gains in (true, same, apart))
                yield (groups, each, minutes, "one a class" if per_class else "one", *figures, f"{error:.2f}")


def _case(minutes: float) -> Case:
    return parse_case(
        {
            "volume_per_month": 10_000,
            "by_hand_minutes": 0.1,
            "with_model_minutes": 0.005,
            "hour_cost": 60.0,
            "error_minutes": minutes,
        }
    )


def _gain_of(case: Case, outcomes: Outcomes, rule: float | dict[str, float]) -> float:
    return float(gain_columns(case, accept(outcomes, rule, None))[1].mean())


STUDIES = {"classes": classes, "bars": bars, "parts": parts, "thresholds": thresholds}


def main() -> None:
    """Prints one table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("repeats", type=int)
    options = parser.parse_args()
    for number, row in enumerate(STUDIES[options.study](options.repeats)):
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
        if number == 0:
            print("|" + " --- |" * len(row))


if __name__ == "__main__":
    main()
