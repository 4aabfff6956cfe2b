"""TIFF files, written byte by byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mutations import save
from numpy.typing import NDArray
from PIL import Image, ImageCms

from odd_files.picture import HEIGHT, WIDTH, Odd, colours, curtain, grey, laid_on_white, shown


def tiff(
    samples: NDArray[Any],
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    planes: int = 1,
    compression: int = 1,
    predictor: int = 1,
    strips: int = 1,
    tile: int = 0,
    kind: str = "u",
    tags: dict[int, tuple[str, Sequence[int]]] | None = None,
    pages: int = 1,
    big: bool = False,
) -> bytes:
    """A TIFF file of samples [height, width] or [height, width, n]. Source: TIFF 6.0, BigTIFF by its own note."""
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, depth = samples.shape
    layers = [samples] if planes == 1 else [samples[:, :, [layer]] for layer in range(depth)]
    rows = -(-height // strips)
    parts = []
    for layer in layers:
        if tile:
            padded = np.pad(layer, ((0, -height % tile), (0, -width % tile), (0, 0)))
            parts += [
                padded[top : top + tile, left : left + tile]
                for top in range(0, height, tile)
                for left in range(0, width, tile)
            ]
        else:
            parts += [layer[top : top + rows] for top in range(0, height, rows)]
    packed = [_pack(part, bits, order, compression, predictor, kind) for part in parts]
    entries: dict[int, tuple[str, Sequence[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * depth),
        259: ("H", [compression]),
        262: ("H", [photometric]),
        277: ("H", [depth]),
        284: ("H", [planes]),
        **({317: ("H", [predictor])} if predictor > 1 else {}),
        **({} if kind == "u" else {339: ("H", [{"i": 2, "f": 3}[kind]] * depth)}),
        **({322: ("I", [tile]), 323: ("I", [tile])} if tile else {278: ("I", [rows])}),
        (325 if tile else 279): ("I", [len(part) for part in packed]),
        **(tags or {}),
    }
    where = 324 if tile else 273
    entries[where] = ("I", [0] * len(packed))
    long = "Q" if big else "I"
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    header += struct.pack(f"{order}HHQ", 8, 0, 16) if big else struct.pack(f"{order}I", 8)
    field, body = struct.calcsize(f"={long}"), b""
    start = len(header)
    after = start + (8 if big else 2) + len(entries) * (4 + 2 * field) + field
    places: dict[int, int] = {}
    for tag in sorted(entries):
        code, values = entries[tag]
        size = len(values) * struct.calcsize(f"={code}")
        if size > field:
            places[tag], after = after, after + size + size % 2
    offsets, at = [], after
    for part in packed:
        offsets.append(at)
        at += len(part)
    entries[where] = ("I", offsets)
    directory = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    for tag in sorted(entries):
        code, values = entries[tag]
        content = struct.pack(f"{order}{len(values)}{code}", *values)
        number = {"B": 1, "H": 3, "I": 4}[code]
        directory += struct.pack(f"{order}HH{long}", tag, number, len(values))
        directory += struct.pack(f"{order}{long}", places[tag]) if tag in places else content.ljust(field, b"\0")
        body += content + b"\0" * (len(content) % 2) if tag in places else b""
    # Further pages are the same directory once more.
    whole = header + directory + struct.pack(f"{order}{long}", at if pages > 1 else 0) + body + b"".join(packed)
    return whole + (directory + bytes(field) if pages > 1 else b"")


def _pack(part: NDArray[Any], bits: int, order: str, compression: int, predictor: int, kind: str) -> bytes:
    values = part.astype(np.int64) if kind != "f" else part
    if predictor == 2:
        values = np.diff(values, axis=1, prepend=0) & ((1 << bits) - 1)
    lines = values.reshape(len(part), -1)
    if bits % 8 == 0:
        plain = lines.astype(f"{order}{kind}{bits // 8}").tobytes()
    else:
        single = (lines[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        plain = np.packbits(single.reshape(len(lines), -1).astype(np.uint8), axis=1).tobytes()
    if compression == 32773:  # PackBits of runs of one row at most, none of them repeated
        return b"".join(
            bytes([min(128, len(plain) - at) - 1]) + plain[at : at + 128] for at in range(0, len(plain), 128)
        )
    if compression == 5:
        return lzw(plain)
    return zlib.compress(plain) if compression in (8, 32946) else plain


def lzw(plain: bytes) -> bytes:
    """LZW as TIFF packs it, first bits first, with a code longer one code early. Source: TIFF 6.0, section 13."""
    bits: list[str] = []
    table: dict[bytes, int] = {}

    def write(code: int) -> None:
        bits.append(f"{code:0{min(12, (len(table) + 258).bit_length())}b}")

    write(256)
    known = b""
    for byte in plain:
        longer = known + bytes([byte])
        if len(longer) == 1 or longer in table:
            known = longer
            continue
        write(table[known] if len(known) > 1 else known[0])
        table[longer] = 258 + len(table)
        if len(table) == 4094 - 258:
            write(256)
            table.clear()
        known = longer[-1:]
    write(table[known] if len(known) > 1 else known[0])
    table[b""] = 0
    write(257)
    joined = "".join(bits)
    return int(joined.ljust(-(-len(joined) // 8) * 8, "0"), 2).to_bytes(-(-len(joined) // 8), "big")


def tiffs() -> Iterator[Odd]:
    """Bits, byte orders, planes, compressions, white as zero, alpha: read rightly or refused."""
    picture, levels = colours().astype(np.int64), grey().astype(np.int64)
    solid = np.full((HEIGHT, WIDTH, 1), 255)
    for order in "<>":
        end = "little" if order == "<" else "big"
        for bits in (1, 2, 4, 6, 8, 10, 12, 14, 16):
            white = (1 << bits) - 1
            scaled = np.rint(levels / 255 * white).astype(np.int64)
            for photometric, name in ((1, "black"), (0, "white")):
                stored = scaled if photometric else white - scaled
                data = tiff(stored, bits, photometric, order=order)
                yield Odd(f"tiff grey {bits} bits, {name} is zero, {end} endian", data, pixels=shown(scaled, white))
        for bits in (4, 8, 10, 12, 16):
            white = (1 << bits) - 1
            scaled = np.rint(picture / 255 * white).astype(np.int64)
            expected = np.rint(scaled / white * 255).astype(np.uint8)
            for planes in (1, 2):
                data = tiff(scaled, bits, 2, order=order, planes=planes, strips=3)
                yield Odd(f"tiff rgb {bits} bits, planes {planes}, {end} endian", data, pixels=expected)
    for compression, name in ((1, "plain"), (5, "lzw"), (8, "deflate"), (32946, "old deflate"), (32773, "packbits")):
        for predictor in (1, 2) if compression in (5, 8) else (1,):
            how: dict[str, Any] = {"compression": compression, "predictor": predictor}
            words = f"{name}{' predicted' if predictor == 2 else ''}"
            yield Odd(f"tiff {words} rgb", tiff(picture, 8, 2, **how), pixels=colours())
            yield Odd(f"tiff {words} rgb 16 in planes", tiff(picture * 257, 16, 2, planes=2, **how), pixels=colours())
            yield Odd(f"tiff {words} white is zero 16", tiff((255 - levels) * 257, 16, 0, **how), pixels=shown(levels))
            yield Odd(f"tiff {words} tiles of 16 bits", tiff(levels * 257, 16, 1, tile=32, **how), pixels=shown(levels))
    yield Odd("tiff tiles", tiff(picture, 8, 2, tile=16), pixels=colours())
    yield Odd("tiff tiles in planes of 12 bits", tiff(picture * 16, 12, 2, tile=16, planes=2), pixels=shown_12(picture))
    yield Odd("tiff big", tiff(picture, 8, 2, big=True), pixels=colours())
    yield Odd("tiff big 16 white is zero", tiff((255 - levels) * 257, 16, 0, big=True, order=">"), pixels=shown(levels))
    reversed_bits = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)])
    yield Odd("tiff bits reversed", tiff(reversed_bits[levels], 8, 1, tags={266: ("H", [2])}), pixels=shown(levels))
    alpha = curtain()[:, :, None].astype(np.int64)
    for bits in (8, 16):
        scale = 257 if bits == 16 else 1
        half = laid_on_white(picture, curtain())
        straight = np.concatenate([picture, alpha], 2) * scale
        times_alpha = np.concatenate([np.rint(picture * alpha / 255).astype(np.int64), alpha], 2) * scale
        unknown = np.concatenate([picture, alpha * 0], 2) * scale
        for planes in (1, 2):
            where = f"{bits} bits, planes {planes}"
            straight_tag, associated, none = ({338: ("H", [extra])} for extra in (2, 1, 0))
            yield Odd(f"tiff alpha {where}", tiff(straight, bits, 2, planes=planes, tags=straight_tag), pixels=half)
            data = tiff(times_alpha, bits, 2, planes=planes, tags=associated)
            yield Odd(f"tiff associated alpha {where}", data, pixels=half, most=2, mean=0.6)
            data = tiff(unknown, bits, 2, planes=planes, tags=none)
            yield Odd(f"tiff channel of no meaning {where}", data, pixels=colours())
        grey_alpha = np.concatenate([levels[:, :, None], alpha], 2)
        data = tiff(grey_alpha * scale, bits, 1, tags={338: ("H", [2])})
        yield Odd(f"tiff grey alpha {bits} bits", data, pixels=laid_on_white(shown(levels), curtain()))
        inks = np.concatenate([255 - picture, solid * 0], 2)
        for planes in (1, 2):
            data = tiff(inks * scale, bits, 5, planes=planes)
            yield Odd(f"tiff cmyk {bits} bits, planes {planes}", data, pixels=colours(), most=2, mean=1)
    table = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) * 3 % 256])
    painted = table.T[levels].astype(np.uint8)
    yield Odd("tiff palette", tiff(levels, 8, 3, tags={320: ("H", (table * 257).ravel().tolist())}), pixels=painted)
    data = tiff(levels, 8, 3, tags={320: ("H", table.ravel().tolist())})
    yield Odd("tiff palette of 8 bits", data, pixels=painted)
    few = (table[:, :16] * 17 * 257 % 65536).ravel().tolist()
    expected = (table[:, :16] * 17 * 257 % 65536 // 256).T[levels >> 4].astype(np.uint8)
    yield Odd("tiff palette of 16 colours", tiff(levels >> 4, 4, 3, tags={320: ("H", few)}), pixels=expected)
    yield Odd(
        "tiff palette of 2 colours",
        tiff(levels >> 7, 1, 3, tags={320: ("H", [65535, 0] * 3)}),
        pixels=shown(1 - (levels >> 7), 1),
    )
    twelve = np.rint(levels / 255 * 4095).astype(np.int64)
    data = tiff(twelve, 16, 1, tags={281: ("H", [4095])})
    yield Odd("tiff 12 bits in 16, stated", data, pixels=shown(twelve, 4095))
    data = tiff(4095 - twelve, 16, 0, tags={281: ("H", [4095])}, order=">")
    yield Odd("tiff 12 bits in 16, stated, white is zero", data, pixels=shown(twelve, 4095))
    data = tiff(twelve, 16, 1)
    yield Odd("tiff 12 bits in 16", data, "damaged", shown(twelve, 65535), words="12 bits")
    data = tiff(np.rint(picture / 255 * 4095).astype(np.int64), 16, 2)
    expected = np.rint(np.rint(picture / 255 * 4095) / 257).astype(np.uint8)
    yield Odd("tiff 12 bits in 16, rgb", data, "damaged", expected, words="12 bits")
    yield Odd("tiff all black 16", tiff(levels * 0, 16, 1), pixels=shown(levels * 0))
    for order in "<>":
        refused = "convert the photo to 8 or 16 bits"
        yield Odd(f"tiff 32 bits {order}", tiff(levels << 20, 32, 1, order=order), "unreadable", words=refused)
        yield Odd(f"tiff float {order}", tiff(levels / 255, 32, 1, kind="f", order=order), "unreadable", words=refused)
        yield Odd(f"tiff double {order}", tiff(levels / 255, 64, 1, kind="f", order=order), "unreadable", words=refused)
        yield Odd(f"tiff signed {order}", tiff(levels * 100, 16, 1, kind="i", order=order), "unreadable", words=refused)
    data = tiff(picture, 8, 6, tags={530: ("H", [2, 2])})
    yield Odd("tiff ycbcr that says it is subsampled", data, "unreadable", words="convert the photo to RGB")
    red, green, blue = np.moveaxis(picture.astype(float), 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    ycbcr = np.rint(np.stack([luma, (blue - luma) * 0.564 + 128, (red - luma) * 0.713 + 128], 2)).clip(0, 255)
    data = tiff(ycbcr.astype(np.int64), 8, 6, tags={530: ("H", [1, 1])})
    yield Odd("tiff ycbcr", data, pixels=colours(), most=4, mean=1.2)
    bands = np.stack([levels] * 5, 2)
    for bits, photometric in ((8, 1), (16, 1)):
        words = f"(5 channels of {bits} bits, photometric {photometric}) is not supported"
        yield Odd(f"tiff of 5 bands of {bits} bits", tiff(bands, bits, photometric), "unreadable", words=words)
    lab = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    to_lab: Any = ImageCms.buildTransform(lab[1], lab[0], "RGB", "LAB")
    as_lab = ImageCms.applyTransform(Image.fromarray(colours()), to_lab)
    assert as_lab is not None
    yield Odd("tiff lab", save(as_lab, "TIFF"), pixels=colours(), mean=2, most=40)  # strong colours do not fit
    faxed = Image.fromarray(levels.astype(np.uint8) > 127)
    for compression in ("group3", "group4"):
        data = save(faxed, "TIFF", compression=compression)
        yield Odd(f"tiff fax {compression}", data, pixels=shown(levels > 127, 1))
    for bits in (8, 16):
        data = tiff(picture * (257 if bits == 16 else 1), bits, 2, tags={274: ("H", [6])})
        yield Odd(f"tiff turned, {bits} bits", data, pixels=np.ascontiguousarray(np.rot90(colours(), -1)))
    yield Odd("tiff two pages", tiff(picture, 8, 2, pages=2), "damaged", colours(), words="2 pages: the first is used")
    thumbnail = {254: ("I", [1])}
    yield Odd("tiff thumbnail alone", tiff(picture, 8, 2, tags=thumbnail), "unreadable", words="holds only a preview")
    for name, data in (("rgb", tiff(picture, 8, 2)), ("16 in planes", tiff(picture * 257, 16, 2, planes=2))):
        yield Odd(f"tiff cut at half, {name}", data[: len(data) // 2], "unreadable")
    yield Odd(
        "tiff of 60,000 x 60,000",
        tiff(picture, 16, 2, tags={256: ("I", [60_000]), 257: ("I", [60_000])}),
        "unreadable",
        words="178 megapixels",
    )
    yield Odd("tiff of no width", tiff(picture, 8, 2, tags={256: ("I", [0])}), "unreadable")


def shown_12(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture times 16, of which 4,095 is white."""
    return np.rint(picture * 16 / 4095 * 255).astype(np.uint8)
