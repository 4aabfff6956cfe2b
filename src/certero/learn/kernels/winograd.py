"""3x3 convolutions with a quarter of the multiplications, forwards and backwards; the same numbers but for rounding.

Sixteen outputs, 4x4, that see 6x6 inputs take 144 multiplications one by one and 36 after a change of basis on both
sides: in the new basis a convolution is 36 products of matrices, one for each place of the 6x6. Changing the basis is
a product of matrices, too. Some tiles at a time, each core for itself, so that a tile stays in the core's own cache
from the photos to the answers. Gradients are the same three steps the other way.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016, F(4x4, 3x3), for a minimal filter of
Winograd, "Arithmetic complexity of computations", 1980. Rounding costs some four times that of adding up one by one:
some 2e-6 of the answers' spread in float32.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from certero.engine.blas import one_numpy_thread
from certero.learn.kernels import cores
from certero.learn.kernels.heap import apart

if TYPE_CHECKING:
    import torch

Numbers = NDArray[np.float32]

# Outputs of a tile along each side, and inputs that they see.
_OUT, _IN = 4, 6
# Where the polynomials of F(4, 3) are evaluated, besides at infinity. Of the pairs of points that binary fractions hold
# exactly, those that round least: in bfloat16 half of what 1 and 2 cost, which tables usually have.
_POINTS = (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)
# Tiles of each product: enough that reading the weights costs little, few enough for a core's own cache.
_TILES_AT_ONCE = 64
# Twice as many where the weights, from so many pairs of channels on, are read from beyond that cache each time.
_MANY_PAIRS = 16_384
# In bfloat16 products are so fast that adding up the weights' gradients counts.
_TILES_AT_ONCE_LOW = 256
# Of these, in changes of basis.
_COLUMNS_AT_ONCE = 256
# With fewer channels the changes of basis cost more than the products save.
_LEAST_CHANNELS, _LEAST_CHANNELS_LOW = 64, 128
# Nor do they where so large a part of the tiles lies beyond the maps (14 pixels: a quarter).
_LEAST_COVER = 0.85

_own = threading.local()


class _Unit(NamedTuple):
    """Whole photos that one core works on, some rows of their tiles at a time."""

    photos: slice
    rows: tuple[slice, ...]


def fits(layer: torch.nn.Conv2d, low: bool = False) -> bool:
    """Whether a layer is of the kind: 3x3, stride 1, no groups, zeros around, and channels enough to gain by it.

    Args:
        layer: a convolution.
        low: in bfloat16, whose products are twice as fast, so that the changes of basis weigh more.
    """
    return (
        layer.kernel_size == (3, 3)
        and layer.stride == (1, 1)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and layer.padding in ((0, 0), (1, 1))
        and min(layer.in_channels, layer.out_channels) >= (_LEAST_CHANNELS_LOW if low else _LEAST_CHANNELS)
    )


def gains(x: torch.Tensor, padding: int, low: bool = False) -> bool:
    """Whether a layer that fits is faster on such maps: tiles of four must cover them with little to spare.

    Args:
        x: input, [N, c, H, W].
        padding: zeros around the input, the same on all sides.
        low: in bfloat16.
    """
    height, width = (length - 2 + 2 * padding for length in x.shape[2:])
    covered = math.ceil(height / _OUT) * math.ceil(width / _OUT) * _OUT * _OUT
    return height * width >= _LEAST_COVER * covered and cores.have_fast_products(low)


def convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: int) -> torch.Tensor:
    """What a 3x3 convolution of stride 1 gives, [N, C, H - 2 + 2 padding, W - 2 + 2 padding], channels last.

    Equal to the last bit from run to run with the same number of torch's threads; so are the gradients.

    Args:
        x: input, float32 or bfloat16 [N, c, H, W]; so is what it gives. In bfloat16 the products are, too, and sums of
            maps and weights in the new basis are rounded to it.
        weight: float32 [C, c, 3, 3].
        bias: float32 [C], or None.
        padding: zeros around the input, the same on all sides, 0 or 1.
    """
    import torch

    height, width = (length - 2 + 2 * padding for length in x.shape[2:])
    size = (len(x), len(weight), height, width)
    found = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
    photos, answers = cores.channels_last(x), cores.channels_last(found)
    kernels = _factor("kernels", _change_weights(weight), x.dtype)
    offset = None if bias is None else bias.detach().numpy()

    def work(units: Sequence[_Unit]) -> None:
        for unit in units:
            for rows in unit.rows:
                inputs = _inputs(photos[unit.photos], rows, answers.shape[2], padding)
                products = _scratch("outputs", (*inputs.shape[:-1], len(weight)))
                _multiply(_factor("left", _flat(inputs), x.dtype), kernels, _flat(products))
                outputs = _change(_basis_of_outputs(), products, "changed")
                if offset is not None:
                    outputs += offset
                _put(outputs, answers[unit.photos], rows, 0)

    cores.share_out(work, list(_units(answers.shape, x.shape[1], x.dtype)))
    return found


def gradients(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    padding: int,
    wanted: tuple[bool, bool] = (True, True),
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Gradients of input, [N, c, H, W], and weights, [C, c, 3, 3], channels last; None where not wanted.

    Args:
        gradient: of the output, float32 or bfloat16 [N, C, h, w].
        x: input, of the same kind, [N, c, H, W]; so is its gradient.
        weight: float32 [C, c, 3, 3]; so is its gradient.
        padding: zeros around the input, the same on all sides, 0 or 1.
        wanted: of the input, of the weights.
    """
    import torch

    kind = x.dtype
    outer, photos = cores.channels_last(gradient), cores.channels_last(x)
    of_x = torch.empty_like(x, memory_format=torch.channels_last) if wanted[0] else None
    of_weight = torch.empty_like(weight, memory_format=torch.channels_last) if wanted[1] else None
    kernels = _factor("kernels", np.ascontiguousarray(_change_weights(weight).transpose(0, 2, 1)), kind)
    shape = (_IN * _IN, x.shape[1], len(weight))

    units = list(_units(outer.shape, x.shape[1], kind))
    # A thread may get the shares of two cores, so each share has its own.
    totals = _scratch("totals", (min(torch.get_num_threads(), len(units)), *shape))

    def work(share: Sequence[_Unit]) -> None:
        total = totals[units.index(share[0])]
        total[:] = 0
        for unit in share:
            if of_x is not None:
                mine = cores.channels_last(of_x)[unit.photos]
                mine[:] = 0
            for rows in unit.rows:
                taken = _take(outer[unit.photos], rows, outer.shape[2], _OUT, 0)
                changed = _change(_basis_of_outputs().T, taken, "outputs")
                outputs = _factor("right", _flat(changed), kind)
                if wanted[1]:
                    inputs = _inputs(photos[unit.photos], rows, outer.shape[2], padding)
                    _multiply(_factor("left", _flat(inputs), kind).swapaxes(1, 2), outputs, total, add=True)
                if of_x is not None:
                    inputs = _scratch("inputs", (*changed.shape[:-1], x.shape[1]))
                    _multiply(outputs, kernels, _flat(inputs))
                    _put(_change(_basis_of_inputs().T, inputs, "changed"), mine, rows, padding)

    cores.share_out(work, units)
    if of_weight is not None:
        with one_numpy_thread():
            found = (_basis_of_weights().T @ totals.sum(axis=0).reshape(_IN * _IN, -1)).reshape(3, 3, *shape[1:])
        cores.channels_last(of_weight)[:] = found.transpose(3, 0, 1, 2)
    return of_x, of_weight


