"""Other shares of classes: what a calibrated classifier says where classes are more or less common than in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from certero.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

#: Photos with the shares of training that count beside those that new shares are found from (docs/decisions/0071).
PRIOR = 2.0
_MOST_STEPS = 10_000
_SETTLED = 1e-7
_NEAR = 1e-4
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
    # Where all that the outputs hold possible has the share 0, they tell nothing of the others.
    return np.where(total > 0, weighed / np.where(total > 0, total, 1.0), np.asarray(now, dtype=np.float64))


def estimate_shares(
    probabilities: ArrayLike,
    before: ArrayLike,
    *,
    prior: float = PRIOR,
    weights: ArrayLike | None = None,
    start: ArrayLike | None = None,
) -> Floats:
    """The shares of the classes [K] among photos without labels, from a calibrated classifier's outputs for them.

    The likeliest shares, by expectation maximisation; it rests on label shift alone: each class looks as it did, only
    its share has changed. Few photos move the shares less far: they count beside some of the training's.

    Args:
        probabilities: calibrated, float [n, K], n above 0.
        before: float [K], the shares that they are calibrated for, all above 0.
        prior: how many photos with the shares of before count beside these; 0 for the likeliest shares.
        weights: float [n], how often each photo counts; None once.
        start: float [K], where to begin: the end is the same but for rounding, and is looked for less exactly.

    Raises:
        DataError: no photos, or a share that is not above 0.

    Source: Saerens et al. (2002), section 2.3; the prior is a Dirichlet distribution, of which this is the mode.
    """
    given, old = _checked(probabilities, before)
    old = old / old.sum()
    shares = old if start is None else np.asarray(start, dtype=np.float64)
    ratio, settled = given / old, _SETTLED if start is None else _NEAR
    times = np.ones(len(given)) if weights is None else np.asarray(weights, dtype=np.float64)
    for _ in range(_MOST_STEPS):
        weighed = ratio * np.maximum(shares, _LEAST)
        counts = (times / weighed.sum(axis=1)) @ weighed + prior * old
        new = counts / counts.sum()
        moved = float(np.abs(new - shares).max())
        shares = new
        if moved < settled:
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
