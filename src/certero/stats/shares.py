"""Other shares of classes: what a calibrated classifier says where classes are more or less common than in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from certero.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_MOST_STEPS = 10_000
_SETTLED = 1e-9
_LEAST = 1e-12


def reweigh(probabilities: ArrayLike, before: ArrayLike, now: ArrayLike) -> Floats:
    """The probabilities [n, K] where the classes have other shares, everything else being equal.

    Args:
        probabilities: calibrated, float [n, K].
        before: float [K], the shares of the classes that the probabilities are calibrated for, all above 0.
        now: float [K], their shares where the photos are from.

    Source: M. Saerens, P. Latinne, C. Decaestecker, Adjusting the outputs of a classifier to new a priori
    probabilities, Neural Computation 14 (2002), 21-41, equation 2.4.

    >>> reweigh([[0.5, 0.5]], [0.5, 0.5], [0.9, 0.1]).round(3).tolist()
    [[0.9, 0.1]]
    """
    given, old = _checked(probabilities, before)
    weighed: Floats = given * (np.asarray(now, dtype=np.float64) / old)
    total = weighed.sum(axis=1, keepdims=True)
    # Where all that is likely has the share 0, nothing is left to divide.
    return np.where(total > 0, weighed / np.where(total > 0, total, 1.0), given)


def estimate_shares(probabilities: ArrayLike, before: ArrayLike) -> Floats:
    """The shares of the classes [K] among photos without labels, from a calibrated classifier's outputs for them.

    The likeliest shares, by expectation maximisation; it rests on label shift alone: each class looks as it did, only
    its share has changed.

    Args:
        probabilities: calibrated, float [n, K], n above 0.
        before: float [K], the shares that they are calibrated for, all above 0.

    Raises:
        DataError: no photos, or a share that is not above 0.

    Source: Saerens et al. (2002), section 2.3.
    """
    given, old = _checked(probabilities, before)
    shares = old / old.sum()
    ratio = given / old
    for _ in range(_MOST_STEPS):
        weighed = ratio * np.maximum(shares, _LEAST)
        new = (weighed / weighed.sum(axis=1, keepdims=True)).mean(axis=0)
        moved = float(np.abs(new - shares).max())
        shares = new
        if moved < _SETTLED:
            break
    result: Floats = shares
    return result


def _checked(probabilities: ArrayLike, before: ArrayLike) -> tuple[Floats, Floats]:
    given, old = np.asarray(probabilities, dtype=np.float64), np.asarray(before, dtype=np.float64)
    if given.ndim != 2 or len(given) == 0 or given.shape[1:] != old.shape:
        raise DataError(
            "shares of classes need outputs of at least one photo, one a class; found shape %(shape)s for %(classes)d "
            "classes",
            shape=given.shape,
            classes=old.size,
        )
    if not (old > 0).all():
        raise DataError(
            "shares of classes need every class to have been there before; found a share of %(least)g", least=old.min()
        )
    return given, old
