"""Several classifiers on the same photos: differences, whether they may be chance, and how many photos would tell."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.records.comparison import (
    ClassDifference,
    ClassRecall,
    ModelScores,
    Paired,
    SliceDifference,
    Tested,
)
from certero.records.quantity import Quantity
from certero.stats.class_means import grouped_macro_f1
from certero.stats.difference import Gains, design_effect, difference
from certero.stats.intervals import (
    FEWEST_GROUPS,
    LEVEL,
    group_codes,
    percentile_interval,
    proportion,
    resample,
)
from certero.stats.many_tests import holm
from certero.stats.slices import MOST_VALUES

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: A difference counts if chance alone would give it less often than this.
SIGNIFICANCE = 1 - LEVEL
#: Of fewer groups even the most one-sided signs come by chance more often than that: 2^(1 - groups).
FEWEST_TESTED = 6
#: Probability of finding a difference of the given size, for the number of photos needed.
POWER = 0.8


def mcnemar(first_only: int, second_only: int) -> float:
    """The exact two-sided p value of McNemar's test on independent photos.

    Args:
        first_only: photos that only the first classifier labels correctly.
        second_only: photos that only the second one does.

    Source: Q. McNemar, Psychometrika 12 (1947), 153-157, with the binomial distribution in place of its approximation.

    >>> round(mcnemar(2, 9), 4)
    0.0654
    """
    from scipy.special import bdtr

    told = first_only + second_only
    return 1.0 if told == 0 else min(1.0, 2 * float(bdtr(min(first_only, second_only), told, 0.5)))


def group_signs(differences: ArrayLike) -> float:
    """The exact two-sided p value of groups' differences being as one-sided as this by chance.

    If neither classifier were better, swapping them within a group would change nothing: each group's difference
    could as well have the other sign. Of all choices of signs, the share whose sum is at least as far from 0. With one
    photo a group this is the exact McNemar test.

    Args:
        differences: int [groups], photos that only the second classifier labels correctly minus those of the first.

    Source: I. A. Canay, J. P. Romano, A. M. Shaikh, Econometrica 85 (2017), 1013-1030; the distribution of the sum by
    its characteristic function, the product of cos(d t).

    >>> group_signs([1] * 9 + [-1] * 2 + [0] * 5) == mcnemar(2, 9)
    True
    """
    sizes, counts = np.unique(np.abs(np.asarray(differences, dtype=np.int64)), return_counts=True)
    largest = int((sizes * counts).sum())
    observed = abs(int(np.asarray(differences, dtype=np.int64).sum()))
    if largest == 0 or observed == 0:
        return 1.0
    if sizes.max() == 1:
        return mcnemar((largest - observed) // 2, (largest + observed) // 2)
    places = 2 * largest + 1
    angles = 2 * np.pi * np.arange(places) / places
    product = np.ones(places)
    for size, count in zip(sizes, counts, strict=True):
        product *= np.cos(size * angles) ** int(count)
    chances = np.fft.fft(product).real / places  # of the sums 0, 1, ..., largest, -largest, ..., -1
    return float(np.clip(2 * chances[observed : largest + 1].sum(), 0.0, 1.0))


def photos_needed(
    discordance: float, difference: float, *, design_effect: float = 1.0, significance: float = SIGNIFICANCE
) -> int | None:
    """How many photos would show this difference of two accuracies with a probability of `POWER`.

    Args:
        discordance: share of photos that exactly one of the two classifiers labels correctly.
        difference: of the accuracies; no number of photos shows a difference of 0, which gives None.
        design_effect: how many dependent photos tell as much as an independent one.
        significance: two-sided level of the test.

    Source: R. J. Connor, Biometrics 43 (1987), 207-211, times the design effect (L. Kish).

    >>> photos_needed(0.2, 0.05)
    626
    """
    gap = abs(difference)
    if gap == 0 or not discordance >= gap:
        return None
    reach = _reach(discordance, gap, significance)
    return math.ceil(design_effect * reach**2 / gap**2)


def smallest_difference(
    discordance: float, n: int, *, design_effect: float = 1.0, significance: float = SIGNIFICANCE
) -> float | None:
    """The smallest difference of accuracies that n photos show with a probability of `POWER`; see `photos_needed`.

    Returns:
        None if even a difference as large as the discordance would stay hidden.
    """
    effective = n / design_effect
    low, high = 0.0, discordance
    if discordance <= 0 or effective * high**2 < _reach(discordance, high, significance) ** 2:
        return None
    for _step in range(60):
        middle = (low + high) / 2
        told = effective * middle**2 >= _reach(discordance, middle, significance) ** 2
        low, high = (low, middle) if told else (middle, high)
    return high


def _reach(discordance: float, gap: float, significance: float) -> float:
    normal = NormalDist()
    spread = math.sqrt(max(0.0, discordance - gap**2))
    return normal.inv_cdf(1 - significance / 2) * math.sqrt(discordance) + normal.inv_cdf(POWER) * spread


@dataclass(frozen=True, slots=True)
class Answers:
    """What several classifiers predicted for the same n photos.

    Args:
        truth: int [n], index of the true class.
        predicted: for each classifier, int [n], index of the predicted class.
        classes: names behind the indices; those after `judged` are never true, only predicted.
        judged: how many of the classes the photos may belong to.
        groups: int or str [n], photos of one group depend on each other; None for independent photos.
        columns: by name of the slice, the value of each photo, str or None [n].
    """

    truth: Integers
    predicted: Sequence[Integers]
    classes: Sequence[str]
    judged: int
    groups: ArrayLike | None
    columns: Mapping[str, Sequence[str | None]]


def compare_answers(
    answers: Answers, *, seed: int = 0, n_resamples: int = 1000
) -> tuple[list[ModelScores], list[Paired]]:
    """The figures of each classifier, and every pair of them.

    All figures come from the same resamples of the photos, so that a difference has the interval of a difference.
    Ends of intervals are those of `difference`; see `benchmarks/comparison.py`.

    Args:
        answers: n above 0.
        seed: of the bootstrap.
        n_resamples: of the bootstrap.

    Returns:
        The figures of each, and those of every pair, the second minus the first.

    Source: T. Hesterberg, The American Statistician 69 (2015), 371-386, "expanded percentile"; B. Efron,
    R. Tibshirani, An Introduction to the Bootstrap (1993), section 12.2, Student's t on a bootstrap standard error.
    """
    truth, n = answers.truth, len(answers.truth)
    codes = group_codes(answers.groups, n)
    parts = _parts(answers)
    sums = _Sums(answers, parts, codes)
    whole = sums.figures(sums(np.ones(sums.units))[None])
    draws = sums.figures(resample(sums, sums.units, n_resamples=n_resamples, seed=seed))
    right = [predicted == truth for predicted in answers.predicted]
    count = None if codes is None else int(codes.max()) + 1
    models: list[ModelScores] = []
    for model, hits in enumerate(right):
        if codes is None:
            f1 = percentile_interval(float(whole.macro_f1[0, model]), draws.macro_f1[:, model], n)
        else:
            f1 = grouped_macro_f1(truth, answers.predicted[model], codes, len(answers.classes))
        rows: dict[str, ClassRecall] = {}
        for index, name in enumerate(answers.classes[: answers.judged]):
            shown = truth == index
            recall = proportion(hits[shown], None if codes is None else codes[shown], all_groups=count)
            rows[name] = ClassRecall(int(shown.sum()), recall)
        models.append(ModelScores(proportion(hits, codes), f1, rows))
    couples = list(itertools.combinations(range(len(right)), 2))
    level = SIGNIFICANCE / max(1, len(couples))
    pairs = [_pair(answers, parts, codes, (a, b), whole, draws, level) for a, b in couples]
    adjusted = holm([pair.p for pair in pairs])
    return models, [_judge(pair, p_holm) for pair, p_holm in zip(pairs, adjusted, strict=True)]


def _judge(pair: Paired, p_holm: float | None) -> Paired:
    verdict, reason = _verdict(pair.accuracy, pair.only_first + pair.only_second, p_holm)
    if reason == "too_few_photos" and pair.groups is not None and pair.groups < FEWEST_TESTED:
        reason = "too_few_groups"
    return dataclasses.replace(pair, p_holm=p_holm, verdict=verdict, reason=reason)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the photos: those of one class, or with one value of a slice."""

    column: str | None
    value: str | None
    inside: Flags


