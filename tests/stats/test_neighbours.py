"""The nearest neighbours are those that comparing everything finds, in bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from certero.likeness.near_copies import _describe, _deviations
from certero.stats.neighbours import EXACT, Index, reduced, unit_length

pytest.importorskip("sklearn", reason="the audit needs the [report] extra")


def test_some_rows_are_reduced_as_if_there_were_no_others() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(20_000, 80)).astype(np.float32) * np.linspace(3, 1, 80, dtype=np.float32)
    rows = np.flatnonzero(random.random(20_000) < 0.9)
    assert np.array_equal(reduced(vectors, rows), reduced(vectors[rows]))
    assert np.allclose(np.linalg.norm(reduced(vectors), axis=1), 1, atol=1e-5)


def test_the_index_finds_the_neighbours_that_comparing_all_finds() -> None:
    random = np.random.default_rng(0)
    homes = random.normal(size=(400, 32))
    vectors = unit_length(
        (homes[random.integers(0, 400, EXACT + 2000)] + random.normal(size=(EXACT + 2000, 32)) / 3).astype(np.float32)
    )
    queries = vectors[:300]
    rows, cosines = Index(vectors).nearest(queries, 5)
    exact = queries @ vectors.T
    nearest = np.argsort(-exact, axis=1)[:, :5]
    assert (rows[:, 0] == np.arange(300)).all()
    assert np.allclose(cosines, np.take_along_axis(exact, rows, axis=1), atol=1e-5)
    assert np.mean([np.isin(nearest[q], rows[q]).mean() for q in range(300)]) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("spread", [1.0, 1e-7])
def test_the_index_finds_every_vector_where_it_was_dealt(spread: float) -> None:
    """Far apart, means differ in length; hardly apart, most are the same and their lists empty: 2 % found nothing."""
    random = np.random.default_rng(0)
    scattered = random.normal(size=(3 * EXACT, 16))
    scattered[EXACT:] = scattered[0] + spread * scattered[EXACT:]
    vectors = unit_length(scattered.astype(np.float32))
    rows, cosines = Index(vectors).nearest(vectors, 2)
    assert (rows >= 0).all()
    assert np.allclose(cosines[:, 0], 1, atol=1e-5)
    assert (rows[:EXACT, 0] == np.arange(EXACT)).mean() > 0.999


def test_fewer_vectors_than_asked_for_leave_the_rest_empty() -> None:
    vectors = np.eye(3, dtype=np.float32)
    rows, cosines = Index(vectors).nearest(vectors, 5)
    assert (rows[:, 0] == np.arange(3)).all()
    assert (np.sort(rows[:, :3], axis=1) == np.arange(3)).all()
    assert (rows[:, 3:] == -1).all()
    assert (cosines[:, 3:] == -1).all()


@pytest.mark.slow
def test_look_alikes_in_one_list_take_bounded_memory() -> None:
    """Of 100,000 drawn photos a third lay in one list of the index: compared a thousand at a time they took 2 GB."""
    vectors = unit_length(np.random.default_rng(0).normal(size=(2 * EXACT, 16)).astype(np.float32))
    vectors[EXACT:] = vectors[0]
    index = Index(vectors)
    tracemalloc.start()
    rows, cosines = index.nearest(vectors, 3)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (rows[1:EXACT, 0] == np.arange(1, EXACT)).all()
    assert np.allclose(cosines[EXACT:], 1)
    assert peak < 300e6


def test_a_view_is_described_by_its_cells_and_their_deviation_without_a_copy_in_floats() -> None:
    """Of 100,000 photos the views are 410 MB: copied into 64-bit floats they took 3.3 GB."""
    views = np.random.default_rng(0).integers(0, 256, (10_000, 64, 64), dtype=np.uint8)
    tracemalloc.start()
    described, deviations = _describe(views), _deviations(views)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < views.nbytes
    cells = views.reshape(10_000, 8, 8, 8, 8).mean(axis=(2, 4)).reshape(10_000, 64)
    cells -= cells.mean(axis=1, keepdims=True)
    assert np.allclose(described, cells / np.linalg.norm(cells, axis=1, keepdims=True), atol=1e-5)
    assert np.allclose(deviations, views.reshape(10_000, -1).std(axis=1), rtol=1e-4)
