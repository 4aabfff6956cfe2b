"""Alterations: one list, by which every threshold of likeness is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from places import ROOT

from certero.likeness.alterations import ALTERATIONS, NEAR, alter


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (47, 66, 3), dtype=np.uint8)


def test_what_a_model_file_is_asked_to_recognise_is_a_part_of_the_one_list(photo: np.ndarray) -> None:
    whole, part = alter(photo), alter(photo, NEAR)
    assert list(whole) == list(ALTERATIONS)
    assert set(NEAR) < set(ALTERATIONS)
    for name in NEAR:
        assert np.array_equal(part[name], whole[name]), name


def test_alterations_do_what_their_names_say(photo: np.ndarray) -> None:
    found = alter(photo)
    assert np.array_equal(found["mirrored"], photo[:, ::-1])
    assert np.array_equal(found["brighter"], np.minimum(photo.astype(int) * 13 // 10, 255))
    assert np.array_equal(found["darker"], photo.astype(int) * 7 // 10)
    assert np.array_equal(found["cropped"], photo[2:-2, 3:-3])
    assert np.array_equal(found["cropped_at_corner"], photo[:42, :59])
    assert found["resized"].shape == (23, 33, 3)
    assert np.array_equal(found["border"][4:-4, 4:-4], photo)
    assert (found["border"][:4] == 255).all()
    assert found["turned_left"].shape == photo.shape
    assert (found["turned_left"][0, -1] == 0).all()
    for altered in found.values():
        assert altered.dtype == np.uint8
        assert not np.shares_memory(altered, photo)


def test_no_other_module_alters_photos_to_choose_a_threshold() -> None:
    """The audit and the model file once had a list each, which rounded, cropped and turned differently."""
    source = ROOT / "src" / "certero"
    users = {
        file.relative_to(source).as_posix()
        for file in source.rglob("*.py")
        if "certero.photos import editing" in file.read_text("utf-8")
        or "certero.photos.editing" in file.read_text("utf-8")
    }
    assert users == {"likeness/alterations.py"}
