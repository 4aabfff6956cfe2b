"""Do probabilities mean what they say, and how to make them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.errors import DataError
from certero.records import Json
from certero.stats.intervals import group_codes, proportion

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Sharpening or softening beyond this is a fault of the data, not of the network's confidence.
TEMPERATURES = (0.05, 20.0)
#: The usual number of bins (Guo et al. 2017).
BINS = 15


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Probabilities [n, K] of logits [n, K] divided by a temperature (above 0; above 1 softens).

    >>> softmax([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """
    probabilities: Floats = np.exp(_log_softmax(np.asarray(logits, dtype=np.float64) / temperature))
    return probabilities


def _log_softmax(scaled: Floats) -> Floats:
    shifted = scaled - scaled.max(axis=-1, keepdims=True)  # exp must not overflow
    logs: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


def fit_temperature(logits: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The temperature, within 0.05 and 20, that makes the logits' probabilities likeliest.

    One wrong photo more than there are is assumed (the truth counts (n + 1)/(n + 2), the rest is spread over
    the other classes). On photos that are all classified rightly the likeliest temperature would otherwise be
    0 and every probability 1; on others this is hardly felt.

    Args:
        logits: float [n, K] of photos that the classifier was not fitted on, K at least 2.
        truth: int [n], index of the class.
        weights: float [n], how much each photo counts; default 1.

    Raises:
        DataError: no photos, fewer than 2 classes, or logits that are not finite.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2. The smoothed
    target is Laplace's rule of succession, as J. Platt (1999) uses it for two classes.
    """
    from scipy.optimize import minimize_scalar  # here, because it takes a quarter of a second to import

    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[0] == 0 or scores.shape[1] < 2:
        raise DataError(f"calibration needs logits of at least 1 photo and 2 classes; found shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise DataError("calibration needs finite logits; found NaN or infinity, so check the features")
    n, k = scores.shape
    labels = np.asarray(truth, dtype=np.int64)
    shares = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    shares = shares / shares.sum()
    doubt = 1 / (n + 2)

    def loss(log_temperature: float) -> float:
        log_probabilities = _log_softmax(scores / math.exp(log_temperature))
        right = log_probabilities[np.arange(n), labels]
        wrong = (log_probabilities.sum(axis=1) - right) / (k - 1)
        return -float(shares @ ((1 - doubt) * right + doubt * wrong))

    # The loss is convex in 1/T, so it has one valley in log T and a bounded search cannot miss it.
    bounds = (math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1]))
    return math.exp(float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def uncalibrated(probabilities: ArrayLike, temperature: ArrayLike) -> Floats:
    """The probabilities [n, K] as they were before their logits were divided by a temperature.

    Args:
        probabilities: float [n, K].
        temperature: float, or float [n].

    >>> uncalibrated(softmax([[2.0, 0.0]], 2.0), 2.0).round(4).tolist() == softmax([[2.0, 0.0]]).round(4).tolist()
    True
    """
    given = np.asarray(probabilities, dtype=np.float64)
    temperatures = np.broadcast_to(np.asarray(temperature, dtype=np.float64), len(given))
    return softmax(np.log(np.maximum(given, np.finfo(np.float32).tiny)) * temperatures[:, None])


def confidence_bins(confidence: Floats, bins: int = BINS) -> tuple[Integers, Floats]:
    """The bin of each photo, int [n], and the edges, float [bins + 1 or fewer], of bins of equal mass.

    Equal confidences share a bin, whatever the order of the photos; a bin ends at its upper edge, included.
    """
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)))
    return np.searchsorted(edges[1:-1], confidence).astype(np.int64), edges


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = BINS) -> float | None:
    """How far confidence and accuracy lie apart, averaged over photos: 0 is perfect; None without photos.

    Of the likeliest class only; bins of equal mass, because a good classifier puts nearly all photos in the
    last of the bins of equal width, and because they estimate it with less bias.

    Args:
        probabilities: float [n, K].
        truth: int [n], index of the class.
        bins: number of bins.

    Source: Guo et al., ICML 2017, section 2, with the bins of R. Roelofs et al., Mitigating Bias in
    Calibration Error Estimation, AISTATS 2022 (ECE, equal mass).
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    if len(scores) == 0:
        return None
    confidence = scores.max(axis=1)
    gaps = (scores.argmax(axis=1) == np.asarray(truth)) - confidence
    bin_of, _ = confidence_bins(confidence, bins)
    return float(np.abs(np.bincount(bin_of, weights=gaps)).sum() / len(scores))


def reliability(
    probabilities: ArrayLike, truth: ArrayLike, bins: int = BINS, groups: ArrayLike | None = None
) -> list[Json]:
    """The table behind a reliability diagram, over the bins of `expected_calibration_error`.

    Args:
        probabilities: float [n, K].
        truth: int [n], index of the class.
        bins: number of bins.
        groups: int or str [n], the group of each photo; None for independent photos.

    Returns:
        One row a bin, by rising confidence: `from` and `to` (edges), `n`, `confidence` (mean) and `accuracy`
        (a quantity with its interval).
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    if len(scores) == 0:
        return []
    confidence = scores.max(axis=1)
    correct = scores.argmax(axis=1) == np.asarray(truth)
    bin_of, edges = confidence_bins(confidence, bins)
    codes = group_codes(groups, len(scores))
    count = None if codes is None else int(codes.max()) + 1
    rows = []
    for index in np.unique(bin_of):
        inside = bin_of == index
        accuracy = proportion(correct[inside], None if codes is None else codes[inside], all_groups=count)
        rows.append(
            {
                "from": float(edges[index]),
                "to": float(edges[min(index + 1, len(edges) - 1)]),
                "n": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": accuracy.to_json(),
            }
        )
    return rows
