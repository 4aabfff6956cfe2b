"""Odd files: what encoders, scanners, microscopes and editors write, the status each must get, and its pixels.

Every file is made here, byte by byte or by Pillow, from one picture, and the expected pixels are computed from that
picture, never by a decoder. HEIC alone needs an encoder that certero does not bring: `heic/` holds that picture as
libheif and x265 wrote it, a few hundred bytes each.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mutations import chunk, save
from numpy.typing import NDArray
from PIL import Image, ImageCms

HEIC = Path(__file__).with_name("heic")
HEIGHT, WIDTH = 48, 64


@dataclass(frozen=True, slots=True)
class Odd:
    """A file.

    Args:
        name: unique.
        data: its bytes.
        status: `ok`, `damaged` or `unreadable`.
        pixels: what it shows, uint8 [height, width, 3]; None for a file that cannot be read.
        mean: largest mean difference allowed, in levels: lossy encoders differ.
        most: largest difference of one value.
        words: part of the reason.
    """

    name: str
    data: bytes
    status: str = "ok"
    pixels: NDArray[np.uint8] | None = None
    mean: float = 0.5
    most: int = 1
    words: str = ""


def colours(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """The picture: soft ramps and a red corner, which tells every orientation from the others."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([rows * 5 % 256, columns * 4 % 256, 255 - (rows + columns) * 2 % 256], 2).astype(np.uint8)
    picture[: height // 3, : width // 4] = (250, 30, 30)
    return picture


def grey() -> NDArray[np.uint8]:
    """The picture in grey levels, uint8 [height, width]."""
    return colours()[:, :, 1]


def shown(levels: NDArray[Any], white: int = 255) -> NDArray[np.uint8]:
    """Levels [height, width] from 0 to white as three equal channels."""
    return np.repeat(np.rint(levels / white * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def laid_on_white(picture: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture with an opacity [height, width] from 0 to 255 before white."""
    share = alpha[:, :, None] / 255
    return np.rint(picture * share + 255 * (1 - share)).astype(np.uint8)


def curtain() -> NDArray[np.uint8]:
    """An opacity: nothing on the left, half in the middle, all on the right."""
    return np.repeat(np.digitize(np.arange(WIDTH), (20, 40))[None] * np.array(127.5), HEIGHT, 0).astype(np.uint8)


# ---- TIFF -----------------------------------------------------------------------------------------------------


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


# ---- HEIC and AVIF --------------------------------------------------------------------------------------------


def box_field(data: bytes, name: bytes, offset: int, new: bytes) -> bytes:
    """The file with bytes of the first box of a name overwritten, counted from behind the name."""
    at = data.index(name) + 4 + offset
    return data[:at] + new + data[at + len(new) :]


def heics() -> Iterator[Odd]:
    """HEIC: turned, grey, with 10 bits, with alpha, of tiles, of two pictures; cut, holed, too large."""
    picture, about = colours(), {"mean": 4.0, "most": 120}
    whole = {path.stem: path.read_bytes() for path in sorted(HEIC.glob("*.heic"))}
    yield Odd("heic", whole["plain"], pixels=picture, **about)
    yield Odd("heic of 10 bits", whole["ten_bits"], pixels=picture, **about)
    yield Odd("heic of which the second picture is the photo", whole["second_is_primary"], pixels=picture, **about)
    yield Odd("heic of four tiles", whole["tiles"], pixels=colours(128, 128), **about)
    luma = np.asarray(Image.fromarray(picture).convert("L"))
    for name in ("grey", "grey_ten_bits"):
        yield Odd(f"heic {name}", whole[name], pixels=shown(luma), **about)
    cover = np.repeat(np.where(np.arange(WIDTH) < WIDTH // 2, 0, 255)[None], HEIGHT, 0)
    yield Odd("heic with alpha", whole["alpha"], pixels=laid_on_white(picture, cover), **about)
    # The turn is told twice, by a box and by EXIF, of which the box alone counts.
    for turns in range(4):
        expected = np.ascontiguousarray(np.rot90(picture, turns))
        yield Odd(
            f"heic turned {turns}", box_field(whole["turned"], b"irot", 0, bytes([turns])), pixels=expected, **about
        )
    for brand in (b"mif1", b"heix", b"msf1"):
        data = box_field(whole["plain"], b"ftyp", 0, brand)
        yield Odd(f"heic of brand {brand.decode()}", data, pixels=picture, **about)
    yield Odd(
        "heic with garbage behind", whole["plain"] + b"basura", "damaged", picture, **about, words="6 surplus bytes"
    )
    for name, data in whole.items():
        for part in (0.5, 0.97):
            yield Odd(f"heic {name} cut at {part:.0%}", data[: int(len(data) * part)], "unreadable", words="cut short")
        huge = box_field(data, b"ispe", 4, struct.pack(">II", 30_000, 30_000))
        yield Odd(f"heic {name} of 30,000 x 30,000", huge, "unreadable", words="900 (30000x30000): make it smaller")
        at = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 3
        holed = data[:at] + bytes(64) + data[at + 64 :]
        yield Odd(f"heic {name} with a hole", holed, "unreadable", words="written only in part")
        if "turned" not in name:  # its EXIF data lie at the end
            yield Odd(
                f"heic {name} zero at the end", data[:-40] + bytes(40), "unreadable", words="written only in part"
            )
    kinds = (b"crx ", "a camera raw file"), (b"qt  ", "a film and no photo"), (b"mif1", "a HEIF photo of a rare kind")
    for brand, words in kinds:
        data = struct.pack(">I4s4sI4s", 24, b"ftyp", brand, 0, brand) + bytes(200)
        yield Odd(f"box file of brand {brand.decode()}", data, "unreadable", words=words)


def avifs() -> Iterator[Odd]:
    """AVIF: turned, grey, with alpha, in sequence; cut, holed, too large."""
    picture, about = Image.fromarray(colours()), {"mean": 6.0, "most": 140}
    data = save(picture, "AVIF", quality=90)
    yield Odd("avif", data, pixels=colours(), **about)
    yield Odd("avif of an old brand", box_field(data, b"ftyp", 0, b"MA1B"), pixels=colours(), **about)
    yield Odd(
        "avif grey",
        save(picture.convert("L"), "AVIF", quality=90),
        pixels=shown(np.asarray(picture.convert("L"))),
        **about,
    )
    with_alpha = picture.copy()
    with_alpha.putalpha(Image.fromarray(curtain()))
    expected = laid_on_white(colours(), curtain())
    yield Odd("avif with alpha", save(with_alpha, "AVIF", quality=90), pixels=expected, **about)
    for orientation, expected in turned_pictures():
        tags = Image.Exif()
        tags[0x0112] = orientation
        yield Odd(
            f"avif orientation {orientation}", save(picture, "AVIF", quality=90, exif=tags), pixels=expected, **about
        )
    film = save(picture, "AVIF", quality=90, save_all=True, append_images=[Image.fromarray(255 - colours())])
    yield Odd("avif film", film, pixels=colours(), **about)
    yield Odd("avif with garbage behind", data + b"basura", "damaged", colours(), **about, words="6 surplus bytes")
    yield Odd("avif cut", data[: len(data) * 3 // 4], "unreadable", words="cut short")
    huge = box_field(data, b"ispe", 4, struct.pack(">II", 30_000, 30_000))
    yield Odd("avif of 30,000 x 30,000", huge, "unreadable", words="900 (30000x30000): make it smaller")
    large = save(Image.fromarray(colours(200, 300)), "AVIF", quality=90)
    middle = len(large) * 2 // 3
    yield Odd("avif with a hole", large[:middle] + bytes(200) + large[middle + 200 :], "unreadable")


def turned_pictures() -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """What each EXIF orientation makes of the picture."""
    picture = colours()
    for orientation, expected in enumerate(
        (
            picture,
            picture[:, ::-1],
            picture[::-1, ::-1],
            picture[::-1],
            np.swapaxes(picture, 0, 1),
            np.rot90(picture, -1),
            np.swapaxes(picture[::-1, ::-1], 0, 1),
            np.rot90(picture),
        ),
        start=1,
    ):
        yield orientation, np.ascontiguousarray(expected)


# ---- JPEG 2000 and PPM ----------------------------------------------------------------------------------------


def jp2s() -> Iterator[Odd]:
    """JPEG 2000: bare and boxed, grey, alpha, 12 and 16 bits; cut, holed, too large."""
    picture = Image.fromarray(colours())
    data = save(picture, "JPEG2000")
    yield Odd("jp2", data, pixels=colours())
    yield Odd("j2k without boxes", save(picture, "JPEG2000", no_jp2=True), pixels=colours())
    lossy = save(picture, "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[4])
    yield Odd("jp2 lossy", lossy, pixels=colours(), mean=4, most=120)
    yield Odd("jp2 of tiles", save(picture, "JPEG2000", tile_size=(32, 32)), pixels=colours())
    yield Odd("jp2 grey", save(Image.fromarray(grey()), "JPEG2000"), pixels=shown(grey()))
    deep = Image.fromarray(grey().astype(np.uint16) * 257)
    yield Odd("jp2 grey of 16 bits", save(deep, "JPEG2000"), pixels=shown(grey()))
    with_alpha = picture.copy()
    with_alpha.putalpha(Image.fromarray(curtain()))
    yield Odd("jp2 with alpha", save(with_alpha, "JPEG2000"), pixels=laid_on_white(colours(), curtain()))
    large = save(Image.fromarray(colours(200, 300)), "JPEG2000")
    for part in (0.3, 0.6, 0.99):
        yield Odd(f"jp2 cut at {part:.0%}", large[: int(len(large) * part)], "unreadable", words="cut short")
    yield Odd("jp2 zero from half", large[: len(large) // 2].ljust(len(large), b"\0"), "unreadable")
    middle = len(large) // 2
    yield Odd("jp2 with a hole", large[:middle] + bytes(512) + large[middle + 512 :], "unreadable")
    at, size = data.index(b"ihdr") + 4, data.index(b"\xff\x51") + 6
    huge = struct.pack(">II", 30_000, 30_000)
    bomb = data[:at] + huge + data[at + 8 : size] + huge + data[size + 8 :]
    yield Odd("jp2 of 30,000 x 30,000", bomb, "unreadable", words="900 (30000x30000): make it smaller")


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


# ---- PNG ------------------------------------------------------------------------------------------------------


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


# ---- BMP ------------------------------------------------------------------------------------------------------


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


# ---- JPEG -----------------------------------------------------------------------------------------------------


def jpegs() -> Iterator[Odd]:
    """Grey, CMYK as Adobe writes it, every subsampling, orientation, progressive; too large."""
    picture, about = Image.fromarray(colours()), {"mean": 8.0, "most": 160}
    for number, name in enumerate(("4:4:4", "4:2:2", "4:2:0")):
        for progressive in (False, True):
            data = save(picture, "JPEG", quality=95, subsampling=number, progressive=progressive)
            yield Odd(f"jpeg {name}{' progressive' if progressive else ''}", data, pixels=colours(), **about)
    yield Odd("jpeg grey", save(Image.fromarray(grey()), "JPEG", quality=95), pixels=shown(grey()), mean=2, most=40)
    rgb = save(picture, "JPEG", quality=95, keep_rgb=True)
    yield Odd("jpeg of rgb", rgb, pixels=colours(), **about)
    inks = np.concatenate([255 - colours(), np.zeros((HEIGHT, WIDTH, 1), np.uint8)], 2)
    printed = Image.frombytes("CMYK", (WIDTH, HEIGHT), inks.tobytes())
    yield Odd("jpeg cmyk, inverted as Adobe does", save(printed, "JPEG", quality=95), pixels=colours(), mean=4, most=90)
    for orientation, expected in turned_pictures():
        tags = Image.Exif()
        tags[0x0112] = orientation
        yield Odd(
            f"jpeg orientation {orientation}", save(picture, "JPEG", quality=95, exif=tags), pixels=expected, **about
        )
    data = save(picture, "JPEG", quality=95)
    yield Odd("jpeg without its end", data[:-2], "damaged", colours(), **about)
    yield Odd("jpeg cut", data[: len(data) * 2 // 3], "unreadable")
    at = data.index(b"\xff\xc0") + 5
    huge = data[:at] + struct.pack(">HH", 30_000, 30_000) + data[at + 4 :]
    yield Odd("jpeg of 30,000 x 30,000", huge, "unreadable", words="900 (30000x30000): make it smaller")
    several = save(picture, "MPO", save_all=True, append_images=[Image.fromarray(255 - colours())], quality=95)
    yield Odd("jpeg of two pictures", several, pixels=colours(), **about)


# ---- what is no photo, or none that is read -------------------------------------------------------------------


def films() -> Iterator[Odd]:
    """GIF, APNG, WebP and AVIF films, of which the first picture counts that is not blank."""
    picture = Image.fromarray(colours())
    second = Image.fromarray(255 - colours())
    for photo_format, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("AVIF", {"quality": 95})):
        # A palette of a GIF holds 256 of the colours, chosen by Pillow.
        about: dict[str, Any] = {"GIF": {"mean": 12, "most": 80}, "AVIF": {"mean": 6, "most": 140}}.get(
            photo_format, {}
        )
        name = photo_format.lower()
        for blank in (0, 1, 3):
            pictures = [Image.new("RGB", picture.size, ("black", "white", "red")[number]) for number in range(blank)]
            pictures += [picture, second]
            # Equal pictures are joined by some encoders, so the blank ones differ.
            data = save(pictures[0], photo_format, save_all=True, append_images=pictures[1:], duration=100, **options)
            yield Odd(f"{name} film after {blank} blank pictures", data, pixels=colours(), **about)
        black = [Image.new("RGB", picture.size, colour) for colour in ("black", "white")]
        data = save(black[0], photo_format, save_all=True, append_images=black[1:], **options)
        yield Odd(f"{name} film of blank pictures", data, pixels=colours() * 0)
    yield Odd("gif", save(Image.fromarray(grey()), "GIF"), pixels=shown(grey()))
    clear = Image.fromarray(grey())
    hidden = np.where(grey()[:, :, None] == grey()[0, 0], 255, shown(grey())).astype(np.uint8)
    yield Odd("gif with a clear colour", save(clear, "GIF", transparency=int(grey()[0, 0])), pixels=hidden)
    yield Odd("webp", save(picture, "WEBP", lossless=True), pixels=colours())
    with_alpha = picture.copy()
    with_alpha.putalpha(Image.fromarray(curtain()))
    data = save(with_alpha, "WEBP", lossless=True, exact=True)
    yield Odd("webp with alpha", data, pixels=laid_on_white(colours(), curtain()))
    yield Odd("webp cut", data[: len(data) // 2], "unreadable")
    for width, height, start, end, quality in (
        (640, 480, (0, 0, 0), (255, 255, 255), 60),
        (800, 600, (90, 150, 220), (200, 225, 250), 95),
    ):
        steps = np.linspace(0, 1, width if quality == 60 else height)[:, None]
        ramp = (np.array(start) + (np.array(end) - np.array(start)) * steps).astype(np.uint8)
        drawn = np.broadcast_to(ramp[None] if quality == 60 else ramp[:, None], (height, width, 3))
        data = save(Image.fromarray(np.ascontiguousarray(drawn)), "WEBP", quality=quality)
        assert bytes(24) in data, "no test of a gradient that encodes to zeros"
        yield Odd(f"webp of a gradient of {width} pixels", data, pixels=drawn, mean=2, most=12)


def others() -> Iterator[Odd]:
    """Files that have a name, which the reason must say."""
    picture = Image.fromarray(colours())
    for photo_format, words in (
        ("ICO", "an icon"),
        ("PCX", "a PCX picture"),
        ("DDS", "a DDS texture"),
        ("SGI", "an SGI picture"),
    ):
        yield Odd(
            f"{photo_format.lower()} file",
            save(picture, photo_format),
            "unreadable",
            words=f"this is {words}, which cannot be read",
        )
    for name, head, words in (
        ("jxl", b"\xff\x0a", "this is a JPEG XL photo, which cannot be read: convert it to JPEG"),
        ("jxl in boxes", b"\0\0\0\x0cJXL \r\n\x87\n", "this is a JPEG XL photo"),
        ("psd", b"8BPS\0\1", "this is a Photoshop file"),
        ("raf", b"FUJIFILMCCD-RAW 0201", "this is a camera raw file"),
        ("exr", b"v/1\1", "this is an OpenEXR picture"),
        ("pdf", b"%PDF-1.4", "this is a PDF document"),
        ("svg", b"<?xml version='1.0'?><svg>", "this is a drawing (SVG)"),
        ("zip", b"PK\3\4", "this is a zip archive and no photo"),
        ("web page", b"<!DOCTYPE html><html>", "this is a web page and no photo"),
        ("matroska", b"\x1aE\xdf\xa3", "this is a film and no photo"),
        ("text", b"hola", "of no known format"),
    ):
        yield Odd(name, head + b"x" * 500, "unreadable", words=words)
    yield Odd("empty", b"", "unreadable", words="the file is empty")
    yield Odd("zeros", bytes(999), "unreadable", words="nothing but zero bytes")


def every_file() -> Iterator[Odd]:
    """The whole collection."""
    for some in (tiffs, heics, avifs, jp2s, ppms, pngs, bmps, jpegs, films, others):
        yield from some()
