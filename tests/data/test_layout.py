"""What folders mean: given splits, classes, what systems leave beside photos, and where people meant to point."""

from __future__ import annotations

import unicodedata
import zipfile
from pathlib import Path

import polars as pl
import pytest

from certero.data.layout import split_named
from certero.data.scan import list_photos
from certero.data.table import Photos, check_classes
from certero.errors import DataError


def lay(root: Path, names: str) -> Path:
    """A file, empty, for each name; names that end in a slash are folders."""
    for name in names.split():
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return root


def listed(photos: Photos) -> set[tuple[str | None, str]]:
    return set(photos.table.select("split", "label").iter_rows())


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("Training", "Testing", "test"),
        ("training", "validation", "val"),
        ("train_set", "test_set", "test"),
        ("training_set", "test_set", "test"),
        ("seg_train", "seg_test", "test"),
        ("train", "dev", "val"),
        ("TRAIN", "eval", "test"),
        ("train-images", "valid_images", "val"),
        ("train", "holdout", "test"),
        ("entrenamiento", "prueba", "test"),
        ("Entrenamiento", "validación", "val"),
        ("conjunto de entrenamiento", "conjunto de validacion", "val"),
        ("train_80", "hold-out", "test"),
        ("trainSet", "TestData", "test"),
        ("Training", "PublicTest", "test"),
        ("asl_alphabet_train", "asl_alphabet_test", "test"),
    ],
)
def test_words_of_the_field_give_splits_and_never_become_classes(
    tmp_path: Path, train: str, other: str, split: str
) -> None:
    for name in (f"{train}/red/1.jpg", f"{train}/blue/2.jpg", f"{other}/red/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    photos = list_photos(tmp_path)
    assert photos.source == "presplit"
    assert listed(photos) == {("train", "red"), ("train", "blue"), (split, "red")}


@pytest.mark.parametrize(
    "name", ["testtube", "training shoes", "trainer", "test tube", "development kit", "evaluator", ""]
)
def test_other_words_are_no_split(name: str) -> None:
    assert split_named(name) is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # Kaggle's Intel images: each split within a folder of its own name, and photos without labels.
        (
            "seg_train/seg_train/sea/1.jpg seg_train/seg_train/ice/2.jpg seg_test/seg_test/sea/3.jpg "
            "seg_pred/seg_pred/4.jpg",
            {("train", "sea"), ("train", "ice"), ("test", "sea")},
        ),
        (
            "train/images/red/1.jpg train/images/blue/2.jpg test/images/red/3.jpg",
            {("train", "red"), ("train", "blue"), ("test", "red")},
        ),
        # The labels of test are not given away.
        ("train/cat/1.jpg train/dog/2.jpg test/1.jpg", {("train", "cat"), ("train", "dog")}),
        # The splits lie within the classes.
        ("cat/train/1.jpg cat/test/2.jpg dog/train/3.jpg", {("train", "cat"), ("test", "cat"), ("train", "dog")}),
        (
            "cat/train/1.jpg cat/test/2.jpg dog/train/3.jpg pig/4.jpg",
            {("train", "cat"), ("test", "cat"), ("train", "dog"), (None, "pig")},
        ),
        # Two words of splits among classes.
        ("train/1.jpg test/2.jpg car/3.jpg", {(None, "train"), (None, "test"), (None, "car")}),
        # Circumstances below the classes.
        ("cow/day/1.jpg cow/night/2.jpg dog/day/3.jpg dog/night/4.jpg", {(None, "cow"), (None, "dog")}),
        ("cow/bed1/1.jpg cow/bed2/2.jpg dog/bed1/3.jpg", {(None, "cow"), (None, "dog")}),
        # No val, no train: photos to judge on.
        ("val/red/1.jpg test/red/2.jpg", {("val", "red"), ("test", "red")}),
    ],
)
def test_folders_are_read_as_people_meant_them(tmp_path: Path, files: str, expected: set[tuple[str, str]]) -> None:
    assert listed(list_photos(lay(tmp_path, files))) == expected


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ("cam1/red/1.jpg cam1/blue/2.jpg cam2/red/3.jpg cam2/blue/4.jpg", "say --label-level 2"),
        ("2023/red/1.jpg 2024/red/3.jpg 2024/blue/4.jpg", "say --label-level 2"),
        ("granja_norte/red/1.jpg granja_sur/red/3.jpg", "say --label-level 2"),
        ("color/scab/1.jpg color/rust/2.jpg grayscale/scab/3.jpg grayscale/rust/4.jpg", "say --label-level 2"),
        (
            "Fotos-001/Fotos/red/1.jpg Fotos-001/Fotos/blue/2.jpg Fotos-002/Fotos/red/3.jpg Fotos-002/Fotos/blue/4.jpg",
            "say --label-level 3",
        ),
        ("fold1/train/a/1.jpg fold1/test/a/2.jpg fold2/train/a/3.jpg fold2/test/a/4.jpg", "Point to one of them"),
        ("train/red/1.jpg train/blue/2.jpg extra/red/3.jpg extra/blue/4.jpg", "rename the folders train and test"),
        ("train/red/1.jpg test/blue/2.jpg", "look like splits and share none"),
        ("train/1.jpg test/2.jpg", "no class folders"),
        ("train_cow/1.jpg test_cow/2.jpg train_dog/3.jpg test_dog/4.jpg", "no class folders"),
        ("trainA/1.jpg trainB/2.jpg testA/3.jpg testB/4.jpg", "no class folders"),
    ],
)
def test_folders_that_can_be_read_in_two_ways_are_one_clear_line(tmp_path: Path, files: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        list_photos(lay(tmp_path, files))
    assert "\n" not in str(caught.value)


def test_the_user_decides_which_folders_are_the_classes(tmp_path: Path) -> None:
    lay(tmp_path, "cam1/red/1.jpg cam1/blue/2.jpg cam2/red/3.jpg")
    assert list_photos(tmp_path, label_level=1).classes() == ["cam1", "cam2"]
    assert list_photos(tmp_path, label_level=2).classes() == ["blue", "red"]
    assert list_photos(tmp_path, classes=["red", "blue"]).classes() == ["blue", "red"]
    lay(tmp_path / "other", "apple/whole/1.jpg apple/cut/2.jpg pear/whole/3.jpg")
    photos = list_photos(tmp_path / "other")
    assert photos.classes() == ["apple", "pear"]
    assert (
        "apple, pear hold the same folders (cut, whole); if those are the classes, say --label-level 2" in photos.notes
    )


@pytest.mark.parametrize(
    ("files", "below"),
    [
        ("photos/red/1.jpg photos/blue/2.jpg", "photos"),
        ("train/red/1.jpg train/blue/2.jpg", "train"),
        ("a/b/train/red/1.jpg a/b/test/blue/2.jpg __MACOSX/a/b/._1.jpg", "a/b"),
    ],
)
def test_a_folder_above_the_right_one_is_told_the_right_one(tmp_path: Path, files: str, below: str) -> None:
    photos = list_photos(lay(tmp_path, files))
    assert any(f"all photos lie in {tmp_path / below}, which holds 2 folders" in note for note in photos.notes)
    with pytest.raises(DataError, match=f"point to the folder below: {tmp_path / below} holds 2 folders"):
        check_classes(as_read(photos))


def as_read(photos: Photos) -> Photos:
    """The photos as if each had been looked at and could be read."""
    return photos.with_columns(pl.col("status").fill_null("ok"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("photos.zip", "photos/photos/red/1.jpg photos/photos/blue/2.jpg", "point to the folder photos/photos in it"),
        ("photos.ZIP", "red/1.jpg blue/2.jpg", "point to the folder that it becomes"),
        ("photos.zip", "readme.txt", "holds no photos"),
        ("photos.zip", None, "Unpack it"),
        ("photos.tar.gz", None, "is an archive"),
        ("photos.rar", None, "is an archive"),
    ],
)
def test_an_archive_is_told_how_to_be_used(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    path = tmp_path / name
    if content is None:
        path.write_bytes(b"PK\3\4 not really")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for member in content.split():
                archive.writestr(member, b"")
    with pytest.raises(DataError, match=said) as caught:
        list_photos(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="Unpack the archive"):
        list_photos(tmp_path)


def test_what_systems_leave_is_passed_over_and_counted(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "red/1.jpg red/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg #recycle/red/2.jpg $RECYCLE.BIN/3.jpg __MACOSX/red/._1.jpg "
        "blue/4.jpg blue/Thumbs.db blue/desktop.ini blue/.DS_Store blue/._4.jpg .thumbnails/5.jpg lost+found/",
    )
    (tmp_path / "System Volume Information").mkdir()
    photos = list_photos(tmp_path)
    assert photos.classes() == ["blue", "red"]
    assert photos.table.height == 2
    assert photos.passed_over == {
        "(folder #recycle)": 1,
        "(folder $RECYCLE.BIN)": 1,
        "(folder @eaDir)": 1,
        "(folder System Volume Information)": 1,
        "(folder __MACOSX)": 1,
        "(folder lost+found)": 1,
        "(hidden)": 3,
        ".db": 1,
        ".ini": 1,
    }
    assert photos.notes == ()


@pytest.mark.parametrize(
    ("names", "classes", "said"),
    [
        (("train/Red", "train/blue", "test/red"), ["Red", "blue"], "Red, red are taken as one class, Red"),
        (("train/cat", "train/dog", "test/c\u0430t"), ["cat", "dog"], "are taken as one class, cat"),
        (("train/red", "train/blue", "test/\uff52\uff45\uff44"), ["blue", "red"], "are taken as one class, red"),
        (("Red", "red"), ["Red", "red"], "classes Red, red differ in capitals, signs or look-alikes alone"),
        (("train/vaca parada", "test/vaca_parada"), ["vaca parada"], "are taken as one class, vaca parada"),
        (("cat", "c\u0430t"), ["cat", "c\u0430t"], "differ in capitals, signs or look-alikes alone"),
        (("maíz", "maiz"), ["maiz", "maíz"], "classes maiz, maíz differ in accents alone"),
        (("red ", "blue"), ["blue", "red"], None),
        (
            ("green  apple", "green apple", "pear"),
            ["green apple", "pear"],
            "'green  apple', 'green apple' are taken as",
        ),
        (("caf\u00e9", "cafe\u0301", "te"), ["café", "te"], None),
        (("A", "a"), ["A", "a"], "rename one if they are the same"),
    ],
)
def test_names_that_look_alike_are_one_class_where_that_is_certain_and_noted_otherwise(
    tmp_path: Path, names: tuple[str, ...], classes: list[str], said: str | None
) -> None:
    for number, name in enumerate(names):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / f"{number}.jpg").touch()
    if len(list(tmp_path.iterdir())) == 1 and "/" not in names[0]:
        pytest.skip("the file system takes these names for one")
    photos = list_photos(tmp_path)
    assert photos.classes() == classes
    assert [said in note for note in photos.notes if "lacks" not in note] == ([True] if said else [])


def test_names_stored_with_their_accents_apart_are_found_as_they_are_typed(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "café")
    (tmp_path / apart / "té").mkdir(parents=True)
    (tmp_path / apart / "té" / unicodedata.normalize("NFD", "año.jpg")).touch()
    assert list_photos(tmp_path / "café").table.height == 1
    (tmp_path / "m.csv").write_text("path,label\ncafé/té/año.jpg,café\n", "utf-8")
    photos = list_photos(tmp_path / "m.csv")
    assert photos.paths()[0].exists()
    assert photos.classes() == ["café"]
