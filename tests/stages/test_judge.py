"""Promises about photos that a finished model is judged on."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from certero.data.separation import separate
from certero.data.table import Photos, conform
from certero.stages.judge import without_known_units

MONDAY = datetime(2024, 1, 8, 8)


def four_days(**columns: object) -> Photos:
    times = [MONDAY + timedelta(days=day, minutes=15 * number) for day in range(4) for number in range(36)]
    given = {
        "path": [f"{number:03}.jpg" for number in range(144)],
        "label": ["a", "b", "c"] * 48,
        "status": ["ok"] * 144,
        "captured_at": times,
    }
    return Photos(Path(), conform(pl.DataFrame({**given, **columns}, strict=False)), "folders")


def test_days_that_a_model_learnt_from_are_not_other_days_to_it() -> None:
    photos = four_days()
    separation = separate(photos, [], judged=True)
    fresh = np.ones(144, dtype=bool)
    assert without_known_units(separation, separation.unit, fresh).speaks_of == "days"
    # All photos of the first day: the others are of other days.
    fresh[:36] = False
    assert without_known_units(separation, separation.unit, fresh).speaks_of == "days"
    fresh[::2] = False
    found = without_known_units(separation, separation.unit, fresh)
    assert found.speaks_of == "hours"
    assert "the model learnt from photos of 4 of them" in found.description
    groups = separate(four_days(cow=["a", "b", "c"] * 48), [], group_by="cow", judged=True)
    assert without_known_units(groups, groups.unit, fresh).speaks_of == "unknown"
