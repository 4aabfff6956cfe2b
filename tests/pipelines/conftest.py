"""Trainings that several modules look at: each is run once a session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from barns import without_times

if TYPE_CHECKING:
    from certero.pipelines.train import Run


def _train(data: Path, places: pytest.TempPathFactory, **settings: Any) -> Run:
    """A run on a computer that has opened no test set yet."""
    pytest.importorskip("onnx", reason="training needs the [train] extra")
    from trainings import QUICK

    from certero.pipelines.train import train

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CERTERO_STATE", str(places.mktemp("state")))
        return train(data, output=places.mktemp("quick") / "run", **(QUICK | settings))


@pytest.fixture(scope="session")
def own_split(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The barn, split by certero into train, val and test."""
    from trainings import OWN_SPLIT

    return _train(small_barn / "beds.csv", tmp_path_factory, **OWN_SPLIT)


@pytest.fixture(scope="session")
def given_data(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Independent photos with given splits: about 40 train, 110 val, 32 test once look-alikes of test are left out."""
    split = lambda number: "val" if number < 120 else "test" if number < 152 else "train"  # noqa: E731
    return without_times(small_barn, tmp_path_factory.mktemp("given") / "data", split)


@pytest.fixture(scope="session")
def given_split(given_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A model of the given splits, held against three bars."""
    bars = ["accuracy>=0.05", "accuracy>=0.999", "f1[standing]>=0.001"]
    return _train(given_data, tmp_path_factory, require=bars)
