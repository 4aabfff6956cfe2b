"""Films, and files that are no photo or none that is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from mutations import save
from PIL import Image

from odd_files.picture import Odd, colours, curtain, grey, laid_on_white, shown


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
