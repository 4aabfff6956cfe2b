"""PNG, WebP, BMP, GIF, AVIF, JPEG 2000, PPM and rare JPEGs, decoded by Pillow, and what Pillow passes over."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from certero.errors import PhotoError
from certero.photos.exif import CORRUPT, ORIENTATION, camera, capture_time
from certero.photos.formats import READ
from certero.photos.heif import check_boxes, picture_spans
from certero.photos.holes import check_holes
from certero.photos.photo import (
    Decoded,
    UInt8,
    as_rgb,
    check_size,
    grey_to_rgb,
    note_unused_levels,
    say_surplus,
    scale_to_8_bits,
    turn_upright,
)
from certero.sentences import Message, Sentence, message

# An animation is searched for a frame that is not blank, up to this many frames and pixels.
_MOST_FRAMES, _MOST_FRAME_PIXELS = 250, 1_000_000_000


def open_with_pillow(data: bytes, photo_format: str) -> Image.Image:
    """A photo that is not decoded yet.

    Raises:
        PhotoError: if it is too large.
    """
    name = READ[photo_format]
    try:
        photo = Image.open(io.BytesIO(data), formats=[name])
    except Image.DecompressionBombError:
        # Pillow's own message speaks of attacks; opened without Image.open, the photo tells its size.
        photo = Image.OPEN[name][0](io.BytesIO(data), "")
    check_size(photo.height, photo.width)
    return photo


def decode_still(data: bytes, photo_format: str) -> Decoded:
    """Decodes a photo of any format but TIFF and HEIC; of an animation the first frame that is not blank.

    Raises:
        PhotoError: pixels are missing, or the photo is too large. Whatever else Pillow raises also means that the
            photo cannot be decoded.
    """
    damage: Message | None = None
    if photo_format == "avif":
        data = _with_known_brand(data)
        damage = check_boxes(data)
        if not features.check("avif"):
            raise PhotoError("an AVIF photo needs a Pillow that is built with AVIF: convert it to JPEG")
    if photo_format == "jp2":
        if not features.check("jpg_2000"):
            raise PhotoError("a JPEG 2000 photo needs a Pillow that is built with OpenJPEG: convert it to JPEG")
        _check_jp2(data)
    if photo_format != "png":
        return _decode_once(data, photo_format, damage)
    bare, damage = _bare_png(data)
    if damage:
        return _decode_once(bare, photo_format, damage)
    try:
        return _decode_once(data, photo_format, None)
    except PhotoError:
        raise
    except Exception:
        # Texts and colour profiles that unpack to gigabytes are not the picture.
        return _decode_once(bare, photo_format, message("data beside the picture cannot be read"))


def _decode_once(data: bytes, photo_format: str, damage: Message | None) -> Decoded:
    with open_with_pillow(data, photo_format) as photo:
        photo.load()  # before EXIF, which a PNG may hold behind its pixels
        captured_at, orientation, made_by = None, None, None
        damage = damage or _damage_at_end(data, photo_format)
        try:
            exif = photo.getexif()
            captured_at, made_by = capture_time(exif), camera(exif)
            orientation = exif.get(ORIENTATION)
        except Exception:  # Pillow's TIFF reader raises many kinds on corrupt bytes
            damage = damage or CORRUPT
        if photo_format == "png" and data[24] == 16:
            pixels, note = _sixteen_bits(photo, data)
            damage = damage or note
        else:
            pixels = _first_shown(photo)
    spans, shortest = _spans(data, photo_format)
    check_holes(data, spans, pixels, shortest)
    return Decoded(turn_upright(pixels, orientation), photo_format, damage, captured_at, made_by)


def _first_shown(photo: Any) -> UInt8:
    """The first picture of a film that is not of a single colour, as many films begin; else its first."""
    pixels = as_rgb(photo)
    if not getattr(photo, "is_animated", False) or not _is_blank(pixels):
        return pixels
    most = min(photo.n_frames, _MOST_FRAMES, 1 + _MOST_FRAME_PIXELS // (photo.width * photo.height))
    for number in range(1, most):
        try:
            photo.seek(number)
            photo.load()
            found = as_rgb(photo)
        except Exception:  # a film that is cut short: what its beginning shows is all there is
            break
        if not _is_blank(found):
            return found
    return pixels


def _is_blank(pixels: UInt8) -> bool:
    return bool((pixels == pixels[0, 0]).all())


def _spans(data: bytes, photo_format: str) -> tuple[list[tuple[int, int]], int]:
    """Start and end of encoded picture data in which zeros prove something, and from how many on."""
    if photo_format == "webp":
        return list(_webp_spans(data)), 24
    if photo_format == "avif":
        return picture_spans(data), 24
    # Empty packets of sound JPEG 2000 photos are up to 61 zeros in a row.
    return ([(0, len(data))] if photo_format == "jp2" else []), 256


# ---- PNG ------------------------------------------------------------------------------------------------------


def _bare_png(data: bytes) -> tuple[bytes, Message | None]:
    """The chunks that pixels, transparency and orientation need, and what is wrong with the others.

    Pillow does not verify the checksum of the picture data. Source: PNG specification, 5.3 and 5.4.

    Raises:
        PhotoError: the checksum of a chunk that the picture needs is wrong.
    """
    kept = [data[:8]]
    damage: Message | None = None
    at = 8
    while at + 12 <= len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if end > len(data):
            if name == b"IDAT":  # Pillow would read on to the end of the file, whatever is there
                raise PhotoError("the png data are cut short or corrupt: the checksum of the picture is missing")
            break
        sound = zlib.crc32(memoryview(data)[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        needed = name in (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
        if needed and not sound:
            raise PhotoError("the png data are corrupt: the checksum of the picture is wrong")
        if not sound:
            damage = message("data beside the picture are corrupt")
        elif needed or name == b"eXIf":
            kept.append(data[at:end])
        at = end
        if name == b"IEND":
            break
    return b"".join((*kept, data[at:])), damage


def _sixteen_bits(photo: Image.Image, data: bytes) -> tuple[UInt8, Sentence | None]:
    """Pixels of a PNG of 16 bits, and what is odd about its levels: a camera of 12 bits leaves 4 of them unused."""
    grey, deep = photo.mode[0] in "LI", photo.mode.startswith("I")  # other modes have lost their lower bytes
    limits: Any = photo.getextrema()
    largest = int(max(most for _, most in (limits if len(photo.getbands()) > 1 else [limits])[: 1 if grey else 3]))
    if largest >= (4096 if deep else 16):
        return as_rgb(photo), None
    samples = np.asarray(photo) if deep else _split_samples(data)
    if samples is None:  # interlaced, or beside an opacity, which tells nothing
        return as_rgb(photo), note_unused_levels(largest * 257)
    bits = _stated_bits(data)
    if bits and not (samples & (1 << 16 - bits) - 1).any():
        return as_rgb(photo), None  # scaled to 16 bits as it should be, and dark
    if bits and samples.max() < 1 << bits:
        pixels = grey_to_rgb(samples, (1 << bits) - 1) if grey else scale_to_8_bits(samples, (1 << bits) - 1)
        return pixels, None
    return as_rgb(photo), note_unused_levels(int(samples.max()))


def _stated_bits(data: bytes) -> int | None:
    """The bits that samples had before they were scaled to 16, None where the chunk `sBIT` does not say it."""
    at = data.find(b"sBIT", 33, data.find(b"IDAT"))
    return data[at + 4] if at > 0 and 8 < data[at + 4] < 16 else None


def _split_samples(data: bytes) -> npt.NDArray[np.uint16] | None:
    """Samples uint16 [height, width, 3] of a PNG of 16-bit RGB, None for others.

    Pillow keeps the upper byte of each sample. But a filter of PNG adds to a byte others of the same place within their
    samples, so upper and lower bytes are two pictures of 8 bits with the same filters.
    """
    width, height, _, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if colour != 2 or interlaced:
        return None
    at, packed = 8, zlib.decompressobj()
    body = b""
    while at + 12 <= len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IDAT":
            body += packed.decompress(data[at + 8 : at + 8 + length], height * (1 + 6 * width) - len(body) or 1)
        at += 12 + length
    lines = np.frombuffer(body, np.uint8).reshape(height, 1 + 6 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    halves: list[npt.NDArray[np.uint16]] = []
    for first in (1, 2):
        half = zlib.compress(np.concatenate([lines[:, :1], lines[:, first::2]], axis=1).tobytes(), 1)
        parts = ((b"IHDR", header), (b"IDAT", half), (b"IEND", b""))
        chunks = (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
            for name, content in parts
        )
        with Image.open(io.BytesIO(data[:8] + b"".join(chunks)), formats=["PNG"]) as picture:
            halves.append(np.asarray(picture).astype(np.uint16))
    joined: npt.NDArray[np.uint16] = np.bitwise_or(halves[0] << 8, halves[1])
    return joined


def _damage_at_end(data: bytes, photo_format: str) -> Message | None:
    """What is wrong behind the pixels, all of which decoded."""
    if photo_format == "png":
        end = data.rfind(b"IEND\xaeB`\x82")
        if end < 0:
            return message("the end marker is missing")
        surplus = len(data) - end - 8
    elif photo_format == "webp":
        surplus = len(data) - 8 - int(struct.unpack("<I", data[4:8])[0]) - (data[4] & 1)
    else:
        return None
    return say_surplus(surplus) if surplus > 0 else None


# ---- the others -----------------------------------------------------------------------------------------------


def _webp_spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the picture data of a still WebP."""
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack("<4sI", data[at : at + 8])
        if name in (b"VP8 ", b"VP8L"):
            yield at + 8, at + 8 + length
        at += 8 + length + (length & 1)


def _with_known_brand(data: bytes) -> bytes:
    """An AVIF file whose first brand Pillow accepts; one of the others is `avif` or `avis`."""
    return data if data[8:12] in (b"avif", b"avis", b"mif1", b"msf1") else data[:8] + b"avif" + data[12:]


def _check_jp2(data: bytes) -> None:
    """Refuses a JPEG 2000 file that is cut short, whose missing part OpenJPEG fills. Source: ITU-T T.800, annex A."""
    start = max(data.find(b"\xff\x4f\xff\x51"), 0)
    at = data.find(b"\xff\x90\0\x0a", start)
    while at >= 0 and data[at : at + 4] == b"\xff\x90\0\x0a":
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        if length == 0:  # the last one, up to the end of the codestream
            if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
                raise PhotoError("the file is cut short: pixels are missing")
            return
        at += max(length, 12)
    if data[at : at + 2] != b"\xff\xd9":
        raise PhotoError("the file is cut short or corrupt: pixels are missing")
