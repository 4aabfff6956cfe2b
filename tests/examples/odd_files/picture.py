"""The picture that every odd file shows, and what of it a file should give back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 48, 64


@dataclass(frozen=True, slots=True)
class Odd:
    """A file.

    Args:
        name: unique.
        data: its bytes.
        status: `ok`, `damaged` or `unreadable`.
        pixels: what it shows, uint8 [height, width, 3]; None for a file that cannot be read.
        mean: largest mean difference allowed, in levels: lossy encoders differ.
        most: largest difference of one value.
        words: part of the reason.
    """

    name: str
    data: bytes
    status: str = "ok"
    pixels: NDArray[np.uint8] | None = None
    mean: float = 0.5
    most: int = 1
    words: str = ""


def colours(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """The picture: soft ramps and a red corner, which tells every orientation from the others."""
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([rows * 5 % 256, columns * 4 % 256, 255 - (rows + columns) * 2 % 256], 2).astype(np.uint8)
    picture[: height // 3, : width // 4] = (250, 30, 30)
    return picture


def grey() -> NDArray[np.uint8]:
    """The picture in grey levels, uint8 [height, width]."""
    return colours()[:, :, 1]


def shown(levels: NDArray[Any], white: int = 255) -> NDArray[np.uint8]:
    """Levels [height, width] from 0 to white as three equal channels."""
    return np.repeat(np.rint(levels / white * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def laid_on_white(picture: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture with an opacity [height, width] from 0 to 255 before white."""
    share = alpha[:, :, None] / 255
    return np.rint(picture * share + 255 * (1 - share)).astype(np.uint8)


def curtain() -> NDArray[np.uint8]:
    """An opacity: nothing on the left, half in the middle, all on the right."""
    return np.repeat(np.digitize(np.arange(WIDTH), (20, 40))[None] * np.array(127.5), HEIGHT, 0).astype(np.uint8)


def turned_pictures() -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """What each EXIF orientation makes of the picture."""
    picture = colours()
    for orientation, expected in enumerate(
        (
            picture,
            picture[:, ::-1],
            picture[::-1, ::-1],
            picture[::-1],
            np.swapaxes(picture, 0, 1),
            np.rot90(picture, -1),
            np.swapaxes(picture[::-1, ::-1], 0, 1),
            np.rot90(picture),
        ),
        start=1,
    ):
        yield orientation, np.ascontiguousarray(expected)
