"""Nothing is passed over unsaid: files that look like photos, classes without any, and what is beside the photos."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

import certero
from certero.cli.main import main
from certero.data.lost_classes import count_lost
from certero.data.scan import list_photos, scan
from certero.data.table import Photos, check_classes, leave_out_rare
from certero.errors import DataError
from certero.findings.balance import judge_losses
from certero.photos.first_look import look_at
from certero.photos.listing import walk_photos
from certero.pipelines.train import Run

_JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40)
_CR2 = b"II*\0\x10\0\0\0CR\2\0" + bytes(40)


def photo(path: Path, kind: str = "JPEG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), tuple(hashlib.sha256(str(path).encode()).digest()[:3])).save(path, kind)
    return path


def scanned(data: Path) -> Photos:
    return scan(list_photos(data), look=look_at)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("noext", "PNG", "photo"),
        ("a.jpg_large", "JPEG", "photo"),
        ("a.download", "WEBP", "photo"),
        ("a.CR2", "PNG", "photo"),
        ("a.bmp_", "BMP", "photo"),
        ("a.cr2", _CR2, "camera raw"),
        ("a.NEF", _CR2, "camera raw"),
        ("a.jxl", _JXL, "JPEG XL"),
        ("noext", _JXL, "JPEG XL"),
        ("a.psd", b"8BPS" + bytes(20), "Photoshop"),
        ("a.svg", b"<svg/>", "SVG"),
        ("a.dcm", bytes(200), "DICOM"),
        ("BMW notes", b"BMW is a car maker, and this a text about it", "(no suffix)"),
        ("a.txt", b"GIF is a format", ".txt"),
        ("P5", b"P5 is a part of the plant", "(no suffix)"),
        ("scan", b"P6\n# by hand\n2 1\n255\nabcdef", "photo"),
        ("a.mov", b"\0\0\0\x14ftypqt  ", ".mov"),
        ("a.pdf", b"%PDF-1.7", ".pdf"),
    ],
)
def test_content_decides_what_a_file_without_a_photos_suffix_is(
    tmp_path: Path, name: str, content: str | bytes, found: str
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        photo(tmp_path / "red" / name, content).rename(tmp_path / name)
        (tmp_path / "red").rmdir()
    walk = walk_photos(tmp_path)
    kinds = dict.fromkeys(walk.photos, "photo") | walk.foreign | dict(walk.others)
    assert kinds == {name: found}


def test_a_camera_raw_file_beside_its_photo_is_no_loss(tmp_path: Path) -> None:
    photo(tmp_path / "IMG_1.JPG")
    (tmp_path / "IMG_1.cr2").write_bytes(_CR2)
    (tmp_path / "IMG_2.cr2").write_bytes(_CR2)
    walk = walk_photos(tmp_path)
    assert walk.foreign == {"IMG_2.cr2": "camera raw"}
    assert walk.passed_over == {"(camera raw beside its photo)": 1}


@pytest.fixture
def lossy(tmp_path: Path) -> Path:
    """Two sound classes; one of pictures that are not read, one half lost, an empty one and one of other files."""
    for label in ("red", "blue", "half"):
        for number in range(4):
            photo(tmp_path / label / f"{number}.jpg")
    for number in range(3):
        (tmp_path / "green").mkdir(exist_ok=True)
        (tmp_path / "green" / f"{number}.jxl").write_bytes(_JXL)
        (tmp_path / "half" / f"{number}.jpg").write_bytes(b"<html>404</html>")
    (tmp_path / "half" / "1.jpg").unlink()
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "a.pdf").write_bytes(b"%PDF-1.7")
    return tmp_path


def test_classes_that_lost_their_photos_are_named_with_the_reason(lossy: Path) -> None:
    photos = scanned(lossy)
    said = "\n".join(photos.notes)
    assert "class green: none of 3 photos can be read (JPEG XL (.jxl) is not read: convert it to JPEG)" in said
    assert "class half: 2 of 3 photos cannot be read (this is a web page" in said
    assert "class folder empty is empty" in said
    assert "class folder papers holds no photo: only 1 .pdf" in said
    assert {name: lost.to_json() for name, lost in count_lost(photos).items()} == {
        "green": {"photos": 3, "unreadable": 3, "passed_over": {}},
        "half": {"photos": 3, "unreadable": 2, "passed_over": {}},
        "empty": {"photos": 0, "unreadable": 0, "passed_over": {}},
        "papers": {"photos": 0, "unreadable": 0, "passed_over": {".pdf": 1}},
    }
    found = [(finding.labels, finding.severity) for finding in judge_losses(photos)]
    assert found == [(("green",), "high"), (("half",), "medium"), (("empty",), "high"), (("papers",), "high")]
    assert photos.table.filter(photos.table["label"] == "green")["status"].to_list() == ["unreadable"] * 3


def test_every_class_that_cannot_be_trained_on_is_in_one_message(lossy: Path) -> None:
    photo(lossy / "lonely" / "1.jpg")
    photos = scanned(lossy)
    with pytest.raises(DataError) as caught:
        check_classes(photos)
    said = str(caught.value)
    assert "2 classes have fewer: half (1 of 3 readable: this is a web page" in said
    assert "lonely (1)" in said
    assert "--min-photos 2" in said
    assert "\n" not in said
    kept = leave_out_rare(photos, 2)
    check_classes(kept)
    assert kept.classes() == ["blue", "red"]
    assert "were left out: green (0), half (1), lonely (1)" in kept.notes[-1]
    assert kept.passed_over["(photo of a class left out)"] == 7


def test_only_one_readable_class_names_the_others(tmp_path: Path) -> None:
    photo(tmp_path / "red" / "1.jpg")
    (tmp_path / "green").mkdir()
    (tmp_path / "green" / "1.jxl").write_bytes(_JXL)
    with pytest.raises(DataError, match=r"found 1 \(red\); no photo can be read of green"):
        check_classes(scanned(tmp_path))


def test_predict_names_what_it_passes_over_and_a_picture_that_is_not_read_gets_a_row(
    small_barn: Path, small_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = next((small_barn / "beds" / "lying").iterdir()).read_bytes()
    for name in ("1.jpg", "noext", "IMG_2.txt"):
        (tmp_path / name).write_bytes(source)
    (tmp_path / "3.jxl").write_bytes(_JXL)
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "@eaDir").mkdir()
    command = ["predict", str(small_run.path), str(tmp_path), "-q", "--json", "-"]
    assert main(command) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert [Path(row["path"]).name for row in rows] == ["1.jpg", "3.jxl", "IMG_2.txt", "noext"]
    assert [row["error"] for row in rows] == [None, "JPEG XL (.jxl) is not read: convert it to JPEG", None, None]
    assert "Passed over: 1 folder @eaDir, 1 .txt." in captured.err
    assert "1 of 4 photos could not be read" in captured.err
    assert main([*command, "--strict"]) == 2
    assert [answer.error is None for answer in certero.load(small_run.path).predict(tmp_path)] == [
        *(True, False, True, True)
    ]
