"""Items that belong together because each is linked to the next."""

from __future__ import annotations


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
