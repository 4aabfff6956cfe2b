"""The photos to label next are those between two classes."""

from __future__ import annotations

from certero.records.prediction import Prediction
from certero.runtime.least_sure import pick_least_sure


def _prediction(path: str, *shares: float) -> Prediction:
    names = dict(zip("abc", shares, strict=False))
    return Prediction(path, max(names, key=names.__getitem__), max(shares), False, names, None)


def test_the_two_likeliest_classes_decide_not_the_likeliest_alone() -> None:
    between, spread, sure = (
        _prediction("1", 0.49, 0.5, 0.01),
        _prediction("2", 0.45, 0.3, 0.25),
        _prediction("3", 0.9, 0.1),
    )
    assert pick_least_sure([sure, spread, between], 2) == [between, spread]
    assert pick_least_sure([sure, spread, between], 10) == [between, spread, sure]


def test_a_photo_that_cannot_be_read_is_none_to_label() -> None:
    broken = Prediction("x.jpg", None, None, False, None, "not a photo")
    assert pick_least_sure([broken, _prediction("1", 0.6, 0.4)], 5) == [_prediction("1", 0.6, 0.4)]
