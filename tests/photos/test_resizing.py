"""What certero promises about resizing: one result, to the last bit, whatever computes it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from certero.photos import resizing
from certero.photos.resizing import by_numpy, resize

needs_fast = pytest.mark.skipif(resizing.fast is None, reason="cykooz-resizer has no wheel for this platform")


def picture(height: int, width: int, depth: int = 3, seed: int = 0) -> np.ndarray:
    """Soft shapes, hard edges and noise, uint8 [height, width, depth], without an axis for a depth of 1."""
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, depth))
    rows, columns = np.mgrid[0:height, 0:width]
    soft = (rows * 150 // height + columns * 100 // width)[..., None]
    edges = 255 * ((rows // 9 + columns // 7) % 5 == 0)[..., None]
    levels = np.clip(noise + soft + edges, 0, 255).astype(np.uint8)
    return levels if depth > 1 else levels[..., 0]


def shapes(count: int, seed: int) -> list[list[int]]:
    """Height and width before and after, from 1 to some 600."""
    return np.exp(np.random.default_rng(seed).uniform(0, 6.4, (count, 4))).astype(int).tolist()


@needs_fast
@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_without_the_library_the_bits_are_the_same(filter: str) -> None:
    usual = [[348, 348, 224, 224], [480, 640, 168, 224], [31, 47, 90, 64], [1, 5000, 64, 64], [2000, 30, 64, 64]]
    for number, (height, width, rows, columns) in enumerate(usual + shapes(150, 5)):
        photo = picture(height, width, 3 if number % 4 else 1, number)
        fast = resizing.by_fast_image_resize(photo, rows, columns, filter)
        assert (by_numpy(photo, rows, columns, filter) == fast).all(), (height, width, rows, columns)


@needs_fast
@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_bits_are_the_same_where_32_bit_floats_would_round(filter: str) -> None:
    photo = picture(1500, 1100) // 4 * 4 + 3
    assert (by_numpy(photo, 40, 33, filter) == resizing.by_fast_image_resize(photo, 40, 33, filter)).all()


@needs_fast
def test_resizing_gives_the_same_bits_without_vector_instructions() -> None:
    from cykooz_resizer import CpuExtensions

    photo = picture(348, 290)
    found = [resizing.by_fast_image_resize(photo, 224, 187, "bicubic")]
    before = resizing.threads.resizer.cpu_extensions
    try:
        resizing.threads.resizer.cpu_extensions = CpuExtensions.none
        found.append(resizing.by_fast_image_resize(photo, 224, 187, "bicubic"))
    finally:
        resizing.threads.resizer.cpu_extensions = before
    assert before != CpuExtensions.none, "this processor has no vector instructions to compare with"
    assert (found[0] == found[1]).all()


def test_the_bits_are_those_of_every_other_machine() -> None:
    # Fails where a processor, a BLAS or a new version of the library would give other pixels than those measured.
    photo = picture(348, 290)
    digests = {
        filter: hashlib.sha256(resize(photo, 224, 187, filter).tobytes()).hexdigest()[:16]
        for filter in ("bilinear", "bicubic")
    }
    assert digests == {"bilinear": "8070f9a2107ad8b5", "bicubic": "feab675b8ac4d968"}


@pytest.mark.parametrize(("size", "target"), [((348, 348), (224, 224)), ((480, 640), (168, 224)), ((31, 47), (90, 64))])
def test_resizing_agrees_with_pillow(size: tuple[int, int], target: tuple[int, int]) -> None:
    photo = picture(*size)
    for filter, theirs in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        # Rows first, as here; Pillow on its own begins with the columns.
        rows = Image.fromarray(photo).resize((size[1], target[0]), theirs)
        expected = np.asarray(rows.resize(target[::-1], theirs)).astype(int)
        difference = np.abs(resize(photo, *target, filter) - expected)
        assert difference.mean() < 0.02
        assert difference.max() <= 1
        grey = np.ascontiguousarray(photo[:, :, 1])
        assert (resize(grey, *target, filter) == resize(photo, *target, filter)[:, :, 1]).all()


def test_equal_sizes_change_nothing() -> None:
    photo = picture(12, 18)
    assert resize(photo, 12, 18) is photo
    for height, width in ((12, 7), (7, 18)):
        assert by_numpy(photo, height, width, "bilinear").shape == (height, width, 3)


@pytest.mark.parametrize("way", ["numpy", "fast_image_resize", "lanczos"])
def test_the_way_can_be_forced(way: str) -> None:
    if way == "fast_image_resize" and resizing.fast is None:
        pytest.skip("cykooz-resizer has no wheel for this platform")
    program = "import numpy; from certero.photos import resizing as r; r.resize(numpy.zeros((4, 4), 'u1'), 2, 2); "
    program += "print(r._uses_fast_image_resize())"
    environment = {**os.environ, "CERTERO_RESIZER": way}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    if way == "lanczos":
        assert "CERTERO_RESIZER must be fast_image_resize or numpy; found 'lanczos'" in done.stderr
    else:
        assert done.stdout.strip() == str(way == "fast_image_resize"), done.stderr
