"""Items that belong together because each is linked to the next."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Clusters:
    """Union-find over n items; the root of a cluster is its smallest member.

    Args:
        n: number of items.
    """

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def root(self, item: int) -> int:
        """The smallest item that this one is linked to, through others too."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, a: int, b: int) -> None:
        """Links two items, and so their clusters."""
        low, high = sorted((self.root(a), self.root(b)))
        self._parent[high] = low


def join(count: int, pairs: Iterable[tuple[int, int]]) -> Ints:
    """For each of count items the smallest item that it is linked to, through others too."""
    clusters = Clusters(count)
    for a, b in pairs:
        clusters.join(a, b)
    return np.array([clusters.root(item) for item in range(count)], dtype=np.int64)
