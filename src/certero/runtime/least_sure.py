"""The photos of which a model is least sure: those that teach it most once they are labelled."""

from __future__ import annotations

from collections.abc import Sequence

from certero.records.prediction import Prediction


def pick_least_sure(predictions: Sequence[Prediction], count: int) -> list[Prediction]:
    """At most `count` predictions, the least sure first; photos that could not be read are left out.

    A prediction is as sure as the distance between its two likeliest classes: what decides between them.

    Args:
        predictions: of one model.
        count: how many to give.

    Source: T. Scheffer, C. Decomain, S. Wrobel, "Active hidden Markov models for information extraction", IDA 2001
    (margin sampling).
    """
    read = [prediction for prediction in predictions if prediction.error is None]
    return sorted(read, key=_margin)[:count]


def _margin(prediction: Prediction) -> float:
    shares = sorted((prediction.probabilities or {}).values(), reverse=True)
    return shares[0] - shares[1] if len(shares) > 1 else 1.0
