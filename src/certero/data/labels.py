"""Labels as numbers: the index of each class, by name, never by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def index_of(classes: Sequence[str]) -> dict[str, int]:
    """The index of each class: its place in `classes`.

    >>> index_of(["calf", "cow"])
    {'calf': 0, 'cow': 1}
    """
    return {name: number for number, name in enumerate(classes)}


def encode(labels: Iterable[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Class index of each label, int64 [n].

    Args:
        labels: class names.
        classes: every class once; its place is its index.

    Raises:
        KeyError: if a label is not one of the classes.

    >>> encode(["cow", "calf", "cow"], ["calf", "cow"])
    array([1, 0, 1])
    """
    index = index_of(classes)
    return np.array([index[label] for label in labels], dtype=np.int64)
