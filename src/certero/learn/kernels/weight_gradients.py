"""The weight gradient of a convolution as matrix products, one band of rows at a time on each core.

The gradient of a weight is the sum, over all places, of the output's gradient times the input that the weight saw
there. In frames of one width, padded with zeros where a feature map is narrower, that input lies the same number of
places further on everywhere: each weight's gradient is one product of the output gradients with the inputs so many
places below, and no input is copied nine times. A band is small enough to stay in its core's own cache while all
weights pass over it. With AVX2 alone this takes two thirds of the time of oneDNN's own with channels first
(decision 25).
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from certero.learn.kernels import cores

# Places of each product: enough that adding it up costs little, few enough for a core's own cache.
_PLACES_AT_ONCE = 2048
#: With so few channels (the colours of photos) one product for each weight would be too thin: one takes all weights.
FEW_CHANNELS = 4
# Of patches copied out at once: about a processor's cache.
_PATCHES_BYTES = 32_000_000
# Frames up to so many times the places of the output are worth it; beyond, the inputs of each weight are copied out.
_MOST_IN_FRAMES = 1.1

Numbers = NDArray[Any]

_thread = threading.local()


class _Band(NamedTuple):
    """Some whole photos, or some rows of the output of one."""

    photos: slice
    rows: slice


def weight_gradient(grad_output: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, padding: int) -> torch.Tensor:
    """Gradient of the weights of a convolution of stride 1, [C, c, k, l], channels last.

    The same to the last bit from run to run with the same number of torch's threads.

    Args:
        grad_output: gradient of the output, [N, C, h, w].
        x: input, [N, c, H, W].
        weight: of which only the shape is used, [C, c, k, l].
        padding: zeros around the input, the same on all sides.
    """
    kernel = (weight.shape[2], weight.shape[3])
    if x.shape[1] <= FEW_CHANNELS:
        return _by_patches(grad_output, x, kernel, padding)
    outer, inputs = cores.channels_last(grad_output), cores.channels_last(x)
    bands = list(_bands(outer.shape, inputs.shape[2] + 2 * padding, kernel[0], torch.get_num_threads()))
    # Allocated before what the cores work with, which would fragment the memory around it once that is freed.
    found = torch.empty_like(weight, memory_format=torch.channels_last)
    shares = cores.share_out(lambda share: _by_shifts(outer, inputs, kernel, padding, share), bands)
    found.permute(2, 3, 0, 1).numpy()[:] = functools.reduce(np.add, shares)
    return found


def _by_patches(grad_output: torch.Tensor, x: torch.Tensor, kernel: tuple[int, int], padding: int) -> torch.Tensor:
    """By one product for all weights, with the input of each of them copied out (im2col), some photos at a time."""
    rows, columns = kernel
    height, width = grad_output.shape[2:]
    at_once = max(1, _PATCHES_BYTES // (4 * rows * columns * x.shape[1] * height * width))
    total = grad_output.new_zeros((rows * columns * x.shape[1], grad_output.shape[1]))
    for some, outer in zip(torch.split(x, at_once), torch.split(grad_output, at_once), strict=True):
        padded = torch.nn.functional.pad(some, [padding] * 4).permute(0, 2, 3, 1)
        seen = [padded[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
        patches = torch.cat(seen, dim=3).reshape(-1, len(total))
        total.addmm_(patches.t(), outer.permute(0, 2, 3, 1).reshape(-1, grad_output.shape[1]))
    found = total.reshape(rows, columns, x.shape[1], -1).permute(3, 2, 0, 1)
    return found.contiguous(memory_format=torch.channels_last)


def _bands(shape: tuple[int, ...], width: int, kernel_rows: int, workers: int) -> Iterator[_Band]:
    """Parts of about equal size: bands of rows of photos with many places, else several photos.

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


def _by_shifts(outer: Numbers, x: Numbers, kernel: tuple[int, int], padding: int, bands: Sequence[_Band]) -> Numbers:
    """What some bands add to the gradient, [k, l, C, c], by one product for each weight of the kernel."""
    rows, columns = kernel
    outputs, channels, width = outer.shape[3], x.shape[3], x.shape[2] + 2 * padding
    total = np.zeros((rows, columns, outputs, channels), outer.dtype)
    product = np.empty((outputs, channels), outer.dtype)
    key = (kernel, padding, outer.dtype)
    for band in bands:
        photos, height = band.photos.stop - band.photos.start, band.rows.stop - band.rows.start
        ours = outer[band.photos, band.rows]
        inputs = _zeros((photos, height + rows - 1, width, channels), ("input", *key))
        _fill(inputs, x, band, padding)
        places = (photos * (height + rows - 1) - rows + 1) * width
        in_frames = places <= _MOST_IN_FRAMES * ours.size / outputs
        if in_frames:
            # The last rows and columns stay zero: there a shifted input belongs to the next row or photo.
            framed = _zeros((*inputs.shape[:3], outputs), ("gradient", *key))
            framed[:, :height, : ours.shape[2]] = ours
            ours, flat = framed, inputs.reshape(-1, channels)
        ours = ours.reshape(-1, outputs)[:places]
        for row in range(rows):
            for column in range(columns):
                if in_frames:
                    shift = row * width + column
                    seen = flat[shift:]
                else:
                    seen = inputs[:, row : row + height, column : column + outer.shape[2]].reshape(-1, channels)
                count = min(len(ours), len(seen))
                np.dot(ours[:count].T, seen[:count], out=product)
                total[row, column] += product
    return total


def _zeros(shape: tuple[int, ...], key: tuple[Any, ...]) -> Numbers:
    """An array of this thread, the same one for the same shape and key: zeros where its users never write."""
    frames: dict[Any, Numbers] = vars(_thread).setdefault("frames", {})
    if (shape, key) not in frames:
        dtype = np.dtype(key[-1])
        memory = cores.reserve(math.prod(shape) * dtype.itemsize)
        frames[shape, key] = np.frombuffer(memory, dtype).reshape(shape)
    return frames[shape, key]


def _fill(frame: Numbers, x: Numbers, band: _Band, padding: int) -> None:
    """Writes the rows of the input that a band of the output sees, between columns that are zero already."""
    first = band.rows.start - padding
    start, stop = max(0, first), min(x.shape[1], first + frame.shape[1])
    frame[:, : start - first] = 0
    frame[:, stop - first :] = 0
    frame[:, start - first : stop - first, padding : padding + x.shape[2]] = x[band.photos, start:stop]
