"""What the network sees in training: a sheet of augmented photos for the report."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from certero.learn.augment import Augmentation, augment, draw
from certero.learn.examples import Examples
from certero.photos.resizing import resize

_PHOTOS, _EPOCHS, _GAP = 4, 6, 4


def augmented_sheet(
    train: Examples, augmentation: Augmentation, seed: int, side: int, thumbnail_side: int = 96
) -> NDArray[np.uint8]:
    """A few photos as the first epochs show them, uint8 [H, W, 3]: one row for each photo, one column for each epoch.

    Args:
        train: photos.
        augmentation: what may happen to them.
        seed: of the run: these are the very changes that were trained on.
        side: of the network's input, pixels.
        thumbnail_side: of one photo on the sheet, pixels.
    """
    # Spread over the classes: photos of train lie sorted by folder as a rule.
    rows = np.unique(np.linspace(0, len(train.truth) - 1, _PHOTOS).round().astype(np.int64))
    images = torch.from_numpy(next(iter(train.store.read([rows]))))
    step = thumbnail_side + _GAP
    sheet = np.full((len(rows) * step - _GAP, _EPOCHS * step - _GAP, 3), 255, np.uint8)
    for epoch in range(_EPOCHS):
        changed = augment(images, draw(seed, epoch, train.keys[rows].tolist()), augmentation, side)
        levels = changed.clamp(0, 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        for row, photo in enumerate(levels):
            place = (slice(row * step, row * step + thumbnail_side), slice(epoch * step, epoch * step + thumbnail_side))
            sheet[place] = resize(photo, thumbnail_side, thumbnail_side)
    return sheet
