"""A photo as it might have been taken: from a little nearer, from the other side, in other light.

A model that learns from such views of its photos, too, knows better what stays the same (docs/decisions/0072).
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from certero.photos.photo import UInt8
from certero.photos.pixels import decode, fit
from certero.photos.turns import one_at_a_time
from certero.records.preprocessing import Preprocessing

#: Raised with every change of what follows: remembered features are kept by it.
VERSION = 1
# Height and width of the cut-out at least, as a share of the photo's.
_LEAST_SHARE = 0.727
# Stops of exposure, of each colour, and of contrast, from the least to the greatest.
_EXPOSURE, _TINT, _CONTRAST = (-1.5, 1.0), (-0.35, 0.35), (-0.7, 0.5)
# The grey level that contrast leaves alone.
_MIDDLE = (80.0, 150.0)
_LEVELS = np.arange(256) / 255


def retake(pixels: UInt8, generator: np.random.Generator, *, relit: bool) -> UInt8:
    """A part of the photo at its shape, mirrored or not, in other light or not; uint8 [h, w, 3] of uint8 [H, W, 3]."""
    height, width = pixels.shape[:2]
    share = _LEAST_SHARE ** generator.random()
    rows, columns = max(1, int(height * share)), max(1, int(width * share))
    top, left = (int(generator.integers(0, size + 1)) for size in (height - rows, width - columns))
    part = pixels[top : top + rows, left : left + columns]
    if generator.random() < 0.5:
        part = part[:, ::-1]
    if not relit:
        return np.ascontiguousarray(part)
    levels = _light(generator)
    return np.stack([levels[:, colour][part[:, :, colour]] for colour in range(3)], axis=2)


def _light(generator: np.random.Generator) -> UInt8:
    """What becomes of each level of each colour, uint8 [256, 3]: exposure, tint, contrast."""
    stops = generator.uniform(*_EXPOSURE) + generator.uniform(*_TINT, 3)
    exposed = 255 * _encode(_decode(_LEVELS)[:, None] * 2.0**stops)
    middle = generator.uniform(*_MIDDLE)
    contrasted = (exposed - middle) * 2.0 ** generator.uniform(*_CONTRAST) + middle
    levels: UInt8 = np.clip(np.rint(contrasted), 0, 255).astype(np.uint8)
    return levels


def _decode(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Light of sRGB levels, both 0 to 1. Source: IEC 61966-2-1."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _encode(light: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse of `_decode`; more light than white is white."""
    light = np.minimum(light, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@one_at_a_time()
def prepare_retaken(data: bytes, preprocessing: Preprocessing, number: int) -> UInt8:
    """One view of a photo as the network's input; the same file has the same views.

    Args:
        data: the file's bytes.
        preprocessing: how photos reach the network.
        number: which view, from 1; those with even numbers are in other light.

    Raises:
        PhotoError: as `pixels.decode`.
    """
    at_least = round(preprocessing.height / _LEAST_SHARE), round(preprocessing.width / _LEAST_SHARE)
    seen = decode(data, at_least=at_least).pixels
    generator = np.random.default_rng([zlib.crc32(data), number])
    return fit(retake(seen, generator, relit=number % 2 == 0), preprocessing)
