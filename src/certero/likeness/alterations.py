"""What people and programs do to a photo and it stays the same photo: the list that likeness is set by."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps

from certero.errors import PhotoError, changed_since
from certero.likeness.alignment import align
from certero.machine.files import read_file
from certero.photos.photo import LARGE_PIXELS
from certero.photos.pixels import UInt8, decode, luma
from certero.photos.resizing import resize
from certero.photos.turns import one_at_a_time
from certero.photos.views import VIEW_SIDE, shrink_view

Picture = Image.Image


def _resave(photo: Picture) -> Picture:
    encoded = io.BytesIO()
    photo.save(encoded, "JPEG", quality=40)
    return Image.open(encoded).convert("RGB")


def _halve(photo: Picture) -> Picture:
    return photo.resize((max(1, photo.width // 2), max(1, photo.height // 2)), Image.Resampling.BILINEAR)


def _crop(photo: Picture) -> Picture:
    across, down = round(photo.width * 0.05), round(photo.height * 0.05)
    return photo.crop((across, down, photo.width - across, photo.height - down))


def _crop_corner(photo: Picture) -> Picture:
    return photo.crop((0, 0, max(1, round(photo.width * 0.9)), max(1, round(photo.height * 0.9))))


def _turn(degrees: float) -> Callable[[Picture], Picture]:
    return lambda photo: photo.rotate(degrees, Image.Resampling.BICUBIC)


def _border(photo: Picture) -> Picture:
    return ImageOps.expand(photo, max(1, round(0.08 * min(photo.size))), (255, 255, 255))


#: Name and alteration.
ALTERATIONS: dict[str, Callable[[Picture], Picture]] = {
    "resaved": _resave,
    "resized": _halve,
    "cropped": _crop,
    "cropped_at_corner": _crop_corner,
    "brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.3),
    "darker": lambda photo: ImageEnhance.Brightness(photo).enhance(0.7),
    "contrast": lambda photo: ImageEnhance.Contrast(photo).enhance(1.3),
    "mirrored": ImageOps.mirror,
    "turned_left": _turn(5),
    "turned_right": _turn(-5),
    "border": _border,
}


def alter(pixels: UInt8) -> dict[str, UInt8]:
    """The photo, uint8 [H, W, 3], after each of `ALTERATIONS`."""
    photo = Image.fromarray(pixels)
    return {name: np.asarray(change(photo)) for name, change in ALTERATIONS.items()}


def _without_excess(pixels: UInt8) -> UInt8:
    """The photo with at most about a million pixels if it is large: altered copies of it would fill the memory."""
    height, width = pixels.shape[:2]
    if height * width <= LARGE_PIXELS:
        return pixels
    scale = math.sqrt(1_000_000 / (height * width))
    return resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def score_altered(paths: Sequence[Path]) -> npt.NDArray[np.float32]:
    """How well photos lie on their altered copies, float32 [photos, alterations]; see `alignment.align`.

    Raises:
        PhotoError: if a photo that could be read before cannot be read now.
    """
    views: list[UInt8] = []
    for path in paths:
        try:
            with one_at_a_time():
                pixels = _without_excess(decode(read_file(path)).pixels)
        except (OSError, PhotoError) as error:
            raise changed_since(path, error) from error
        views.append(np.stack([shrink_view(luma(each)) for each in (pixels, *alter(pixels).values())]))
    both = np.array(views).reshape(-1, 1 + len(ALTERATIONS), VIEW_SIDE, VIEW_SIDE)
    own = np.broadcast_to(both[:, :1], both[:, 1:].shape).reshape(-1, VIEW_SIDE, VIEW_SIDE)
    # All at once: a few pairs take as long as many.
    score = align(own, both[:, 1:].reshape(-1, VIEW_SIDE, VIEW_SIDE)).score
    return score.reshape(-1, len(ALTERATIONS))
