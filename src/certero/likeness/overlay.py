"""How much of two photos is the same photograph, laid on each other and compared tile by tile.

Tiles of one exposure agree in their detail, lie where one affine map puts them to a small part of a pixel, and keep
their light: whatever was done to the whole photo, a tile's mean in the one follows from its mean in the other. Photos
taken one after the other in front of the same shelf agree in detail as well, but not in all three.

Source: B. D. Lucas, T. Kanade, "An iterative image registration technique", IJCAI 1981, one shift a tile; the map by
iteratively reweighted least squares, P. W. Holland, R. E. Welsch, Communications in Statistics A6 (1977).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from certero.photos.photo import UInt8
from certero.photos.resizing import resize

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Longer side at which photos are laid on each other, pixels.
SIDE = 192
# Tiles along the longer side, and the least pixels of a tile's side.
_TILES, _LEAST_TILE = 12, 8
# Grey levels (standard deviation) of a tile that has something to compare.
_TEXTURE = 6.0
# Correlations of a tile with itself in the other photo: from the first it helps to lay them, from the second it is
# the same.
_ALIKE, _SAME = 0.8, 0.95
_ROUNDS = 4
# Levels at which a camera or an editor cuts off; tiles that hold such pixels do not follow the others' light.
_DARKEST, _BRIGHTEST = 6.0, 249.0
# Measured on shop photos, planted and real (benchmarks/partly_equal.py).
_LEAST_TILES, _LEAST_SHARE = 8, 0.22
# A map that turns or shears by less is none that a hand has held; fewer tiles tell it less exactly.
_LEAST_SKEW, _SKEW_A_TILE = 0.03, 1.2
# Pixels off, and grey levels, for maps that do not turn and for others; cut off at white, light is kept worst.
_UPRIGHT, _TURNED = (0.09, 2.0), (0.055, 0.6)
_RESIZED = (0.13, 0.25)
# What nobody cropped or mirrored lies as exactly, and keeps its light unless that of the whole photo was changed.
_UNMOVED_OFF, _UNMOVED_LIGHT, _UNLIT = 0.08, 0.35, 0.07


@dataclass(frozen=True, slots=True)
class Overlay:
    """How two photos lie on each other.

    Args:
        share: of the common area that is the same, 0 to 1.
        tiles: tiles with texture that are the same.
        off: median distance of these from where the map puts them, pixels at `SIDE`.
        light: median distance of their means from what the others' light says, grey levels.
        skew: degrees by which the map turns or shears; 0 for one that moves, scales and stretches alone.
        detail: median correlation of these tiles.
        gain: levels of the right photo for one of the left.
    """

    share: float
    tiles: int
    off: float
    light: float
    skew: float
    detail: float
    gain: float

    @property
    def is_same(self) -> bool:
        """Whether the part in common is one photograph and not the same place twice."""
        if self.tiles < _LEAST_TILES or self.share < _LEAST_SHARE:
            return False
        upright = self.skew <= _LEAST_SKEW + _SKEW_A_TILE / self.tiles
        off, light = _UPRIGHT if upright else _TURNED
        return (self.off <= off and self.light <= light) or (upright and self._keeps_light)

    @property
    def _keeps_light(self) -> bool:
        """What was halved lies less exactly, but keeps its light as no second exposure does."""
        return self.off <= _RESIZED[0] and self.light <= _RESIZED[1]

    @property
    def is_same_unmoved(self) -> bool:
        """Likewise of photos that lie on each other as they are, which those of a fixed camera do, too."""
        light = _UNMOVED_LIGHT if abs(self.gain - 1) < _UNLIT else _UPRIGHT[1]
        return self.is_same and ((self.off <= _UNMOVED_OFF and self.light <= light) or self._keeps_light)

    @property
    def is_hopeful(self) -> bool:
        """Whether a finer look could find that it is the same."""
        upright = self.skew <= 2 * (_LEAST_SKEW + _SKEW_A_TILE / self.tiles)
        off, light = (0.28, 2.5) if upright else (0.2, 1.2)
        return self.tiles >= _LEAST_TILES - 3 and self.off <= off and self.light <= light and self.share > 0.1


def lay(left: UInt8, right: UInt8, warp: Doubles, mirrored: bool, side: int = SIDE) -> Overlay | None:
    """How the right photo lies on the left one; None if no part of them fits.

    Args:
        left: grey, uint8 [h, w].
        right: grey, uint8 [h, w].
        warp: float64 [2, 3], about where places in left lie in right (mirrored), in shares of the longer sides.
        mirrored: whether right is mirrored.
        side: longer side at which they are compared at most, pixels.
    """
    size = float(np.hypot(warp[0, 0], warp[1, 0]))
    side = min(side, max(left.shape), int(max(right.shape) * size))
    if side < 3 * _LEAST_TILE:
        return None
    ours = _shrink(left, side).astype(np.float32)
    theirs = _shrink(right[:, ::-1] if mirrored else right, max(8, round(side / size))).astype(np.float32)
    tile = max(_LEAST_TILE, round(side / _TILES))
    board = _Board(ours, theirs, tile)
    if board.count < 9:
        return None
    warp = board.in_pixels(warp)
    for turn in range(_ROUNDS):
        laid = board.lay(warp)
        good = laid.correlation > _ALIKE if turn > 1 else laid.correlation > _ALIKE - 0.3
        good &= laid.textured & laid.inside
        if int(good.sum()) < (4 if turn < 2 else _LEAST_TILES - 3):
            return None
        change = _fit(board.centres, laid.moved, good)
        warp = warp @ change
    laid = board.lay(warp)
    same = laid.textured & laid.inside & (laid.correlation > _SAME)
    if int(same.sum()) < 4:
        return None
    expected, light = _light(laid, same)
    if expected is None:
        return None
    # Smaller photos are laid as exactly in shares of their side, or look-alikes of thumbnails would pass.
    off = float(np.median(np.hypot(*(laid.moved - board.centres).T)[same])) * SIDE / max(ours.shape)
    return Overlay(
        share=_share(board, laid, expected),
        tiles=int(same.sum()),
        off=off,
        light=light,
        skew=_skew(warp),
        detail=float(np.median(laid.correlation[same])),
        gain=float(expected[1] + expected[2]) / 255,
    )


@dataclass(frozen=True, slots=True)
class _Laid:
    """One photo sampled in the frame of the other; by tile [t], but for the picture."""

    picture: Floats
    correlation: Floats
    textured: Mask
    inside: Mask
    moved: Doubles
    ours: Floats
    theirs: Floats
    cut_off: Mask


class _Board:
    """A photo in tiles, and the one that is laid on it."""

    def __init__(self, ours: Floats, theirs: Floats, tile: int) -> None:
        self.ours, self.theirs, self.tile = ours, theirs, tile
        self.rows, self.columns = ours.shape[0] // tile, ours.shape[1] // tile
        self.count = self.rows * self.columns
        middle = (np.arange(max(self.rows, self.columns)) + 0.5) * tile - 0.5
        down, across = np.meshgrid(middle[: self.rows], middle[: self.columns], indexing="ij")
        self.centres = np.stack([across.ravel(), down.ravel()], axis=1)
        self._tiles = self.cut(ours)
        self._centred, self._spread = _centre(self._tiles)
        gradient = np.zeros((2, *ours.shape), np.float32)
        gradient[0, :, 1:-1] = (ours[:, 2:] - ours[:, :-2]) / 2
        gradient[1, 1:-1] = (ours[2:] - ours[:-2]) / 2
        self._slopes = np.stack([self.cut(each) for each in gradient])
        self._normal = np.einsum("atp,btp->tab", self._slopes, self._slopes).astype(np.float64)
        self._normal += np.eye(2) * (1e-3 * np.einsum("taa->t", self._normal)[:, None, None] + 1.0)
        height, width = self.rows * tile, self.columns * tile
        self._frame = np.stack([*np.meshgrid(np.arange(width), np.arange(height)), np.ones((height, width))])

    def cut(self, picture: Floats) -> Floats:
        """Tiles [t, pixels] of a picture."""
        height, width = self.rows * self.tile, self.columns * self.tile
        parts = picture[:height, :width].reshape(self.rows, self.tile, self.columns, self.tile)
        return parts.transpose(0, 2, 1, 3).reshape(self.count, self.tile * self.tile)

    def in_pixels(self, warp: Doubles) -> Doubles:
        """A map between shares of the longer sides as one between pixels, float64 [3, 3]."""
        ours, theirs = max(self.ours.shape), max(self.theirs.shape)
        into = np.array([[1 / ours, 0, 0.5 / ours], [0, 1 / ours, 0.5 / ours], [0, 0, 1]])
        out = np.array([[theirs, 0, -0.5], [0, theirs, -0.5], [0, 0, 1.0]])
        return np.asarray(out @ np.concatenate([warp, [[0, 0, 1]]]) @ into)

    def lay(self, warp: Doubles) -> _Laid:
        """The other photo under the map, and how each tile agrees and would have to move."""
        places = np.tensordot(warp[:2], self._frame, axes=1)
        picture, inside = _sample(self.theirs, places)
        tiles = self.cut(picture)
        centred, spread = _centre(tiles)
        scale = np.maximum(self._spread * spread, 1e-3)
        correlation = np.einsum("tp,tp->t", self._centred, centred) / (scale * tiles.shape[1])
        # Of both with one contrast, as if their light were the same.
        rest = self._centred - centred * (self._spread / np.maximum(spread, 1e-3))[:, None]
        step = np.linalg.solve(self._normal, np.einsum("atp,tp->ta", self._slopes, rest).astype(np.float64)[..., None])
        # What lies further on in the other photo than here moves the map forward.
        moved = self.centres + np.clip(step[..., 0], -3, 3)
        extreme = [(each < _DARKEST) | (each > _BRIGHTEST) for each in (self._tiles, tiles)]
        return _Laid(
            picture=picture,
            correlation=correlation,
            textured=np.maximum(self._spread, spread) > _TEXTURE,
            inside=self.cut(inside.astype(np.float32)).min(axis=1) > 0,
            moved=moved,
            ours=self._tiles.mean(axis=1),
            theirs=tiles.mean(axis=1),
            cut_off=(extreme[0] | extreme[1]).mean(axis=1) > 0.02,
        )


def _centre(tiles: Floats) -> tuple[Floats, Floats]:
    """Tiles without their mean, and their standard deviations [t]."""
    centred = tiles - tiles.mean(axis=1, keepdims=True)
    return centred, np.sqrt(np.einsum("tp,tp->t", centred, centred) / tiles.shape[1])


def _shrink(grey: UInt8, side: int) -> UInt8:
    scale = side / max(grey.shape)
    return resize(
        np.ascontiguousarray(grey), max(2, round(grey.shape[0] * scale)), max(2, round(grey.shape[1] * scale))
    )


def _sample(picture: Floats, places: Doubles) -> tuple[Floats, Mask]:
    """Levels at places [2, h, w] (across, down; pixels), bilinear, and which lie inside the picture."""
    height, width = picture.shape
    across, down = places.astype(np.float32)
    inside = (across >= -0.5) & (across <= width - 0.5) & (down >= -0.5) & (down <= height - 0.5)
    across, down = np.clip(across, 0, width - 1.001), np.clip(down, 0, height - 1.001)
    left, top = across.astype(np.intp), down.astype(np.intp)
    a, b = across - left, down - top
    flat, corner = picture.ravel(), top * width + left
    upper = flat[corner] * (1 - a) + flat[corner + 1] * a
    lower = flat[corner + width] * (1 - a) + flat[corner + width + 1] * a
    return np.asarray(upper * (1 - b) + lower * b, np.float32), inside


def _fit(centres: Doubles, moved: Doubles, good: Mask) -> Doubles:
    """The affine map [3, 3] that moves the good tiles' centres, most of them."""
    points = np.concatenate([centres, np.ones((len(centres), 1))], axis=1)
    weight = good.astype(np.float64)
    matrix = np.eye(3)
    affine = int(good.sum()) >= 8
    for _round in range(4):
        if affine:
            scaled = points * weight[:, None]
            # Held to the identity where the tiles lie on one line.
            normal = scaled.T @ points + np.diag([1.0, 1.0, 1e-3])
            change = np.linalg.solve(normal, scaled.T @ (moved - centres))
            matrix[:2] = change.T + np.eye(3)[:2]
        else:
            matrix[:2, 2] = np.average(moved - centres, axis=0, weights=np.maximum(weight, 1e-9))
        off = np.hypot(*((points @ matrix.T)[:, :2] - moved).T)
        scale = max(0.15, 1.5 * float(np.median(off[good])))
        weight = np.where(good, 1 / (1 + (off / scale) ** 2), 0)
    return matrix