@functools.cache
def _basis_of_inputs() -> Numbers:
    """The change of basis of both sides at once, [36, 36]."""
    rows = [np.poly([other for other in _POINTS if other != point])[::-1] for point in _POINTS]
    return _both_sides([*(np.append(row, 0) for row in rows), np.poly(_POINTS)[::-1]])


@functools.cache
def _basis_of_weights() -> Numbers:
    """[36, 9]."""
    scales = [math.prod(point - other for other in _POINTS if other != point) for point in _POINTS]
    rows = [[point**power / scale for power in range(3)] for point, scale in zip(_POINTS, scales, strict=True)]
    return _both_sides([*rows, [0, 0, 1]])


@functools.cache
def _basis_of_outputs() -> Numbers:
    """[16, 36], from products back to outputs."""
    return _both_sides([[*(point**power for point in _POINTS), int(power == 3)] for power in range(_OUT)])


def _both_sides(one: Sequence[Any]) -> Numbers:
    basis: Numbers = np.kron(np.array(one), np.array(one)).astype(np.float32)
    return basis


def _change_weights(weight: torch.Tensor) -> Numbers:
    """Weights in the new basis, [36, c, C]."""
    outputs, inputs = weight.shape[:2]
    flat = cores.channels_last(weight).transpose(1, 2, 3, 0).reshape(9, inputs * outputs)
    # NumPy's other threads would wait busily for more, beside the work that comes next.
    with one_numpy_thread():
        changed: Numbers = (_basis_of_weights() @ flat).reshape(-1, inputs, outputs)
    return changed


