"""Alterations that leave a photo the same photo. Thresholds of likeness are chosen by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from certero.likeness.alignment import align
from certero.photos import editing
from certero.photos.photo import LARGE_PIXELS, UInt8
from certero.photos.pixels import decode, luma
from certero.photos.resizing import resize
from certero.photos.scanned import read_scanned
from certero.photos.turns import one_at_a_time
from certero.photos.views import VIEW_SIDE, shrink_view

#: Every alteration by name, pixels uint8 [H, W, 3] in and out.
ALTERATIONS: dict[str, Callable[[UInt8], UInt8]] = {
    "resaved": partial(editing.resave, quality=40),
    "resized": editing.halve,
    "cropped": partial(editing.crop, share=0.05),
    "cropped_at_corner": partial(editing.crop_corner, share=0.9),
    "brighter": partial(editing.brighten, percent=130),
    "darker": partial(editing.brighten, percent=70),
    "contrast": partial(editing.change_contrast, factor=1.3),
    "mirrored": editing.mirror,
    "turned_left": partial(editing.turn, degrees=5),
    "turned_right": partial(editing.turn, degrees=-5),
    "border": partial(editing.add_border, share=0.08),
}
#: Those that measure how many near copies a model file recognises: one of each kind beyond resaving.
NEAR = ("brighter", "darker", "mirrored", "cropped", "turned_left")


def alter(pixels: UInt8, names: Iterable[str] = tuple(ALTERATIONS)) -> dict[str, UInt8]:
    """The photo, uint8 [H, W, 3], after each of these alterations."""
    return {name: ALTERATIONS[name](pixels) for name in names}


def _without_excess(pixels: UInt8) -> UInt8:
    """The photo with at most about a million pixels if it is large: altered copies of it would fill the memory."""
    height, width = pixels.shape[:2]
    if height * width <= LARGE_PIXELS:
        return pixels
    scale = math.sqrt(1_000_000 / (height * width))
    return resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def score_altered(paths: Sequence[Path]) -> npt.NDArray[np.float32]:
    """How well photos match their altered copies, float32 [photos, alterations]; see `alignment.align`.

    Raises:
        PhotoError: if a photo that could be read before cannot be read now.
    """
    views: list[UInt8] = []
    for path in paths:
        with one_at_a_time():
            pixels = _without_excess(read_scanned(path, decode).pixels)
        views.append(np.stack([shrink_view(luma(each)) for each in (pixels, *alter(pixels).values())]))
    both = np.array(views).reshape(-1, 1 + len(ALTERATIONS), VIEW_SIDE, VIEW_SIDE)
    own = np.broadcast_to(both[:, :1], both[:, 1:].shape).reshape(-1, VIEW_SIDE, VIEW_SIDE)
    # All at once: a few pairs take as long as many.
    score = align(own, both[:, 1:].reshape(-1, VIEW_SIDE, VIEW_SIDE)).score
    return score.reshape(-1, len(ALTERATIONS))