@dataclass(frozen=True, slots=True)
class _Figures:
    """For each resample and classifier: macro F1 [r, m], accuracy [r, m], accuracy of each part [r, parts, m]."""

    macro_f1: Floats
    accuracy: Floats
    parts: Floats


def _parts(answers: Answers) -> list[_Part]:
    parts = [_Part(None, name, answers.truth == index) for index, name in enumerate(answers.classes[: answers.judged])]
    for column, values in answers.columns.items():
        cells = np.asarray(values, dtype=object)
        distinct = sorted(set(values), key=lambda value: (value is None, value or ""))
        if 2 <= len(distinct) <= MOST_VALUES:
            parts += [_Part(column, value, np.array([cell == value for cell in cells])) for value in distinct]
    return parts


class _Sums:
    """Maps weights of units (groups, or independent photos) to the sums that every figure is made of.

    A sparse matrix, one row a sum: photos of class k, predicted k, correctly predicted k, in a part, right in a part.
    """

    def __init__(self, answers: Answers, parts: Sequence[_Part], codes: Integers | None) -> None:
        from scipy.sparse import coo_array

        truth, n = answers.truth, len(answers.truth)
        self._k, self._m, self._parts = len(answers.classes), len(answers.predicted), len(parts)
        self._codes = np.arange(n) if codes is None else codes
        self.units = int(self._codes.max()) + 1
        k = self._k
        everything = np.arange(n)
        right = [np.flatnonzero(predicted == truth) for predicted in answers.predicted]
        blocks: list[tuple[Integers, Integers]] = [(truth, everything)]  # sum, photo
        for model, predicted in enumerate(answers.predicted):
            first = k * (1 + 2 * model)
            blocks += [(first + predicted, everything), (first + k + truth[right[model]], right[model])]
        for place, part in enumerate(parts):
            first = k * (1 + 2 * self._m) + place * (1 + self._m)
            inside = np.flatnonzero(part.inside)
            blocks.append((np.full(len(inside), first), inside))
            for model in range(self._m):
                found = right[model][part.inside[right[model]]]
                blocks.append((np.full(len(found), first + 1 + model), found))
        rows = np.concatenate([row for row, _photo in blocks])
        columns = self._codes[np.concatenate([photo for _row, photo in blocks])]
        shape = (k * (1 + 2 * self._m) + self._parts * (1 + self._m), self.units)
        self._matrix = coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()

    def __call__(self, weights: Floats) -> Floats:
        return np.asarray(self._matrix @ weights, dtype=np.float64)

    def figures(self, sums: Floats) -> _Figures:
        """From sums [resamples, ...]; undefined figures are NaN. Macro F1 is over classes that occur."""
        k, m = self._k, self._m
        true, rest = sums[:, :k], sums[:, k : k + 2 * k * m].reshape(len(sums), m, 2, k)
        called, hits = rest[:, :, 0], rest[:, :, 1]
        occurs = called + true[:, None]
        f1 = _ratio(2 * hits, occurs)
        macro = np.nan_to_num(f1).sum(axis=2) / np.maximum((occurs > 0).sum(axis=2), 1)
        accuracy = hits.sum(axis=2) / true.sum(axis=1)[:, None]
        parts = sums[:, k + 2 * k * m :].reshape(len(sums), self._parts, 1 + m)
        return _Figures(macro, accuracy, _ratio(parts[:, :, 1:], parts[:, :, :1]))


