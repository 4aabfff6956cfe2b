"""3x3 convolutions with a quarter of the multiplications, forwards and backwards; the same numbers but for rounding.

A tile of 4x4 outputs, which sees 6x6 inputs, takes 144 multiplications directly and 36 after a Winograd transform of
inputs and weights: between the transforms, a convolution is 36 matrix products, one for each place of the 6x6. Each
transform is a matrix product, too. Each core takes some tiles at a time, so that a tile stays in the core's own cache
from the input to the output. Gradients are the same three steps the other way.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016, F(4x4, 3x3), for a minimal filter of
Winograd, "Arithmetic complexity of computations", 1980. The rounding error is some four times that of a direct sum:
about 2e-6 of the standard deviation of the outputs in float32.
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

from certero.engine.blas import one_numpy_thread
from certero.learn.kernels import cores

Numbers = NDArray[np.float32]

# Outputs of a tile along each side, and the inputs that they see.
_OUT, _IN = 4, 6
# Where the polynomials of F(4, 3) are evaluated, besides at infinity. Of the points that are exact in binary, those
# with the least rounding error: in bfloat16 half of that of the usual 1 and 2.
_POINTS = (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)
# Tiles of each product: enough that reading the weights costs little, few enough for a core's own cache.
_TILES_AT_ONCE = 64
# Twice as many from so many pairs of channels on, whose weights do not fit into that cache and are read each time.
_MANY_PAIRS = 16_384
# In bfloat16, products are so fast that adding up the weight gradients counts.
_TILES_AT_ONCE_BF16 = 256
# Columns of each product of a transform.
_COLUMNS_AT_ONCE = 256
# With fewer channels the transforms cost more than the products save.
_LEAST_CHANNELS, _LEAST_CHANNELS_BF16 = 64, 128
# The least share of the tiles that must lie within the feature map (of 14 pixels, a quarter lies beyond).
_LEAST_COVER = 0.85

_thread = threading.local()


class _Unit(NamedTuple):
    """Whole photos that one core works on, some rows of their tiles at a time."""

    photos: slice
    rows: tuple[slice, ...]


def fits(layer: torch.nn.Conv2d, in_bf16: bool = False) -> bool:
    """Whether a layer is a 3x3 convolution of stride 1 without groups, padded with zeros, of enough channels to gain.

    Args:
        layer: a convolution.
        in_bf16: in bfloat16, where products are twice as fast, so that the transforms weigh more.
    """
    return (
        layer.kernel_size == (3, 3)
        and layer.stride == (1, 1)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and layer.padding in ((0, 0), (1, 1))
        and min(layer.in_channels, layer.out_channels) >= (_LEAST_CHANNELS_BF16 if in_bf16 else _LEAST_CHANNELS)
    )


def gains(x: torch.Tensor, padding: int, in_bf16: bool = False) -> bool:
    """Whether a layer that fits is faster on feature maps of this size: tiles must cover them with little to spare.

    Args:
        x: input, [N, c, H, W].
        padding: zeros around the input, the same on all sides.
        in_bf16: in bfloat16.
    """
    height, width = (length - 2 + 2 * padding for length in x.shape[2:])
    covered = math.ceil(height / _OUT) * math.ceil(width / _OUT) * _OUT * _OUT
    return height * width >= _LEAST_COVER * covered and cores.have_fast_products(in_bf16)


def convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: int) -> torch.Tensor:
    """Output of a 3x3 convolution of stride 1, [N, C, H - 2 + 2 padding, W - 2 + 2 padding], channels last.

    The same to the last bit from run to run with the same number of torch's threads; so are the gradients.

    Args:
        x: input, float32 or bfloat16 [N, c, H, W]; so is the output. In bfloat16 the products are, too, and transformed
            inputs and weights are rounded to it.
        weight: float32 [C, c, 3, 3].
        bias: float32 [C], or None.
        padding: zeros around the input, the same on all sides, 0 or 1.
    """
    height, width = (length - 2 + 2 * padding for length in x.shape[2:])
    size = (len(x), len(weight), height, width)
    out = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
    maps, out_maps = cores.channels_last(x), cores.channels_last(out)
    kernels = _operand("kernels", _transform_weights(weight), x.dtype)
    offsets = None if bias is None else bias.detach().numpy()

    def work(units: Sequence[_Unit]) -> None:
        for unit in units:
            for rows in unit.rows:
                inputs = _transformed_inputs(maps[unit.photos], rows, out_maps.shape[2], padding)
                products = _scratch("outputs", (*inputs.shape[:-1], len(weight)))
                _multiply(_operand("left", _flat(inputs), x.dtype), kernels, _flat(products))
                outputs = _transform(_output_transform(), products, "transformed")
                if offsets is not None:
                    outputs += offsets
                _scatter(outputs, out_maps[unit.photos], rows, 0)

    cores.share_out(work, list(_units(out_maps.shape, x.shape[1], x.dtype)))
    return out


def gradients(
    grad_output: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    padding: int,
    wanted: tuple[bool, bool] = (True, True),
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Gradients of input, [N, c, H, W], and weights, [C, c, 3, 3], channels last; None where not wanted.

    Args:
        grad_output: gradient of the output, float32 or bfloat16 [N, C, h, w].
        x: input, [N, c, H, W]; of the same dtype, as is its gradient.
        weight: float32 [C, c, 3, 3]; so is its gradient.
        padding: zeros around the input, the same on all sides, 0 or 1.
        wanted: of the input, of the weights.
    """
    dtype = x.dtype
    outer, maps = cores.channels_last(grad_output), cores.channels_last(x)
    grad_input = torch.empty_like(x, memory_format=torch.channels_last) if wanted[0] else None
    grad_weight = torch.empty_like(weight, memory_format=torch.channels_last) if wanted[1] else None
    kernels = _operand("kernels", np.ascontiguousarray(_transform_weights(weight).transpose(0, 2, 1)), dtype)
    shape = (_IN * _IN, x.shape[1], len(weight))

    units = list(_units(outer.shape, x.shape[1], dtype))
    # One thread may work on two shares, so each share has its own total.
    totals = _scratch("totals", (min(torch.get_num_threads(), len(units)), *shape))

    def work(share: Sequence[_Unit]) -> None:
        total = totals[units.index(share[0])]
        total[:] = 0
        for unit in share:
            if grad_input is not None:
                mine = cores.channels_last(grad_input)[unit.photos]
                mine[:] = 0
            for rows in unit.rows:
                tiles = _gather(outer[unit.photos], rows, outer.shape[2], _OUT, 0)
                transformed = _transform(_output_transform().T, tiles, "outputs")
                outputs = _operand("right", _flat(transformed), dtype)
                if wanted[1]:
                    inputs = _transformed_inputs(maps[unit.photos], rows, outer.shape[2], padding)
                    _multiply(_operand("left", _flat(inputs), dtype).swapaxes(1, 2), outputs, total, add=True)
                if grad_input is not None:
                    inputs = _scratch("inputs", (*transformed.shape[:-1], x.shape[1]))
                    _multiply(outputs, kernels, _flat(inputs))
                    _scatter(_transform(_input_transform().T, inputs, "transformed"), mine, rows, padding)

    cores.share_out(work, units)
    if grad_weight is not None:
        with one_numpy_thread():
            found = (_weight_transform().T @ totals.sum(axis=0).reshape(_IN * _IN, -1)).reshape(3, 3, *shape[1:])
        cores.channels_last(grad_weight)[:] = found.transpose(3, 0, 1, 2)
    return grad_input, grad_weight


