"""HEIC and AVIF files."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from mutations import save
from PIL import Image
from places import EXAMPLES

from odd_files.picture import HEIGHT, WIDTH, Odd, colours, curtain, laid_on_white, shown, turned_pictures

HEIC = EXAMPLES / "heic"


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
