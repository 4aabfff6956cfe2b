"""PNG files, written byte by byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mutations import chunk, save
from numpy.typing import NDArray
from PIL import Image

from odd_files.picture import HEIGHT, WIDTH, Odd, colours, curtain, grey, laid_on_white, shown, turned_pictures


def png(
    samples: NDArray[Any], bits: int, colour: int, *, filter: int = 0, chunks: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """A PNG file of samples [height, width] or [height, width, n]; filter 0, 1 (sub) or 2 (up)."""
    height, width = samples.shape[:2]
    lines = samples.reshape(height, -1).astype(np.int64)
    if bits == 16:
        rows = lines.astype(">u2").view(np.uint8).reshape(height, -1)
    elif bits == 8:
        rows = lines.astype(np.uint8)
    else:
        single = (lines[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(single.reshape(height, -1).astype(np.uint8), axis=1)
    step = max(1, bits * (samples.size // (height * width)) // 8)
    if filter == 1:
        rows = rows - np.pad(rows, ((0, 0), (step, 0)))[:, :-step]
    elif filter == 2:
        rows = rows - np.pad(rows, ((1, 0), (0, 0)))[:-1]
    body = np.concatenate([np.full((height, 1), filter, np.uint8), rows], axis=1).tobytes()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    others = b"".join(chunk(name, content) for name, content in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + others + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def pngs() -> Iterator[Odd]:
    """Every colour type and depth, transparency, 12 bits in 16; films; too large, cut, corrupt."""
    picture, levels = colours(), grey()
    alpha = curtain()
    for bits in (1, 2, 4, 8, 16):
        white = (1 << bits) - 1
        scaled = np.rint(levels / 255 * white).astype(np.int64)
        yield Odd(f"png grey {bits} bits", png(scaled, bits, 0), pixels=shown(scaled, white))
    for bits in (8, 16):
        scale = 257 if bits == 16 else 1
        wide = picture.astype(int)
        for filter in (0, 1, 2):
            yield Odd(
                f"png rgb {bits} bits, filter {filter}", png(wide * scale, bits, 2, filter=filter), pixels=picture
            )
        data = png(np.concatenate([picture, alpha[:, :, None]], 2).astype(int) * scale, bits, 6)
        yield Odd(f"png alpha {bits} bits", data, pixels=laid_on_white(picture, alpha))
        data = png(np.stack([levels, alpha], 2).astype(int) * scale, bits, 4)
        yield Odd(f"png grey alpha {bits} bits", data, pixels=laid_on_white(shown(levels), alpha))
        hidden = picture.copy()
        hidden[:16, :16] = 255
        key = struct.pack(">HHH", *(np.array([250, 30, 30]) * scale))
        data = png(picture.astype(int) * scale, bits, 2, chunks=[(b"tRNS", key)])
        yield Odd(f"png with a transparent colour of {bits} bits", data, pixels=hidden if bits == 8 else picture)
    table = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) * 3 % 256], 1).astype(np.uint8)
    palette = (b"PLTE", table.tobytes())
    yield Odd("png palette", png(levels, 8, 3, chunks=[palette]), pixels=table[levels])
    data = png(levels, 8, 3, chunks=[palette, (b"tRNS", bytes([0]) * 100)])
    yield Odd(
        "png palette with clear colours",
        data,
        pixels=np.where((levels < 100)[:, :, None], 255, table[levels]).astype(np.uint8),
    )
    for bits in (1, 2, 4):
        data = png(levels >> (8 - bits), bits, 3, chunks=[(b"PLTE", table[: 1 << bits].tobytes())])
        yield Odd(f"png palette of {bits} bits", data, pixels=table[levels >> (8 - bits)])
    twelve = np.rint(levels / 255 * 4095).astype(np.int64)
    for name, stored, colour, expected in (
        ("grey", twelve, 0, shown(twelve, 4095)),
        ("rgb", np.rint(picture / 255 * 4095), 2, np.rint(np.rint(picture / 255 * 4095) / 4095 * 255).astype(np.uint8)),
    ):
        depth = stored.size // levels.size
        data = png(stored, 16, colour, chunks=[(b"sBIT", bytes([12] * depth))])
        yield Odd(f"png 12 bits in 16, stated, {name}", data, pixels=expected)
        dark = np.rint(np.broadcast_to(np.rint(stored).reshape(HEIGHT, WIDTH, depth), picture.shape) / 257).astype(
            np.uint8
        )
        yield Odd(f"png 12 bits in 16, {name}", png(stored, 16, colour), "damaged", dark, words="12 bits")
        scaled = np.rint(stored).astype(np.int64)
        scaled = scaled << 4 | scaled >> 8
        data = png(scaled, 16, colour, chunks=[(b"sBIT", bytes([12] * depth))])
        yield Odd(f"png 12 bits scaled to 16, stated, {name}", data, pixels=expected)
    yield Odd("png black of 16 bits", png(levels * 0, 16, 0), pixels=shown(levels * 0))
    for orientation, expected in turned_pictures():
        tags = Image.Exif()
        tags[0x0112] = orientation
        yield Odd(f"png orientation {orientation}", save(Image.fromarray(picture), "PNG", exif=tags), pixels=expected)
    data = png(picture, 8, 2)
    header = struct.pack(">IIBBBBB", 14_000, 14_000, 8, 0, 0, 0, 0)
    large = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )
    words = "a photo may have 178 megapixels; this one has 196 (14000x14000): make it smaller"
    yield Odd("png of 196 megapixels", large, "unreadable", words=words)
    yield Odd(
        "png of 3,600 megapixels",
        large.replace(chunk(b"IHDR", header), chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))),
        "unreadable",
        words="3600 (60000x60000)",
    )
    yield Odd(
        "png with a corrupt text",
        data.replace(b"IDAT", b"IDAT", 1)[:33] + chunk(b"tEXt", b"a\0b", checksum=1) + data[33:],
        "damaged",
        picture,
    )
    yield Odd("png without its end", data[:-12], "damaged", picture, words="the end marker is missing")
    yield Odd("png cut", data[: len(data) // 2], "unreadable")
    yield Odd("png with a corrupt checksum", data[:-20] + b"\0" + data[-19:], "unreadable", words="checksum")
