"""What certero does with photos that are equal in a part: audit names them, train keeps or leaves them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw, ImageFilter
from trainings import split_up

from certero.pipelines.audit import audit


def face(seed: int) -> Image.Image:
    """As sharp and as various as a photo of a face: shapes on shades."""
    drawn = np.random.default_rng(seed)
    picture = Image.fromarray(drawn.integers(60, 220, (4, 4, 3)).astype(np.uint8)).resize((180, 180))
    draw = ImageDraw.Draw(picture)
    for _number in range(50):
        x, y = drawn.uniform(0, 180, 2)
        draw.ellipse((x, y, x + drawn.uniform(5, 26), y + drawn.uniform(5, 26)), fill=tuple(drawn.integers(0, 255, 3)))
    return picture.filter(ImageFilter.GaussianBlur(0.8))


def with_mask(photo: Image.Image) -> Image.Image:
    drawn = photo.copy()
    ImageDraw.Draw(drawn).polygon(
        [(40, 95), (90, 80), (140, 95), (130, 140), (90, 160), (50, 140)], fill=(190, 210, 230)
    )
    return drawn


def faces(root: Path, count: int = 12) -> Path:
    """Masks drawn onto the same faces, mixed before anything was split."""
    for number in range(count):
        for label, drawn in (("without_mask", face(number)), ("with_mask", with_mask(face(number)))):
            (root / label).mkdir(parents=True, exist_ok=True)
            drawn.save(root / label / f"{number:02}.jpg", quality=90)
    return root


@pytest.mark.slow
def test_a_face_and_its_mask_lie_on_one_side(tmp_path: Path) -> None:
    split = split_up(faces(tmp_path / "faces"))
    table = split.photos.used().with_columns(face=pl.col("path").str.slice(-6, 2))
    assert table.group_by("face").agg(pl.col("unit").n_unique())["unit"].to_list() == [1] * 12
    assert table.group_by("face").agg(pl.col("fold").n_unique())["fold"].to_list() == [1] * 12
    assert any("24 photos are equal in a part to others" in note for note in split.photos.notes)


@pytest.mark.slow
def test_what_is_equal_in_a_part_to_a_given_test_photo_is_not_learnt_from(tmp_path: Path) -> None:
    for number in range(24):
        part, label = "test" if number < 6 else "train", ["with_mask", "without_mask"][number % 2]
        (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
        face(number).save(tmp_path / part / label / f"{number}.jpg", quality=90)
    for number in range(3):
        with_mask(face(number)).save(tmp_path / "train" / "with_mask" / f"{90 + number}.jpg", quality=90)
    done = split_up(tmp_path).photos.table
    leaked = done.filter(pl.col("status") == "leaked")
    assert sorted(Path(path).name for path in leaked["path"]) == ["90.jpg", "91.jpg", "92.jpg"]
    assert {str(why) for why in leaked["problem"]} == {"equal in a part to photos of a later-opened split"}
    assert done.filter(pl.col("split") == "test").height == 6
    assert split_up(tmp_path, keep_leaks=True).photos.used().height == 27


def test_the_audit_names_both_with_split_label_and_share(tmp_path: Path) -> None:
    for number in range(12):
        part, label = ["train", "test"][number // 2 % 2], ["with_mask", "without_mask"][number % 2]
        (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
        face(number).save(tmp_path / part / label / f"{number}.png")
    with_mask(face(3)).save(tmp_path / "train" / "with_mask" / "drawn.png")
    with_mask(face(4)).save(tmp_path / "train" / "with_mask" / "same_split_and_label.png")
    page = tmp_path.parent / "page.html"
    found = [each for each in audit(tmp_path, network=False, report=page)["findings"] if each["kind"] == "partly_equal"]
    across, within = found
    assert across["severity"] == "high"
    assert set(across["paths"]) == {"test/without_mask/3.png", "train/with_mask/drawn.png"}
    assert across["splits"] == ["train", "test"]
    assert across["labels"] == ["with_mask", "without_mask"]
    assert across["score"] == pytest.approx(0.8, abs=0.05)
    percent = round(100 * across["score"])
    assert across["message"] == f"equal in {percent} % of what both show, in train, test, as with_mask, without_mask"
    assert within["severity"] == "medium"
    assert set(within["paths"]) == {"train/with_mask/4.png", "train/with_mask/same_split_and_label.png"}
    shown = page.read_text("utf-8")
    assert 'alt="test/without_mask/3.png"' in shown
    assert 'alt="train/with_mask/drawn.png"' in shown


@pytest.mark.slow
def test_fix_keeps_the_test_photo_of_two_that_are_equal_in_a_part(tmp_path: Path) -> None:
    for number in range(8):
        part, label = ["train", "test"][number // 2 % 2], ["a", "b"][number % 2]
        (tmp_path / part / label).mkdir(parents=True, exist_ok=True)
        face(number).save(tmp_path / part / label / f"{number}.png")
    with_mask(face(2)).save(tmp_path / "train" / "a" / "drawn.png")
    fixed = audit(tmp_path, network=False, fix=tmp_path / "fixed.csv")["fix"]
    assert fixed["left_out"] == [{"path": "train/a/drawn.png", "reason": "equal in a part to a photo in another split"}]
