"""Neighbours of 100,000 vectors by certero's index: how fast, and how many of the true ones, beside faiss if installed.

Two kinds of vectors: spread around many places, and nine in ten of them hardly apart, as features of drawn photos are.
faiss (`pip install faiss-cpu`) takes as many lists, looks into as many of them, and has both cores, too.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator

import bench
import numpy as np
import numpy.typing as npt

from certero.stats.neighbours import _LIST_LENGTH, _LISTS_A_QUERY, Index, unit_length

Floats = npt.NDArray[np.float32]
Found = npt.NDArray[np.int64]
_DIMENSIONS, _NEIGHBOURS, _CHECKED = 64, 7, 1000


def main() -> None:
    """Parses the command line, asks each index for everybody's neighbours, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, nargs="+", default=[10_000, 100_000], help="how many (%(default)s)")
    arguments = parser.parse_args()
    bench.print_machine()
    ways: dict[str, Callable[[Floats], Found]] = {"certero": _ours}
    if importlib.util.find_spec("faiss"):
        ways["faiss"] = _theirs
    rows = []
    for count in arguments.vectors:
        for kind, vectors in _draw(count):
            for name, ask in ways.items():
                began, burnt = time.perf_counter(), time.process_time()
                found = ask(vectors)
                taken = f"{time.perf_counter() - began:.2f}", f"{time.process_time() - burnt:.2f}"
                rows.append((count, kind, name, *taken, f"{_share_found(vectors, found):.4f}"))
    bench.print_table(("vectors", "they are", "index", "wall, s", "CPU, s", "of the true nearest found"), rows)


def _draw(count: int) -> Iterator[tuple[str, Floats]]:
    random = np.random.default_rng(0)
    homes = random.normal(size=(max(1, count // 50), _DIMENSIONS))
    spread = homes[random.integers(0, len(homes), count)] + 0.5 * random.normal(size=(count, _DIMENSIONS))
    yield "spread", unit_length(spread.astype(np.float32))
    alike = random.random(count) < 0.9
    spread[alike] = homes[0] + 0.001 * random.normal(size=(int(alike.sum()), _DIMENSIONS))
    yield "nine in ten alike", unit_length(spread.astype(np.float32))


def _ours(vectors: Floats) -> Found:
    return Index(vectors).nearest(vectors, _NEIGHBOURS)[0]


def _theirs(vectors: Floats) -> Found:
    import faiss

    lists = max(1, len(vectors) // _LIST_LENGTH)
    index = faiss.index_factory(_DIMENSIONS, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    index.nprobe = min(_LISTS_A_QUERY, lists)
    found: Found = index.search(vectors, _NEIGHBOURS)[1]
    return found


def _share_found(vectors: Floats, found: Found) -> float:
    """Of the true nearest of some vectors the share that is found, by cosine, since of equals any will do."""
    some = np.random.default_rng(1).choice(len(vectors), min(_CHECKED, len(vectors)), replace=False)
    true = np.sort(np.partition(vectors[some] @ vectors.T, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS:], axis=1)
    cosines = np.einsum("qd,qkd->qk", vectors[some], vectors[found[some]])
    cosines[found[some] < 0] = -1
    return float((np.sort(cosines, axis=1) >= true - 1e-6).mean())


if __name__ == "__main__":
    main()