@functools.cache
def _input_transform() -> Numbers:
    """Winograd transform of a tile's inputs, rows and columns at once, [36, 36]."""
    rows = [np.poly([other for other in _POINTS if other != point])[::-1] for point in _POINTS]
    return _both_sides([*(np.append(row, 0) for row in rows), np.poly(_POINTS)[::-1]])


@functools.cache
def _weight_transform() -> Numbers:
    """That of a kernel, [36, 9]."""
    scales = [math.prod(point - other for other in _POINTS if other != point) for point in _POINTS]
    rows = [[point**power / scale for power in range(3)] for point, scale in zip(_POINTS, scales, strict=True)]
    return _both_sides([*rows, [0, 0, 1]])


@functools.cache
def _output_transform() -> Numbers:
    """From the products back to a tile's outputs, [16, 36]."""
    return _both_sides([[*(point**power for point in _POINTS), int(power == 3)] for power in range(_OUT)])


def _both_sides(one: Sequence[Any]) -> Numbers:
    both: Numbers = np.kron(np.array(one), np.array(one)).astype(np.float32)
    return both


def _transform_weights(weight: torch.Tensor) -> Numbers:
    """Transformed weights, [36, c, C]."""
    outputs, inputs = weight.shape[:2]
    flat = cores.channels_last(weight).transpose(1, 2, 3, 0).reshape(9, inputs * outputs)
    # NumPy's other threads would go on waiting in a busy loop, beside the work that comes next.
    with one_numpy_thread():
        transformed: Numbers = (_weight_transform() @ flat).reshape(-1, inputs, outputs)
    return transformed


