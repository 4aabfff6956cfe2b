"""Landmarks: the places of a photo that stand out, each with a code by which it is known again in another photo.

Most of them survive where a part of the photo is covered or replaced, and when it is saved again, resized, mirrored,
cropped or made brighter afterwards.

Source: blobs as extremes of a difference of smoothed pictures, D. G. Lowe, "Distinctive image features from
scale-invariant keypoints", IJCV 60 (2004), 3; codes as signs of random projections, M. S. Charikar, "Similarity
estimation techniques from rounding algorithms", STOC 2002.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from certero.photos.photo import UInt8
from certero.photos.resizing import resize

Floats = npt.NDArray[np.float32]

#: Longer side of the picture in which landmarks are looked for, pixels; tiny photos are enlarged to twice their size.
SIDE = 160
#: At most so many of a photo, those that stand out most.
MOST = 80
# Half of a patch's side: 19 pixels fit beside an object that covers half of the photo.
_RADIUS = 9
# Landmarks are further apart than this, pixels.
_APART = 6
# Grey levels that a blob must stand out by; noise and JPEG stay below.
_LEAST_CONTRAST = 4.0
# Radii of the two means whose difference shows blobs.
_NARROW, _WIDE = 1, 3
_BITS = 64
# Of a grey level: what is rounded to it adds up exactly, in whatever order.
_FRACTION = np.float32(64)


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Of one photo.

    Args:
        places: uint8 [k, 2], across and down, in pixels of the picture whose longer side is `SIDE`.
        codes: uint64 [k, 2], as the landmark is, and as it is in the mirrored photo.
    """

    places: UInt8
    codes: npt.NDArray[np.uint64]

    def to_blob(self) -> bytes:
        """For the cache."""
        return self.codes.tobytes() + self.places.tobytes()

    @classmethod
    def from_blob(cls, blob: bytes) -> Landmarks:
        """The inverse of `to_blob`."""
        count = len(blob) // 18
        codes = np.frombuffer(blob[: 16 * count], np.uint64).reshape(count, 2)
        return cls(np.frombuffer(blob[16 * count :], np.uint8).reshape(count, 2), codes)

    @staticmethod
    def is_whole(blob: bytes) -> bool:
        """Whether bytes from the cache can be those of landmarks."""
        return len(blob) % 18 == 0 and len(blob) <= 18 * MOST


def find_landmarks(grey: UInt8) -> Landmarks:
    """The landmarks of a grey photo, uint8 [H, W]; none in one that is flat or a strip."""
    height, width = grey.shape
    scale = min(SIDE, 2 * max(height, width)) / max(height, width)
    picture = resize(grey, max(1, round(height * scale)), max(1, round(width * scale))).astype(np.float32)
    if min(picture.shape) < 2 * _RADIUS + 2:
        return Landmarks(np.zeros((0, 2), np.uint8), np.zeros((0, 2), np.uint64))
    narrow = _mean(picture, _NARROW)
    narrow = np.asarray(np.round(narrow * _FRACTION) / _FRACTION, np.float32)
    contrast = np.abs(narrow - _mean(narrow, _WIDE))
    stands_out = (contrast == _highest(contrast, _APART)) & (contrast > _LEAST_CONTRAST)
    inside = np.zeros_like(stands_out)
    inside[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS] = True
    down, across = np.nonzero(stands_out & inside)
    chosen = np.argsort(-contrast[down, across], kind="stable")[:MOST]
    down, across = down[chosen], across[chosen]
    reach = np.arange(-_RADIUS, _RADIUS + 1)
    patches = picture[(down[:, None] + reach)[:, :, None], (across[:, None] + reach)[:, None, :]]
    shape = (_DCT @ patches @ _DCT.T)[:, _ROWS, _COLUMNS] * _WEIGHTS
    bits = np.stack([shape @ _PROJECTION, (shape * _MIRRORED) @ _PROJECTION], axis=1) > 0
    codes = np.packbits(bits, axis=2).view(np.uint64)[:, :, 0]
    return Landmarks(np.stack([across, down], axis=1).astype(np.uint8), codes)


def _mean(picture: Floats, radius: int) -> Floats:
    """Mean of the square around each pixel, edges repeated."""
    side = 2 * radius + 1
    for _axis in range(2):
        # Down, then turned so that the other direction is down; sums of whole numbers, alike in the mirrored photo.
        rows = np.pad(picture, ((radius, radius), (0, 0)), mode="edge")
        total = rows[: len(picture)].copy()
        for step in range(1, side):
            total += rows[step : step + len(picture)]
        picture = np.ascontiguousarray(total.T)
    return np.asarray(picture / np.float32(side * side), np.float32)


def _highest(picture: Floats, radius: int) -> Floats:
    """Maximum of the square around each pixel."""
    side = 2 * radius + 1
    for _axis in range(2):
        # Down, then turned so that the other direction is down: spans of 1, 2, 4, ... rows, then the rest.
        rows = np.pad(picture, ((radius, radius), (0, 0)))
        span = 1
        while 2 * span <= side:
            rows = np.maximum(rows[:-span], rows[span:])
            span *= 2
        if rest := side - span:
            rows = np.maximum(rows[:-rest], rows[rest:])
        picture = rows.T
    return picture


# The lowest 27 frequencies of a patch without its mean; high ones are raised, or smooth patches would all be alike.
_ORDER = 6
_ROWS, _COLUMNS = (
    np.array(each) for each in zip(*[(u, v) for u in range(_ORDER + 1) for v in range(_ORDER + 1 - u)][1:], strict=True)
)
_SPAN = 2 * _RADIUS + 1
_DCT = np.cos(np.pi / _SPAN * np.outer(np.arange(_ORDER + 1), np.arange(_SPAN) + 0.5)).astype(np.float32)
_WEIGHTS = (np.hypot(_ROWS, _COLUMNS) ** 0.5 * np.where(_ROWS, 2**0.5, 1) * np.where(_COLUMNS, 2**0.5, 1)).astype(
    np.float32
)
_MIRRORED = np.where(_COLUMNS % 2, -1, 1).astype(np.float32)
_PROJECTION = np.random.default_rng(0).standard_normal((len(_ROWS), _BITS)).astype(np.float32)
