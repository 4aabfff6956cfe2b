"""A family of names counts where the photos bear it out, and names in no order are never called a row."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from certero.data.patterns import match_all
from certero.findings.families import judge_names, say_family
from certero.stages.names import look_at_names
from certero.stats.families import along_rows, lift, within_families


def walk(count: int, rng: np.random.Generator, keeps: float = 0.9) -> np.ndarray:
    """Features of photos of which each resembles the one before, float32 [count, 16] of length 1."""
    rows = [rng.normal(size=16)]
    for _photo in range(count - 1):
        rows.append(keeps * rows[-1] + (1 - keeps**2) ** 0.5 * rng.normal(size=16))
    return unit(np.array(rows))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_neighbours_in_a_film_are_told_with_blocks_that_outlast_their_likeness() -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate([walk(300, rng), walk(300, rng)])
    paths = [f"{label}/IMG_{number:04d}.jpg" for label in "ab" for number in range(300)]
    (family,) = look_at_names(paths, [path[0] for path in paths], [None] * 600, features)
    assert (family.scheme, family.related, family.p) == ("sequence", True, 0.005)
    distances, alike = zip(*family.curve, strict=True)
    assert distances == (1, 2, 3, 5, 10, 20, 50)
    assert alike[0] == pytest.approx(0.9, abs=0.05)
    assert alike[-1] == pytest.approx(family.shuffled, abs=0.1)
    assert family.group_by is not None
    made = match_all(family.group_by, paths)
    assert len(set(made)) == family.groups == 60
    assert made[:10] == ["a/IMG_000"] * 10


def test_names_in_no_order_are_no_row_in_fifty_draws() -> None:
    rng = np.random.default_rng(1)
    features = np.concatenate([walk(150, rng), walk(150, rng)])
    called = 0
    for _draw in range(50):
        numbers = np.concatenate([rng.permutation(150), rng.permutation(150)])
        paths = [f"{'ab'[row // 150]}/IMG_{number:04d}.jpg" for row, number in enumerate(numbers)]
        found = look_at_names(paths, [path[0] for path in paths], [None] * 300, features)
        called += any(family.related for family in found)
    assert called <= 2


def test_versions_are_told_by_their_photos_and_not_by_their_names() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(size=(60, 16))
    alike = unit(np.repeat(base, 3, axis=0) + 0.3 * rng.normal(size=(180, 16)))
    paths = [f"{'ab'[row // 3 % 2]}/leaf{row // 3}{('', '_flip', '_rot90')[row % 3]}.jpg" for row in range(180)]
    labels, splits = [path[0] for path in paths], [("train", "test")[row % 2] for row in range(180)]
    versions = {each.scheme: each for each in look_at_names(paths, labels, splits, alike)}["versions"]
    assert (versions.related, versions.families, versions.groups, versions.parted) == (True, 60, 60, 60)
    shuffled = alike[rng.permutation(180)]
    unrelated = {each.scheme: each for each in look_at_names(paths, labels, splits, shuffled)}["versions"]
    assert (unrelated.related, unrelated.group_by) == (False, None)
    table = pl.DataFrame({"path": paths, "label": labels, "split": splits})
    (finding,) = judge_names(table, [versions, unrelated])
    assert (finding.kind, finding.severity) == ("name_family", "high")
    assert "60 of these families lie in several splits" in say_family(versions)
    assert versions.group_by is not None
    assert versions.group_by in say_family(versions)


def test_likeness_of_classes_is_not_taken_for_likeness_of_neighbours() -> None:
    rng = np.random.default_rng(3)
    centres = 3 * rng.normal(size=(4, 16))
    features = unit(np.repeat(centres, 50, axis=0) + rng.normal(size=(200, 16)))
    places, classes = np.arange(200), np.repeat(np.arange(4), 50)
    told = along_rows(features, np.zeros(200, np.int64), classes, places)
    assert told is not None
    assert told[2] > 0.01
    families = np.repeat(np.arange(100), 2)
    held = within_families(features, families, classes)
    assert held is not None
    assert held[2] > 0.01


def test_lift_is_the_share_of_what_is_missing_to_equal_photos() -> None:
    assert lift(0.9, 0.8) == pytest.approx(0.5)
    assert lift(1.0, 0.2) == 1.0
    assert lift(0.1, 0.2) == 0.0