def _ratio(above: Floats, below: Floats) -> Floats:
    below = np.broadcast_to(below, above.shape)
    ratio: Floats = np.full(above.shape, np.nan)
    return np.divide(above, below, out=ratio, where=below > 0)


@dataclass(frozen=True, slots=True)
class _PartDifference:
    """A difference on a part of the photos; `told` of them are named rightly by one of the two alone."""

    part: _Part
    n: int
    difference: Quantity
    p: float | None
    told: int


def _pair(
    answers: Answers,
    parts: Sequence[_Part],
    codes: Integers | None,
    couple: tuple[int, int],
    whole: _Figures,
    draws: _Figures,
    level: float,
) -> Paired:
    """A pair, not judged yet."""
    a, b = couple
    n = len(answers.truth)
    first, second = (answers.predicted[model] == answers.truth for model in couple)
    gains = second.astype(np.int64) - first.astype(np.int64)
    everything = np.ones(n, dtype=bool)
    test, p = _test(gains, codes, everything)
    groups = None if codes is None else int(codes.max()) + 1
    gained = Gains(gains, codes, groups)
    discordance, gap = float(np.abs(gains).mean()), float(gains.mean())
    effect = design_effect(gained)
    rows: list[_PartDifference] = []
    for number, part in enumerate(parts):
        value = float(whole.parts[0, number, b] - whole.parts[0, number, a])
        drawn = draws.parts[:, number, b] - draws.parts[:, number, a]
        rows.append(
            _PartDifference(
                part,
                int(part.inside.sum()),
                difference(value, drawn, gained.part(part.inside)),
                _test(gains, codes, part.inside)[1],
                int(np.abs(gains[part.inside]).sum()),
            )
        )
    per_class: dict[str, ClassDifference] = {}
    slices: list[SliceDifference] = []
    for row, tested in zip(rows, _judge_parts(rows), strict=True):
        if row.part.column is None:
            per_class[str(row.part.value)] = ClassDifference(tested, row.difference)
        else:
            slices.append(SliceDifference(row.part.column, row.part.value, row.difference, tested))
    moved = draws.accuracy[:, b] - draws.accuracy[:, a]
    f1 = float(whole.macro_f1[0, b] - whole.macro_f1[0, a])
    return Paired(
        n=n,
        groups=groups,
        only_first=int((gains < 0).sum()),
        only_second=int((gains > 0).sum()),
        disagree=float((answers.predicted[a] != answers.predicted[b]).mean()),
        accuracy=difference(gap, moved, gained),
        macro_f1=difference(f1, draws.macro_f1[:, b] - draws.macro_f1[:, a], gained, moved),
        test=test,
        p=p,
        p_holm=None,
        verdict="",
        reason=None,
        design_effect=effect,
        photos_needed=photos_needed(discordance, gap, design_effect=effect, significance=level),
        smallest_difference=smallest_difference(discordance, n, design_effect=effect, significance=level),
        per_class=per_class,
        slices=tuple(slices),
    )


