"""Other views of a photo: parts of it, mirrored or not, in other light; the same for the same file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from certero.photos.retaken import prepare_retaken, retake
from certero.records.preprocessing import Preprocessing

SMALL = Preprocessing(32, 32)


def _photo(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 56, 3)).astype(np.uint8)


def test_a_part_is_a_part_at_the_shape_of_the_photo_and_mirrored_in_about_half() -> None:
    photo, mirrored = _photo(), 0
    for seed in range(40):
        part = retake(photo, np.random.default_rng(seed), relit=False)
        assert 0.7 <= part.shape[0] / 40 <= 1
        assert abs(part.shape[0] / 40 - part.shape[1] / 56) < 0.03
        inside = [
            (sliding_window_view(whole, part.shape)[:, :, 0] == part).all(axis=(2, 3, 4)).any()
            for whole in (photo, photo[:, ::-1])
        ]
        assert sum(inside) == 1
        mirrored += inside[1]
    assert 10 <= mirrored <= 30


def test_other_light_is_one_rising_curve_a_colour_and_about_as_often_darker_as_brighter() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(200, axis=0)
    darker = 0
    for seed in range(40):
        plain, light = (retake(grey, np.random.default_rng(seed), relit=relit) for relit in (False, True))
        assert plain.shape == light.shape
        for colour in range(3):
            curve = dict(zip(plain[..., colour].ravel().tolist(), light[..., colour].ravel().tolist(), strict=True))
            levels = [curve[level] for level in sorted(curve)]
            assert all(first <= second for first, second in itertools.pairwise(levels))
        darker += light.mean() < plain.mean()
    assert 10 <= darker <= 35


def test_a_file_has_the_same_views_wherever_it_lies_and_each_number_is_another(tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(_photo()).save(file)
    data = file.read_bytes()
    views = [prepare_retaken(data, SMALL, number) for number in (1, 2, 3)]
    assert all(view.shape == (32, 32, 3) and view.dtype == np.uint8 for view in views)
    assert np.array_equal(views[0], prepare_retaken(data, SMALL, 1))
    assert not np.array_equal(views[0], views[2])
    other = tmp_path / "other.png"
    Image.fromarray(_photo(1)).save(other)
    assert not np.array_equal(views[0], prepare_retaken(other.read_bytes(), SMALL, 1))
