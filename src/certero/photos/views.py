"""A photo seen small and grey, and measured: what the audit keeps of each photo beside its fingerprints."""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from certero.photos.pixels import UInt8, count_levels, luma
from certero.photos.resizing import resize

#: Longer side of the picture that sharpness is measured on, pixels: blur that people see is some pixels wide here.
MEASURED_SIDE = 256
_LEVELS = np.arange(256)


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures of a closer look at a photo.

    Args:
        sharpness: standard deviation of the Laplacian over that of the grey levels; no unit.
        contrast: standard deviation of the grey levels, 0 to 1.
        entropy: of the grey levels, bits, 0 to 8.
        darkest: grey level that 5 % of the pixels are darker than, 0 to 1.
        brightest: grey level that 99 % of the pixels are darker than, 0 to 1.
        camera: make and model that EXIF names; None without.
    """

    sharpness: float
    contrast: float
    entropy: float
    darkest: float
    brightest: float
    camera: str | None


_MEASURE_NAMES = tuple(field.name for field in dataclasses.fields(Measures))


@dataclass(frozen=True, slots=True)
class View:
    """The result of a closer look at a photo.

    Args:
        grey: uint8 [64, 64], the whole frame, its shape ignored.
        measures: of the same look.
    """

    grey: UInt8
    measures: Measures

    def to_blob(self) -> bytes:
        """For the cache."""
        measures = {name: getattr(self.measures, name) for name in _MEASURE_NAMES}
        return self.grey.tobytes() + zlib.compress(json.dumps(measures).encode(), 1)

    @classmethod
    def is_whole(cls, blob: bytes) -> bool:
        """Whether bytes from the cache are those of a view."""
        try:
            measures = cls.from_blob(blob).measures
            return all(math.isfinite(getattr(measures, name)) for name in _MEASURE_NAMES if name != "camera")
        except (ValueError, TypeError, zlib.error, RecursionError):
            return False

    @classmethod
    def from_blob(cls, blob: bytes) -> View:
        """The inverse of `to_blob`."""
        size = VIEW_SIDE * VIEW_SIDE
        grey = np.frombuffer(blob[:size], np.uint8).reshape(VIEW_SIDE, VIEW_SIDE)
        return cls(grey, Measures(**json.loads(zlib.decompress(blob[size:]))))


def look(pixels: UInt8, camera: str | None) -> View:
    """The view of one photo.

    Args:
        pixels: uint8 [H, W, 3], of the photo decoded at its full size: at another, the view is a slightly other one.
        camera: make and model that EXIF names.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, MEASURED_SIDE / max(height, width))
    full = luma(pixels)
    grey = resize(full, max(1, round(height * scale)), max(1, round(width * scale)))
    counts = count_levels(grey)
    shares = counts[counts > 0] / grey.size
    upto = np.cumsum(counts)
    darkest, brightest = (_percentile(upto, share) / 255 for share in (0.05, 0.99))
    mean = counts @ _LEVELS / grey.size
    contrast = float(np.sqrt(counts @ (_LEVELS - mean) ** 2 / grey.size))
    measures = Measures(
        sharpness=round(_deviation(_laplacian(grey)) / max(contrast, 1.0), 4),
        contrast=round(contrast / 255, 4),
        entropy=round(float(-(shares * np.log2(shares)).sum()), 4),
        darkest=round(float(darkest), 4),
        brightest=round(float(brightest), 4),
        camera=camera,
    )
    return View(shrink_view(full), measures)


def shrink_view(grey: UInt8) -> UInt8:
    """What pairs of photos are compared by, uint8 [64, 64], of the grey photo [H, W]; its shape is ignored."""
    return resize(grey, VIEW_SIDE, VIEW_SIDE)


def _percentile(upto: npt.NDArray[np.int64], share: float) -> float:
    """The level that a share of the pixels lie below, between two levels where the share falls between two pixels.

    Args:
        upto: pixels of each level or a lower one, [256].
        share: 0 to 1.
    """
    place = share * (upto[-1] - 1)
    floor = math.floor(place)
    low, high = np.searchsorted(upto, (floor, math.ceil(place)), side="right")
    return float(low + (high - low) * (place - floor))


def _deviation(values: npt.NDArray[np.int16]) -> float:
    """Standard deviation, from sums of whole numbers: twice as fast as in floats."""
    total, squares = int(values.sum(dtype=np.int64)), int(np.square(values, dtype=np.int32).sum(dtype=np.int64))
    return float(np.sqrt(max(0.0, squares / values.size - (total / values.size) ** 2)))


def _laplacian(grey: UInt8) -> npt.NDArray[np.int16]:
    if min(grey.shape) < 3:
        return np.zeros((1, 1), np.int16)
    levels = grey.astype(np.int16)
    around = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:]
    return np.asarray(around - 4 * levels[1:-1, 1:-1])


#: Side of a view, pixels.
VIEW_SIDE = 64
