"""TIFF photos: by Pillow where it reads them rightly, else sample by sample.

Pillow knows a list of layouts; of some others it makes a wrong picture without a word (16 bits with white as zero come
out as their negative, planes of 16 bits as noise), and many it calls corrupt. Source: TIFF 6.0 (1992).
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from certero.errors import PhotoError
from certero.photos.exif import ORIENTATION, camera, capture_time, read_exif
from certero.photos.holes import check_holes
from certero.photos.photo import (
    Decoded,
    UInt8,
    as_rgb,
    check_size,
    grey_to_rgb,
    note_unused_levels,
    scale_to_8_bits,
    turn_upright,
)
from certero.photos.stills import open_with_pillow
from certero.sentences import Message, Sentence, sentence

Samples = npt.NDArray[Any]
Tags = dict[int, tuple[Any, ...]]

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_A_STRIP, _STRIP_LENGTHS = 273, 277, 278, 279
_LARGEST, _PLANES, _PREDICTOR, _COLOURS = 281, 284, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS = 322, 323, 324, 325
_EXTRA, _SAMPLE_FORMAT, _SUBSAMPLING, _DNG_VERSION = 338, 339, 530, 50706

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_NOT_COMPRESSED, _LZW, _JPEG, _DEFLATE, _PACK_BITS = 1, 5, 7, (8, 32946), 32773
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# Codes of struct by field type; the others are not asked for.
_FIELDS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_MOST_TAGS, _MOST_PAGES, _VALUES_AT_ONCE = 4096, 1000, 1 << 20


@dataclass(frozen=True, slots=True)
class _Layout:
    """How samples lie in a file: numbers of the tags of that name, those of a whole photo alone."""

    order: str
    width: int
    height: int
    bits: int
    samples: int
    photometric: int
    compression: int
    in_planes: bool
    predictor: int
    extra: tuple[int, ...]
    reversed: bool


def decode_tiff(data: bytes) -> Decoded:
    """Decode the first picture of a TIFF file.

    Raises:
        PhotoError: pixels are missing, the photo is too large, or of a kind that is not supported. Whatever else is
            raised also means that it cannot be decoded.
    """
    order, tags, pages = _read_directories(data)
    layout = _layout(order, tags)
    _check_kind(data, tags, layout)
    check_size(layout.height, layout.width)
    damage: Message | None = None
    if pages > 1:
        damage = sentence("the file holds %(pages)d pages: the first is used", pages=pages)
    if _is_rare(layout):
        pixels, note = _to_rgb(_read_samples(data, tags, layout), layout, tags)
        exif, corrupt = read_exif(data)
        damage = damage or note or corrupt
        pixels = turn_upright(pixels, exif.get(ORIENTATION))
    else:
        with _open(data, layout) as photo:
            photo.load()  # turns the photo itself
            exif = photo.getexif()
            if photo.mode == "P" and (colours := tags.get(_COLOURS)) and max(colours) < 256:
                # Written by programs that took the 16 bits of a colour for 8.
                photo.putpalette(bytes(np.array(colours, np.uint8).reshape(3, -1).T.tobytes()))
            pixels = np.ascontiguousarray(as_rgb(photo))
    if layout.compression in _DEFLATE:
        _check_sums(data, _spans(tags))
    elif layout.compression in (_LZW, _JPEG):
        check_holes(data, _spans(tags), pixels)
    return Decoded(pixels, "tiff", damage, capture_time(exif), camera(exif))


def _open(data: bytes, layout: _Layout) -> Any:
    try:
        return open_with_pillow(data, "tiff")
    except UnidentifiedImageError as error:  # the header has been read and makes sense
        raise _unsupported(layout) from error


def _unsupported(layout: _Layout) -> PhotoError:
    kind = sentence(
        "%(samples)s channels of %(bits)s bits, photometric %(photometric)s",
        samples=layout.samples,
        bits=layout.bits,
        photometric=layout.photometric,
    )
    return PhotoError("a TIFF of this kind (%(kind)s) is not supported: save it anew as RGB of 8 or 16 bits", kind=kind)


# ---- directories ----------------------------------------------------------------------------------------------


def _read_directories(data: bytes) -> tuple[str, Tags, int]:
    """Byte order, tags of the first picture, and how many pictures there are that are no smaller copy or mask."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    at = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]
    first: Tags | None = None
    seen: set[int] = set()
    pages = 0
    while at and at not in seen and len(seen) < _MOST_PAGES:
        seen.add(at)
        try:
            tags, at = _read_directory(data, at, order, big)
        except struct.error:
            if first is None:
                raise PhotoError("the header is corrupt") from None
            break  # what follows the first picture is not needed
        pages += not int(tags.get(_SUBFILE, (0,))[0]) & 5
        first = tags if first is None else first
    return order, first or {}, pages


