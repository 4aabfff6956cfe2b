"""Promises about what is found in a folder or manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from places import SHARED_DATA

from certero.data.scan import list_photos, scan
from certero.data.table import SCHEMA, Photos, check_classes
from certero.data.times import time_in_name
from certero.errors import DataError
from certero.photos.first_look import Seen, unreadable
from certero.photos.listing import on_disk, printable, walk_photos
from certero.records.photos import PhotoFacts


def look(path: Path) -> PhotoFacts:
    """A plain reader: enough of `PhotoFacts` to scan real files."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:32]
    try:
        with Image.open(path) as image:
            image.load()
            return PhotoFacts("ok", None, (image.format or "").lower(), *image.size, digest, brightness=0.5)
    except (OSError, SyntaxError) as error:
        return PhotoFacts("unreadable", str(error), None, None, None, digest)


def looks(look: Callable[[Path], PhotoFacts]) -> Callable[[Sequence[Path]], Iterator[Seen]]:
    def see(path: Path) -> Seen:
        try:
            return Seen(look(path), path.stat().st_size)
        except OSError as error:
            return unreadable(error)

    return lambda paths: map(see, paths)


def scanned(data: Path, **options: object) -> Photos:
    return scan(list_photos(data, **options), look=looks(look))  # type: ignore[arg-type]


