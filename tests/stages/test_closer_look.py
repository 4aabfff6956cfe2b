"""A closer look at a photo needs no second decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from certero.data.scan import list_photos
from certero.stages.closer_look import look_closer, view_key
from certero.stages.look import look_at_photos
from certero.stages.tools import open_tools

pytest.importorskip("sklearn", reason="the audit needs the [report] extra")


def test_the_first_look_makes_the_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding is most of a look at a photo; the views come from the same decoding, and are those of a later one."""
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (300, 700, 3)).astype(np.uint8)
        (tmp_path / "photos" / str(number)).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / str(number) / "a.jpg")
    listed = list_photos(tmp_path / "photos")
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "later"))
    with open_tools(1) as tools:
        used = look_at_photos(listed, tools).used()
        later = look_closer(listed.paths(used), used["content_hash"].to_list(), tools)
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "at once"))
    with open_tools(1) as tools:
        used = look_at_photos(listed, tools, view_key=view_key).used()
        for photo in listed.paths(used):
            photo.unlink()  # what is gone cannot be decoded a second time
        at_once = look_closer(listed.paths(used), used["content_hash"].to_list(), tools)
    assert np.array_equal(at_once[0], later[0])
    assert at_once[1] == later[1]
