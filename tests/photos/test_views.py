"""The small view of a photo measures what its words say, and is remembered without loss."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from certero.data.table import SCHEMA
from certero.photos.pixels import decode, luma, resize
from certero.photos.views import View, look

pytest.importorskip("polars", reason="tables need the [report] extra")


def test_a_view_measures_what_its_words_say(grocery: Path) -> None:
    pixels = decode(next((grocery / "val").rglob("*.jpg")).read_bytes()).pixels
    found = look(pixels, None).measures
    grey = resize(luma(pixels), 256, 256).astype(np.float64)
    darkest, brightest = np.percentile(grey, (5, 99)) / 255
    assert (found.darkest, found.brightest) == (round(darkest, 4), round(brightest, 4))
    assert found.contrast == pytest.approx(grey.std() / 255, abs=6e-5)
    middle = grey[1:-1, 1:-1]
    bends = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    assert found.sharpness == pytest.approx(bends.std() / grey.std(), abs=6e-5)
    shares = np.unique(grey, return_counts=True)[1] / grey.size
    assert found.entropy == pytest.approx(-(shares * np.log2(shares)).sum(), abs=6e-5)


def test_resaved_bytes_give_the_same_view_facts() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS 80D"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)).save(
        buffer, "JPEG", exif=exif
    )
    photo = decode(buffer.getvalue())
    view = look(photo.pixels, photo.camera)
    again = View.from_blob(view.to_blob())
    assert view.measures.camera == "Canon EOS 80D"
    assert (again.grey == view.grey).all()
    assert again.measures == view.measures
    assert "camera" not in SCHEMA
