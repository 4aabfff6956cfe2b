"""Multinomial logistic regression: scikit-learn's objective, with the products in float32.

scikit-learn's own solver turns the features into float64 in each step, which doubles the time of the two products that
a step consists of, and importing it takes a second (docs/decisions/0017). Many classes of a few photos each are fitted
in as many coordinates as there are photos (docs/decisions/0033).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LINE_STEPS = 50
_LEAST_GAIN = 64 * np.finfo(np.float64).eps
# Steps of a fit of few photos, after which fewer coordinates must have won back what they cost.
_STEPS = 20
# Pairs of earlier steps that the optimiser keeps: its own work outgrows the products where there are many unknowns.
_PAIRS, _FEW_PAIRS = 10, 5


def fit_logistic(
    features: NDArray[np.float32],
    truth: NDArray[np.int64],
    n_classes: int,
    strength: float,
    row_weights: NDArray[np.float64],
    *,
    tolerance: float,
    max_steps: int,
    start: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Coefficients [K, D], intercepts [K], and how many steps were taken.

    They minimise `strength` times the weighted sum of the log losses, plus half the squared coefficients; the
    intercepts are free. Of two classes the difference of the two rows of coefficients counts, as in scikit-learn.

    Args:
        features: float32 [n, D].
        truth: class index [n]; every class below K must occur.
        n_classes: K, at least 2.
        strength: C, inverse of the penalty.
        row_weights: [n].
        tolerance: the greatest slope that the mean loss may have left in any direction.
        max_steps: of the optimiser.
        start: coefficients and intercepts to start from; zeros by default.

    Source: R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, "A limited memory algorithm for bound constrained optimization"
    (1995), as implemented in SciPy.
    """
    from scipy.optimize import minimize

    basis: NDArray[np.float32] | None = None
    one, pairs = np.float32(1.0), _PAIRS
    if _is_wide(len(features), features.shape[1], n_classes):
        # The best coefficients lie in the span of the photos, where the objective and every step are the same.
        features, basis = _in_their_span(features)
        one, pairs = _intercept_unit(strength * float(row_weights.sum()) / n_classes), _FEW_PAIRS
    rows = np.arange(len(features))
    shares = (row_weights / row_weights.sum()).astype(np.float32)
    # w, as -w/2 and w/2, has half of its square: the doubled penalty is that of w.
    penalty = (2.0 if n_classes == 2 else 1.0) / (strength * float(row_weights.sum()))

    def mean_loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = flat.reshape(n_classes, -1)
        coefficients, intercepts = table[:, :-1], table[:, -1]
        shifted = features @ coefficients.astype(np.float32).T
        shifted += one * intercepts.astype(np.float32)
        shifted -= shifted.max(axis=1, keepdims=True)
        of_truth = shifted[rows, truth]
        np.exp(shifted, out=shifted)
        sums = shifted.sum(axis=1)
        loss = float(np.dot((np.log(sums) - of_truth).astype(np.float64), shares))
        loss += 0.5 * penalty * float(np.vdot(coefficients, coefficients))
        errors = shifted
        errors *= (shares / sums)[:, None]
        errors[rows, truth] -= shares
        slope = np.empty_like(table)
        slope[:, :-1] = errors.T @ features
        slope[:, :-1] += penalty * coefficients
        slope[:, -1] = one * errors.sum(axis=0)
        return loss, slope.ravel()

    first = np.zeros((n_classes, features.shape[1] + 1))
    if start is not None:
        first[:, :-1] = start[0] if basis is None else start[0] @ basis
        first[:, -1] = start[1] / one
    found = minimize(
        mean_loss,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_steps, "maxls": _LINE_STEPS, "gtol": tolerance, "ftol": _LEAST_GAIN, "maxcor": pairs},
    )
    table = found.x.reshape(n_classes, -1)
    coefficients = table[:, :-1] if basis is None else table[:, :-1] @ basis.T
    return coefficients, table[:, -1] * float(one), int(found.nit)


def _is_wide(photos: int, features: int, classes: int) -> bool:
    """Whether so many classes are fitted that finding fewer coordinates for the photos costs less than it saves.

    Orthogonal coordinates cost 4 D n^2 multiplications and additions at half the speed of the products of a step, of
    which they then save 4 n K (D - n).
    """
    return _STEPS * classes * (features - photos) > 2 * features * photos


def _in_their_span(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coordinates [n, n] of the rows in an orthonormal basis of their span, and that basis [D, n]."""
    from scipy.linalg import qr

    basis, coordinates = qr(features.T, mode="economic", check_finite=False)
    return np.ascontiguousarray(coordinates.T), basis


def _intercept_unit(photos_of_class: float) -> np.float32:
    """What one unit of the intercepts' unknowns adds to a logit: the objective is then as curved there as elsewhere.

    Nothing but the photos of a class, weighted by the strength, curves it along an intercept; along a coefficient
    the penalty does, too. With half a photo's weight and less, the optimiser would take most of its steps for that.
    """
    return np.float32(max(1.0, photos_of_class**-0.5))
