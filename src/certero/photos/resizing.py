"""Resizing with antialiasing: by fast_image_resize where its wheel exists, else by NumPy, to the same bits.

The weights are whole numbers, so no order of adding and no vector instruction changes a bit, and what was trained on a
laptop sees the same pixels on a Raspberry Pi. Pillow, the obvious substitute, rounds its weights elsewhere
(docs/decisions/0037).
"""

from __future__ import annotations

import functools
import math
import operator
import os
import threading
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from certero.errors import ConfigError

try:
    import cykooz_resizer as fast
except ImportError:  # no wheel for this platform: Linux on ARM
    fast = None

UInt8 = npt.NDArray[np.uint8]

#: Environment variable that forces one of the two.
VARIABLE = "CERTERO_RESIZER"

_FAST, _NUMPY = "fast_image_resize", "numpy"
_FAST_FILTERS = {"bilinear": "bilinear", "bicubic": "catmull_rom"}
_FAST_KINDS = {2: "U8", 3: "U8x3"}

# Output lines that share one matrix of weights, and values that are widened at once.
_LINES_A_BLOCK, _VALUES_AT_ONCE = 16, 1 << 20
# A copy of a larger picture would be felt.
_LARGE_BYTES = 60_000_000
# Weights fit into 15 bits and a sign, their sums with pixels into 32 bits.
_WEIGHT_BITS, _MOST_PRECISION = 15, 21


