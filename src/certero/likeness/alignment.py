"""Whether one photo is an altered copy of another: cropped, framed, turned slightly, mirrored, lighter or darker.

Two small grey views are laid on each other by the affine map, gain and offset that make them most alike, from coarse to
fine; then their detail is compared. Photos of the same kind of thing agree in the coarse and not in the fine.

Source: B. D. Lucas, T. Kanade, "An iterative image registration technique", IJCAI 1981, with gain and offset solved
for in each step; compositional update of S. Baker, I. Matthews, "Lucas-Kanade 20 years on", IJCV 56 (2004), 3.1.2.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from certero.photos.views import VIEW_SIDE

UInt8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Sides of the pyramid. At 16 pixels a turn by 5 degrees or a crop to 90 % moves nothing by more than one pixel, so
# hardly any search is needed.
_LEVELS = (16, 32, VIEW_SIDE)
_FIRST_STEPS, _STEPS = 4, (5, 3)
_SCALES = (1.0, 0.86, 1.16)
# Correlations at 16 pixels, measured on shop photos: of altered copies 99.7 % are above 0.7 after the other scales, of
# the nearest other photos 19 %; below 0.1 no scale helped, and above 0.9 none was needed.
_UNLIKE, _DOUBTFUL, _WORTHWHILE, _GOOD = 0.1, 0.4, 0.7, 0.9
# Before anything moves, the right way round is behind the wrong one by 0.09 at most where a photo was altered.
_BEHIND = 0.12
# At 32 pixels altered copies reach 0.85 at least, and other photos whose fine detail agrees to 0.6 reach 0.78; four in
# five of the others do not (measured on shop photos).
_PROMISING = 0.77
# A likeness above every threshold need not be computed in the other direction.
_CLEAR = 0.975
# Grey levels of fine detail that are only noise.
_NOISE = 2.0
# Fisher's scale is infinite for equal pictures.
_SUREST = 0.999
# With less of the frame in common it is no copy.
_LEAST_OVERLAP = 0.5
_PAIRS_AT_ONCE = 512
# So that what a step works on, ten numbers for each of these pixels, stays in the cache; with less at once threads
# wait for each other between numpy's steps.
_PIXELS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Alignment:
    """How well p pairs of views match once aligned.

    Args:
        score: float32 [p], likeness where they overlap, of -1 to 1; 0 where they do not match.
        mirrored: bool [p], whether one is mirrored.
    """

    score: Floats
    mirrored: npt.NDArray[np.bool_]


def align(left: UInt8, right: UInt8) -> Alignment:
    """How alike views are, uint8 [p, 64, 64] each, once one is aligned with the other."""
    parts = [
        _align(left[start : start + _PAIRS_AT_ONCE], right[start : start + _PAIRS_AT_ONCE])
        for start in range(0, len(left), _PAIRS_AT_ONCE)
    ]
    if not parts:
        return Alignment(np.zeros(0, np.float32), np.zeros(0, np.bool_))
    return Alignment(np.concatenate([part.score for part in parts]), np.concatenate([part.mirrored for part in parts]))


def align_both(views: tuple[UInt8, UInt8]) -> Alignment:
    """`align` of left and right, for a map."""
    return align(*views)


def _align(left: UInt8, right: UInt8) -> Alignment:
    ours, theirs = _pyramid(left), _pyramid(right)
    likeness, warp, mirrored = _start(ours[_LEVELS[0]], theirs[_LEVELS[0]])
    # Some find their way in the other direction only: from a framed photo to the one inside the frame.
    doubtful = np.flatnonzero((likeness > _DOUBTFUL) & (likeness <= _WORTHWHILE))
    other, reverse, turned = _start(theirs[_LEVELS[0]][doubtful], ours[_LEVELS[0]][doubtful])
    better = other > likeness[doubtful]
    place = doubtful[better]
    likeness[place], mirrored[place] = other[better], turned[better]
    warp[place] = _inverse(reverse[better], turned[better])
    score = np.zeros(len(left), np.float32)
    rows = np.flatnonzero(likeness > _WORTHWHILE)
    rows = _refine(ours, theirs, rows, warp[rows], mirrored[rows], score)
    # Where a frame was added or cut off, one direction shows the whole common part and the other does not.
    rows = rows[score[rows] < _CLEAR]
    _refine(theirs, ours, rows, _inverse(warp[rows], mirrored[rows]), mirrored[rows], score)
    return Alignment(score, mirrored)


def _refine(
    there: dict[int, Floats],
    back: dict[int, Floats],
    rows: npt.NDArray[np.int64],
    warp: Floats,
    mirrored: npt.NDArray[np.bool_],
    score: Floats,
) -> npt.NDArray[np.int64]:
    """Lays pairs on each other at the finer levels and raises their score, in place, to how well their detail agrees.

    Args:
        there: pyramid of the pictures laid upon.
        back: pyramid of those that are laid.
        rows: pairs that are worth it, [r].
        warp: where they begin, [r, 2, 3].
        mirrored: bool [r].
        score: of all pairs, [p].

    Returns:
        The rows that could still be copies if they are laid the other way.
    """
    middle, fine = _LEVELS[1:]
    at, found = _register(there[middle][rows], _turned(back[middle][rows], mirrored), warp, _STEPS[0])
    promising = found > _PROMISING
    chosen = rows[promising]
    picture = _turned(back[fine][chosen], mirrored[promising])
    at, alike = _register(there[fine][chosen], picture, at[promising], _STEPS[1])
    settled = alike > _WORTHWHILE
    chosen = chosen[settled]
    score[chosen] = np.maximum(score[chosen], _detail(there[fine][chosen], picture[settled], at[settled]))
    return rows[found > _WORTHWHILE]


def _start(ours: Floats, theirs: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Likeness, warp and whether mirrored at the coarsest level; other sizes are tried where one size is not enough."""
    n = len(ours)
    best = np.full(n, -1.0, np.float32)
    warp = np.zeros((n, 2, 3), np.float32)
    mirrored = np.zeros(n, np.bool_)
    ways = [(False, theirs), (True, theirs[:, :, ::-1])]
    everywhere = np.ones(ours.shape, np.bool_)
    ahead = np.subtract(*(_correlation(ours, other, everywhere) for _mirror, other in ways))
    hopeful = [ahead > -_BEHIND, -ahead > -_BEHIND]
    for scale in _SCALES:
        unsettled = (best < _GOOD) & (best > _UNLIKE) if scale != 1.0 else np.ones(n, np.bool_)
        for (mirror, other), hope in zip(ways, hopeful, strict=True):
            rows = np.flatnonzero(unsettled & hope)
            begin = np.zeros((len(rows), 2, 3), np.float32)
            begin[:, 0, 0] = begin[:, 1, 1] = scale
            found, likeness = _register(ours[rows], other[rows], begin, _FIRST_STEPS)
            better = likeness > best[rows]
            place = rows[better]
            best[place], warp[place], mirrored[place] = likeness[better], found[better], mirror
    return best, warp, mirrored


