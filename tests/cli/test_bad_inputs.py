"""Data and model files that cannot be used are refused with one clear line, and nothing is written."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import Mistake, classes_of, manifest_of, photo_of

from certero.runtime.model_file import read_model, with_card

if TYPE_CHECKING:
    from certero.pipelines.train import Run

pytest.importorskip("polars", reason="training needs the [train] extra")
pytest.importorskip("onnx", reason="training needs the [train] extra")


def test_a_path_that_does_not_exist_is_refused(mistake: Mistake, small_run: Run) -> None:
    assert "nope does not exist" in mistake("train", "nope", "-q")
    assert "nope does not exist" in mistake("evaluate", small_run.path, "nope", "-q")
    assert "nope.jpg does not" in mistake("predict", small_run.path, "nope.jpg", "-q")


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict"])
def test_a_folder_without_photos_is_refused(mistake: Mistake, small_run: Run, tmp_path: Path, verb: str) -> None:
    (tmp_path / "data" / "lying").mkdir(parents=True)
    (tmp_path / "data" / "lying" / "notes.txt").write_text("no photo")
    model = [] if verb == "train" else [small_run.path]
    line = mistake(verb, *model, tmp_path / "data", "-q")
    assert "found none" in line or "holds none" in line


def test_photos_without_class_folders_are_refused(mistake: Mistake, tmp_path: Path) -> None:
    photo_of(tmp_path / "data" / "a.png", 1)
    assert "one folder a class" in mistake("train", tmp_path / "data", "-q")


def test_one_class_is_refused(mistake: Mistake, tmp_path: Path) -> None:
    assert "at least 2 classes" in mistake("train", classes_of(tmp_path / "data", cow=4), "-q")


def test_a_class_with_one_photo_is_refused(mistake: Mistake, tmp_path: Path) -> None:
    line = mistake("train", classes_of(tmp_path / "data", cow=4, calf=1), "-q")
    assert "1 class has fewer: calf (1)" in line


def test_photos_that_are_all_broken_are_refused(mistake: Mistake, small_run: Run, tmp_path: Path) -> None:
    folder = classes_of(tmp_path / "data", empty=3, lying=3)
    for photo in folder.rglob("*.png"):
        photo.write_bytes(photo.read_bytes()[:60])
    assert "none of 6 can be" in mistake("train", folder, "-q")
    assert "none of 6 can be" in mistake("evaluate", small_run.path, folder, "-q")


_GOOD = [[f"photos/{number}.png", "ab"[number % 2]] for number in range(6)]


@pytest.mark.parametrize(
    ("rows", "header", "says"),
    [
        (_GOOD, ("place", "kind"), "lacks path and label"),
        (_GOOD, ("path", "kind"), "lacks label"),
        ([], ("path", "label"), "has no rows"),
        ([*_GOOD, ["photos/9.png", "a"]], ("path", "label"), "1 path (first: line 8: photos/9.png) without a file"),
        ([*_GOOD, ["../x.png", "a"]], ("path", "label"), "must lie in the folder of the manifest"),
        ([*_GOOD, _GOOD[0]], ("path", "label"), "1 photo (first: line 8: photos/0.png) again"),
        (
            [*_GOOD, ["photos/0.png", "b"]],
            ("path", "label"),
            "gives two to 1 photo (first: line 8: photos/0.png: a, b)",
        ),
        ([*_GOOD[1:], ["photos/0.png", ""]], ("path", "label"), "needs a label"),
        ([[*row, "tset"] for row in _GOOD], ("path", "label", "split"), "6 other words (first: line 2: tset)"),
        ([[*row, "noon"] for row in _GOOD], ("path", "label", "captured_at"), "captured_at must be a date and a time"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_manifest_that_does_not_hold_together_is_refused(
    mistake: Mistake,
    small_run: Run,
    tmp_path: Path,
    verb: str,
    rows: list[list[str]],
    header: tuple[str, ...],
    says: str,
) -> None:
    manifest = manifest_of(tmp_path / "data", rows, header)
    assert says in mistake(verb, *([] if verb == "train" else [small_run.path]), manifest, "-q")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b"path,label\n\x00,a\n", b'path,label\n"a.png,b\n'])
def test_a_file_that_is_no_manifest_is_refused(mistake: Mistake, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    mistake("train", tmp_path / "list.csv", "-q")
    (tmp_path / "list.parquet").write_bytes(content)
    mistake("train", tmp_path / "list.parquet", "-q")
    (tmp_path / "photo.jpg").write_bytes(content)
    assert "folder of photos or a" in mistake("train", tmp_path / "photo.jpg", "-q")


def _spoiled(data: bytes, kind: str, path: Path, small_run: Run) -> bytes:
    if kind == "empty":
        return b""
    if kind == "truncated":
        return data[: len(data) // 2]
    if kind == "one bit":
        spoiled = bytearray(data)
        spoiled[len(data) // 2] ^= 1
        return bytes(spoiled)
    if kind == "a photo":
        return photo_of(path.with_suffix(".png"), 3).read_bytes()
    if kind == "text":
        return b"certero\n" * 100
    card = read_model(small_run.model)[1]
    if kind == "newer":
        return with_card(data, dataclasses.replace(card, schema=99))
    assert kind == "foreign"
    import onnx

    network = onnx.load_from_string(data)
    del network.metadata_props[:]
    return bytes(network.SerializeToString())


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "holds no network"),
        ("truncated", "damaged"),
        ("one bit", "does not match its own checksum"),
        ("a photo", "damaged or something else"),
        ("text", "MODEL must be a whole ONNX file"),
        ("foreign", "carries no certero card"),
        ("newer", "made by a newer certero: upgrade this one"),
    ],
)
@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_model_file_that_is_not_whole_or_not_ours_is_refused(
    mistake: Mistake, small_run: Run, small_barn: Path, tmp_path: Path, verb: str, kind: str, says: str
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(_spoiled(small_run.model.read_bytes(), kind, model, small_run))
    line = mistake(verb, model, small_barn / "beds" / "lying", "-q")
    assert says in line
    assert "ModelFileError: " in line


def test_a_model_that_is_a_folder_without_one_or_missing_is_refused(
    mistake: Mistake, small_barn: Path, tmp_path: Path
) -> None:
    assert "holds no model.onnx" in mistake("predict", small_barn, small_barn / "beds", "-q")
    assert "No such file" in mistake("predict", tmp_path / "nope.onnx", small_barn / "beds", "-q")
