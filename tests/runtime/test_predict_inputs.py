"""What `certero.load(...).predict` takes: every form that Python holds photos in, and one clear error for the rest."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageOps

import certero
from certero.errors import DataError, InputError

if TYPE_CHECKING:
    from certero.pipelines.train import Run
    from certero.runtime.predictor import Predictor


@pytest.fixture(scope="module")
def model(small_run: Run) -> Predictor:
    return certero.load(small_run.path)


@pytest.fixture(scope="module")
def folder(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos: a.png, b.jpg, c.png."""
    folder = tmp_path_factory.mktemp("inputs")
    source = sorted((small_barn / "beds" / "standing").iterdir())
    Image.open(source[0]).save(folder / "a.png")
    shutil.copyfile(source[1], folder / "b.jpg")
    Image.open(source[2]).save(folder / "c.png")
    return folder


@pytest.fixture(scope="module")
def expected(model: Predictor, folder: Path) -> np.ndarray:
    return model.predict_proba(folder / "a.png")


def _same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, np.broadcast_to(expected[0], (len(found), expected.shape[1])), atol=1e-5)


def test_one_photo_in_every_form_gives_a_list_of_one(model: Predictor, folder: Path, expected: np.ndarray) -> None:
    path = folder / "a.png"
    pixels = np.asarray(Image.open(path).convert("RGB"))
    opaque = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=2)
    with path.open("rb") as file, zipfile.ZipFile(_zipped(folder)).open("a.png") as member, Image.open(path) as picture:
        forms: list[Any] = [
            *(str(path), path, path.read_bytes(), file, io.BytesIO(path.read_bytes()), member, picture),
            *(Image.fromarray(pixels), Image.fromarray(opaque), pixels, opaque, pixels[None]),
        ]
        for form in forms:
            _same(model.predict_proba(form), expected)
            assert len(model.predict(form)) == 1
        # Again and together: a file is read from its beginning, an image may be given twice.
        _same(model.predict_proba([*forms[:-1], picture, file]), expected)
        _same(model.predict_proba(iter(forms[:-1])), expected)
        _same(model.predict_proba(tuple(forms[:2])), expected)
        names = [answer.path for answer in model.predict([path, file, io.BytesIO(path.read_bytes()), picture, pixels])]
    assert names == [str(path), str(path), "#2", "#3", "#4"]


def _zipped(folder: Path) -> io.BytesIO:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.write(folder / "a.png", "a.png")
    whole.seek(0)
    return whole


def test_a_pipe_and_a_generator_of_files_are_read(model: Predictor, folder: Path, expected: np.ndarray) -> None:
    with subprocess.Popen(["cat", folder / "a.png"], stdout=subprocess.PIPE) as process:
        _same(model.predict_proba(process.stdout), expected)

    def files() -> Iterator[Any]:
        for _time in range(3):
            yield (folder / "a.png").open("rb")

    _same(model.predict_proba(files()), expected)


def test_columns_of_paths_are_read(model: Predictor, folder: Path, expected: np.ndarray) -> None:
    paths = [str(folder / "a.png")] * 2
    for column in (np.array(paths), np.array(paths, dtype=object), pl.Series(paths), {paths[0]}):
        _same(model.predict_proba(column), expected)


def test_a_folder_and_a_pattern_name_every_photo(model: Predictor, folder: Path) -> None:
    names = ["a.png", "b.jpg", "c.png"]
    assert [Path(answer.path).name for answer in model.predict(folder)] == names
    assert [Path(answer.path).name for answer in model.predict(str(folder / "*.png"))] == ["a.png", "c.png"]
    assert [Path(answer.path).name for answer in model.predict(folder.parent / f"{folder.name[:-1]}?" / "[bc].*")] == [
        "b.jpg",
        "c.png",
    ]
    odd = folder / "x[1].png"
    shutil.copyfile(folder / "a.png", odd)
    try:
        assert [answer.path for answer in model.predict(str(odd))] == [str(odd)]
    finally:
        odd.unlink()
    with pytest.raises(DataError, match="Check the path"):
        model.predict(str(folder / "*.gif"))
    with pytest.raises(DataError, match="certero fetches nothing"):
        model.predict("https://example.org/cow.jpg")


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA", "RGBA", "YCbCr", "I;16"])
def test_a_picture_of_any_mode_is_answered_as_its_file(
    model: Predictor, folder: Path, tmp_path: Path, mode: str
) -> None:
    picture = Image.open(folder / "a.png").convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    name = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    picture.save(name)
    with Image.open(name) as opened:
        np.testing.assert_allclose(model.predict_proba(opened), model.predict_proba(name), atol=1e-5)
    if mode == "L":
        grey = np.asarray(picture)
        for form in (grey, grey[..., None], grey[None, ..., None], np.stack([grey] * 3, axis=2)):
            np.testing.assert_allclose(model.predict_proba(form), model.predict_proba(name), atol=1e-5)