def photo(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    kind = {".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".gif": "GIF"}.get(suffix, "JPEG")
    Image.new("RGB", (8, 6), (colour, 0, 0)).save(path, kind)
    return path


def manifest(folder: Path, text: str, name: str = "photos.csv", encoding: str = "utf-8") -> Path:
    for index in range(4):
        photo(folder / f"p{index}.jpg", index)
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_photos_are_found_whatever_their_suffix_case_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.Png", "sub/c.JFIF", "Z.tiff"):
        photo(tmp_path / name)
    photo(tmp_path / ".ipynb_checkpoints" / "a.jpg")
    photo(tmp_path / ".hidden.jpg")
    (tmp_path / "notes.TXT").write_text("x")
    (tmp_path / "Makefile").write_text("x")
    walk = walk_photos(tmp_path)
    assert walk.photos == ["Z.tiff", "a.Png", "b.JPG", "sub/c.JFIF"]
    assert walk.passed_over == {"(hidden)": 2, "(no suffix)": 1, ".txt": 1}


def test_links_to_folders_are_followed_without_loops(tmp_path: Path) -> None:
    photo(tmp_path / "data" / "cow" / "a.jpg")
    photo(tmp_path / "elsewhere" / "b.jpg")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cow" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "cow" / "self").symlink_to("self")
    (tmp_path / "data" / "cow" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    walk = walk_photos(tmp_path / "data")
    assert walk.photos == ["cow/a.jpg", "cow/gone.jpg", "dog/b.jpg"]
    assert walk.passed_over["(folder loop)"] == 1
    table = scanned(tmp_path / "data").table
    assert table["status"].to_list() == ["ok", "unreadable", "ok"]
    assert "No such file" in table["problem"][1]


def test_names_that_are_no_utf8_or_very_long_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "plátano" / ("ñ" * 120) / ("x" * 200)
    photo(folder / ("猫" * 80 + ".jpg"))
    odd = os.fsdecode(b"caf\xe9.jpg")
    try:
        photo(tmp_path / "odd" / odd)
    except OSError:
        pytest.skip("the file system takes only UTF-8 names")
    photo(tmp_path / "odd" / r"literal\xe9.jpg")
    photos = scanned(tmp_path)
    assert photos.table["status"].to_list() == ["ok"] * 3
    assert photos.table["path"][0] == r"odd/caf\xe9.jpg"
    assert on_disk(tmp_path, printable(f"odd/{odd}")).exists()
    assert photos.classes() == ["odd", "plátano"]


def test_an_unreadable_folder_is_reported(tmp_path: Path) -> None:
    photo(tmp_path / "cow" / "a.jpg")
    secret = photo(tmp_path / "dog" / "b.jpg").parent
    secret.chmod(0)
    for folder in (tmp_path, *(parent for parent in tmp_path.parents if "pytest" in str(parent))):
        folder.chmod(0o755)
    code = (
        "import os, sys; sys.path[:0] = sys.argv[2].split(os.pathsep)\n"
        "from certero.data.scan import list_photos; from pathlib import Path\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # Root may read everything.
        "photos = list_photos(Path(sys.argv[1])); print(photos.notes, photos.passed_over)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), os.pathsep.join(p for p in sys.path if p)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        secret.chmod(0o755)
    assert "dog: Permission denied" in done.stdout, done.stderr
    assert "could not be opened" in done.stdout


def test_the_label_is_the_first_folder_unless_another_level_is_asked_for(tmp_path: Path) -> None:
    photo(tmp_path / "fruit" / "apple" / "red" / "a.jpg")
    photo(tmp_path / "milk" / "b.jpg")
    photo(tmp_path / "stray.jpg")
    first = list_photos(tmp_path)
    assert first.table["label"].to_list() == ["fruit", "milk"]
    assert first.passed_over == {"(photo without a class folder)": 1}
    assert any("1 photo without a class folder" in note for note in first.notes)
    assert list_photos(tmp_path, label_level=2).table["label"].to_list() == ["apple"]
    assert list_photos(tmp_path, label_level="leaf").table["label"].to_list() == ["red", "milk"]
    assert list_photos(tmp_path, single_label="x").table["label"].to_list() == ["x"] * 3


def test_presplit_folders_give_splits_and_never_become_classes(tmp_path: Path) -> None:
    for name in ("Train/cow/a.jpg", "Train/dog/b.jpg", "valid/cow/c.jpg", "test/dog/d.jpg", "other/x/e.jpg"):
        photo(tmp_path / name)
    photo(tmp_path / "test" / "loose.jpg")
    photos = list_photos(tmp_path)
    rows = set(photos.table.select("path", "label", "split").iter_rows())
    assert photos.source == "presplit"
    assert rows == {
        ("Train/cow/a.jpg", "cow", "train"),
        ("Train/dog/b.jpg", "dog", "train"),
        ("valid/cow/c.jpg", "cow", "val"),
        ("test/dog/d.jpg", "dog", "test"),
    }
    assert photos.passed_over == {
        "(photo outside the split folders)": 1,
        "(photo without a class folder)": 1,
    }
    assert "val lacks 1 of 2 classes: dog" in photos.notes
    photo(tmp_path / "vehicles" / "train" / "a.jpg")
    photo(tmp_path / "vehicles" / "car" / "a.jpg")
    assert list_photos(tmp_path / "vehicles").classes() == ["car", "train"]


def test_a_manifest_keeps_splits_groups_times_and_further_columns(tmp_path: Path) -> None:
    text = (
        "path,label,split,group,captured_at,camera,width\n"
        "./p0.jpg, cow ,TRAIN,a,2024-01-12T05:40:04,north,7\n"
        "p1.jpg,dog,validation,b,2024-01-12 06:00:00,south,8\n"
        "p2.jpg,dog,,,2024:01:12 07:00:00,,\n"
        ",,,,,,\n"
    )
    photos = scanned(manifest(tmp_path, text, encoding="utf-8-sig"))
    table = photos.table
    assert table.columns[: len(SCHEMA)] == list(SCHEMA)
    assert dict(table.schema)["perceptual_hash"] == pl.UInt64
    assert table["path"].to_list() == ["p0.jpg", "p1.jpg", "p2.jpg"]
    assert table["label"].to_list() == ["cow", "dog", "dog"]
    assert table["split"].to_list() == ["train", "val", None]
    assert table["captured_at"].to_list() == [datetime(2024, 1, 12, *t) for t in ((5, 40, 4), (6,), (7,))]
    assert table["captured_from"].to_list() == ["manifest"] * 3
    assert table["camera"].to_list() == ["north", "south", None]
    assert table["width"].to_list() == [8, 8, 8]
    assert table["manifest_width"].to_list() == ["7", "8", None]


@pytest.mark.parametrize("kind", ["tsv", "semicolon", "parquet"])
def test_every_kind_of_manifest_reads_the_same(tmp_path: Path, kind: str) -> None:
    expected = list_photos(manifest(tmp_path, "path,label\np0.jpg,ä\np1.jpg,b\n")).table
    if kind == "parquet":
        path = tmp_path / "m.parquet"
        pl.DataFrame({"path": ["p0.jpg", "p1.jpg"], "label": ["ä", "b"]}).write_parquet(path)
    else:
        separator, name = ("\t", "m.tsv") if kind == "tsv" else (";", "m.csv")
        path = manifest(tmp_path, f"path{separator}label\r\np0.jpg{separator}ä\r\np1.jpg{separator}b\r\n", name)
    assert list_photos(path).table.equals(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("place,label\np0.jpg,a\n", "lacks path"),
        ("path\np0.jpg\n", "lacks label"),
        ("", "empty"),
        ("path,label\n", "no rows"),
        ("path,label\np0.jpg,a\nq.jpg,a\nr.jpg,a\n", "2 paths (first: line 3: q.jpg)"),
        ("path,label\np0.jpg,a\n./p0.jpg,a\n", "lists 1 photo (first: line 3: p0.jpg) again"),
        ("path,label\np0.jpg,a\np0.jpg,b\n", "gives two to 1 photo (first: line 3: p0.jpg: a, b)"),
        ("path,label\np0.jpg,a\np1.jpg,\n", "1 without (first: line 3: p1.jpg)"),
        ("path,label\n,a\n", "needs a path"),
        ("path,label\n../p0.jpg,a\n", "elsewhere"),
        ("path,label\n/etc/hosts,a\n", "elsewhere"),
        ("path,label,split\np0.jpg,a,maybe\n", "(first: line 2: maybe)"),
        ("path,label,captured_at\np0.jpg,a,yesterday\n", "(first: line 2: yesterday)"),
        ("path,label,captured_at\np0.jpg,a,2024-01-12\n", "a date and a time"),
        ("path,label,captured_at\np0.jpg,a,2024-13-12T05:00:00\n", "a date and a time"),
        ("path,label\np0.jpg,a,b,c\n", "1 row (first: line 2: 4 cells)"),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        list_photos(manifest(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_manifest_that_is_no_utf8_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be UTF-8"):
        list_photos(manifest(tmp_path, "path,label\np0.jpg,ä\n", encoding="latin-1"))


def _empty(folder: Path) -> Path:
    return folder


def _missing(folder: Path) -> Path:
    return folder / "nowhere"


def _loose(folder: Path) -> Path:
    return photo(folder / "a.jpg").parent


def _photo_file(folder: Path) -> Path:
    return photo(folder / "a.jpg")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_empty, "the folder is empty"),
        (_missing, "does not exist"),
        (_loose, "one folder a class"),
        (_photo_file, "found the file"),
    ],
)
def test_data_without_labelled_photos_is_one_clear_line(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        list_photos(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_photo_that_cannot_be_opened_is_listed_with_its_reason(tmp_path: Path) -> None:
    for name in ("cow/a.jpg", "cow/b.jpg", "dog/c.jpg", "dog/d.jpg"):
        photo(tmp_path / name)
    photos = list_photos(tmp_path)
    (tmp_path / "cow" / "a.jpg").unlink()
    (tmp_path / "cow" / "b.jpg").unlink()
    (tmp_path / "cow" / "b.jpg").mkdir()
    (tmp_path / "dog" / "c.jpg").write_bytes(b"")
    steps: list[tuple[str, int, int]] = []
    result = scan(photos, look=looks(look), progress=lambda *step: steps.append(step))
    assert result.table["status"].to_list() == ["unreadable", "unreadable", "unreadable", "ok"]
    assert result.table["problem"].null_count() == 1
    assert result.table["content_hash"].null_count() == 2
    assert steps[-1] == ("scan", 4, 4)
    assert result.used()["path"].to_list() == ["dog/d.jpg"]


def test_a_wrong_suffix_is_listed_and_the_photo_is_used(tmp_path: Path) -> None:
    photo(tmp_path / "cow" / "a.png").rename(tmp_path / "cow" / "a.JPG")
    photo(tmp_path / "cow" / "b.jpe")
    photos = scanned(tmp_path)
    assert photos.table["status"].to_list() == ["ok", "ok"]
    assert photos.table["problem"].to_list() == ["named .jpg, holds png", None]
    assert any("cow/a.JPG" in note for note in photos.notes)


def test_exif_comes_before_the_name_and_after_the_manifest(tmp_path: Path) -> None:
    def with_exif(path: Path) -> PhotoFacts:
        return dataclasses.replace(look(path), captured_at=datetime(2020, 1, 1, 1))

    photo(tmp_path / "20240112_054004.jpg")
    text = "path,label,captured_at\np0.jpg,a,2024-05-05T05:05:05\n20240112_054004.jpg,a,\n"
    listed = list_photos(manifest(tmp_path, text))
    table = scan(listed, look=looks(with_exif)).table
    assert table["captured_from"].to_list() == ["manifest", "exif"]
    assert table["captured_at"].to_list() == [datetime(2024, 5, 5, 5, 5, 5), datetime(2020, 1, 1, 1)]
    assert scan(listed, look=looks(look)).table["captured_from"].to_list() == ["manifest", "name"]


def test_what_cannot_be_trained_on_is_one_clear_line(tmp_path: Path) -> None:
    photo(tmp_path / "cow" / "a.jpg")
    photo(tmp_path / "cow" / "b.jpg")
    with pytest.raises(DataError, match=r"at least 2 classes.*found 1 \(cow\)"):
        check_classes(scanned(tmp_path))
    photo(tmp_path / "dog" / "c.jpg")
    with pytest.raises(DataError, match=r"1 class has fewer: dog \(1\)"):
        check_classes(scanned(tmp_path))
    for path in tmp_path.rglob("*.jpg"):
        path.write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"none of 3 can be used"):
        check_classes(scanned(tmp_path))


def test_the_real_manifests_are_listed_whole() -> None:
    if not SHARED_DATA.exists():
        pytest.skip("the real photos are not here")
    grocery = list_photos(SHARED_DATA / "grocery" / "grocery36.csv")
    assert dict(grocery.table.group_by("split").len().iter_rows()) == {
        "train": 2407,
        "val": 291,
        "test": 2266,
    }
    assert len(grocery.classes()) == 36
    beds = list_photos(SHARED_DATA / "caetec" / "beds")
    assert beds.classes() == ["empty", "lying", "standing"]
    assert {time_in_name(path.name) is None for path in beds.paths()} == {False}