def _read_directory(data: bytes, at: int, order: str, big: bool) -> tuple[Tags, int]:
    """Numbers by tag, and where the next directory is."""
    count = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, at)[0]
    at += 8 if big else 2
    if count > _MOST_TAGS:
        raise struct.error
    size = 8 if big else 4
    tags: Tags = {}
    for _ in range(count):
        tag, kind, length = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", data, at)
        if (code := _FIELDS.get(kind)) and length:
            bytes_needed = length * struct.calcsize(f"={code}")
            if bytes_needed > len(data):
                raise struct.error
            place = at + 4 + size
            if bytes_needed > size:
                place = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, place)[0]
            tags[tag] = struct.unpack_from(f"{order}{length}{code}", data, place)
        at += 4 + 2 * size
    return tags, struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, at)[0]


def _layout(order: str, tags: Tags) -> _Layout:
    try:
        return _Layout(
            order,
            width=tags[_WIDTH][0],
            height=tags[_HEIGHT][0],
            bits=max(tags.get(_BITS, (1,))),
            samples=tags.get(_SAMPLES, (1,))[0],
            photometric=tags[_PHOTOMETRIC][0],
            compression=tags.get(_COMPRESSION, (_NOT_COMPRESSED,))[0],
            in_planes=tags.get(_PLANES, (1,))[0] == 2,
            predictor=tags.get(_PREDICTOR, (1,))[0],
            extra=tags.get(_EXTRA, ()),
            reversed=tags.get(_FILL_ORDER, (1,))[0] == 2,
        )
    except KeyError as error:
        raise PhotoError("the header is corrupt") from error


def _check_kind(data: bytes, tags: Tags, layout: _Layout) -> None:
    """Refuses what holds no photo, and pixels of which it is not agreed what they show."""
    # Camera raw files: their first image is a small preview, which must not pass for the photo.
    if data[8:10] == b"CR" or _DNG_VERSION in tags or tags.get(_SUBFILE, (0,))[0] & 1 or layout.photometric == 32803:
        raise PhotoError("the file is a camera raw file or holds only a preview: convert it to JPEG or TIFF")
    if not layout.width or not layout.height or not layout.samples:
        raise PhotoError("the header is corrupt")
    if len(set(tags.get(_BITS, (1,)))) > 1:
        raise PhotoError("samples of different sizes are not supported: convert the photo to 8 or 16 bits")
    if layout.bits > 16 or any(kind not in (1, 4) for kind in tags.get(_SAMPLE_FORMAT, ())):
        raise PhotoError(
            "32-bit, signed and floating-point pixels are not supported: convert the photo to 8 or 16 bits"
        )
    if layout.photometric == _YCBCR and layout.compression != _JPEG and tags.get(_SUBSAMPLING, (2, 2)) != (1, 1):
        raise PhotoError("YCbCr without JPEG is not supported: convert the photo to RGB")


def _is_rare(layout: _Layout) -> bool:
    """Whether the photo is read here and not by Pillow."""
    if layout.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK, _YCBCR) or layout.compression == _JPEG:
        return False
    if layout.samples == 1:
        return layout.bits not in (1, 2, 4, 8)
    return layout.bits != 8 or layout.in_planes or layout.photometric in (_WHITE_IS_ZERO, _YCBCR)


def _spans(tags: Tags) -> list[tuple[int, int]]:
    """Start and end of the strips or tiles."""
    offsets = tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS) or ()
    lengths = tags.get(_STRIP_LENGTHS) or tags.get(_TILE_LENGTHS) or ()
    return [(start, start + length) for start, length in zip(offsets, lengths, strict=False)]


def _check_sums(data: bytes, spans: list[tuple[int, int]]) -> None:
    """Compares the checksum of each deflated strip or tile, which libtiff leaves unread.

    Raises:
        PhotoError: if one is wrong.
    """
    for start, end in spans:
        packed, stream = data[start:end], zlib.decompressobj()
        try:
            while packed and not stream.eof:
                stream.decompress(packed, _VALUES_AT_ONCE)
                packed = stream.unconsumed_tail
        except zlib.error as error:
            raise PhotoError("the tiff data are corrupt: the checksum of the picture is wrong") from error


# ---- samples --------------------------------------------------------------------------------------------------


def _read_samples(data: bytes, tags: Tags, layout: _Layout) -> Samples:
    """Samples [height, width, n] as they are in the file, uint8 or uint16."""
    height, width, count = layout.height, layout.width, layout.samples
    if count > 16:
        raise PhotoError("a photo has up to 4 channels; this one has %(count)s: convert it to RGB", count=count)
    if _TILE_OFFSETS in tags:
        rows, columns = tags[_TILE_HEIGHT][0], tags[_TILE_WIDTH][0]
    else:
        rows, columns = min(tags.get(_ROWS_A_STRIP, (height,))[0], height), width
    if not rows or not columns or rows * columns > 4 * height * width + 1_000_000:
        raise PhotoError("the header is corrupt")
    spans = iter(_spans(tags))
    kind = np.uint8 if layout.bits <= 8 else np.uint16
    found = np.zeros((height, width, count), kind)
    planes = [slice(plane, plane + 1) for plane in range(count)] if layout.in_planes else [slice(0, count)]
    tiled = _TILE_OFFSETS in tags
    for plane in planes:
        target = found[:, :, plane]
        for top in range(0, height, rows):
            deep = rows if tiled else min(rows, height - top)
            for left in range(0, width, columns):
                start, end = next(spans, (0, 0))
                part = _read_part(data[start:end], deep, columns, target.shape[2], layout)
                target[top : top + deep, left : left + columns] = part[: height - top, : width - left]
    return found


