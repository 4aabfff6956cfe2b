"""An evaluated model's outputs with other shares of the classes, beside those without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from certero.config.parsing import Shares
from certero.records.quantity import Quantity
from certero.records.scores import Scores
from certero.records.weighed import Weighed
from certero.runtime.card import Card
from certero.runtime.new_shares import NewShares, find_shares, give_shares, shares_of
from certero.sentences import message, stored
from certero.stats.intervals import percentile_interval, resample
from certero.stats.shares import estimate_shares

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRAWS = 200
# Fewer draws where one takes long.
_FEW_DRAWS, _LARGE = 100, 100_000


def check_wish(card: Card, wish: Shares | None) -> None:
    """Raises what is wrong with shares before photos are looked at.

    Raises:
        ConfigError: for classes that the model does not know.
        ModelFileError: if the file does not know the shares of its training.
    """
    if wish == "adapt":
        shares_of(card)
    elif wish is not None:
        give_shares(card, wish)


def weigh(
    card: Card,
    wish: Shares,
    probabilities: NDArray[np.float32],
    units: Sequence[str],
    score: Callable[[NDArray[np.float64]], Scores],
) -> Weighed:
    """The figures with the shares that are wished for, and those shares.

    Args:
        card: of the model.
        wish: see `parse_shares`.
        probabilities: outputs [n, K] for photos that the model was not trained on.
        units: of these photos, which of them are not independent.
        score: the figures of outputs for them.
    """
    shares, classes = _choose(card, wish, probabilities), card.classes
    before = dict(zip(classes, shares.before.tolist(), strict=True))
    method = "adapt" if shares.found else "given"
    if shares.now is None or not len(probabilities):
        reason = shares.reason or message("the model was trained on all of these photos")
        return Weighed(method, shares.n, before, None, shares.plausible, stored(reason), None, None)
    adapted = shares.reweigh(probabilities)
    changed = int((adapted.argmax(axis=1) != probabilities.argmax(axis=1)).sum())
    now = dict(zip(classes, _quantities(shares, probabilities, units), strict=True))
    return Weighed(method, shares.n, before, now, shares.plausible, None, changed, score(adapted))


def _choose(card: Card, wish: Shares, probabilities: NDArray[np.float32]) -> NewShares:
    if wish != "adapt":
        return give_shares(card, wish)
    if not len(probabilities):
        return NewShares(shares_of(card), None, found=True)
    return find_shares(card, probabilities)


def _quantities(shares: NewShares, probabilities: NDArray[np.float32], units: Sequence[str]) -> list[Quantity]:
    """The shares with their intervals, where they were found."""
    assert shares.now is not None
    if not shares.found:
        return [Quantity(share, None, None, "given", 0) for share in shares.now.tolist()]
    groups = None if len(set(units)) == len(units) else units
    draws = resample(
        lambda weights: estimate_shares(probabilities, shares.before, weights=weights, start=shares.now),
        shares.n,
        groups,
        n_resamples=_DRAWS if probabilities.size < _LARGE else _FEW_DRAWS,
    )
    return [
        percentile_interval(share, draws[:, number], shares.n, groups)
        for number, share in enumerate(shares.now.tolist())
    ]
