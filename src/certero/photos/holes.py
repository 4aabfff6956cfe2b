"""Zero bytes where picture data should be: files that were written only in part, which decoders accept."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from certero.errors import PhotoError
from certero.photos.photo import HOLE, UInt8

_SHORTEST = 24
# Tiles of 16x16 pixels that a zero byte stands for, at least: flat ones, and ramps in a drawing.
_TILES_A_ZERO = 4
_DRAWING_BYTES_A_TILE = 10
# How far the steps between neighbouring pixels of a smooth tile may differ.
_BEND = 2


def check_holes(data: bytes, spans: Sequence[tuple[int, int]], pixels: UInt8, shortest: int = _SHORTEST) -> None:
    """Refuses a photo whose encoded data hold more zero bytes in a row than its flat areas can explain.

    Zeros encode flat areas, at 6 and more tiles for each byte, and ramps without noise (studio backdrops, rendered
    pictures), at 4 and more; other sound photos have runs of at most 17. Ramps excuse zeros only in a picture that is
    a drawing by its size: the sky of a large photo is smooth, too, but encodes to other bytes.

    Args:
        data: the file's bytes.
        spans: start and end of encoded picture data.
        pixels: what was decoded from them, uint8 [height, width, 3].
        shortest: runs below are not looked at.

    Raises:
        PhotoError: if part of the file was never written.
    """
    runs = re.compile(rb"\0{%d,}" % shortest)
    zeros = max((match.end() - match.start() for span in spans for match in runs.finditer(data, *span)), default=0)
    if not zeros:
        return
    flat, smooth = _count_tiles(pixels)
    size = sum(end - start for start, end in spans)
    drawn = size * 256 <= _DRAWING_BYTES_A_TILE * pixels.shape[0] * pixels.shape[1]
    if zeros * _TILES_A_ZERO > (smooth if drawn else flat):
        raise PhotoError(HOLE)


def _count_tiles(pixels: UInt8) -> tuple[int, int]:
    """Number of tiles of 16x16 pixels of a single colour, and of those that are a ramp or of a single colour."""
    rows, columns = pixels.shape[0] // 16, pixels.shape[1] // 16
    flat, smooth = 0, 0
    for row in range(rows):  # one by one: comparing all at once would take as much memory as the photo
        tiles = pixels[row * 16 : row * 16 + 16, : columns * 16].reshape(16, columns, 16, 3)
        flat += int((tiles == tiles[:1, :, :1]).all(axis=(0, 2, 3)).sum())
        wide = tiles.astype(np.int16)
        bent = [np.abs(np.diff(wide, 2, axis=axis)).max(axis=(0, 2, 3)) for axis in (0, 2)]
        smooth += int((np.maximum(*bent) <= _BEND).sum())
    return flat, smooth