def _judge_parts(rows: Sequence[_PartDifference]) -> list[Tested]:
    """The verdict on each part, adjusted for how many parts of its kind were looked at."""
    adjusted: dict[int, float | None] = {}
    for column in dict.fromkeys(row.part.column for row in rows):
        places = [place for place, row in enumerate(rows) if row.part.column == column]
        adjusted |= dict(zip(places, holm([rows[place].p for place in places]), strict=True))
    return [
        Tested(row.n, row.p, adjusted[place], _verdict(row.difference, row.told, adjusted[place])[0])
        for place, row in enumerate(rows)
    ]


def _verdict(difference: Quantity, told: int, p: float | None) -> tuple[str, str | None]:
    """Better or worse only if test and interval agree, so that no reader sees a verdict against its interval."""
    if told == 0:
        return ("alike" if difference.value is not None else "cannot tell"), "no_difference"
    if difference.low is None or difference.high is None or p is None:
        return "cannot tell", difference.method
    if p < SIGNIFICANCE and difference.low > 0:
        return "better", None
    if p < SIGNIFICANCE and difference.high < 0:
        return "worse", None
    return "cannot tell", "too_few_photos"


def _test(gains: Integers, codes: Integers | None, inside: Flags) -> tuple[str | None, float | None]:
    """The name and p value of the test on the photos inside; None if there is nothing to test."""
    part = gains[inside]
    if len(part) == 0:
        return None, None
    if codes is None:
        return "mcnemar", mcnemar(int((part < 0).sum()), int((part > 0).sum()))
    if len(np.unique(codes[inside])) < FEWEST_GROUPS:
        return None, None
    return "group_signs", group_signs(np.rint(np.bincount(codes[inside], weights=part)))
