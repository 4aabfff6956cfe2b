"""HEIC photos, decoded by libheif, and the boxes that they share with AVIF: what their bytes tell without decoding.

libheif decodes what it finds: tiles that are missing or zero come out black without a word. So what the file says where
its picture data lie is compared with what is there. Source: ISO/IEC 14496-12 (boxes) and 23008-12 (items).
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from certero.errors import PhotoError
from certero.photos.exif import camera, capture_time, read_exif
from certero.photos.photo import HOLE, Decoded, UInt8, check_size, grey_to_rgb, on_white, one_line, say_surplus
from certero.sentences import Message, Sentence, message

# An H.265 stream never holds three zero bytes in a row but between its units, and few there.
_MOST_ZEROS = 16
_PICTURES = {b"hvc1", b"av01"}
_MOST_ITEMS = 20_000


def decode_heic(data: bytes) -> Decoded:
    """Decode the primary picture of a HEIC file; libheif turns it upright and lays its tiles together.

    Raises:
        PhotoError: pixels are missing or undecodable, the photo is too large, or there is no decoder on this machine.
    """
    surplus = check_boxes(data)
    for start, end in picture_spans(data):
        if data.find(bytes(_MOST_ZEROS), start, end) >= 0:
            raise PhotoError(HOLE)
    decoder = _load_decoder()
    if decoder is None:
        raise PhotoError("a HEIC photo needs the package pi-heif, which is not installed: convert it to JPEG")
    try:
        photo = decoder.open_heif(io.BytesIO(data))
        check_size(photo.size[1], photo.size[0])
        pixels = _rgb(photo[photo.primary_index])
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError, IndexError) as error:
        raise PhotoError("the heic data cannot be decoded: %(reason)s", reason=_reason(error)) from error
    exif, damage = read_exif(photo.info.get("exif") or b"")
    return Decoded(pixels, "heic", surplus or damage, capture_time(exif), camera(exif))


@functools.cache
def _load_decoder() -> Any:
    """The package, loaded for the first HEIC photo: most folders hold none, and it takes a while."""
    try:
        import pi_heif
    except ImportError:  # no wheel for this platform: Windows on ARM
        return None
    return pi_heif


def check_boxes(data: bytes) -> Sentence | None:
    """Refuses a HEIC or AVIF file that is cut short, or whose header promises too large a picture; returns what is odd.

    Raises:
        PhotoError: with what is wrong.
    """
    found = list(_boxes(data, 0, len(data), strict=True))
    if not any(name in (b"meta", b"moov") for name, _, _ in found):
        raise PhotoError("the file is cut short or corrupt: the description of the picture is missing")
    for start, _ in _find(data, b"meta", b"iprp", b"ipco", b"ispe"):
        width, height = struct.unpack_from(">II", data, start + 4)
        check_size(height, width)
    if any(end > len(data) for _, end in picture_spans(data)):
        raise PhotoError("the file is cut short: pixels are missing")
    surplus = len(data) - found[-1][2]
    return say_surplus(surplus) if surplus else None


def picture_spans(data: bytes) -> list[tuple[int, int]]:
    """Start and end of the encoded pictures and tiles of a HEIC or AVIF file; an end may lie behind the file."""
    try:
        return _picture_spans(data)
    except struct.error as error:
        raise PhotoError("the description of the picture is corrupt") from error


def _picture_spans(data: bytes) -> list[tuple[int, int]]:
    pictures = set()
    for start, end in _find(data, b"meta", b"iinf"):
        at = start + (6 if data[start] == 0 else 8)
        for name, inner, _ in _boxes(data, at, end):
            if name == b"infe" and data[inner] >= 2:
                wide = data[inner] > 2
                number = struct.unpack_from(">I" if wide else ">H", data, inner + 4)[0]
                kind = data[inner + (10 if wide else 8) :][:4]
                if kind in _PICTURES:
                    pictures.add(number)
    spans = []
    for start, _end in _find(data, b"meta", b"iloc"):
        spans += [(first, last) for number, first, last in _locations(data, start) if number in pictures]
    return spans


def _locations(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Item, start and end of each extent within the file that an `iloc` box lists."""
    version = data[at]
    sizes = struct.unpack_from(">H", data, at + 4)[0]
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    at += 6

    def read(size: int) -> int:
        nonlocal at
        at += size
        if at > len(data):
            raise struct.error
        return int.from_bytes(data[at - size : at], "big")

    long = 4 if version >= 2 else 2
    count = read(long)
    if count > _MOST_ITEMS:
        raise struct.error
    for _ in range(count):
        number = read(long)
        method = read(2) & 15 if version else 0
        read(2)
        base = read(base_size)
        for _extent in range(read(2)):
            if version and index_size:
                read(index_size)
            first = base + read(offset_size)
            length = read(length_size)
            if method == 0 and length:
                yield number, first, first + length


def _find(data: bytes, *names: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the contents of every box that lies at this path."""
    spans = [(0, len(data))]
    for name in names:
        spans = [
            (start + (4 if name == b"meta" else 0), end)
            for outer in spans
            for found, start, end in _boxes(data, *outer)
            if found == name
        ]
    yield from spans


def _boxes(data: bytes, at: int, end: int, strict: bool = False) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the contents of boxes that follow each other.

    Raises:
        PhotoError: if `strict` and one reaches beyond the end.
    """
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1 and at + 16 <= end:
            size, start = struct.unpack_from(">Q", data, start)[0], start + 8
        last = end if size == 0 else at + size
        if last > end and strict and name in (b"mdat", b"meta", b"moov", b"idat"):
            raise PhotoError("the file is cut short: pixels are missing")
        if last < start or last > end:
            return
        yield name, start, last
        at = last


def _rgb(picture: Any) -> UInt8:
    shown: Image.Image = picture.to_pillow()
    if shown.mode.startswith("I;16"):  # more than 8 bits of grey, which libheif leaves as they are
        return grey_to_rgb(np.asarray(shown), 65535)
    return on_white(shown) if shown.has_transparency_data else np.asarray(shown.convert("RGB"))


def _reason(error: Exception) -> Message:
    words = one_line(error)
    if "primary" in words.lower():
        return message("it holds a film and no photo: save single pictures")
    return message("corrupt picture data") if "Decoder plugin" in words else words
