"""The figure for other days holds on other days: worlds whose truth is known, through separation, folds and probe."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from places import ROOT

_SPEC = importlib.util.spec_from_file_location("new_days", ROOT / "benchmarks" / "new_days.py")
assert _SPEC is not None
assert _SPEC.loader is not None
new_days = importlib.util.module_from_spec(_SPEC)
sys.modules["new_days"] = new_days
_SPEC.loader.exec_module(new_days)


@pytest.mark.slow
@pytest.mark.parametrize(("days", "differ"), [(3, 0.7), (5, 0.7), (5, 0.0)])
def test_the_interval_by_days_holds_the_accuracy_on_new_days(days: int, differ: float) -> None:
    # The whole of it is benchmarks/new_days.py.
    found = new_days.coverage(new_days.World(days, differ, 0.5, 0.8), 40)
    assert np.mean([each.days for each in found]) >= 0.85
    assert np.mean([each.new_day for each in found]) >= 0.85
    if differ:
        assert np.mean([each.hours for each in found]) <= 0.7