def _turned(pictures: Floats, mirrored: npt.NDArray[np.bool_]) -> Floats:
    return np.where(mirrored[:, None, None], pictures[:, :, ::-1], pictures)


def _inverse(warp: Floats, mirrored: npt.NDArray[np.bool_]) -> Floats:
    """The warps the other way, to a picture that is mirrored instead of the other one."""
    square = np.concatenate([warp, np.broadcast_to(np.array([[[0, 0, 1]]], np.float32), (len(warp), 1, 3))], axis=1)
    square[np.abs(np.linalg.det(square)) < 1e-3] = np.eye(3, dtype=np.float32)
    back = np.linalg.inv(square)[:, :2].astype(np.float32)
    # Mirroring both sides of a map turns the signs of what mixes across with down, and of the shift across.
    signs = np.array([[1, -1, -1], [-1, 1, 1]], np.float32)
    return np.where(mirrored[:, None, None], back * signs, back)


def _pyramid(views: UInt8) -> dict[int, Floats]:
    levels = {VIEW_SIDE: views.astype(np.float32)}
    side = VIEW_SIDE
    while side > _LEVELS[0]:
        fine = levels[side]
        side //= 2
        # Four times as fast as a mean over two axes, and as exact: the sums have few digits.
        rows = fine[:, ::2] + fine[:, 1::2]
        levels[side] = (rows[:, :, ::2] + rows[:, :, 1::2]) * np.float32(0.25)
    return levels