def _light(laid: _Laid, same: Mask) -> tuple[Doubles | None, float]:
    """Coefficients of the parabola that gives their levels from ours, and the median distance from it."""
    chosen = same & ~laid.cut_off
    if int(chosen.sum()) < 5:
        chosen = same
    if int(chosen.sum()) < 5:
        return None, math.inf
    x, y = laid.ours[chosen].astype(np.float64) / 255, laid.theirs[chosen].astype(np.float64)
    columns = np.stack([np.ones_like(x), x, x * x], axis=1)
    weight = np.ones_like(x)
    for _round in range(6):
        scaled = columns * weight[:, None]
        # Little curve, and none where a few tiles could be fitted with any.
        found = np.linalg.solve(scaled.T @ columns + np.diag([1e-9, 1e-9, 0.05]), scaled.T @ y)
        off = np.abs(y - columns @ found)
        scale = max(0.2, 2.0 * float(np.median(off)))
        weight = 1 / (1 + (off / scale) ** 2)
    return np.asarray(found, np.float64), float(np.median(off))


def _share(board: _Board, laid: _Laid, light: Doubles) -> float:
    """Of the area that both have, the part that agrees in level and detail, in squares of a quarter of a tile."""
    small = max(2, board.tile // 4)
    height, width = (length // small * small for length in laid.picture.shape)
    ours = board.ours[:height, :width] / np.float32(255)
    expected = light[0] + light[1] * ours + light[2] * ours * ours
    rest = laid.picture[:height, :width] - np.clip(expected, 0, 255)

    def squares(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(values.reshape(height // small, small, width // small, small).mean(axis=(1, 3)))

    error = np.sqrt(squares(rest * rest))
    picture = laid.picture[:height, :width]
    spread = np.sqrt(np.maximum(squares(picture**2) - squares(picture) ** 2, 0))
    agrees = error <= np.maximum(4.0, 0.35 * spread)
    inside = np.kron(laid.inside.reshape(board.rows, board.columns), np.ones((board.tile, board.tile)))[:height, :width]
    common = squares(inside) > 0.5
    return float((agrees & common).sum() / max(1, common.sum()))


def _skew(warp: Doubles) -> float:
    """Degrees by which either axis is turned."""
    across = math.atan2(abs(warp[1, 0]), abs(warp[0, 0]))
    down = math.atan2(abs(warp[0, 1]), abs(warp[1, 1]))
    return math.degrees(max(across, down))
