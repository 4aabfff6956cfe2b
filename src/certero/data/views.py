"""A photo seen small and grey, and measured: what the audit keeps of each photo beside its fingerprints."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from certero.data.alignment import VIEW_SIDE
from certero.pixels import UInt8, shrink_grey

#: Longer side of the picture that sharpness is measured on, pixels: blur that people see is some pixels wide here.
MEASURED_SIDE = 256


@dataclass(frozen=True, slots=True)
class View:
    """What one more look at a photo tells.

    Args:
        grey: uint8 [64, 64], the whole frame, its shape ignored.
        sharpness: standard deviation of the Laplacian over that of the grey levels; no unit.
        contrast: standard deviation of the grey levels, 0 to 1.
        entropy: of the grey levels, bits, 0 to 8.
        darkest: grey level that 5 % of the pixels are darker than, 0 to 1.
        brightest: grey level that 99 % of the pixels are darker than, 0 to 1.
        camera: make and model that EXIF names; None without.
    """

    grey: UInt8
    sharpness: float
    contrast: float
    entropy: float
    darkest: float
    brightest: float
    camera: str | None

    def to_blob(self) -> bytes:
        """For the cache."""
        facts = {name: getattr(self, name) for name in self.__slots__ if name != "grey"}
        return self.grey.tobytes() + zlib.compress(json.dumps(facts).encode(), 1)

    @classmethod
    def from_blob(cls, blob: bytes) -> View:
        """The inverse of `to_blob`."""
        size = VIEW_SIDE * VIEW_SIDE
        grey = np.frombuffer(blob[:size], np.uint8).reshape(VIEW_SIDE, VIEW_SIDE)
        return cls(grey, **json.loads(zlib.decompress(blob[size:])))


def look(pixels: UInt8, camera: str | None) -> View:
    """The view of one photo.

    Args:
        pixels: uint8 [H, W, 3], of the photo decoded at its full size: at another, the view is a slightly other one.
        camera: make and model that EXIF names.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, MEASURED_SIDE / max(height, width))
    grey = shrink_grey(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
    levels = grey.astype(np.float32)
    counts = np.bincount(grey.ravel(), minlength=256) / grey.size
    known = counts[counts > 0]
    darkest, brightest = np.percentile(levels, (5, 99)) / 255
    contrast = float(levels.std())
    return View(
        grey=shrink_grey(pixels, VIEW_SIDE, VIEW_SIDE),
        sharpness=round(float(_laplacian(levels).std()) / max(contrast, 1.0), 4),
        contrast=round(contrast / 255, 4),
        entropy=round(float(-(known * np.log2(known)).sum()), 4),
        darkest=round(float(darkest), 4),
        brightest=round(float(brightest), 4),
        camera=camera,
    )


def _laplacian(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if min(levels.shape) < 3:
        return np.zeros((1, 1), np.float32)
    around = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:]
    return np.asarray(around - 4 * levels[1:-1, 1:-1])