def test_a_transparent_array_lies_on_white_as_its_file_does(model: Predictor, folder: Path, tmp_path: Path) -> None:
    picture = Image.open(folder / "a.png").convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(tmp_path / "a.png")
    expected = model.predict_proba(tmp_path / "a.png")
    for form in (np.asarray(picture), picture, np.asarray(picture)[None]):
        np.testing.assert_allclose(model.predict_proba(form), expected, atol=1e-5)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_picture_is_turned_as_its_file_is_and_stays_as_it_was(
    model: Predictor, folder: Path, tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("png", "tif", "jpg"):
        name = tmp_path / f"turned.{suffix}"
        Image.open(folder / "a.png").convert("RGB").save(name, exif=exif, quality=95)
        with Image.open(name) as picture:
            size = picture.size
            found = model.predict_proba([picture, picture])
            assert picture.size == size or suffix == "tif"
            _same(found, model.predict_proba(name))
            _same(model.predict_proba(ImageOps.exif_transpose(picture)), model.predict_proba(name))


def test_an_opened_picture_is_answered_as_its_file_to_the_bit(model: Predictor, folder: Path, tmp_path: Path) -> None:
    grey = np.asarray(Image.open(folder / "a.png").convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "white_is_zero.tif", tiffinfo={262: 0})
    frames = [Image.open(folder / name).convert("P") for name in ("a.png", "c.png")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    for name in (tmp_path / "white_is_zero.tif", folder / "b.jpg", tmp_path / "two.gif"):
        with Image.open(name) as picture:
            np.testing.assert_array_equal(model.predict_proba([picture, picture]), model.predict_proba([name, name]))
            assert picture.getpixel((0, 0)) is not None
    with Image.open(tmp_path / "two.gif") as picture:
        picture.seek(1)
        np.testing.assert_allclose(model.predict_proba(picture), model.predict_proba(picture.convert("RGB")), atol=1e-5)


def test_a_picture_that_is_cut_short_or_closed_gets_a_row_with_its_error(model: Predictor, folder: Path) -> None:
    data = (folder / "b.jpg").read_bytes()
    short = Image.open(io.BytesIO(data[: len(data) // 2]))
    closed = Image.open(folder / "a.png")
    closed.close()
    empty = io.BytesIO()
    answers = model.predict([short, folder / "a.png", closed, empty, np.zeros((0, 5, 3), np.uint8)])
    assert [answer.error is None for answer in answers] == [False, True, False, False, False]
    assert "cut short" in (answers[0].error or "")
    assert answers[0].label is None


class Tensor:
    """What other libraries give: an array by its protocol."""

    def __init__(self, array: np.ndarray, works: bool = True) -> None:
        self.array, self.works, self.shape = array, works, array.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if not self.works:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return self.array

    def __iter__(self) -> Iterator[Any]:
        return iter(self.array)


def test_an_array_of_another_library_is_read_as_an_array(model: Predictor, folder: Path, expected: np.ndarray) -> None:
    pixels = np.asarray(Image.open(folder / "a.png").convert("RGB"))
    _same(model.predict_proba(Tensor(pixels)), expected)
    _same(model.predict_proba([Tensor(pixels), Tensor(pixels)]), expected)
    with pytest.raises(InputError, match=r"tensor\.cpu\(\)\.numpy\(\)"):
        model.predict(Tensor(pixels, works=False))
    with pytest.raises(InputError, match="from 0 to 1"):
        model.predict(Tensor(pixels / 255.0))


_PIXELS = np.zeros((6, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "photo 0 is None"),
        (3, "of type int"),
        (2.5, "of type float"),
        ({"a.jpg": 1}, "found a dict"),
        (pl.DataFrame({"path": ["a.jpg"]}), "of a table one column"),
        ([None], "photo 0 is None"),
        ([b"x", 7], "photo 1 is of type int"),
        ([[b"x"], [b"y"]], "Give one flat list"),
        ([_PIXELS.tolist()], "Give one flat list"),
        (_PIXELS.astype(np.float32), r"float32 \[6, 5, 3\]. Convert it: \(array \* 255\)"),
        (_PIXELS.astype(np.float16)[None], "from 0 to 1"),
        (_PIXELS.astype(np.int64), r"astype\('uint8'\) from 0 to 255"),
        (_PIXELS.astype(np.uint16), "from 0 to 65535"),
        (_PIXELS[..., 0] > 3, r"\* 255"),
        ([_PIXELS, _PIXELS.astype(float)], "photo 1 is float64"),
        (_PIXELS.transpose(2, 0, 1), r"transpose\(1, 2, 0\)"),
        (_PIXELS.transpose(2, 0, 1)[None], r"transpose\(0, 2, 3, 1\)"),
        (_PIXELS[..., :2], r"uint8 \[6, 5, 2\]"),
        ([np.stack([_PIXELS] * 2)], "photo 0 is"),
        (np.zeros(5, np.uint8), r"uint8 \[5\]"),
        (np.zeros((2, 2), dtype=object), "object"),
        (io.StringIO("text"), "Open it with 'rb'"),
        (object(), "of type object"),
        (len, "of type builtin_function_or_method"),
    ],
)
def test_what_is_no_photo_is_one_clear_error(model: Predictor, wrong: Any, said: str) -> None:
    for function in (model.predict, model.predict_proba):
        with pytest.raises(InputError, match=f"a photo must be .*{said}") as caught:
            function(wrong)
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, DataError)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("none", [[], (), np.zeros((0, 6, 5, 3), np.uint8)])
def test_of_no_photos_there_are_no_answers(model: Predictor, none: Any) -> None:
    assert model.predict(none) == model.predict(iter(none)) == []
    assert model.predict_proba(none).shape == (0, len(model.classes))


def test_a_file_that_is_closed_or_for_text_is_refused(model: Predictor, folder: Path) -> None:
    file = (folder / "a.png").open("rb")
    file.close()
    with pytest.raises(InputError, match="a file that is closed"):
        model.predict(file)
    with (folder / "a.png").open() as text, pytest.raises(InputError, match="'rb'"):
        model.predict([text])
