"""What a day brings of missed photos and false alarms, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from certero.stats.alarms import count_alarms, named_by

CLASSES = ("empty", "lying", "standing")


def _drawn(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(4)
    truth = generator.choice(3, n, p=[0.6, 0.3, 0.1])
    said = np.where(generator.random(n) < 0.85, truth, generator.integers(0, 3, n))
    return truth, np.eye(3)[said]


def test_a_day_of_the_photos_themselves_counts_what_went_wrong() -> None:
    truth, probabilities = _drawn()
    said = probabilities.argmax(axis=1)
    found = count_alarms(named_by(probabilities, None, None), truth, CLASSES, photos_a_day=600.0)
    assert (found.per, found.photos) == ("day", 600.0)
    for index, name in enumerate(CLASSES):
        one = found.per_class[name]
        assert one.shown == pytest.approx(np.sum(truth == index))
        assert one.missed.value == pytest.approx(np.sum((truth == index) & (said != index)))
        assert one.false_alarms.value == pytest.approx(np.sum((truth != index) & (said == index)))


def test_the_interval_is_that_of_the_share_times_the_photos() -> None:
    truth, probabilities = _drawn()
    said = probabilities.argmax(axis=1)
    found = count_alarms(named_by(probabilities, None, None), truth, CLASSES, photos_a_day=288.0)
    standing = found.per_class["standing"]
    shown, wrong = int(np.sum(truth == 2)), int(np.sum((truth == 2) & (said != 2)))
    low, high = proportion_confint(wrong, shown, method="wilson")
    assert (standing.missed.low, standing.missed.high) == pytest.approx(
        (288 * shown / 600 * low, 288 * shown / 600 * high)
    )
    others, alarms = 600 - shown, int(np.sum((truth != 2) & (said == 2)))
    low, high = proportion_confint(alarms, others, method="wilson")
    assert (standing.false_alarms.low, standing.false_alarms.high) == pytest.approx(
        (288 * others / 600 * low, 288 * others / 600 * high)
    )


def test_without_times_hundred_photos_stand_for_a_day() -> None:
    truth, probabilities = _drawn()
    found = count_alarms(named_by(probabilities, None, None), truth, CLASSES)
    assert (found.per, found.photos) == ("hundred", 100.0)
    assert sum(one.shown for one in found.per_class.values()) == pytest.approx(100)


def test_a_photo_without_a_label_is_missed_and_no_false_alarm() -> None:
    truth = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.45, 0.55]])
    decided = count_alarms(named_by(probabilities, 0.65, None), truth, ("a", "b"), photos_a_day=4.0).per_class
    assert (decided["a"].missed.value, decided["b"].missed.value) == (1, 1)
    assert (decided["a"].false_alarms.value, decided["b"].false_alarms.value) == (0, 0)
    accepted = np.array([True, True, True, False])
    kept = count_alarms(named_by(probabilities, None, accepted), truth, ("a", "b"), photos_a_day=4.0).per_class
    assert (kept["a"].missed.value, kept["b"].missed.value, kept["b"].false_alarms.value) == (1, 1, 1)


def test_photos_taken_together_widen_the_interval() -> None:
    truth, probabilities = _drawn()
    named = named_by(probabilities, None, None)
    alone = count_alarms(named, truth, CLASSES, photos_a_day=600.0).per_class["standing"].missed
    together = count_alarms(named, truth, CLASSES, np.arange(600) // 75, 600.0).per_class["standing"].missed
    assert together.low is not None
    assert together.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert together.high - together.low > alone.high - alone.low