def _read_part(packed: bytes, rows: int, columns: int, depth: int, layout: _Layout) -> Samples:
    """Samples [rows, columns, depth] of a strip or tile."""
    row_bytes = (columns * depth * layout.bits + 7) // 8
    plain = _unpack(packed.translate(_REVERSED) if layout.reversed else packed, rows, row_bytes, layout.compression)
    if len(plain) < rows * row_bytes:
        raise PhotoError("the file is cut short: pixels are missing")
    lines = np.frombuffer(plain, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    values = columns * depth
    if layout.bits == 8:
        samples: Samples = lines
    elif layout.bits == 16:
        samples = lines.view(f"{layout.order}u2").astype(np.uint16)
    else:
        step = max(1, _VALUES_AT_ONCE // values)
        bands = [lines[top : top + step] for top in range(0, rows, step)]
        samples = np.concatenate([_join_bits(band, values, layout.bits) for band in bands])
    samples = samples[:, :values].reshape(rows, columns, depth)
    if layout.predictor == 2 and layout.compression != _NOT_COMPRESSED:
        samples = np.cumsum(samples, axis=1, dtype=samples.dtype)  # runs over as it was meant to
    elif layout.predictor not in (1, 2):
        raise PhotoError("the predictor of this TIFF is not supported: save it anew")
    return samples


def _join_bits(lines: UInt8, values: int, bits: int) -> Samples:
    """The first values of `bits` bits of each line, uint16 [n, values]."""
    single = np.unpackbits(lines, axis=1)[:, : values * bits].reshape(len(lines), values, bits)
    return single @ (1 << np.arange(bits - 1, -1, -1, dtype=np.uint16))


def _unpack(packed: bytes, rows: int, row_bytes: int, compression: int) -> bytes:
    """The bytes of a strip or tile, at most as many as it has."""
    if compression == _NOT_COMPRESSED:
        return packed
    if compression in _DEFLATE:
        return zlib.decompressobj().decompress(packed, rows * row_bytes)
    if compression in (_LZW, _PACK_BITS):  # by libtiff, as a grey picture of 8 bits
        entries = [(_WIDTH, row_bytes), (_HEIGHT, rows), (_BITS, 8), (_COMPRESSION, compression)]
        entries += [(_PHOTOMETRIC, _BLACK_IS_ZERO), (_STRIP_OFFSETS, 8 + 2 + 9 * 12 + 4), (_SAMPLES, 1)]
        entries += [(_ROWS_A_STRIP, rows), (_STRIP_LENGTHS, len(packed))]
        header = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
        header += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries) + bytes(4)
        with Image.open(io.BytesIO(header + packed), formats=["TIFF"]) as photo:
            return photo.tobytes()
    raise PhotoError(
        "compression %(compression)s of a TIFF of this kind is not supported: save it anew, uncompressed",
        compression=compression,
    )


def _to_rgb(samples: Samples, layout: _Layout, tags: Tags) -> tuple[UInt8, Sentence | None]:
    """8-bit RGB, and what is odd about the levels."""
    white, note = (1 << layout.bits) - 1, None
    if layout.bits == 16:
        largest = int(samples.max())
        stated = max((int(value) for value in tags.get(_LARGEST, ())), default=0)
        # Stated as the number of bits that a camera has; any other largest value is that of this photo alone.
        if 255 < stated < white and stated >= largest and not stated & stated + 1:
            white = stated
        else:
            note = note_unused_levels(largest)
    if layout.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        colours = grey_to_rgb(samples[:, :, 0], white)
        colours = 255 - colours if layout.photometric == _WHITE_IS_ZERO else colours
        if layout.samples > 2:
            raise _unsupported(layout)
        used = 1
    elif layout.photometric == _CMYK and layout.samples >= 4:
        return _from_mode("CMYK", scale_to_8_bits(samples[:, :, :4], white)), note
    elif layout.photometric == _YCBCR and layout.samples >= 3:
        return _from_mode("YCbCr", scale_to_8_bits(samples[:, :, :3], white)), note
    elif layout.samples >= 3:
        colours = np.ascontiguousarray(scale_to_8_bits(samples[:, :, :3], white))
        used = 3
    else:
        raise _unsupported(layout)
    if layout.extra[:1] in ((1,), (2,)) and layout.samples > used:
        alpha = scale_to_8_bits(samples[:, :, used : used + 1], white).astype(np.uint16)
        shown = colours.astype(np.uint16) * (alpha if layout.extra[0] == 2 else 255)
        colours = np.minimum((shown + 255 * (255 - alpha) + 127) // 255, 255).astype(np.uint8)
    return colours, note


def _from_mode(mode: str, samples: UInt8) -> UInt8:
    """Samples [height, width, n] of one of Pillow's modes as RGB."""
    photo = Image.frombytes(mode, (samples.shape[1], samples.shape[0]), samples.tobytes())
    return np.asarray(photo.convert("RGB"))
