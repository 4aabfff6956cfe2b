"""JPEG and JPEG 2000 files."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from mutations import save
from PIL import Image

from odd_files.picture import HEIGHT, WIDTH, Odd, colours, curtain, grey, laid_on_white, shown, turned_pictures


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
