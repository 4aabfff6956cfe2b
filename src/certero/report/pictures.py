"""Photos of a run as small pictures: mistakes, right answers, and those of which the model was least sure."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Of a picture that is shown small and can be enlarged: a report with all of them stays below 1.5 MB.
THUMBNAIL_BYTES = 16_000
#: Longest side of such a picture, pixels.
THUMBNAIL_SIDE = 320
_QUALITIES = (82, 70, 55, 40, 25)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One photo that the model judged, rightly or wrongly.

    Args:
        path: the photo, as the data names it.
        label: its true class.
        predicted: the class the model named; None where no class reached the threshold.
        probability: calibrated probability of the likeliest class, 0 to 1.
        thumbnail_jpeg: the picture, see `thumbnail`.
    """

    path: str
    label: str
    predicted: str | None
    probability: float
    thumbnail_jpeg: bytes

    @property
    def data_uri(self) -> str:
        """The picture as an address that needs no other file."""
        return picture_address(self.thumbnail_jpeg)


@dataclass(frozen=True, slots=True)
class Gallery:
    """The photos that a report shows.

    Args:
        mistakes: named wrongly: the most frequent confusions first, in each the surest first.
        right: named rightly, of the classes of the mistakes first.
        unsure: of which the model was least sure, named rightly or not.
    """

    mistakes: Sequence[Mistake] = ()
    right: Sequence[Mistake] = ()
    unsure: Sequence[Mistake] = ()


NO_PICTURES = Gallery()


def picture_address(jpeg: bytes) -> str:
    """A JPEG as an address that needs no other file."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL_SIDE, limit_bytes: int = THUMBNAIL_BYTES) -> bytes:
    """The whole frame as a small JPEG, about `limit_bytes` or less.

    Args:
        pixels: uint8 [H, W, 3], RGB, upright.
        side: longest side of the picture, pixels; smaller photos are not enlarged.
        limit_bytes: what quality is given up for.

    Raises:
        ValueError: pixels have another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"pixels must be uint8 [H, W, 3], found {pixels.dtype} {list(pixels.shape)}")
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    encoded = b""
    for quality in _QUALITIES:
        target = io.BytesIO()
        picture.save(target, "JPEG", quality=quality, optimize=True)
        encoded = target.getvalue()
        if len(encoded) <= limit_bytes:
            break
    return encoded
