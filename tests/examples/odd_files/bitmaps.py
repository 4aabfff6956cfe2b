"""BMP, PBM, PGM and PPM files, written byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odd_files.picture import HEIGHT, WIDTH, Odd, colours, grey, shown


def ppms() -> Iterator[Odd]:
    """PBM, PGM and PPM, binary and plain, with other levels than 255."""
    picture, levels = colours(), grey()
    size = f"{WIDTH} {HEIGHT}"
    yield Odd("ppm", f"P6 {size} 255\n".encode() + picture.tobytes(), pixels=picture)
    yield Odd("ppm with a comment", f"P6\n# vaca\n{size}\n255\n".encode() + picture.tobytes(), pixels=picture)
    yield Odd("pgm", f"P5 {size} 255\n".encode() + levels.tobytes(), pixels=shown(levels))
    for white in (15, 100, 1023, 4095, 65535):
        scaled = np.rint(levels / 255 * white).astype(">u2" if white > 255 else "u1")
        yield Odd(f"pgm up to {white}", f"P5 {size} {white}\n".encode() + scaled.tobytes(), pixels=shown(scaled, white))
        scaled = np.rint(picture / 255 * white).astype(">u2" if white > 255 else "u1")
        expected = np.rint(scaled / white * 255).astype(np.uint8)
        yield Odd(f"ppm up to {white}", f"P6 {size} {white}\n".encode() + scaled.tobytes(), pixels=expected)
    plain = " ".join(map(str, picture.ravel().tolist()))
    yield Odd("ppm in words", f"P3 {size} 255\n{plain}\n".encode(), pixels=picture)
    black = levels < 128
    packed = np.packbits(black, axis=1).tobytes()
    yield Odd("pbm", f"P4 {size}\n".encode() + packed, pixels=shown(~black, 1))
    yield Odd("ppm cut", f"P6 {size} 255\n".encode() + picture.tobytes()[:-1], "unreadable")
    yield Odd("pgm of 16 bits cut", f"P5 {size} 65535\n".encode() + bytes(WIDTH * HEIGHT), "unreadable")
    yield Odd("ppm in words cut", f"P3 {size} 255\n{plain[:-9]}\n".encode(), "unreadable")
    yield Odd("ppm of 30,000 x 30,000", b"P6 30000 30000 255\n" + bytes(99), "unreadable", words="make it smaller")
    yield Odd("pfm", b"PF\n2 2\n-1.0\n" + bytes(48), "unreadable", words="this is a PFM picture")


def bmp(
    samples: NDArray[Any],
    bits: int,
    *,
    downwards: bool = False,
    table: bytes = b"",
    masks: Sequence[int] = (),
    old: bool = False,
) -> bytes:
    """A BMP file of samples [height, width] or, blue first, [height, width, n]. Source: BITMAPINFOHEADER."""
    height, width = samples.shape[:2]
    lines = samples.reshape(height, -1).astype(np.int64)
    if bits < 8:
        single = (lines[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(single.reshape(height, -1).astype(np.uint8), axis=1)
    else:
        rows = lines.astype("<u2").view(np.uint8).reshape(height, -1) if bits == 16 else lines.astype(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    body = (rows if downwards else rows[::-1]).tobytes()
    if old:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack(
            "<IiiHHIIiiII",
            40,
            width,
            -height if downwards else height,
            1,
            bits,
            3 if masks else 0,
            len(body),
            0,
            0,
            0,
            0,
        )
    header += b"".join(struct.pack("<I", mask) for mask in masks) + table
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + body


def bmps() -> Iterator[Odd]:
    """Palettes, 16, 24 and 32 bits, top down, OS/2."""
    picture, levels = colours(), grey()
    blue_first = picture[:, :, ::-1]
    greys = b"".join(bytes([level, level, level, 0]) for level in range(256))
    yield Odd("bmp", bmp(blue_first, 24), pixels=picture)
    yield Odd("bmp top down", bmp(blue_first, 24, downwards=True), pixels=picture)
    yield Odd("bmp of OS/2", bmp(blue_first, 24, old=True), pixels=picture)
    four = np.concatenate([blue_first, np.zeros((HEIGHT, WIDTH, 1), np.uint8)], 2)
    yield Odd("bmp of 32 bits", bmp(four, 32), pixels=picture)
    yield Odd("bmp of 8 bits", bmp(levels, 8, table=greys), pixels=shown(levels))
    for bits in (1, 4):
        white = (1 << bits) - 1
        table = b"".join(bytes([level * 255 // white] * 3 + [0]) for level in range(white + 1))
        scaled = levels >> (8 - bits)
        yield Odd(f"bmp of {bits} bits", bmp(scaled, bits, table=table), pixels=shown(scaled, white))
    five = picture.astype(int) >> 3
    packed = five[:, :, 0] << 10 | five[:, :, 1] << 5 | five[:, :, 2]
    expected = np.rint(five / 31 * 255).astype(np.uint8)
    yield Odd("bmp of 15 bits", bmp(packed, 16), pixels=expected, most=8, mean=4)
    six = picture.astype(int) >> np.array([3, 2, 3])
    packed = six[:, :, 0] << 11 | six[:, :, 1] << 5 | six[:, :, 2]
    expected = np.rint(six / np.array([31, 63, 31]) * 255).astype(np.uint8)
    yield Odd("bmp of 16 bits", bmp(packed, 16, masks=(0xF800, 0x7E0, 0x1F)), pixels=expected, most=8, mean=4)
    data = bmp(blue_first, 24)
    yield Odd("bmp cut", data[: len(data) // 2], "unreadable")
    huge = data[:18] + struct.pack("<ii", 30_000, 30_000) + data[26:]
    yield Odd("bmp of 30,000 x 30,000", huge, "unreadable", words="900 (30000x30000): make it smaller")
