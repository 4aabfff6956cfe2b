"""The weakest of many classes: a class that is picked for being lowest looks worse than it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certero.records.quantity import Quantity
from certero.records.scores import WeakClass, WeakestClass
from certero.stats.intervals import LEVEL, effective_sample_size, trials_behind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: So many of the weakest classes are listed.
MOST_CLASSES = 5

# The prior of a class's share: with probability 1 - e that of the bulk of the classes, Beta(m s, (1 - m) s), and with
# probability e any share at all. Without the second, one bad class among many good ones would be drawn to them.
_MEANS = 1 / (1 + np.exp(-np.linspace(-8, 8, 65)))
_SPREADS = np.array([0.0005, 0.002, 0.006, 0.012, 0.02, 0.035, 0.06, 0.1, 0.16, 0.25, 0.4, 0.6, 0.85])  # 1 / (s + 1)
_STRAY = np.array([0.01, 0.03, 0.1, 0.3])
# Shares at which the posterior is drawn, on the logit scale.
_LOGITS = np.linspace(-10, 10, 201)
_NEGLIGIBLE = 1e-4
_DRAWS, _SEED = 1000, 0


def pick_weakest(
    found: NDArray[np.bool_],
    truth: NDArray[np.int64],
    codes: NDArray[np.int64] | None,
    per_class: Mapping[str, Mapping[str, Quantity]],
) -> WeakestClass | None:
    """The `weakest_class` of n photos.

    Args:
        found: bool [n], photos that got their class's name.
        truth: int [n], index of the class in `per_class`.
        codes: int [n], group of each photo; None for independent photos.
        per_class: figures of each class, `recall` among them.
    """
    effective = {}
    for index, name in enumerate(per_class):
        inside = truth == index
        if inside.any():
            effective[name] = effective_sample_size(found[inside], None if codes is None else codes[inside])
    return weakest_class({name: figures["recall"] for name, figures in per_class.items()}, effective)


def weakest_class(recalls: Mapping[str, Quantity], effective: Mapping[str, float] | None = None) -> WeakestClass | None:
    """The class that is most likely the weakest, and what to expect of it, given that it was picked from so many.

    Of many classes that are all alike, the lowest lies far below its true share, and its own interval rarely holds it.
    Each class is therefore drawn towards the others as far as these photos say that classes are alike; one that
    clearly stands apart stays where it is. The class with the lowest such share is picked. Its interval holds both that
    of the posterior and its own, whose upper end is set for all classes that may be the lowest as well.
    `benchmarks/selection.py` simulates how often it contains the truth.

    Args:
        recalls: by class, the share of its photos that was found, with its interval; None values (no photos) are left
            out. A class without an interval (photos of one group) counts as a single photo.
        effective: by class, how many independent photos would tell as much; default: what the interval's width says.
            Whether classes differ is judged by the interval alone, which knows from how few groups that was estimated.

    Returns:
        None with fewer than two classes. Without any interval, the class with the lowest share as it is.

    Source: B. Efron, C. Morris, Journal of the American Statistical Association 70 (1975), 311-319 (drawing estimates
    together), with a beta-binomial model and a prior for classes that stand apart; T. Zrnic, W. Fithian, Annals of
    Statistics 52 (2024), 1227-1253 (correcting over those that might have been picked).
    """
    shown = {name: recall for name, recall in recalls.items() if recall.value is not None and recall.n}
    if len(shown) < 2:
        return None
    names = sorted(shown)
    if not any(shown[name].interval for name in names):
        order = sorted(names, key=lambda name: (shown[name].value, -shown[name].n, name))
        return _picked([_weak(name, shown[name], shown[name]) for name in order[:MOST_CLASSES]], len(names))
    shares = np.array([shown[name].value or 0.0 for name in names])
    surely = np.array([trials_behind(shown[name]) or 1.0 for name in names])
    trials = surely if effective is None else np.array([_effective(shown[name], effective[name]) for name in names])
    posterior = _Posterior(shares * trials, trials)
    order = np.lexsort((-trials, posterior.means))[:MOST_CLASSES].tolist()
    listed = []
    for place in order:
        own = shown[names[place]]
        low, high = posterior.interval(place)
        rivals = _might_be_lowest(own, [shown[name] for name in names])
        value = float(posterior.means[place])
        ends = (
            min(low, value, *(own.interval or ())),
            max(high, *(own.interval or ()), _upper(posterior, place, rivals)),
        )
        adjusted = Quantity(value, float(ends[0]), float(ends[1]), "picked", own.n)
        listed.append(_weak(names[place], own, adjusted))
    p, _share = _by_chance(shares * surely, surely)
    _p, by_chance = _by_chance(shares * trials, trials)
    return _picked(listed, len(names), p, by_chance)


def _effective(recall: Quantity, photos: float) -> float:
    return 1.0 if recall.interval is None else max(1.0, photos)


def _weak(name: str, own: Quantity, adjusted: Quantity) -> WeakClass:
    return WeakClass(name, own.n, float(own.value or 0.0), adjusted)


def _picked(listed: list[WeakClass], of: int, p: float | None = None, by_chance: float | None = None) -> WeakestClass:
    first = listed[0]
    return WeakestClass(
        first.name,
        first.n,
        first.found,
        first.recall,
        of=of,
        by_chance=by_chance,
        p=p,
        worse=p is not None and p < 1 - LEVEL,
        next=tuple(listed[1:]),
    )


def _upper(posterior: _Posterior, place: int, rivals: int) -> float:
    """The upper end of a share by its own photos, with H. Jeffreys' prior, adjusted for the number of rivals."""
    from scipy.special import betaincinv

    hits, trials = posterior.hits[place], posterior.trials[place]
    return float(betaincinv(hits + 0.5, trials - hits + 0.5, 1 - (1 - LEVEL) / 2 / rivals))


