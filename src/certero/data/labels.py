"""Labels as numbers: the index of each class, by name, never by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode(labels: pl.Series, classes: Sequence[str]) -> NDArray[np.int64]:
    """Class index of each label, int64 [n]; by name, never by position."""
    index = {name: number for number, name in enumerate(classes)}
    return np.array([index[label] for label in labels], dtype=np.int64)
