"""Nearest neighbours among many vectors, without comparing all pairs.

An inverted file: vectors are put into lists around means, and each is compared with the lists nearest to it.
Lists have the same mean length however many vectors there are.

Source: H. Jégou, M. Douze, C. Schmid, "Product quantization for nearest neighbor search", PAMI 33 (2011), section IV.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: Up to so many vectors all pairs are compared: exact, and as fast.
EXACT = 16_384
_LIST_LENGTH = 128
_LISTS_A_QUERY = 12
_SAMPLE_A_LIST = 40
_ROWS_AT_ONCE = 1024
# Most look-alikes, from a fixed camera or drawn, can be in one list.
_MEMBERS_AT_ONCE = 256


class Index:
    """Vectors that can be searched for the nearest to another.

    Args:
        vectors: float32 [n, d] of length 1.
    """

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        self._means = np.zeros((1, vectors.shape[1]), np.float32)
        if len(vectors) > EXACT:
            self._means = _means(vectors)
        home = np.empty(len(vectors), np.int64)
        for some in _slices(len(vectors), _ROWS_AT_ONCE):
            home[some] = self._closeness(vectors[some]).argmax(axis=1)
        # If vectors are hardly apart, many means are equal; an empty list would be searched instead of a full one.
        used, home = np.unique(home, return_inverse=True)
        self._means = self._means[used]
        self._order = np.argsort(home, kind="stable")
        self._ends = np.searchsorted(home[self._order], np.arange(len(used) + 1))

    def nearest(self, queries: Floats, k: int) -> tuple[npt.NDArray[np.int64], Floats]:
        """Rows [q, k] of the nearest vectors, nearest first, and their cosines [q, k]; -1 if there are fewer.

        Args:
            queries: float32 [q, d] of length 1.
            k: how many.
        """
        rows = np.full((len(queries), k), -1, np.int64)
        cosines = np.full((len(queries), k), -1.0, np.float32)
        lists = np.empty((len(queries), min(_LISTS_A_QUERY, len(self._means))), np.int64)
        for some in _slices(len(queries), _ROWS_AT_ONCE):
            far = -self._closeness(queries[some])
            lists[some] = np.argpartition(far, lists.shape[1] - 1, axis=1)[:, : lists.shape[1]]
        # List by list, so that each is one matrix product.
        asked = np.argsort(lists, axis=None, kind="stable")
        ends = np.searchsorted(lists.ravel()[asked], np.arange(len(self._means) + 1))
        for number in range(len(self._means)):
            members = self._order[self._ends[number] : self._ends[number + 1]]
            asking = asked[ends[number] : ends[number + 1]] // lists.shape[1]
            for some in _slices(len(asking), _ROWS_AT_ONCE):
                self._compare(queries, asking[some], members, rows, cosines)
        return rows, cosines

    def _closeness(self, vectors: Floats) -> Floats:
        """Greater is nearer: minus half the squared distance to each mean, without the vector's own length.

        Returns:
            float32 [n, lists].
        """
        return np.asarray(vectors @ self._means.T - 0.5 * np.square(self._means).sum(axis=1), np.float32)

    def _compare(
        self,
        queries: Floats,
        asking: npt.NDArray[np.int64],
        members: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        cosines: Floats,
    ) -> None:
        """Writes what is nearer than the nearest so far into rows and cosines [q, k], for the given queries."""
        vectors, best_rows, best = queries[asking], rows[asking], cosines[asking]
        for some in _slices(len(members), _MEMBERS_AT_ONCE):
            found = vectors @ self._vectors[members[some]].T
            # After the first members hardly any is nearer than the k-th so far, and only those are sorted.
            query, column = np.divmod(np.flatnonzero(found > best[:, -1:]), found.shape[1])
            if not len(query):
                continue
            counts = np.bincount(query, minlength=len(asking))
            place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts) + best.shape[1]
            width = best.shape[1] + int(counts.max())
            both, names = np.full((len(asking), width), -1.0, np.float32), np.full((len(asking), width), -1, np.int64)
            both[:, : best.shape[1]], names[:, : best.shape[1]] = best, best_rows
            both[query, place], names[query, place] = found[query, column], members[some][column]
            order = np.argsort(-both, axis=1, kind="stable")[:, : best.shape[1]]
            best_rows, best = np.take_along_axis(names, order, axis=1), np.take_along_axis(both, order, axis=1)
        rows[asking], cosines[asking] = best_rows, best


def _means(vectors: Floats) -> Floats:
    """Means of lists of `_LIST_LENGTH` vectors, float32 [lists, d]."""
    from sklearn.cluster import MiniBatchKMeans

    count = max(1, len(vectors) // _LIST_LENGTH)
    rng = np.random.default_rng(0)
    sample = rng.choice(len(vectors), min(len(vectors), count * _SAMPLE_A_LIST), replace=False)
    means = MiniBatchKMeans(count, batch_size=4096, max_iter=5, n_init=1, init="random", random_state=0)
    means.fit(vectors[sample])
    return np.asarray(means.cluster_centers_, np.float32)


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def reduced(vectors: Floats, rows: npt.NDArray[np.int64] | None = None, dimensions: int = 64) -> Floats:
    """Centred vectors [n, d] on their principal components, of length 1: what the index compares.

    Args:
        vectors: float32 [N, D].
        rows: which of them, [n]; None takes all. They are not copied all at once.
        dimensions: d, at most D.
    """
    from scipy.linalg import eigh

    rows = np.arange(len(vectors)) if rows is None else rows
    parts = [rows[start : start + 8192] for start in range(0, len(rows), 8192)]
    total = np.sum([vectors[part].sum(axis=0, dtype=np.float64) for part in parts], axis=0)
    mean = (total / len(rows)).astype(np.float32)
    sample = vectors[rows[np.random.default_rng(0).permutation(len(rows))[:8192]]] - mean
    last = vectors.shape[1] - 1
    # Only the components that are kept, in half of the time that all take.
    wanted = (max(0, last - dimensions + 1), last)
    _values, directions = eigh(sample.T @ sample, subset_by_index=wanted, overwrite_a=True, check_finite=False)
    main = directions[:, ::-1].astype(np.float32)
    return unit_length(np.concatenate([(vectors[part] - mean) @ main for part in parts]))


def unit_length(vectors: Floats) -> Floats:
    """The vectors, each divided by its length; zero vectors stay 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)