def resize(pixels: UInt8, height: int, width: int, filter: str = "bilinear") -> UInt8:
    """Resize uint8 [h, w, 3] or [h, w] with antialiasing; `filter` is `bilinear` or `bicubic` (Catmull-Rom).

    The result is the same to the last bit on every machine.

    Raises:
        ConfigError: `CERTERO_RESIZER` names a way that there is not.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    way = by_fast_image_resize if _uses_fast_image_resize() else by_numpy
    if pixels.size <= _LARGE_BYTES or not 0 < height < pixels.shape[0]:
        return way(pixels, height, width, filter)
    # Both resize the height first, and each column alone: strips of them give the same bits without a copy of all.
    step = max(1, _LARGE_BYTES // (pixels.size // pixels.shape[1]))
    strips = (pixels[:, left : left + step] for left in range(0, pixels.shape[1], step))
    low = np.concatenate([way(strip, height, strip.shape[1], filter) for strip in strips], axis=1)
    return low if width == low.shape[1] else way(low, height, width, filter)


def by_fast_image_resize(pixels: UInt8, height: int, width: int, filter: str) -> UInt8:
    """As `resize`, by the Rust crate of that name."""
    kind = getattr(fast.PixelType, _FAST_KINDS[pixels.ndim])
    source = fast.ImageData(pixels.shape[1], pixels.shape[0], kind, pixels.tobytes())
    target = fast.ImageData(width, height, kind)
    threads.resizer.resize(source, target, _fast_options(filter))
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(height, width, *pixels.shape[2:])


def by_numpy(pixels: UInt8, height: int, width: int, filter: str) -> UInt8:
    """As `resize`, by products of matrices; as fast as Pillow, five times as slow as fast_image_resize."""
    old_height, old_width = pixels.shape[:2]
    depth = pixels[0, 0].size
    rows = _resize_lines(np.ascontiguousarray(pixels).reshape(old_height, -1), height, filter)
    columns = _swap(rows, height, old_width, depth)
    return _swap(_resize_lines(columns, width, filter), width, height, depth).reshape(height, width, *pixels.shape[2:])


class _Block(NamedTuple):
    """Weights float [n, last - first] of the input lines first to last in n output lines from `start` on."""

    start: int
    first: int
    last: int
    weights: npt.NDArray[Any]


def _swap(lines: UInt8, height: int, width: int, depth: int) -> UInt8:
    """Lines uint8 [height, width * depth] of a picture as those of its transpose [width, height * depth]."""
    return np.ascontiguousarray(lines.reshape(height, width, depth).transpose(1, 0, 2)).reshape(width, height * depth)


def _resize_lines(lines: UInt8, count: int, filter: str) -> UInt8:
    """Uint8 [n, m] as uint8 [count, m]."""
    if len(lines) == count:
        return lines
    resized = np.empty((count, lines.shape[1]), np.uint8)
    for start, first, last, weights in _blocks(len(lines), count, filter):
        step = max(1, _VALUES_AT_ONCE // (last - first))
        for left in range(0, lines.shape[1], step):
            part = slice(left, left + step)
            levels = weights @ lines[first:last, part].astype(weights.dtype)
            levels += weights.dtype.type(0.5)
            resized[start : start + len(weights), part] = np.clip(levels, 0, 255, out=levels)
    return resized


@functools.lru_cache(64)
def _blocks(size: int, count: int, filter: str) -> list[_Block]:
    """Weights from `size` lines to `count`, as whole numbers over a power of two.

    Source: as fast_image_resize 5, after Pillow-SIMD: the largest power of two is taken with which every weight fits
    into 16 bits.
    """
    windows = [_window(place, size, count, filter) for place in range(count)]
    largest = max(float(weights.max()) for _, weights in windows)
    precision = 0
    while precision < _MOST_PRECISION and largest * 2 ** (precision + 1) + 0.5 < 1 << _WEIGHT_BITS:
        precision += 1
    one = 1 << precision
    whole = [(first, np.copysign(np.floor(np.abs(weights) * one + 0.5), weights)) for first, weights in windows]
    # Whole numbers below 2^24 are exact in 32-bit floats and stay so in every sum of them.
    most = 255 * max(float(np.abs(weights).sum()) for _, weights in whole) + one
    kind = np.float32 if most < 1 << 24 else np.float64
    blocks = []
    for start in range(0, count, _LINES_A_BLOCK):
        part = whole[start : start + _LINES_A_BLOCK]
        first = min(begin for begin, _ in part)
        last = max(begin + len(weights) for begin, weights in part)
        matrix = np.zeros((len(part), last - first), kind)
        for row, (begin, weights) in enumerate(part):
            matrix[row, begin - first : begin - first + len(weights)] = weights / one
        blocks.append(_Block(start, first, last, matrix))
    return blocks


def _window(place: int, size: int, count: int, filter: str) -> tuple[int, npt.NDArray[np.float64]]:
    """First input line of an output line, and the weights of that and the following ones, float64 [n]."""
    kernel, reach = _KERNELS[filter]
    scale = size / count
    widened = max(scale, 1.0)
    centre = (place + 0.5) * scale
    first = max(math.floor(centre - reach * widened), 0)
    last = min(math.ceil(centre + reach * widened), size)
    shrunk = 1 / widened
    weights = [kernel(abs((line - (centre - 0.5)) * shrunk)) for line in range(first, last)]
    # Not `sum`, which from Python 3.12 on adds more exactly, to other bits.
    return first, np.array(weights) / functools.reduce(operator.add, weights)


def _linear(distance: float) -> float:
    return 1 - distance if distance < 1 else 0.0


def _catmull_rom(distance: float) -> float:
    if distance < 1:
        return (1.5 * distance - 2.5) * distance * distance + 1
    return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2 if distance < 2 else 0.0


_KERNELS = {"bilinear": (_linear, 1), "bicubic": (_catmull_rom, 2)}


class _Threads(threading.local):
    """One resizer a thread: it keeps its working memory, without which it takes three times as long."""

    def __init__(self) -> None:
        self.resizer: Any = fast.Resizer() if fast is not None else None


threads = _Threads()


@functools.cache
def _fast_options(filter: str) -> Any:
    kernel = getattr(fast.FilterType, _FAST_FILTERS[filter])
    return fast.ResizeOptions(resize_alg=fast.ResizeAlg.convolution(kernel), use_alpha=False)


@functools.cache
def _uses_fast_image_resize() -> bool:
    wanted = os.environ.get(VARIABLE) or (_NUMPY if fast is None else _FAST)
    if wanted not in (_FAST, _NUMPY):
        raise ConfigError(
            "%(variable)s must be %(fast)s or %(numpy)s; found %(wanted)r. Unset it to let certero choose.",
            variable=VARIABLE,
            fast=_FAST,
            numpy=_NUMPY,
            wanted=wanted,
        )
    if wanted == _FAST and fast is None:
        raise ConfigError(
            "%(variable)s=%(fast)s needs the package cykooz-resizer, which is not installed. Unset it.",
            variable=VARIABLE,
            fast=_FAST,
        )
    return wanted == _FAST
