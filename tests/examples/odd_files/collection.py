"""Odd files: what encoders, scanners, microscopes and editors write, the status each must get, and its pixels.

Every file is made here, byte by byte or by Pillow, from one picture, and the expected pixels are computed from that
picture, never by a decoder. HEIC alone needs an encoder that certero does not bring: `heic/` holds that picture as
libheif and x265 wrote it, a few hundred bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator

from odd_files.bitmaps import bmps, ppms
from odd_files.heifs import avifs, heics
from odd_files.jpegs import jp2s, jpegs
from odd_files.others import films, others
from odd_files.picture import Odd
from odd_files.pngs import pngs
from odd_files.tiffs import tiffs


def every_file() -> Iterator[Odd]:
    """The whole collection."""
    for some in (tiffs, heics, avifs, jp2s, ppms, pngs, bmps, jpegs, films, others):
        yield from some()