def _flat(tiles: Numbers) -> Numbers:
    """[k, k, photos, rows, columns, channels] as one matrix of tiles and channels for each place, [k k, tiles, c]."""
    return tiles.reshape(tiles.shape[0] * tiles.shape[1], -1, tiles.shape[-1])


def _operand(name: str, matrices: Numbers, dtype: torch.dtype) -> Any:
    """Matrices [36, m, n] as they are multiplied: themselves, or the tensor of that name, rounded to bfloat16."""
    if dtype == torch.float32:
        return matrices
    return _scratch_bf16(name, matrices.shape).copy_(torch.from_numpy(matrices))


def _multiply(left: Any, right: Any, out: Numbers, add: bool = False) -> None:
    """Products of operands [36, m, k] and [36, k, n], written into [36, m, n] or added to it."""
    if isinstance(left, np.ndarray):
        product = _scratch("product", out.shape) if add else out
        rows = _rows_at_once(left.shape[1], left.shape[2] * right.shape[2])
        whole = left.shape[1] - left.shape[1] % rows
        blocks, into = (
            numbers[:, :whole].reshape(len(numbers), -1, rows, numbers.shape[2]) for numbers in (left, product)
        )
        np.matmul(blocks, right[:, None], out=into)
        if whole < left.shape[1]:
            np.matmul(left[:, whole:], right, out=product[:, whole:])
        if add:
            out += product
        return
    rounded = torch.bmm(left, right, out=_scratch_bf16("product", out.shape))
    total = torch.from_numpy(out)
    total.add_(rounded) if add else total.copy_(rounded)


def _rows_at_once(rows: int, multiplications: int) -> int:
    """Rows of each of about equal blocks of a product, as large as is still fast.

    Args:
        rows: of the product.
        multiplications: of one row.
    """
    parts = math.ceil(rows * multiplications / cores.largest_fast_product())
    return math.ceil(rows / max(1, parts))


