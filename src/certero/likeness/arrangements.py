"""Pairs of photos that share landmarks in one arrangement: candidates for photos that are equal in a part.

Landmarks whose codes are alike meet when all codes are sorted, several times, each time by other bits first. Photos
whose landmarks meet more than once are compared landmark by landmark; what counts is how many lie in the other photo
as they lie in this one, once it is moved, scaled, turned a little, or mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from certero.photos.fingerprints import popcount
from certero.photos.landmarks import MOST, SIDE, Landmarks

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# Of 64 bits. Codes of one place in two altered copies differ in fewer.
_ALIKE = 9
# Each order begins with other bits; in each, so many next codes are compared: bounded, however alike photos are.
_ORDERS, _NEXT = 11, 3
# Landmarks that must meet for a pair to be looked at, and the likest partners of a photo that are.
_MEETINGS, _PARTNERS = 2, 8
_PAIRS_AT_ONCE = 512
# Landmarks in common by which arrangements are tried, two at a time.
_TRIED = 12
# Pixels of the 160 that landmarks may lie beside their place, and that two must be apart to give an arrangement.
_BESIDE, _BASE = 3.5, 15.0
_SCALES, _TURN = (0.7, 1.45), 0.4
# Radians, and a share, by which landmarks place a copy wrongly at most that was not turned, or not resized.
_UPRIGHT, _UNSCALED = 0.018, 0.03
#: Landmarks that must lie as in the other photo.
LEAST_COMMON = 4


@dataclass(frozen=True, slots=True)
class Arrangements:
    """Pairs of photos and how the second lies on the first.

    Args:
        pairs: int64 [p, 2], rows i < j.
        common: int64 [p], landmarks in common.
        mirrored: bool [p].
        warp: float64 [p, 2, 3], from places in the first to places in the second, or in the mirrored second; both in
            shares of its longer side.
    """

    pairs: Ints
    common: Ints
    mirrored: Mask
    warp: npt.NDArray[np.float64]

    def take(self, chosen: Mask | Ints) -> Arrangements:
        """Some of them."""
        return Arrangements(self.pairs[chosen], self.common[chosen], self.mirrored[chosen], self.warp[chosen])


def find_arrangements(landmarks: Sequence[Landmarks], widths: npt.NDArray[np.float64], wanted: Ints) -> Arrangements:
    """Pairs of photos with at least `LEAST_COMMON` landmarks in one arrangement.

    Args:
        landmarks: of n photos.
        widths: float [n], of each photo in shares of its longer side.
        wanted: int64 [n]; photos of equal numbers from 0 on are not compared, nor is one with -1.
    """
    count = len(landmarks)
    codes, owners = _all_codes(landmarks)
    pairs, mirrored = _meet(codes, owners, count, wanted)
    places = np.zeros((count, MOST, 2), np.float32)
    padded = np.zeros((count, MOST, 2), np.uint64)
    known = np.zeros((count, MOST), np.bool_)
    for row, each in enumerate(landmarks):
        k = len(each.places)
        places[row, :k], padded[row, :k], known[row, :k] = each.places, each.codes, True
    found = []
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        found.append(_arrange(pairs[part], mirrored[part], places, padded, known, widths))
    if not found:
        return Arrangements(pairs, np.zeros(0, np.int64), mirrored, np.zeros((0, 2, 3)))
    common = np.concatenate([each[0] for each in found])
    warp = np.concatenate([each[1] for each in found])
    kept = (common >= LEAST_COMMON) & _is_plain(warp)
    return Arrangements(pairs[kept], common[kept], mirrored[kept], warp[kept])


def _is_plain(warp: npt.NDArray[np.float64]) -> Mask:
    """Whether a map is one that people and programs apply to whole photos: cut out and resized, or turned about the
    middle. Of two exposures of one place, photographed by hand, hardly one in three lies so."""
    size, angle = np.hypot(warp[:, 0, 0], warp[:, 1, 0]), np.arctan2(warp[:, 1, 0], warp[:, 0, 0])
    return np.asarray((np.abs(angle) <= _UPRIGHT) | (np.abs(size - 1) <= _UNSCALED))


def _all_codes(landmarks: Sequence[Landmarks]) -> tuple[npt.NDArray[np.uint64], Ints]:
    codes = np.concatenate([np.zeros((0, 2), np.uint64), *(each.codes for each in landmarks)])
    return codes, np.repeat(np.arange(len(landmarks)), [len(each.places) for each in landmarks])


def _meet(codes: npt.NDArray[np.uint64], owners: Ints, count: int, wanted: Ints) -> tuple[Ints, Mask]:
    """Pairs [p, 2], i < j, of which several landmarks met, and whether as mirrored photos.

    Args:
        codes: uint64 [k, 2], of all landmarks, plain and mirrored.
        owners: int64 [k], photo of each.
        count: photos.
        wanted: see `find_arrangements`.
    """
    # Plain ones, then mirrored ones: two mirrored ones say what two plain ones have said.
    both, total = codes.T.ravel(), len(codes)
    number = np.arange(total) - np.searchsorted(owners, np.arange(count))[owners]
    met = [np.zeros(0, np.int64)]
    for turn in range(_ORDERS):
        shift = np.uint64(turn * 64 // _ORDERS)
        keys = (both << shift) | (both >> (np.uint64(64) - shift)) if shift else both
        ranked = np.argsort(keys)
        ordered = both[ranked]
        for step in range(1, min(_NEXT, len(ranked) - 1) + 1):
            near = np.flatnonzero(popcount(ordered[:-step] ^ ordered[step:]) <= _ALIKE)
            one, two = ranked[near], ranked[near + step]
            flip = (one >= total) | (two >= total)
            fits = (one < total) | (two < total)
            one, two = one % total, two % total
            first, second = owners[one], owners[two]
            fits &= (first != second) & (wanted[first] >= 0) & (wanted[second] >= 0) & (wanted[first] != wanted[second])
            one, two, first, second, flip = one[fits], two[fits], first[fits], second[fits], flip[fits]
            low, high = np.minimum(first, second), np.maximum(first, second)
            own = number[np.where(first < second, one, two)]
            met.append(((low * count + high) * 2 + flip) * MOST + own)
    code, votes = _count(np.concatenate(met))
    code, votes = code[votes >= _MEETINGS], votes[votes >= _MEETINGS]
    pair = np.stack(np.divmod(code // 2, count), axis=1)
    chosen = _foremost(pair, votes, count)
    return pair[chosen], (code[chosen] % 2).astype(np.bool_)


def _count(met: Ints) -> tuple[Ints, Ints]:
    """The pairs that met, and how many landmarks of each; sorting in place takes a tenth of np.unique."""
    met.sort()
    distinct = met[np.diff(met, prepend=-1) > 0] // MOST
    start = np.flatnonzero(np.diff(distinct, prepend=-1) > 0)
    return distinct[start], np.diff(start, append=len(distinct))


def _foremost(pairs: Ints, votes: Ints, count: int) -> Ints:
    """Rows of pairs that are among the `_PARTNERS` with the most votes of one of their photos."""
    kept = np.zeros(len(pairs), np.bool_)
    for side in (0, 1):
        order = np.lexsort((-votes, pairs[:, side]))
        start = np.searchsorted(pairs[order, side], np.arange(count))
        kept[order[np.arange(len(order)) - start[pairs[order, side]] < _PARTNERS]] = True
    return np.flatnonzero(kept)


def _arrange(
    pairs: Ints,
    mirrored: Mask,
    places: npt.NDArray[np.float32],
    codes: npt.NDArray[np.uint64],
    known: Mask,
    widths: npt.NDArray[np.float64],
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Landmarks in common and warp of each pair: of all arrangements that two of them give, that of the most."""
    left, right = pairs[:, 0], pairs[:, 1]
    turned = np.where(mirrored[:, None], codes[right, :, 1], codes[right, :, 0])
    apart = popcount(codes[left, :, None, 0] ^ turned[:, None, :]).astype(np.uint8)
    apart[~(known[left][:, :, None] & known[right][:, None, :])] = 255
    nearest = apart.argmin(axis=2)
    least = np.take_along_axis(apart, nearest[:, :, None], axis=2)[:, :, 0]
    mutual = np.take_along_axis(apart.argmin(axis=1), nearest, axis=1) == np.arange(MOST)
    least = np.where(mutual & (least <= _ALIKE + 4), least, 255)
    counts, warp = np.zeros(len(pairs), np.int64), np.zeros((len(pairs), 2, 3))
    some = np.flatnonzero((least < 255).sum(axis=1) >= LEAST_COMMON)
    left, right, mirrored, nearest, least = left[some], right[some], mirrored[some], nearest[some], least[some]
    ours = (places[left] @ np.array([1, 1j], np.complex64)).astype(np.complex64)
    theirs = np.take_along_axis(places[right], nearest[:, :, None], axis=1)
    across = np.where(mirrored[:, None], (widths[right] * SIDE)[:, None] - 1 - theirs[:, :, 0], theirs[:, :, 0])
    there = (across + 1j * theirs[:, :, 1]).astype(np.complex64)
    tried = np.argsort(least, axis=1, kind="stable")[:, :_TRIED]
    rows = np.arange(len(some))[:, None]
    a, b = np.triu_indices(_TRIED, 1)
    one, two = tried[:, a], tried[:, b]
    base, image = ours[rows, two] - ours[rows, one], there[rows, two] - there[rows, one]
    factor = image / np.where(np.abs(base) < 1, 1, base)
    size = np.abs(factor)
    fits = (np.abs(base) >= _BASE) & (size > _SCALES[0]) & (size < _SCALES[1]) & (np.abs(np.angle(factor)) < _TURN)
    fits &= (least[rows, one] < 255) & (least[rows, two] < 255)
    shift = there[rows, one] - factor * ours[rows, one]
    off = np.abs(factor[:, :, None] * ours[:, None, :] + shift[:, :, None] - there[:, None, :])
    lies = (off <= _BESIDE) & (least < 255)[:, None, :] & fits[:, :, None]
    common = lies.sum(axis=2)
    inside = lies[rows[:, 0], common.argmax(axis=1)]
    counts[some], warp[some] = common.max(axis=1), _fit(ours, there, inside)
    return counts, warp


def _fit(ours: npt.NDArray[np.complex64], there: npt.NDArray[np.complex64], inside: Mask) -> npt.NDArray[np.float64]:
    """Least squares of a similarity over the landmarks inside, [p, 2, 3], in shares of the side."""
    weight = inside.astype(np.float64)
    total = np.maximum(weight.sum(axis=1), 1)
    middle, image = (ours * weight).sum(axis=1) / total, (there * weight).sum(axis=1) / total
    z, w = (ours - middle[:, None]) * weight, (there - image[:, None]) * weight
    factor = (np.conj(z) * w).sum(axis=1) / np.maximum((np.abs(z) ** 2).sum(axis=1), 1e-6)
    # Pixel centres: place x is at (x + 0.5) / SIDE.
    half = (1 + 1j) * 0.5
    shift = (image - factor * middle + half - factor * half) / SIDE
    rows = [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    return np.moveaxis(np.array(rows), 2, 0)
