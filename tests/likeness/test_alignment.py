"""An altered photo is aligned with its original, and with no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from certero.likeness.alignment import align
from certero.likeness.alterations import ALTERATIONS, alter
from certero.photos.pixels import decode, luma
from certero.photos.views import shrink_view

pytest.importorskip("sklearn", reason="the audit needs the [report] extra")


@pytest.fixture(scope="module")
def shop_views(grocery: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Views of 24 shop photos of 24 classes, and of the same after each alteration."""
    listed = pl.read_csv(grocery / "grocery36.csv").filter(pl.col("split") == "train")
    names = listed.group_by("label", maintain_order=True).first()["path"].to_list()[:24]
    photos = [decode((grocery / name).read_bytes()).pixels for name in names]
    views = np.stack([shrink_view(luma(photo)) for photo in photos])
    after = [alter(photo) for photo in photos]
    return views, {name: np.stack([shrink_view(luma(item[name])) for item in after]) for name in ALTERATIONS}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_photo_lies_on_its_original_and_on_no_other(
    shop_views: tuple[np.ndarray, dict[str, np.ndarray]], name: str
) -> None:
    views, altered = shop_views
    own = align(views, altered[name])
    assert (own.score > 0.9).mean() >= 0.95
    assert (own.mirrored == (name == "mirrored")).mean() >= 0.95
    assert align(views, np.roll(altered[name], 1, axis=0)).score.max() < 0.7
