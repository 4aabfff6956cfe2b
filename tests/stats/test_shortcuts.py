"""A property of a file is a shortcut when it tells the class."""

from __future__ import annotations

import numpy as np
import pytest

from certero.stats.shortcuts import find_shortcuts

pytest.importorskip("sklearn", reason="the audit needs the [report] extra")


def test_a_property_that_tells_nothing_is_no_shortcut_and_one_that_tells_all_is() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 400)
    properties = {
        "noise": random.normal(size=(400, 1)),
        "all": truth[:, None] + random.normal(size=(400, 1)) / 10,
        "constant": np.ones((400, 1)),
    }
    found = {s.name: s for s in find_shortcuts(truth, properties, [str(n) for n in range(400)], np.arange(400) % 5)}
    assert set(found) == {"noise", "all"}
    assert found["all"].explained > 0.95
    assert found["noise"].explained < 0.15
