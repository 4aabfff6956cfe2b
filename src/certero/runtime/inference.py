"""Photos through a network: decode, fit, run, in batches over all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from certero.errors import PhotoError, changed_since, reason_of
from certero.machine.files import read_file
from certero.photos import pixels
from certero.records.preprocessing import Preprocessing
from certero.records.protocols import Map

if TYPE_CHECKING:
    from numpy.typing import NDArray

Photo = Path | bytes | np.ndarray | Any  # also a PIL image, which only `pixels` knows
Outputs = tuple["NDArray[Any]", ...] | PhotoError


class Runs(Protocol):
    """A network as `infer` needs it: certero's own, or a foreign one behind its card."""

    batch_size: int

    def run(self, rows: NDArray[Any], outputs: Sequence[str], /) -> list[NDArray[Any]]:
        """The named outputs for uint8 [N, H, W, 3], each with N rows."""
        ...


def infer(
    network: Runs,
    preprocessing: Preprocessing,
    photos: Sequence[Photo],
    outputs: Sequence[str],
    map: Map,
    prepare: Callable[[bytes, Preprocessing], NDArray[np.uint8]] = pixels.prepare,
) -> Iterator[Outputs]:
    """Yields for each photo, in order, one row of each output, or the PhotoError that says why there is none.

    Args:
        photos: files, file contents, or pixels (uint8 [H, W, 3] RGB, grey [H, W] or with
            transparency [H, W, 4], already upright), PIL images.
        outputs: names of the network's outputs.
        map: ordered parallel map.
        prepare: makes the network's input of the bytes of a file.
    """

    def run(batch: Sequence[Photo]) -> list[Outputs]:
        images: list[NDArray[np.uint8]] = []
        found: list[Outputs | None] = []
        for photo in batch:
            try:
                images.append(_prepare(photo, preprocessing, prepare))
                found.append(None)
            except PhotoError as error:
                found.append(error)
        rows = iter(zip(*network.run(np.stack(images), outputs), strict=True) if images else ())
        return [tuple(next(rows)) if error is None else error for error in found]

    size = network.batch_size
    batches = [photos[start : start + size] for start in range(0, len(photos), size)]
    function: Callable[[Sequence[Photo]], list[Outputs]] = run
    for found in map(function, batches):
        yield from found


def require_all(names: Iterable[object], outputs: Iterable[Outputs]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yields the outputs of `infer` for photos that were scanned before, each of which must still be readable.

    Args:
        names: of the photos, for the message.
        outputs: of the same photos.

    Raises:
        PhotoError: at the first photo that cannot be read any more.
    """
    for name, row in zip(names, outputs, strict=True):
        if isinstance(row, PhotoError):
            raise changed_since(name, row)
        yield row


def _prepare(
    photo: Photo, preprocessing: Preprocessing, prepare: Callable[[bytes, Preprocessing], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    if isinstance(photo, np.ndarray):
        return pixels.fit(pixels.from_array(photo), preprocessing)
    if isinstance(photo, Path):
        try:
            photo = read_file(photo)
        except OSError as error:
            raise PhotoError(reason_of(error)) from error
    if pixels.is_picture(photo):
        data = pixels.file_of(photo)  # while it is its file, its outputs are those of the file, to the bit
        if data is None:
            return pixels.fit(pixels.from_picture(photo), preprocessing)
        photo = data
    return prepare(photo, preprocessing)
