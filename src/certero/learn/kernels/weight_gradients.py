"""The gradient of a convolution's weights as products of matrices, a band of rows at a time, each core for itself.

A weight's gradient is the sum, over all places, of an output's gradient times the input that the weight saw there. In
frames of one width, with zeros where a map is narrower, that input lies the same number of places further on
everywhere: each weight's gradient is one product of the outputs' gradients with the inputs so many rows below, and
nothing is written out nine times. A band is small enough to stay in its core's own cache while all weights pass over
it. With AVX2 alone this takes two thirds of the time of oneDNN's own with channels first (decision 25).
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from certero.learn.kernels import cores
from certero.learn.kernels.heap import apart

if TYPE_CHECKING:
    import torch

# Rows of each product: enough that adding it up costs little, few enough for a core's own cache.
_PLACES_AT_ONCE = 2048
#: Of so few channels (the colours of photos) a product for each weight would be too thin: all weights are one product.
FEW_CHANNELS = 4
# Of patches written out at once: about a processor's cache.
_PATCHES_BYTES = 32_000_000
# Frames of so many times the places of the output are worth it; beyond, each weight's inputs are written out.
_MOST_IN_FRAMES = 1.1

Numbers = NDArray[Any]

_own = threading.local()


class _Band(NamedTuple):
    """Some whole photos, or some rows of the output of one."""

    photos: slice
    rows: slice


def weight_gradient(gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, padding: int) -> torch.Tensor:
    """Gradient of the weights of a convolution of stride 1, [C, c, k, l], channels last.

    Equal to the last bit from run to run with the same number of torch's threads.

    Args:
        gradient: of the output, [N, C, h, w].
        x: input, [N, c, H, W].
        weight: of which only the shape is used, [C, c, k, l].
        padding: zeros around the input, the same on all sides.
    """
    import torch

    kernel = (weight.shape[2], weight.shape[3])
    if x.shape[1] <= FEW_CHANNELS:
        return _by_patches(gradient, x, kernel, padding)
    gradients, photos = cores.channels_last(gradient), cores.channels_last(x)
    bands = list(_bands(gradients.shape, photos.shape[2] + 2 * padding, kernel[0], torch.get_num_threads()))
    # Made before what the cores work with, which would lie between it and the memory around it once that is given back.
    found = torch.empty_like(weight, memory_format=torch.channels_last)
    shares = cores.share_out(lambda share: _by_shifts(gradients, photos, kernel, padding, share), bands)
    found.permute(2, 3, 0, 1).numpy()[:] = functools.reduce(np.add, shares)
    return found


def _by_patches(gradient: torch.Tensor, x: torch.Tensor, kernel: tuple[int, int], padding: int) -> torch.Tensor:
    """By one product for all weights, with what each of them saw written out, some photos at a time."""
    import torch

    rows, columns = kernel
    height, width = gradient.shape[2:]
    at_once = max(1, _PATCHES_BYTES // (4 * rows * columns * x.shape[1] * height * width))
    total = gradient.new_zeros((rows * columns * x.shape[1], gradient.shape[1]))
    for some, theirs in zip(torch.split(x, at_once), torch.split(gradient, at_once), strict=True):
        padded = torch.nn.functional.pad(some, [padding] * 4).permute(0, 2, 3, 1)
        seen = [padded[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
        patches = torch.cat(seen, dim=3).reshape(-1, len(total))
        total.addmm_(patches.t(), theirs.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1]))
    found = total.reshape(rows, columns, x.shape[1], -1).permute(3, 2, 0, 1)
    return found.contiguous(memory_format=torch.channels_last)


def _bands(shape: tuple[int, ...], width: int, kernel_rows: int, workers: int) -> Iterator[_Band]:
    """Parts of about equal size: bands of rows where a photo has many places, else several photos.

    Args:
        shape: of the output, [N, h, w, C].
        width: of the input with its padding.
        kernel_rows: of the kernel.
        workers: that share the parts.
    """
    n, height = shape[:2]
    places = (height + kernel_rows - 1) * width
    if places > _PLACES_AT_ONCE:
        rows = math.ceil(height / math.ceil(height * width / _PLACES_AT_ONCE))
        for photo in range(n):
            for top in range(0, height, rows):
                yield _Band(slice(photo, photo + 1), slice(top, min(top + rows, height)))
        return
    photos = max(1, min(_PLACES_AT_ONCE // places, math.ceil(n / workers)))
    for first in range(0, n, photos):
        yield _Band(slice(first, min(first + photos, n)), slice(0, height))


def _by_shifts(gradient: Numbers, x: Numbers, kernel: tuple[int, int], padding: int, bands: Sequence[_Band]) -> Numbers:
    """What some bands add to the gradient, [k, l, C, c], by a product for each weight of the kernel."""
    rows, columns = kernel
    outputs, channels, width = gradient.shape[3], x.shape[3], x.shape[2] + 2 * padding
    total = np.zeros((rows, columns, outputs, channels), gradient.dtype)
    product = np.empty((outputs, channels), gradient.dtype)
    key = (kernel, padding, gradient.dtype)
    for band in bands:
        photos, height = band.photos.stop - band.photos.start, band.rows.stop - band.rows.start
        ours = gradient[band.photos, band.rows]
        theirs = _zeros((photos, height + rows - 1, width, channels), ("input", *key))
        _fill(theirs, x, band, padding)
        places = (photos * (height + rows - 1) - rows + 1) * width
        in_frames = places <= _MOST_IN_FRAMES * ours.size / outputs
        if in_frames:
            # Zeros remain in the last rows and columns: there an input belongs to the next row or photo.
            framed = _zeros((*theirs.shape[:3], outputs), ("gradient", *key))
            framed[:, :height, : ours.shape[2]] = ours
            ours, flat = framed, theirs.reshape(-1, channels)
        ours = ours.reshape(-1, outputs)[:places]
        for row in range(rows):
            for column in range(columns):
                if in_frames:
                    shift = row * width + column
                    seen = flat[shift:]
                else:
                    seen = theirs[:, row : row + height, column : column + gradient.shape[2]].reshape(-1, channels)
                count = min(len(ours), len(seen))
                np.dot(ours[:count].T, seen[:count], out=product)
                total[row, column] += product
    return total


def _zeros(shape: tuple[int, ...], key: tuple[Any, ...]) -> Numbers:
    """An array of this thread's, the same for the same shape and key: zeros where those never write."""
    frames: dict[Any, Numbers] = vars(_own).setdefault("frames", {})
    if (shape, key) not in frames:
        kind = np.dtype(key[-1])
        memory = apart(math.prod(shape) * kind.itemsize)
        frames[shape, key] = np.frombuffer(memory, kind).reshape(shape)
    return frames[shape, key]


def _fill(frame: Numbers, x: Numbers, band: _Band, padding: int) -> None:
    """Writes the input's rows that a band of the output sees, between columns of zeros that are there already."""
    first = band.rows.start - padding
    start, stop = max(0, first), min(x.shape[1], first + frame.shape[1])
    frame[:, : start - first] = 0
    frame[:, stop - first :] = 0
    frame[:, start - first : stop - first, padding : padding + x.shape[2]] = x[band.photos, start:stop]
