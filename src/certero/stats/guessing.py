"""Whether a classifier is better than always naming the commonest class of its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certero.records.quantity import Quantity
from certero.stats.difference import Gains, difference
from certero.stats.intervals import proportion, resample

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Guessing:
    """What always naming one class gives.

    Args:
        name: of the class; None where folds would name different ones.
        accuracy: share of the photos that show it.
        gain: the classifier's accuracy minus that, on the same photos.
    """

    name: str | None
    accuracy: Quantity
    gain: Quantity


def compare_with_guess(
    right: NDArray[np.bool_],
    truth: NDArray[np.int64],
    guess: ArrayLike | None,
    classes: Sequence[str],
    codes: NDArray[np.int64] | None,
) -> Guessing:
    """The accuracy of always naming one class, and the paired difference of the classifier from it.

    Both are judged on the same photos: where these happen to be hard for one, they often are for the other too, and the
    interval of the difference knows it. That of the accuracy alone does not.

    Args:
        right: bool [n], photos that the classifier names rightly.
        truth: int [n], index of the true class.
        guess: int or int [n], the class to name, commonest in the training of the model that judged the photo; None
            where that is not known: the commonest of these photos, which is chosen with knowledge of them.
        classes: K names.
        codes: int [n], group of each photo, from 0 on; None for independent photos.
    """
    named = np.broadcast_to(np.bincount(truth).argmax() if guess is None else np.asarray(guess), truth.shape)
    guessed = named == truth
    groups = None if codes is None else int(codes.max()) + 1
    gains = Gains(right.astype(np.int64) - guessed.astype(np.int64), codes, groups)
    places = np.unique(named)
    return Guessing(
        classes[places[0]] if len(places) == 1 else None,
        proportion(guessed, codes, all_groups=groups),
        difference(float(gains.photos.mean()), _draws(gains), gains),
    )


def _draws(gains: Gains) -> NDArray[np.float64]:
    """The mean gain in resamples of groups, or of photos: of the latter it is enough to count those of each gain."""
    if gains.codes is None:
        n = len(gains.photos)
        shares = np.array([(gains.photos == gain).mean() for gain in (-1, 0, 1)])
        counts = np.random.default_rng(0).multinomial(n, shares, 1000)
        return np.asarray((counts[:, 2] - counts[:, 0]) / n, dtype=np.float64)
    sums = np.stack([np.bincount(gains.codes, weights=gains.photos), np.bincount(gains.codes)])
    drawn = resample(lambda weights: sums @ weights, sums.shape[1])
    return np.asarray(drawn[:, 0] / drawn[:, 1], dtype=np.float64)
