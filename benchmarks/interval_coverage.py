"""How often the 95 % intervals hold a known truth, on simulated test sets: one table, a row a world.

python benchmarks/interval_coverage.py 300
python benchmarks/interval_coverage.py 2000 --only "two kinds"
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import interval_worlds as worlds
import numpy as np

from certero.records.quantity import Quantity
from certero.stats import paired
from certero.stats.intervals import proportion
from certero.stats.new_group import predict_new_group
from certero.stats.scores import Resamples, score

Random = np.random.Generator


@dataclass
class Tally:
    """How often an interval held, and where the truth was when it did not."""

    draws: int = 0
    below: int = 0
    above: int = 0
    none: int = 0
    width: float = 0.0

    def add(self, found: Quantity, truth: float) -> None:
        """Counts one interval."""
        if found.low is None or found.high is None:
            self.none += 1
            return
        self.draws += 1
        self.below += truth < found.low
        self.above += truth > found.high
        self.width += found.high - found.low

    @property
    def held(self) -> float:
        """Share of the intervals that contain the truth."""
        return 1 - (self.below + self.above) / max(1, self.draws)


@dataclass
class Row:
    """Cells of one world that stand in one row of the table: the mean, and the least with its name."""

    world: str
    figure: str
    cells: dict[str, Tally] = field(default_factory=dict)

    def cell(self, named: str) -> Tally:
        """The tally of a cell."""
        return self.cells.setdefault(named, Tally())

    def line(self) -> str:
        """As the table shows it."""
        cells = {name: tally for name, tally in self.cells.items() if tally.draws}
        total = sum(tally.draws for tally in cells.values())
        if not total:
            return f"| {self.world} | {self.figure} | 0 | | | | | | all |"
        least = min(cells, key=lambda name: cells[name].held)
        sums = [sum(getattr(tally, key) for tally in cells.values()) / total for key in ("below", "above", "width")]
        none = sum(tally.none for tally in self.cells.values())
        mean = float(np.mean([tally.held for tally in cells.values()]))
        where = f"{100 * cells[least].held:.1f} %" + (f" ({least})" if len(cells) > 1 else "")
        shown = f"{100 * sums[0]:.1f} % | {100 * sums[1]:.1f} % | {sums[2]:.2f} | {none or ''}"
        return f"| {self.world} | {self.figure} | {len(cells)} | {100 * mean:.1f} % | {where} | {shown} |"


GRID_SHARES, GRID_CORRELATIONS = (0.5, 0.9, 0.95, 0.98), (0.0, 0.1, 0.3, 0.6)


def shares(draws: int) -> Iterator[Row]:
    """Beta-binomial groups: shares of 0.5 to 0.98, correlations of 0 to 0.6."""
    for size, groups in itertools.product(("10", "30", "2 to 20", "2 to 80"), (3, 5, 10, 20, 50)):
        row = Row(f"groups of {size}", f"share, {groups} groups")
        for share, correlation in itertools.product(GRID_SHARES, GRID_CORRELATIONS):
            random = np.random.default_rng([1, groups, round(100 * share), round(100 * correlation), len(size)])
            tally = row.cell(f"share {share}, correlation {correlation}")
            for _draw in range(draws):
                chance = worlds.beta_groups(share, correlation, groups, random)
                hits, group = worlds.photos_of(chance, worlds.sizes_of(size, groups, random), random)
                tally.add(proportion(hits, group), share)
        yield row


def two_kinds(draws: int) -> Iterator[Row]:
    """Groups are good, or rarely very bad; the good ones err hardly ever, or now and then."""
    for good, bad, least in ((0.995, 0.3, 10), (0.98, 0.2, 10)):
        for groups in (10, 13, 20, 40):
            row = Row(f"two kinds of groups: {100 * good:g} % and {100 * bad:g} % right", f"share, {groups} groups")
            for share in (0.6, 0.9, 0.95, 0.97):
                random = np.random.default_rng([2, groups, round(100 * share), round(1000 * good), least])
                tally = row.cell(f"share {share}")
                for _draw in range(draws):
                    chance = worlds.two_point_groups(share, good, bad, groups, random)
                    sizes = worlds.sizes_of("2 to 80, most small", groups, random)
                    tally.add(proportion(*worlds.photos_of(chance, sizes, random)), share)
            yield row


def telling_sizes(draws: int) -> Iterator[Row]:
    """Large groups are harder: the size tells something of the accuracy."""
    large, small = 0.90, 0.99
    drawn = worlds.sizes_of("2 to 80, most small", 1_000_000, np.random.default_rng(0))
    truth = float((drawn * np.where(drawn > 20, large, small)).sum() / drawn.sum())
    for groups in (10, 20, 40):
        row = Row("groups of 2 to 80, large ones harder", f"share, {groups} groups")
        random = np.random.default_rng([3, groups])
        for _draw in range(draws):
            sizes = worlds.sizes_of("2 to 80, most small", groups, random)
            mean = np.where(sizes > 20, large, small)
            row.cell("").add(proportion(*worlds.photos_of(random.beta(4 * mean, 4 * (1 - mean)), sizes, random)), truth)
        yield row


def independent(draws: int) -> Iterator[Row]:
    """Photos that do not depend on each other."""
    for n in (30, 200, 1000):
        row = Row("independent photos", f"share, {n} photos")
        for share in (0.5, 0.9, 0.95, 0.98):
            random = np.random.default_rng([4, n, round(100 * share)])
            for _draw in range(draws):
                row.cell(f"share {share}").add(proportion(random.random(n) < share), share)
        yield row


def days(draws: int) -> Iterator[Row]:
    """A learner, cross-validated by day, and its shipped model on new days; hours of a day resemble each other."""
    for effect in (0.7, 0.0):
        world = worlds.Days(effect)
        k = world.classes
        for count in (3, 5, 10):
            random = np.random.default_rng([5, count, round(10 * effect)])
            endless, truth, _new = world.draw(300, 2, random)
            said = "days that differ" if effect else "days without an effect of their own"
            mean = Row(f"{said}, cross-validated", f"accuracy on new days, {count} days")
            one = Row(f"{said}, cross-validated", f"accuracy on one new day, {count} days")
            for _draw in range(draws):
                features, label, day = world.draw(count, world.photos, random)
                right = worlds.cross_validate(features, label, day, min(count, 5), k)
                correct = worlds.name(worlds.learn(features, label, k), endless) == truth
                mean.cell("").add(proportion(right, day), float(correct.mean()))
                expected = predict_new_group(right, day)
                # What a day would show with many photos: here some hundred of one.
                seen, asked, _day = world.draw(3, 60, random)
                named = worlds.name(worlds.learn(features, label, k), seen) == asked
                for number in range(3):
                    one.cell("").add(expected, float(named[_day == number].mean()))
            yield mean
            yield one


FIGURES: dict[str, Callable[..., Quantity]] = {
    "accuracy": lambda found: found.accuracy,
    "balanced accuracy": lambda found: found.balanced_accuracy,
    "macro F1": lambda found: found.macro_f1,
    "macro precision": lambda found: found.macro.precision,
    "weighted F1": lambda found: found.weighted.f1,
    "mean area (ROC)": lambda found: found.roc_auc,
    "mean average precision": lambda found: found.average_precision,
    "log loss": lambda found: found.log_loss,
    "recall of the rare class": lambda found: found.per_class["c"].recall,
    "precision of the rare class": lambda found: found.per_class["c"].precision,
    "F1 of the rare class": lambda found: found.per_class["c"].f1,
    "area of the rare class": lambda found: found.per_class["c"].roc_auc,
    "average precision of the rare class": lambda found: found.per_class["c"].average_precision,
}
FIGURE_WORLDS = {
    "13 groups of 33": worlds.Answers(13, "33"),
    "13 groups, rare class in 30 %": worlds.Answers(13, "33", rare=0.3),
    "20 groups, rare class in 25 %": worlds.Answers(20, "30", rare=0.25),
    "40 groups, rare class in 15 %": worlds.Answers(40, "15", rare=0.15),
    "10 groups of 2 to 80, rare class in half": worlds.Answers(10, "2 to 80", rare=0.5),
    "5 groups of 60": worlds.Answers(5, "60"),
    "3 groups of 100": worlds.Answers(3, "100", look=0.5),
    "20 groups, the model fails in 7 %": worlds.Answers(20, "30", look=0.4, bad=0.07),
}


def figures(draws: int) -> Iterator[Row]:
    """Averages, areas, losses and the figures of a class that few groups hold."""
    names = ("a", "b", "c")
    rows = {figure: Row("figures of three classes", figure) for figure in FIGURES}
    for number, (named, world) in enumerate(FIGURE_WORLDS.items()):
        random = np.random.default_rng([6, number])
        probabilities, truth, _group = world.draw(random, 6000)
        endless = score(probabilities, truth, names, resamples=Resamples(2))
        for _draw in range(draws):
            probabilities, truth, group = world.draw(random)
            while len(np.unique(truth)) < len(names):
                probabilities, truth, group = world.draw(random)
            found = score(probabilities, truth, names, group, resamples=Resamples(2))
            for figure, read in FIGURES.items():
                rows[figure].cell(named).add(read(found), float(read(endless).value or 0.0))
    yield from rows.values()


def differences(draws: int) -> Iterator[Row]:
    """Two models, one of which fails in one group of ten; and verdicts on equal ones."""
    kinds = ((3, "60"), (6, "40"), (10, "20"), (12, "2 to 80"), (20, "20"), (30, "20"), (60, "10"))
    for second, said in ((0.95, "the other 7.5 points better"), (0.875, "the other equal on average")):
        rows = {
            figure: Row(f"one model fails in 10 % of the groups, {said}", figure) for figure in ("", " of macro F1")
        }
        wrong: dict[str, float] = {}
        for groups, size in kinds:
            world = worlds.TwoModels(groups, size, second)
            random = np.random.default_rng([7, groups, round(1000 * second)])
            named = f"{groups} groups"
            for _draw in range(draws):
                pair = _compared(*world.draw(random))
                rows[""].cell(named).add(pair.accuracy, world.difference)
                rows[" of macro F1"].cell(named).add(pair.macro_f1, world.difference_of_f1)
                against = pair.verdict == "worse" or (second == 0.875 and pair.verdict == "better")
                wrong[named] = wrong.get(named, 0.0) + against / draws
        for figure, row in rows.items():
            row.figure = f"difference{figure}"
            yield row
        shown = ", ".join(f"{named} {100 * share:.1f} %" for named, share in wrong.items())
        print(f"| {rows[''].world} | wrong verdicts: {shown} | | | | | | | |", flush=True)


def _compared(truth: worlds.Integers, named: list[worlds.Integers], group: worlds.Integers) -> paired.Paired:
    answers = paired.Answers(truth, named, ("a", "b", "c"), 3, group, {})
    return paired.compare_answers(answers, n_resamples=200)[1][0]


#: Name, rows, and how many of the draws asked for: a learner and a bootstrap take their time.
WORLDS: dict[str, tuple[Callable[[int], Iterator[Row]], float]] = {
    "shares": (shares, 1.0),
    "two kinds": (two_kinds, 2.0),
    "telling sizes": (telling_sizes, 4.0),
    "independent": (independent, 10.0),
    "days": (days, 1.0),
    "figures": (figures, 0.5),
    "differences": (differences, 0.5),
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("draws", type=int, nargs="?", default=300, help="simulated test sets of a cell")
    parser.add_argument("--only", choices=list(WORLDS), help="one world")
    asked = parser.parse_args()
    print("| world | figure | cells | held, mean | least | truth below | truth above | width | none |")
    print("| --- " * 9 + "|")
    for name, (rows, factor) in WORLDS.items():
        if asked.only in (None, name):
            started, draws = time.perf_counter(), max(1, round(factor * asked.draws))
            for row in rows(draws):
                print(row.line(), flush=True)
            seconds = time.perf_counter() - started
            print(f"| *{name}: {draws:,} draws a cell, {seconds:.0f} s* | | | | | | | | |", flush=True)


if __name__ == "__main__":
    main()