@functools.cache
def _grid(side: int) -> Floats:
    """Coordinates of the pixels' centres across and down, from -1 to 1, and ones, [3, side, side]."""
    line = (np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1
    return np.stack([*np.meshgrid(line, line), np.ones((side, side), np.float32)])


def _sample(pictures: Floats, warp: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Pictures [p, s, s] at the warped grid, bilinear, and where that lies inside them."""
    n, side = len(pictures), pictures.shape[1]
    # From -1 to 1 becomes from -0.5 to side - 0.5: a pixel's centre is a whole number.
    in_pixels = warp * np.float32(side / 2)
    in_pixels[:, :, 2] += np.float32(side / 2 - 0.5)
    places = np.matmul(in_pixels, _grid(side).reshape(3, -1))
    last = np.float32(side - 1)
    within = (places >= 0) & (places <= last)
    inside = within[:, 0] & within[:, 1]
    # Unlike np.clip, these turn NaN into 0.
    np.fmax(places, 0, out=places)
    np.fmin(places, np.float32(side - 1.001), out=places)
    floor = np.floor(places)
    places -= floor
    whole = floor.astype(np.intp)
    a, b = places[:, 0], places[:, 1]
    corner = whole[:, 1]
    corner *= side
    corner += whole[:, 0]
    corner += (np.arange(n) * side * side)[:, None]
    flat = pictures.ravel()
    upper, lower = (_between(flat, corner + shift, a) for shift in (0, side))
    lower -= upper
    lower *= b
    lower += upper
    return lower.reshape(pictures.shape), inside.reshape(pictures.shape)


def _between(flat: Floats, place: npt.NDArray[np.intp], share: Floats) -> Floats:
    """The level at each place and its right neighbour, mixed."""
    left = flat.take(place)
    place += 1
    right = flat.take(place)
    right -= left
    right *= share
    right += left
    return np.asarray(right)


def _register(template: Floats, picture: Floats, warp: Floats, steps: int) -> tuple[Floats, Floats]:
    """The warps after some steps, and the correlation of template and warped picture where they overlap."""
    warp, likeness = warp.copy(), np.zeros(len(template), np.float32)
    size = max(1, _PIXELS_AT_ONCE // template.shape[1] ** 2)
    for start in range(0, len(template), size):
        part = slice(start, start + size)
        warp[part], likeness[part] = _register_part(template[part], picture[part], warp[part], steps)
    return warp, likeness


def _register_part(template: Floats, picture: Floats, warp: Floats, steps: int) -> tuple[Floats, Floats]:
    n, side = len(template), template.shape[1]
    x, y, _ones = _grid(side)
    # One plane a column of the least-squares problem: whole planes are written and multiplied in one go.
    columns = np.zeros((n, 8, side, side), np.float32)
    target = template.reshape(n, -1, 1)
    for _step in range(steps):
        warped, inside = _sample(picture, warp)
        # Gradients across the edge of the overlap mean nothing, nor do those of the last row and column.
        weight = np.zeros_like(warped)
        weight[:, 1:-1, 1:-1] = inside[:, 1:-1, 2:] & inside[:, 1:-1, :-2] & inside[:, 2:, 1:-1] & inside[:, :-2, 1:-1]
        slope_weight = weight * np.float32(side / 4)
        across, down = columns[:, 2], columns[:, 5]
        np.subtract(warped[:, :, 2:], warped[:, :, :-2], out=across[:, :, 1:-1])
        np.subtract(warped[:, 2:], warped[:, :-2], out=down[:, 1:-1])
        for number, slope in ((0, across), (3, down)):
            slope *= slope_weight
            np.multiply(slope, x, out=columns[:, number])
            np.multiply(slope, y, out=columns[:, number + 1])
        np.multiply(warped, weight, out=columns[:, 6])
        np.multiply(weight, np.float32(64), out=columns[:, 7])
        kept = columns.reshape(n, 8, -1)
        normal = np.matmul(kept, kept.transpose(0, 2, 1))
        wanted = np.matmul(kept, target)
        damping = 1e-3 * np.einsum("pii->pi", normal) + 1.0
        normal[:, range(8), range(8)] += damping
        # What is black, or shares nothing with the other, has no gain: 1 keeps the system solvable and moves nothing.
        normal[:, 6, 6] = np.maximum(normal[:, 6, 6] - damping[:, 6], 1.0)
        normal[:, 7, 7] -= damping[:, 7] - 1e-3 * damping[:, 7]
        solved = np.linalg.solve(normal.astype(np.float64), wanted.astype(np.float64))[..., 0].astype(np.float32)
        gain = np.where(np.abs(solved[:, 6]) < 0.05, np.float32(0.05), solved[:, 6])
        step = np.clip(solved[:, :6] / gain[:, None], -0.2, 0.2).reshape(n, 2, 3)
        # W(x) becomes W(x + step(x)).
        turned = np.concatenate([step, np.zeros((n, 1, 3), np.float32)], axis=1) + np.eye(3, dtype=np.float32)
        warp = np.matmul(warp, turned)
    warped, inside = _sample(picture, warp)
    return warp, _correlation(template, warped, inside)


def _correlation(one: Floats, two: Floats, where: npt.NDArray[np.bool_]) -> Floats:
    """Pearson's correlation over the pixels that both have; 0 if these are too few."""
    n = len(one)
    if n == 0:
        return np.zeros(0, np.float32)
    weight = where.reshape(n, -1).astype(np.float32)
    count = weight.sum(axis=1)
    a, b = one.reshape(n, -1), two.reshape(n, -1)
    total = np.maximum(count, 1)[:, None]
    a = (a - (a * weight).sum(axis=1, keepdims=True) / total) * weight
    b = (b - (b * weight).sum(axis=1, keepdims=True) / total) * weight
    energy = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    likeness = (a * b).sum(axis=1) / np.maximum(energy, 1e-6)
    likeness[count < _LEAST_OVERLAP * weight.shape[1]] = 0
    return np.asarray(likeness, np.float32)


def _detail(template: Floats, picture: Floats, warp: Floats) -> Floats:
    """Likeness once laid on each other: the mean, on Fisher's scale, of three correlations.

    Of fine detail with its contrast evened out, of what is a few pixels wide, and of the grey levels. Two photos of
    little detail (a car on white, a plane in the sky) agree in their outline, which is nearly all of their detail, and
    not in the weak rest and the places of their parts; a copy agrees in all three.
    """
    warped, inside = _sample(picture, warp)
    # The edge of the overlap differs from its surroundings in one of the two alone.
    core = inside.copy()
    core[:, 2:-2, 2:-2] = (
        inside[:, 2:-2, 4:] & inside[:, 2:-2, :-4] & inside[:, 4:, 2:-2] & inside[:, :-4, 2:-2] & inside[:, 2:-2, 2:-2]
    )
    core[:, :2] = core[:, -2:] = core[:, :, :2] = core[:, :, -2:] = False
    ours, theirs = _bands(template), _bands(warped)
    found = [_correlation(one, two, core) for one, two in zip(ours, theirs, strict=True)]
    return np.asarray(np.tanh(np.mean(np.arctanh(np.clip(found, -_SUREST, _SUREST)), axis=0)), np.float32)


def _bands(pictures: Floats) -> tuple[Floats, Floats, Floats]:
    """Fine detail with its contrast evened out, detail of a few pixels, and the pictures themselves."""
    once = _blur(pictures)
    fine = pictures - once
    # Noise and JPEG artefacts are not amplified.
    contrast = _blur(_blur(np.square(fine)))
    wide = _blur(_blur(_blur(once)))
    return fine / np.sqrt(contrast + np.float32(_NOISE**2)), pictures - wide, pictures


def _blur(pictures: Floats) -> Floats:
    """Mean of 5x5 pixels, edges repeated."""
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2)), mode="edge")
    rows = sum(padded[:, shift : shift + pictures.shape[1]] for shift in range(5))
    assert not isinstance(rows, int)
    return np.asarray(sum(rows[:, :, shift : shift + pictures.shape[2]] for shift in range(5)) / np.float32(25))
