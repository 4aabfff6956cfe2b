"""Formats: one table of suffixes and beginnings, for the listing of folders, the decoders and the audit."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from places import ROOT

from certero.photos.formats import (
    FOREIGN_FORMATS,
    PHOTO_SUFFIXES,
    RAW,
    READ,
    foreign_of_content,
    is_misnamed,
    is_photo,
    name_other,
    suffix_of,
)
from certero.photos.listing import walk_photos


def test_every_suffix_of_a_photo_promises_a_format_that_is_read() -> None:
    assert set(PHOTO_SUFFIXES.values()) == set(READ)


@pytest.mark.parametrize(
    ("name", "found", "misnamed"),
    [
        ("a/cow.JPG", "jpeg", False),
        ("cow.jpeg", "jpeg", False),
        ("cow.jpg", "png", True),
        ("cow", "png", True),
        ("cow.heif", "heic", False),
        ("cow.jpg", "heic", True),
        ("cow.jpg", None, False),
        ("cow.cr2", RAW, False),
    ],
)
def test_a_name_is_wrong_if_it_promises_another_format(name: str, found: str | None, misnamed: bool) -> None:
    assert is_misnamed(name, found) == misnamed


@pytest.mark.parametrize(
    ("beginning", "kind", "said"),
    [
        (b"8BPS\0\1", "Photoshop", "a Photoshop file"),
        (b"\xff\x0a\0", "JPEG XL", "a JPEG XL photo"),
        (b"FUJIFILMCCD-RAW 0201", RAW, "a camera raw file"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", RAW, "a camera raw file"),
        (b"%PDF-1.7", None, "a PDF document"),
        (b"qoif\0\0", None, "a QOI picture"),
    ],
)
def test_the_listing_and_the_decoder_know_the_same_pictures(
    tmp_path: Path, beginning: bytes, kind: str | None, said: str
) -> None:
    (tmp_path / "picture").write_bytes(beginning)
    assert foreign_of_content(beginning) == kind
    assert walk_photos(tmp_path).foreign == ({} if kind is None else {"picture": kind})
    assert kind is None or kind in FOREIGN_FORMATS
    assert name_other(beginning) == f"this is {said}, which cannot be read: convert it to JPEG"


def test_a_raw_file_that_is_a_tiff_to_look_at_is_no_photo() -> None:
    assert is_photo("scan.dat", b"II*\0")
    assert not is_photo("scan.nef", b"II*\0")
    assert not is_photo("BMW prices", b"BMW 320d")


def test_a_suffix_is_read_alike_everywhere() -> None:
    assert [suffix_of(name) for name in ("a.b/cow.JPG", "cow", "cow.", ".hidden")] == [".jpg", "", "", ""]


def test_no_other_module_lists_suffixes_of_photos() -> None:
    """A second table would let a photo be listed by one rule and called misnamed by another."""
    elsewhere = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "src" / "certero").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in (".jfif", ".heif", ".jp2", ".rar")
    }
    assert elsewhere == {"src/certero/photos/formats.py"}
