"""Nearest neighbours among many vectors, without comparing all with all.

An inverted file: the vectors are dealt into lists around means, and each is compared with the lists nearest to it.
Lists have the same mean length however many vectors there are.

Source: H. Jégou, M. Douze, C. Schmid, "Product quantization for nearest neighbor search", PAMI 33 (2011), section IV.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: Up to so many vectors, all are compared with all: exact, and as fast.
EXACT = 16_384
_LIST_LENGTH = 128
_LISTS_A_QUERY = 12
_SAMPLE_A_LIST = 40
_ROWS_AT_ONCE = 1024
# Each takes 40 bytes while the best of them are found.
_COSINES_AT_ONCE = 1 << 22


class Index:
    """Vectors that can be asked for the nearest to another.

    Args:
        vectors: float32 [n, d] of length 1.
    """

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        self._means: Floats | None = None
        if len(vectors) > EXACT:
            self._deal()

    def nearest(self, queries: Floats, k: int) -> tuple[npt.NDArray[np.int64], Floats]:
        """Rows [q, k] of the nearest vectors, nearest first, and their cosines [q, k]; -1 where there are fewer.

        Args:
            queries: float32 [q, d] of length 1.
            k: how many.
        """
        rows = np.full((len(queries), k), -1, np.int64)
        cosines = np.full((len(queries), k), -1.0, np.float32)
        if self._means is None:
            for start in range(0, len(queries), _ROWS_AT_ONCE):
                some = slice(start, start + _ROWS_AT_ONCE)
                found = queries[some] @ self._vectors.T
                _keep_best(
                    found, np.broadcast_to(np.arange(len(self._vectors)), found.shape), rows[some], cosines[some]
                )
            return rows, cosines
        lists = np.empty((len(queries), min(_LISTS_A_QUERY, len(self._means))), np.int64)
        for start in range(0, len(queries), _ROWS_AT_ONCE):
            near = queries[start : start + _ROWS_AT_ONCE] @ self._means.T
            lists[start : start + _ROWS_AT_ONCE] = np.argpartition(-near, lists.shape[1] - 1, axis=1)[
                :, : lists.shape[1]
            ]
        # List by list, so that each is one product of matrices.
        asked = np.argsort(lists, axis=None, kind="stable")
        ends = np.searchsorted(lists.ravel()[asked], np.arange(len(self._means) + 1))
        for number in range(len(self._means)):
            members = self._order[self._ends[number] : self._ends[number + 1]]
            who = asked[ends[number] : ends[number + 1]] // lists.shape[1]
            # Of look-alikes, a fixed camera's or drawn ones, a third can lie in one list.
            size = max(1, min(_ROWS_AT_ONCE, _COSINES_AT_ONCE // max(1, len(members))))
            for start in range(0, len(who), size):
                asking = who[start : start + size]
                found = queries[asking] @ self._vectors[members].T
                both = np.concatenate([cosines[asking], found], axis=1)
                names = np.concatenate([rows[asking], np.broadcast_to(members, found.shape)], axis=1)
                kept_rows, kept = np.empty((len(asking), k), np.int64), np.empty((len(asking), k), np.float32)
                _keep_best(both, names, kept_rows, kept)
                rows[asking], cosines[asking] = kept_rows, kept
        return rows, cosines

    def _deal(self) -> None:
        from sklearn.cluster import MiniBatchKMeans

        count = max(1, len(self._vectors) // _LIST_LENGTH)
        rng = np.random.default_rng(0)
        sample = rng.choice(len(self._vectors), min(len(self._vectors), count * _SAMPLE_A_LIST), replace=False)
        means = MiniBatchKMeans(count, batch_size=4096, max_iter=5, n_init=1, init="random", random_state=0)
        means.fit(self._vectors[sample])
        self._means = np.asarray(means.cluster_centers_, np.float32)
        half = 0.5 * np.square(self._means).sum(axis=1)
        home = np.empty(len(self._vectors), np.int64)
        for start in range(0, len(home), _ROWS_AT_ONCE):
            part = self._vectors[start : start + _ROWS_AT_ONCE]
            home[start : start + _ROWS_AT_ONCE] = (part @ self._means.T - half).argmax(axis=1)
        self._order = np.argsort(home, kind="stable")
        self._ends = np.searchsorted(home[self._order], np.arange(count + 1))


def _keep_best(found: Floats, names: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], cosines: Floats) -> None:
    """Writes the best columns of `found` [q, m], best first, into rows and cosines [q, k]."""
    k = min(rows.shape[1], found.shape[1])
    best = (
        np.argpartition(-found, k - 1, axis=1)[:, :k] if k < found.shape[1] else np.tile(np.arange(k), (len(found), 1))
    )
    order = np.argsort(-np.take_along_axis(found, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    rows[:, :k] = np.take_along_axis(names, best, axis=1)
    cosines[:, :k] = np.take_along_axis(found, best, axis=1)


def reduced(vectors: Floats, rows: npt.NDArray[np.int64] | None = None, dimensions: int = 64) -> Floats:
    """Centred vectors [n, d] on their main directions, of length 1: what the index compares.

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
    # Only the directions that are kept: in half of the time that all take.
    wanted = (max(0, last - dimensions + 1), last)
    _values, directions = eigh(sample.T @ sample, subset_by_index=wanted, overwrite_a=True, check_finite=False)
    main = directions[:, ::-1].astype(np.float32)
    return unit_length(np.concatenate([(vectors[part] - mean) @ main for part in parts]))


def unit_length(vectors: Floats) -> Floats:
    """The vectors, each divided by its length; what has none stays 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)