def _might_be_lowest(own: Quantity, every: list[Quantity]) -> int:
    """How many classes, this one included, have an interval that begins below the end of this one's."""
    if own.high is None:
        return len(every)
    return max(1, sum(recall.low is None or recall.low < own.high for recall in every))


@dataclass(frozen=True, slots=True)
class _Cells:
    """The bulk's priors that are looked at, flattened: a and b of Beta(a, b), and the log weight of each."""

    a: Floats
    b: Floats
    log_weight: Floats

    @classmethod
    def all(cls) -> _Cells:
        strength = 1 / _SPREADS - 1
        a, b = np.outer(_MEANS, strength).ravel(), np.outer(1 - _MEANS, strength).ravel()
        # Beta(1/2, 1/2) on the mean, uniform on the spread; both grids are uneven.
        weight = np.outer(np.sqrt(_MEANS * (1 - _MEANS)), np.gradient(_SPREADS))
        return cls(a, b, np.log(weight).ravel())


class _Posterior:
    """What to expect of each class, given all of them."""

    def __init__(self, hits: Floats, trials: Floats) -> None:
        from scipy.special import betaln

        self.hits, self.trials = hits, trials
        cells = _Cells.all()
        # Of the classes by the cells; the binomial coefficient is common to both parts of the prior.
        # In logs: thousands of photos a class are less likely than the smallest number above 0.
        alike = betaln(cells.a + hits[:, None], cells.b + (trials - hits)[:, None]) - betaln(cells.a, cells.b)
        stray = betaln(1 + hits, 1 + trials - hits)[:, None]
        either = [np.logaddexp(np.log1p(-e) + alike, np.log(e) + stray) for e in _STRAY]
        logs = np.stack([each.sum(axis=0) + cells.log_weight for each in either])
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        self._alike = np.zeros_like(alike)
        self._stray = np.zeros(len(hits))
        for e, weight, each in zip(_STRAY, weights, either, strict=True):
            self._alike += weight * np.exp(np.log1p(-e) + alike - each)
            self._stray += (weight * np.exp(np.log(e) + stray - each)).sum(axis=1)
        self._cells = cells
        drawn = (cells.a + hits[:, None]) / (cells.a + cells.b + trials[:, None])
        self.means: Floats = (self._alike * drawn).sum(axis=1) + self._stray * (hits + 1) / (trials + 2)

    def interval(self, place: int) -> tuple[float, float]:
        """The central interval of one class's share."""
        from scipy.special import betaln

        hits, misses = self.hits[place], self.trials[place] - self.hits[place]
        kept = self._alike[place] > _NEGLIGIBLE * self._alike[place].max()
        a = np.append(self._cells.a[kept], 1.0) + hits
        b = np.append(self._cells.b[kept], 1.0) + misses
        weights = np.append(self._alike[place][kept], self._stray[place])
        rising, falling = -np.logaddexp(0, -_LOGITS), -np.logaddexp(0, _LOGITS)
        density = np.exp(np.outer(rising, a) + np.outer(falling, b) - betaln(a, b)) @ weights
        below = np.cumsum(density)
        low, high = np.interp([(1 - LEVEL) / 2, (1 + LEVEL) / 2], below / below[-1], _LOGITS)
        return float(1 / (1 + np.exp(-low))), float(1 / (1 + np.exp(-high)))


def _by_chance(hits: Floats, trials: Floats) -> tuple[float, float]:
    """Of classes that are all alike: how often one looks as low as the lowest here, and the share that it then shows.

    The lowest of classes of unequal size is that with the least probability of so few hits.
    """
    from scipy.special import bdtr

    share = float(hits.sum() / trials.sum())
    whole = np.maximum(1, np.rint(trials)).astype(np.int64)
    generator = np.random.default_rng(_SEED)
    drawn = generator.binomial(whole, share, (_DRAWS, len(whole))).astype(np.float64)
    tails = bdtr(drawn, whole, share)
    lowest = tails.argmin(axis=1)
    rows = np.arange(_DRAWS)
    least = float(bdtr(np.minimum(np.rint(hits), whole), whole, share).min())
    p = (1 + int((tails[rows, lowest] <= least * (1 + 1e-9)).sum())) / (_DRAWS + 1)
    return p, float((drawn[rows, lowest] / whole[lowest]).mean())
