"""A catalogue of damage: what can happen to a photo file, and what certero must make of it.

Each mutation takes the bytes of a sound JPEG photo. `ok`, `damaged` and `unreadable` are pinned; `any` is for damage
that no decoder can be sure to see (a flipped bit that decodes cleanly, a hole in bare pixels), where only the same
answer on every path is promised.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from certero.photos import jpeg

Change = Callable[[bytes], bytes]

#: Options of Pillow for the encodings that are damaged.
ENCODINGS: dict[str, tuple[str, dict[str, object]]] = {
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "optimised": ("JPEG", {"quality": 85, "optimize": True}),
    "restart": ("JPEG", {"quality": 85, "restart_marker_rows": 1}),
    "444": ("JPEG", {"quality": 98, "subsampling": 0}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 85}),
    "webp-lossless": ("WEBP", {"lossless": True, "method": 1}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
    "tiff": ("TIFF", {}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "tiff-jpeg": ("TIFF", {"compression": "jpeg"}),
}
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif"}


@dataclass(frozen=True, slots=True)
class Mutation:
    """A kind and place of damage.

    Args:
        name: unique.
        expected: `ok`, `damaged`, `unreadable`, `any`.
        change: bytes of a sound JPEG photo to those of the file.
        suffix: of the file's name.
        sound: to the sound file whose pixels the changed one must give; None where they differ.
    """

    name: str
    expected: str
    change: Change
    suffix: str = ".jpg"
    sound: Change | None = None


@lru_cache(maxsize=256)
def encode(photo: bytes, encoding: str) -> bytes:
    """The photo in another encoding; `jpeg` is the file as it came."""
    if encoding == "jpeg":
        return photo
    name, options = ENCODINGS[encoding]
    return save(Image.open(io.BytesIO(photo)).convert("RGB"), name, **options)


def save(picture: Image.Image, photo_format: str, **options: object) -> bytes:
    """The bytes of a picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    picture.save(buffer, photo_format, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    """A PNG chunk."""
    checksum = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def _suffix(encoding: str) -> str:
    return _SUFFIXES[ENCODINGS[encoding][0]] if encoding in ENCODINGS else ".jpg"


def _on(encoding: str, change: Change) -> Change:
    return lambda photo: change(encode(photo, encoding))


def _place(data: bytes, part: float, size: int = 0) -> int:
    """A place within the picture data, which in these files are the latter part."""
    start = 0
    if data.startswith(jpeg.START_OF_IMAGE):
        start = next(at for marker, at, _ in jpeg.segments(data) if marker == jpeg.SCAN) + 14
    else:
        start = min(1000, len(data) // 8)
    return start + int(part * (len(data) - 64 - size - start))


def _cut(part: float, tail: bytes = b"") -> Change:
    return lambda data: data[: _place(data, part)] + tail


def _zero_tail(part: float) -> Change:
    return lambda data: data[: _place(data, part)].ljust(len(data), b"\0")


def _hole(part: float, size: int, filling: int = 0) -> Change:
    def change(data: bytes) -> bytes:
        at = _place(data, part, size)
        return data[:at] + bytes([filling]) * size + data[at + size :]

    return change


def _flip(part: float, bit: int = 3) -> Change:
    def change(data: bytes) -> bytes:
        at = _place(data, part)
        return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

    return change


def _drop(part: float, size: int) -> Change:
    return lambda data: data[: _place(data, part)] + data[_place(data, part) + size :]


def _put_in(part: float, added: bytes) -> Change:
    return lambda data: data[: _place(data, part)] + added + data[_place(data, part) :]


def _swap_blocks(data: bytes) -> bytes:
    first, second, size = _place(data, 0.2), _place(data, 0.6), len(data) // 8
    swapped = bytearray(data)
    swapped[first : first + size], swapped[second : second + size] = (
        data[second : second + size],
        data[first : first + size],
    )
    return bytes(swapped)


def _overwrite(find: bytes, offset: int, new: bytes) -> Change:
    def change(data: bytes) -> bytes:
        at = data.index(find) + offset
        return data[:at] + new + data[at + len(new) :]

    return change


def _as(mode: str, photo_format: str, **options: object) -> Change:
    return lambda photo: save(Image.open(io.BytesIO(photo)).convert("RGB").convert(mode), photo_format, **options)


def _sixteen_bits(photo_format: str) -> Change:
    def change(photo: bytes) -> bytes:
        grey = Image.open(io.BytesIO(photo)).convert("L").convert("I")
        return save(grey.point(lambda value: value * 257).convert("I;16"), photo_format)

    return change


def turned(photo: bytes, encoding: str, orientation: int) -> bytes:
    """The photo with an EXIF orientation."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    name, options = ENCODINGS.get(encoding, ("JPEG", {"quality": 95}))
    return save(Image.open(io.BytesIO(photo)).convert("RGB"), name, exif=tags, **options)


def _before_end(added: bytes) -> Change:
    return lambda data: data[:-2] + added + data[-2:]


def _before_picture(added: bytes) -> Change:
    """Bytes put in after a PNG's header."""
    return lambda data: data[:33] + added + data[33:]


def _frame_size(height: int, width: int) -> Change:
    def change(data: bytes) -> bytes:
        at = next(start for marker, start, _ in jpeg.segments(data) if marker in jpeg.FRAMES) + 5
        return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]

    return change


def _without_quantiser(data: bytes) -> bytes:
    start, end = next((a, b) for marker, a, b in jpeg.segments(data) if marker == jpeg.QUANTISERS)
    return data[: start + 5] + bytes(end - start - 5) + data[end:]


def _many_scans(data: bytes) -> bytes:
    at = data.rfind(b"\xff\xda")
    return (
        data[:at] + data[at:-2] * 2000 + data[-2:]
        if len(data) - at < 4000
        else data[:at] + (data[at : at + 12] * 100_000) + data[at:]
    )


def _png_bomb(_photo: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """20 MB of zeros, packed: far above what Pillow unpacks of a text."""
    return zlib.compress(bytes(20_000_000), 9)


def _catalogue() -> list[Mutation]:
    found: list[Mutation] = []

    def add(name: str, expected: str, change: Change, encoding: str = "jpeg", same: bool | None = None) -> None:
        same = expected == "damaged" if same is None else same
        sound = _on(encoding, lambda data: data) if same else None
        found.append(Mutation(f"{encoding} {name}", expected, _on(encoding, change), _suffix(encoding), sound))

    def add_whole(name: str, expected: str, change: Change, suffix: str = ".jpg") -> None:
        found.append(Mutation(name, expected, change, suffix))

    # ---- nothing wrong, however odd --------------------------------------------------------------------------
    for encoding in ENCODINGS:
        add("as it is", "ok", lambda data: data, encoding, same=True)
    for encoding in ("jpeg", "png", "webp"):
        for orientation in range(1, 9):
            add_whole(
                f"{encoding} orientation {orientation}",
                "ok",
                lambda photo, e=encoding, o=orientation: turned(photo, e, o),  # type: ignore[misc]
                _suffix(encoding),
            )
    for mode, photo_format in (
        *(("L", "JPEG"), ("CMYK", "JPEG"), ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG")),
        *(
            ("RGBA", "WEBP"),
            ("L", "BMP"),
            ("1", "BMP"),
            ("P", "BMP"),
            ("1", "TIFF"),
            ("CMYK", "TIFF"),
            ("RGBA", "TIFF"),
        ),
    ):
        add_whole(f"mode {mode} {photo_format}", "ok", _as(mode, photo_format), _SUFFIXES[photo_format])
    add_whole("mode LAB TIFF", "any", _as("LAB", "TIFF"), ".tif")
    add_whole("16 bits PNG", "ok", _sixteen_bits("PNG"), ".png")
    add_whole("16 bits TIFF", "ok", _sixteen_bits("TIFF"), ".tif")
    for suffix in (".png", ".webp", ".gif", ".tif", ".bmp", ".JPEG"):
        found.append(Mutation(f"jpeg named {suffix}", "ok", lambda data: data, suffix, lambda data: data))
    for encoding in ("png", "webp", "gif", "bmp", "tiff"):
        found.append(
            Mutation(f"{encoding} named .jpg", "ok", _on(encoding, lambda d: d), ".jpg", _on(encoding, lambda d: d))
        )
    add("with a film behind", "ok", lambda data: data + b"\0\0\0\x18ftypmp42" + bytes(5000), same=True)
    add("with a comment", "ok", lambda data: data[:2] + b"\xff\xfe\0\x06vaca" + data[2:], same=True)
    add("with fill bytes before the end", "ok", _before_end(b"\xff\xff"), same=True)

    # ---- all pixels there, the file not in order ----------------------------------------------------------------
    for encoding in ("jpeg", "progressive", "optimised", "restart", "444"):
        add("without its end marker", "damaged", lambda data: data[:-2], encoding)
        add("with half an end marker", "damaged", lambda data: data[:-1], encoding)
        add("with 512 zero bytes behind", "damaged", lambda data: data + bytes(512), encoding)
        add("with garbage behind", "damaged", lambda data: data + b"basura" * 9, encoding)
    for encoding in ("jpeg", "optimised", "444"):
        add("with zero bytes before the end", "damaged", _before_end(bytes(9)), encoding)
        add("with garbage before the end", "damaged", _before_end(b"basura" * 3), encoding)
    add("with junk in the header", "damaged", lambda data: data[:2] + b"\xff\xe9\0\x04ab\x11\x22" + data[2:])
    add("with corrupt EXIF", "damaged", lambda data: data[:2] + b"\xff\xe1\0\x12Exif\0\0XXXXXXXX" + data[2:])
    add("without its end chunk", "damaged", lambda data: data[:-12], "png")
    add("with garbage behind", "damaged", lambda data: data + b"basura", "png")
    add("with a corrupt text", "damaged", _before_picture(chunk(b"tEXt", b"a\0vaca", checksum=1)), "png")
    for name, body in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")):
        add(
            f"with a bomb in {name.decode()}",
            "damaged",
            lambda data, n=name, b=body: _before_picture(chunk(n, b + bomb()))(data),  # type: ignore[misc]
            "png",
        )
    add("with garbage behind", "damaged", lambda data: data + b"basura", "webp")

    # ---- pixels missing or nothing that could be one ------------------------------------------------------------
    for name, content in (
        ("empty file", b""),
        ("one byte", b"\xff"),
        ("only zero bytes", bytes(30_000)),
        ("a web page", b"<html>404</html>" * 50),
        ("only a start marker", b"\xff\xd8\xff\xe0"),
        ("PNG signature alone", b"\x89PNG\r\n\x1a\n"),
        ("GIF signature alone", b"GIF89a"),
        ("WebP header alone", b"RIFF\x04\0\0\0WEBP"),
        ("TIFF header alone", b"II*\0\x08\0\0\0"),
        ("BMP signature alone", b"BM"),
    ):
        add_whole(name, "unreadable", lambda _photo, c=content: c)  # type: ignore[misc]
    for photo_format in ("ICO", "PCX", "SGI"):
        add_whole(f"{photo_format} named .jpg", "unreadable", _as("RGB", photo_format))
    add_whole("mode F TIFF", "unreadable", _as("F", "TIFF"), ".tif")
    add_whole("preview TIFF", "unreadable", _as("RGB", "TIFF", tiffinfo={254: 1}), ".tif")
    for encoding in ("jpeg", "progressive", "optimised", "restart", "444"):
        for part in (0.02, 0.3, 0.6, 0.9):
            add(f"cut at {part:.0%}", "unreadable", _cut(part), encoding)
        add("cut at half, closed", "unreadable", _cut(0.5, jpeg.END_OF_IMAGE), encoding)
        for part in (0.3, 0.8):
            add(f"zero from {part:.0%}", "unreadable", _zero_tail(part), encoding)
    for encoding in ("png", "webp", "webp-lossless", "gif", "tiff-lzw", "tiff-deflate", "tiff-jpeg"):
        add("cut at half", "unreadable", _cut(0.5), encoding)
        add("zero from half", "unreadable", _zero_tail(0.5), encoding)
        add("hole of 512 at half", "unreadable", _hole(0.5, 512), encoding)
    add("cut at half", "unreadable", _cut(0.5), "bmp")
    add("cut at half", "unreadable", _cut(0.5), "tiff")
    for encoding in ("jpeg", "restart", "444"):
        for size in (16, 64, 512):
            for part in (0.1, 0.5, 0.9):
                add(f"hole of {size} at {part:.0%}", "unreadable", _hole(part, size), encoding)
    for part in (0.1, 0.5, 0.9):
        add(f"hole of 512 at {part:.0%}", "unreadable", _hole(part, 512), "optimised")
    add("hole of 64 of FF", "unreadable", _hole(0.5, 64, 0xFF))
    for part in (0.2, 0.5, 0.8):
        add(f"flipped bit at {part:.0%}", "unreadable", _flip(part), "png")
    add("with a corrupt header", "unreadable", _overwrite(b"IHDR", 8, b"\0\0\x09\0"), "png")
    add("with an empty quantiser", "unreadable", _without_quantiser)
    add("without tables", "unreadable", lambda data: data[:2] + data[data.rfind(b"\xff\xda") :])
    add("of 65,000 x 65,000", "unreadable", _frame_size(65_000, 65_000))
    add("of no height", "unreadable", _frame_size(0, 640))
    add(
        "of 60,000 x 60,000",
        "unreadable",
        lambda data: data[:18] + struct.pack("<ii", 60_000, 60_000) + data[26:],
        "bmp",
    )
    add(
        "of 65,000 x 65,000",
        "unreadable",
        lambda data: data[:6] + struct.pack("<HH", 65_000, 65_000) + data[10:],
        "gif",
    )
    add("of 16,000 x 16,000", "unreadable", _overwrite(b"\x9d\x01\x2a", 3, struct.pack("<HH", 16_000, 16_000)), "webp")
    add_whole("PNG of 60,000 x 60,000", "unreadable", _png_bomb, ".png")
    add("with thousands of scans", "unreadable", _many_scans, "progressive")

    # ---- what nobody can be sure to see -------------------------------------------------------------------------
    for encoding in (
        "jpeg",
        "progressive",
        "restart",
        "webp",
        "webp-lossless",
        "gif",
        "bmp",
        "tiff-lzw",
        "tiff-deflate",
    ):
        for part in (0.15, 0.55, 0.95):
            add(f"flipped bit at {part:.0%}", "any", _flip(part), encoding)
    for encoding in ("jpeg", "progressive", "webp"):
        add("two bytes dropped", "any", _drop(0.4, 2), encoding)
        add("three bytes put in", "any", _put_in(0.4, b"\x12\x34\x56"), encoding)
        add("blocks swapped", "any", _swap_blocks, encoding)
    for encoding in ("bmp", "tiff", "progressive"):
        add("hole of 64 at half", "any", _hole(0.5, 64), encoding)
    for encoding in ("bmp", "tiff"):
        add("zero from half", "any", _zero_tail(0.5), encoding)
    return found


MUTATIONS = _catalogue()