def _flat(tiles: Numbers) -> Numbers:
    """[k, k, photos, rows, columns, channels] as one matrix of tiles and channels for each place, [k k, tiles, c]."""
    return tiles.reshape(tiles.shape[0] * tiles.shape[1], -1, tiles.shape[-1])


def _factor(name: str, matrices: Numbers, kind: torch.dtype) -> Any:
    """Matrices [36, m, n] as they are multiplied: themselves, or a tensor of their name, rounded to bfloat16."""
    import torch

    if kind == torch.float32:
        return matrices
    return _low(name, matrices.shape).copy_(torch.from_numpy(matrices))


def _multiply(left: Any, right: Any, out: Numbers, add: bool = False) -> None:
    """Products of factors [36, m, k] and [36, k, n], written into [36, m, n] or added to it."""
    import torch

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
    rounded = torch.bmm(left, right, out=_low("product", out.shape))
    total = torch.from_numpy(out)
    total.add_(rounded) if add else total.copy_(rounded)


def _rows_at_once(rows: int, multiplications: int) -> int:
    """Rows of about equal parts of a product, each as large as is still fast; a row takes so many multiplications."""
    parts = math.ceil(rows * multiplications / cores.largest_fast_product())
    return math.ceil(rows / max(1, parts))


def _units(shape: tuple[int, ...], channels: int, kind: torch.dtype) -> Iterator[_Unit]:
    """Photos dealt to cores: one with some rows of tiles at a time, or several where a photo has few tiles.

    Args:
        shape: of the output, [N, h, w, C].
        channels: of the input.
        kind: of the maps.
    """
    import torch

    some = _TILES_AT_ONCE_LOW
    if kind == torch.float32:
        some = 2 * _TILES_AT_ONCE if channels * shape[3] >= _MANY_PAIRS else _TILES_AT_ONCE
    n, down, across = shape[0], math.ceil(shape[1] / _OUT), math.ceil(shape[2] / _OUT)
    photos = max(1, some // (down * across))
    blocks = max(1, round(down * across / some)) if photos == 1 else 1
    rows = math.ceil(down / blocks)
    slices = tuple(slice(top, min(top + rows, down)) for top in range(0, down, rows))
    for first in range(0, n, photos):
        yield _Unit(slice(first, min(first + photos, n)), slices)


def _inputs(photos: cores.Maps, rows: slice, width: int, padding: int) -> Numbers:
    """What tiles see, in the new basis, [6, 6, photos, rows, columns, c]."""
    return _change(_basis_of_inputs(), _take(photos, rows, width, _IN, padding), "inputs")


def _change(basis: Numbers, tiles: Numbers, name: str) -> Numbers:
    """Tiles in another basis, a few columns at a time: such small products OpenBLAS has faster code for."""
    side = math.isqrt(len(basis))
    changed = _scratch(name, (side, side, *tiles.shape[2:]))
    columns = tiles[0, 0].size
    some = _COLUMNS_AT_ONCE if columns % _COLUMNS_AT_ONCE == 0 else tiles.shape[-1]
    before, after = (one.reshape(-1, columns // some, some).transpose(1, 0, 2) for one in (tiles, changed))
    np.matmul(basis, before, out=after)
    return changed


def _take(maps: cores.Maps, rows: slice, width: int, side: int, padding: int) -> Numbers:
    """Tiles of maps, zeros beyond their edges.

    Args:
        maps: [photos, H, W, c].
        rows: of tiles.
        width: of the output, which says how many tiles lie side by side.
        side: of a tile: each begins four places after the one before.
        padding: how far before the map the first one begins.

    Returns:
        [side, side, photos, rows, columns, c].
    """
    import torch

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


def _put(tiles: Numbers, maps: cores.Maps, rows: slice, padding: int) -> None:
    """Writes tiles, or adds them up where they overlap, to where `_take` has them from; nothing beyond the edges."""
    import torch

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
    # What lies over the tiles after it, below and on the right.
    for part in ((over, own), (own, over), (over, over)):
        windows[part] += tiles[part]
    maps[places] += values


def _frame(
    tiles: tuple[int, ...], maps: tuple[int, ...], rows: slice, padding: int
) -> tuple[Numbers, Numbers, tuple[slice, ...]]:
    """The part of the maps under some rows of tiles, to be put together in the core's cache.

    Memory is read and written by whole rows: four places at a time, that would take three times as long.

    Args:
        tiles: shape, as `_take` gives them.
        maps: shape, [photos, H, W, c].
        rows: of tiles.
        padding: how far before the map the first one begins.

    Returns:
        The frame, [photos, places down, places across, c]; what of it lies within the maps; where in them that is.
    """
    down, across = (_OUT * count + tiles[0] - _OUT for count in tiles[3:5])
    frame = _scratch("frame", (maps[0], down, across, maps[3]))
    top = _OUT * rows.start - padding
    start, stop, right = max(0, top), min(maps[1], top + down), min(maps[2], across - padding)
    inside = frame[:, start - top : stop - top, padding : padding + right]
    return frame, inside, (slice(None), slice(start, stop), slice(0, right))


def _windows(frame: Numbers, tiles: tuple[int, ...]) -> Numbers:
    """A frame seen as tiles, of the shape that `_take` gives; they overlap where they are wider than four."""
    photo, row, column, channel = frame.strides
    strides = (row, column, photo, _OUT * row, _OUT * column, channel)
    return np.lib.stride_tricks.as_strided(frame, tiles, strides)


def _scratch(name: str, shape: tuple[int, ...]) -> Numbers:
    """An array of this thread's, whatever it holds, in memory that the next of its name has again."""
    frames: dict[str, Any] = vars(_own).setdefault("frames", {})
    count = math.prod(shape)
    if name not in frames or frames[name].size < count:
        frames[name] = np.frombuffer(apart(4 * count), np.float32)
    return frames[name][:count].reshape(shape)  # type: ignore[no-any-return]


def _low(name: str, shape: Sequence[int]) -> torch.Tensor:
    """The same in bfloat16."""
    import torch

    count = math.prod(shape)
    numbers = torch.from_numpy(_scratch(f"{name} in bfloat16", ((count + 1) // 2,)))
    return numbers.view(torch.bfloat16)[:count].reshape(tuple(shape))
