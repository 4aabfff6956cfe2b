"""The cases and answers that the tests of what a model is worth share."""

from __future__ import annotations

import numpy as np

from certero.business.outcomes import Outcomes, outcomes_of_photos

SHOP = {
    "volume_per_month": 1000,
    "by_hand_minutes": 4,
    "with_model_minutes": 1,
    "error_minutes": 4,
    "hour_cost": 10000,
    "development_hours": 80,
    "development_hour_cost": 30000,
}
BEDS = ("empty", "lying", "standing")
FARM = {
    "volume_per_month": 26000,
    "by_hand_minutes": 0.1,
    "with_model_minutes": 0.005,
    "hour_cost": 60,
    "error_cost": 2.0,
    "ask_minutes": 0.02,
    "development_hours": 120,
    "development_hour_cost": 250,
}


def some_outcomes(n: int = 60, seed: int = 0, units: int | None = None) -> Outcomes:
    """Answers of a fictitious model on beds, surer where it is right."""
    random = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(3), random.integers(0, 3, n - 3)])
    probabilities = random.dirichlet(np.ones(3), n)
    probabilities[np.arange(n), truth] += random.uniform(0, 1.5, n)
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).round(2)
    groups = None if units is None else [f"{row % units:03d}" for row in range(n)]
    return outcomes_of_photos(BEDS, truth, probabilities, groups, [f"{row}.jpg" for row in range(n)])
