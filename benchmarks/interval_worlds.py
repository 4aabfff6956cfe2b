"""Simulated test sets with a known truth, for interval_coverage.py: ways in which photos depend on each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Random = np.random.Generator

CLASS_SHARES = (0.6, 0.3, 0.1)


def sizes_of(kind: str, groups: int, random: Random) -> Integers:
    """Photos of each group."""
    if kind == "2 to 20":
        return random.integers(2, 21, groups)
    if kind == "2 to 80":
        return random.integers(2, 81, groups)
    if kind == "2 to 80, most small":
        return np.round(np.exp(random.uniform(np.log(2), np.log(80), groups))).astype(np.int64)
    return np.full(groups, int(kind))


def beta_groups(share: float, correlation: float, groups: int, random: Random) -> Floats:
    """The accuracy of each group: all alike, or drawn from a beta distribution."""
    if correlation == 0:
        return np.full(groups, share)
    spread = (1 - correlation) / correlation
    return random.beta(share * spread, (1 - share) * spread, groups)


def two_point_groups(share: float, good: float, bad: float, groups: int, random: Random) -> Floats:
    """The accuracy of each group: good, or rarely bad, so that the mean over groups is `share`."""
    return np.where(random.random(groups) < (good - share) / (good - bad), bad, good)


def photos_of(chance: Floats, sizes: Integers, random: Random) -> tuple[Flags, Integers]:
    """Right or wrong for each photo, and its group."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    return random.random(len(group)) < chance[group], group


@dataclass(frozen=True)
class Days:
    """Photos of days whose hours resemble each other; a classifier learns on some and is asked about new ones.

    Args:
        day: standard deviation of what a day does to the look of each class.
        hour: the same of an hour.
        hours: of a day.
        photos: of an hour.
        kept: correlation of an hour's look with that of the hour before.
    """

    day: float
    hour: float = 0.5
    hours: int = 12
    photos: int = 20
    kept: float = 0.5

    classes = 3
    features = 16
    shares = np.array([0.65, 0.25, 0.10])

    def means(self) -> Floats:
        """The look of each class, float [classes, features]: the same in every draw."""
        means = np.random.default_rng(1).standard_normal((self.classes, self.features))
        return 3.4 * means / np.linalg.norm(means, axis=1, keepdims=True)

    def draw(self, days: int, photos: int, random: Random) -> tuple[Floats, Integers, Integers]:
        """Features, true class and day of each photo."""
        shape = (days, self.hours, self.classes, self.features)
        look = random.normal(0, self.hour, shape)
        for hour in range(1, self.hours):
            look[:, hour] = self.kept * look[:, hour - 1] + np.sqrt(1 - self.kept**2) * look[:, hour]
        look += random.normal(0, self.day, (days, 1, *shape[2:]))
        hour_of = np.repeat(np.arange(days * self.hours), photos)
        tilt = random.dirichlet(6 * self.shares, days * self.hours)
        truth = (random.random(len(hour_of))[:, None] > np.cumsum(tilt, axis=1)[hour_of]).sum(axis=1)
        truth = np.minimum(truth, self.classes - 1)
        seen = self.means()[truth] + look.reshape(-1, *shape[2:])[hour_of, truth]
        return seen + random.standard_normal(seen.shape), truth, hour_of // self.hours


def learn(features: Floats, truth: Integers, classes: int) -> tuple[Floats, Floats]:
    """Weights and offsets of a linear discriminant with a ridge; classes that are not there are never named."""
    k, dimensions = classes, features.shape[1]
    means, offsets, scatter = np.zeros((k, dimensions)), np.full(k, -1e3), 3.0 * np.eye(dimensions)
    there = [label for label in range(k) if (truth == label).any()]
    for label in there:
        means[label] = features[truth == label].mean(axis=0)
        centered = features[truth == label] - means[label]
        scatter += centered.T @ centered
    weights = np.linalg.solve(scatter / (len(truth) - k + 3), means.T).T
    for label in there:
        offsets[label] = -0.5 * means[label] @ weights[label]
    return weights, offsets


def name(model: tuple[Floats, Floats], features: Floats) -> Integers:
    """The class that a model names for each photo."""
    return (features @ model[0].T + model[1]).argmax(axis=1)


def cross_validate(features: Floats, truth: Integers, units: Integers, folds: int, classes: int) -> Flags:
    """Right or wrong for each photo, by a model that learnt from other units."""
    fold = units % folds
    right = np.zeros(len(truth), dtype=bool)
    for number in np.unique(fold):
        asked = fold == number
        right[asked] = name(learn(features[~asked], truth[~asked], classes), features[asked]) == truth[asked]
    return right


@dataclass(frozen=True)
class Answers:
    """A classifier of three classes on photos in groups; the third class is in some groups alone.

    Args:
        groups: how many.
        sizes: of `sizes_of`.
        rare: share of the groups that hold the third class.
        look: standard deviation of what a group does to the logits of each class.
        bad: share of groups in which the classifier fails.
    """

    groups: int
    sizes: str
    rare: float = 1.0
    look: float = 0.7
    bad: float = 0.0

    def draw(self, random: Random, groups: int = 0) -> tuple[Floats, Integers, Integers]:
        """Probabilities [n, 3], truth and group."""
        groups = groups or self.groups
        group = np.repeat(np.arange(groups), sizes_of(self.sizes, groups, random))
        holds = random.random(groups) < self.rare
        shares = np.where(holds[:, None], [0.5, 0.3, 0.2], [0.6, 0.4, 0.0])
        truth = np.minimum((random.random(len(group))[:, None] > np.cumsum(shares, axis=1)[group]).sum(axis=1), 2)
        look = random.normal(0, self.look, (groups, 3, 3))[group, truth]
        fails = random.random(groups) < self.bad
        logits = 2.4 * np.eye(3)[truth] + look - 2.2 * np.eye(3)[truth] * fails[group, None]
        logits = 1.5 * (logits + random.normal(size=logits.shape))
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True), truth, group


@dataclass(frozen=True)
class TwoModels:
    """Two classifiers on the same photos of groups; in one group of ten the first fails.

    Args:
        groups: how many.
        sizes: of `sizes_of`.
        second: accuracy of the second one, in every group; that of the first is 0.875 on average.
    """

    groups: int
    sizes: str
    second: float

    @property
    def difference(self) -> float:
        """The true difference of the accuracies."""
        return self.second - 0.875

    @property
    def difference_of_f1(self) -> float:
        """The true difference of macro F1: a wrong answer names the next class."""
        shares = np.array(CLASS_SHARES)

        def macro(accuracy: float) -> float:
            called = accuracy * shares + (1 - accuracy) * np.roll(shares, 1)
            return float(np.mean(2 * accuracy * shares / (shares + called)))

        return macro(self.second) - macro(0.875)

    def draw(self, random: Random) -> tuple[Integers, list[Integers], Integers]:
        """Truth, what each classifier names, and the group."""
        groups = self.groups
        group = np.repeat(np.arange(groups), sizes_of(self.sizes, groups, random))
        first = np.where(random.random(groups) < 0.1, 0.2, 0.95)
        truth = random.choice(3, len(group), p=CLASS_SHARES)
        luck = random.random((3, len(group)))
        luck = np.where(random.random(len(group)) < 0.5, luck[:1], luck[1:])
        right = luck[0] < first[group], luck[1] < self.second
        return truth, [np.where(hit, truth, (truth + 1) % 3) for hit in right], group