def _units(shape: tuple[int, ...], channels: int, dtype: torch.dtype) -> Iterator[_Unit]:
    """Units of work: one photo with some rows of tiles at a time, or several where a photo has few tiles.

    Args:
        shape: of the output, [N, h, w, C].
        channels: of the input.
        dtype: of the feature maps.
    """
    some = _TILES_AT_ONCE_BF16
    if dtype == torch.float32:
        some = 2 * _TILES_AT_ONCE if channels * shape[3] >= _MANY_PAIRS else _TILES_AT_ONCE
    n, down, across = shape[0], math.ceil(shape[1] / _OUT), math.ceil(shape[2] / _OUT)
    photos = max(1, some // (down * across))
    blocks = max(1, round(down * across / some)) if photos == 1 else 1
    rows = math.ceil(down / blocks)
    slices = tuple(slice(top, min(top + rows, down)) for top in range(0, down, rows))
    for first in range(0, n, photos):
        yield _Unit(slice(first, min(first + photos, n)), slices)


def _transformed_inputs(maps: cores.FeatureMaps, rows: slice, width: int, padding: int) -> Numbers:
    """The inputs of some rows of tiles, transformed, [6, 6, photos, rows, columns, c]; arguments as for `_gather`."""
    return _transform(_input_transform(), _gather(maps, rows, width, _IN, padding), "inputs")


def _transform(matrix: Numbers, tiles: Numbers, name: str) -> Numbers:
    """Transformed tiles, a few columns at a time: OpenBLAS has faster code for such small products.

    Args:
        matrix: one of the transforms.
        tiles: [side, side, photos, rows, columns, c].
        name: of the memory for the result.
    """
    side = math.isqrt(len(matrix))
    transformed = _scratch(name, (side, side, *tiles.shape[2:]))
    columns = tiles[0, 0].size
    some = _COLUMNS_AT_ONCE if columns % _COLUMNS_AT_ONCE == 0 else tiles.shape[-1]
    before, after = (one.reshape(-1, columns // some, some).transpose(1, 0, 2) for one in (tiles, transformed))
    np.matmul(matrix, before, out=after)
    return transformed


def _gather(maps: cores.FeatureMaps, rows: slice, width: int, side: int, padding: int) -> Numbers:
    """Tiles of feature maps, zeros beyond their edges.

    Args:
        maps: [photos, H, W, c].
        rows: of tiles.
        width: of the output, which says how many tiles lie side by side.
        side: of a tile; each begins four places after the one before.
        padding: how far before the edge the first one begins.

    Returns:
        [side, side, photos, rows, columns, c].
    """
    shape = (side, side, len(maps), rows.stop - rows.start, math.ceil(width / _OUT), maps.shape[3])
    frame, inside, places = _frame(shape, maps.shape, rows, padding)
    if inside.shape != frame.shape:
        frame[:] = 0
    if isinstance(maps, np.ndarray):
        inside[:] = maps[places]
    else:
        torch.from_numpy(inside).copy_(maps[places])
    tiles = _scratch("tiles", shape)
    tiles[:] = _windows(frame, shape)
    return tiles


def _scatter(tiles: Numbers, maps: cores.FeatureMaps, rows: slice, padding: int) -> None:
    """Writes tiles to where `_gather` takes them from, summed where they overlap; nothing beyond the edges."""
    frame, inside, places = _frame(tiles.shape, maps.shape, rows, padding)
    windows = _windows(frame, tiles.shape)
    values: Any = inside if isinstance(maps, np.ndarray) else torch.from_numpy(inside)
    if len(tiles) == _OUT:
        windows[:] = tiles
        maps[places] = values
        return
    own, over = slice(0, _OUT), slice(_OUT, None)
    frame[:, _OUT - _IN :] = 0
    frame[:, :, _OUT - _IN :] = 0
    windows[own, own] = tiles[own, own]
    # What overlaps the next tiles, below and on the right.
    for part in ((over, own), (own, over), (over, over)):
        windows[part] += tiles[part]
    maps[places] += values


def _frame(
    tiles: tuple[int, ...], maps: tuple[int, ...], rows: slice, padding: int
) -> tuple[Numbers, Numbers, tuple[slice, ...]]:
    """The part of the feature maps under some rows of tiles, assembled in the core's cache.

    Memory is read and written in whole rows: four places at a time would take three times as long.

    Args:
        tiles: shape, as `_gather` returns them.
        maps: shape, [photos, H, W, c].
        rows: of tiles.
        padding: how far before the edge the first one begins.

    Returns:
        The frame, [photos, height, width, c]; the part of it within the feature maps; where in them that part is.
    """
    down, across = (_OUT * count + tiles[0] - _OUT for count in tiles[3:5])
    frame = _scratch("frame", (maps[0], down, across, maps[3]))
    top = _OUT * rows.start - padding
    start, stop, right = max(0, top), min(maps[1], top + down), min(maps[2], across - padding)
    inside = frame[:, start - top : stop - top, padding : padding + right]
    return frame, inside, (slice(None), slice(start, stop), slice(0, right))


def _windows(frame: Numbers, tiles: tuple[int, ...]) -> Numbers:
    """A frame seen as tiles, of the shape that `_gather` returns; they overlap where they are wider than four."""
    photo, row, column, channel = frame.strides
    strides = (row, column, photo, _OUT * row, _OUT * column, channel)
    return np.lib.stride_tricks.as_strided(frame, tiles, strides)


def _scratch(name: str, shape: tuple[int, ...]) -> Numbers:
    """An array of this thread with any content; the next one of the same name takes the same memory."""
    frames: dict[str, Any] = vars(_thread).setdefault("frames", {})
    count = math.prod(shape)
    if name not in frames or frames[name].size < count:
        frames[name] = np.frombuffer(cores.reserve(4 * count), np.float32)
    return frames[name][:count].reshape(shape)  # type: ignore[no-any-return]


def _scratch_bf16(name: str, shape: Sequence[int]) -> torch.Tensor:
    """The same in bfloat16."""
    count = math.prod(shape)
    numbers = torch.from_numpy(_scratch(f"{name} in bfloat16", ((count + 1) // 2,)))
    return numbers.view(torch.bfloat16)[:count].reshape(tuple(shape))
