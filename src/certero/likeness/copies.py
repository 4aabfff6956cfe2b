"""Copies: photos that are the same exposure, byte for byte, pixel for pixel, or re-encoded or resized.

Copies must never be split between train and test, and what a model has seen is recognised by them. Look-alikes (the
next frame of a fixed camera) are not copies; the thresholds below were measured to tell the two apart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from certero.errors import PhotoError
from certero.likeness.clusters import Clusters
from certero.likeness.sets import Link, sources
from certero.photos.fingerprints import hamming, pack_hashes
from certero.photos.pixels import UInt8, decode, shrink_grey
from certero.photos.turns import one_at_a_time

# Measured on 150 shop photos and 143 barn crops, each re-encoded at JPEG quality 40, 70 and 90, resized by 0.5 and
# 0.75, and resized by 0.5 at quality 60; against 426 pairs of barn crops taken 5 minutes apart by a fixed camera.
# Re-encoding and resizing hardly change the mean of 8x8 pixels; light and motion do:
#                                      copies (largest)     5 minutes apart (1 %, 5 %, median)
#   RMS of 8x8 mean differences              0.63               0.82, 2.8, 13.6 grey levels
#   correlation of fine detail         (smallest) 0.62          (95 %, median) 0.98, 0.87
# The correlation only tells smooth photos apart (two black frames), which hardly differ in 8x8 means.
MEAN_DIFFERENCE_LIMIT = 0.75
DETAIL_CORRELATION_LIMIT = 0.5
#: Longer side at which pixels are compared.
COMPARED_SIDE = 256
ASPECT_TOLERANCE = 0.02

#: Candidates for comparison on pixels. All measured copies differ in at most 14 descriptor and 6 hash bits.
CANDIDATE_BITS = 20

_BANDS = 16  # of 20 bits: any two candidates that differ in fewer than 16 bits agree in at least one band
_WINDOW = 12  # neighbours compared in each band's order: linear in n however many photos share a band
_COMPARISONS_A_PHOTO = 6  # with its likest candidates; more would be look-alikes of a fixed camera
_REMEMBERED_PICTURES = 512  # at most 64 KB each


def find_copies(
    content_hashes: Sequence[str],
    pixel_hashes: Sequence[str | None],
    perceptual_hashes: Sequence[int | None],
    descriptors: Sequence[bytes | None],
    sizes: Sequence[tuple[int, int] | None],
    captured_at: Sequence[datetime | None],
    load: Callable[[int], bytes],
) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of photos that are copies of each other, sorted.

    The pairs connect all copies of a photo but do not list every pair among them; of three and more the one with the
    most copies was compared with all the others. Photos whose known capture times
    differ are different exposures: copies only if their bytes or pixels are equal.

    Args:
        content_hashes: of n files, unreadable ones included.
        pixel_hashes: None where unreadable; so also the following.
        perceptual_hashes: 64-bit, as `fingerprints.perceive` makes them.
        descriptors: 32 bytes each.
        sizes: (height, width).
        captured_at: None where unknown.
        load: returns the bytes of photo i, for verification on pixels.
    """
    clusters = Clusters(len(content_hashes))
    pairs = _equal_pairs(content_hashes, clusters) + _equal_pairs(pixel_hashes, clusters)
    known = [
        i
        for i in range(len(content_hashes))
        if clusters.root(i) == i and perceptual_hashes[i] is not None and descriptors[i] is not None and sizes[i]
    ]
    pictures = _Pictures(load)
    compared = np.zeros(len(content_hashes), dtype=np.int64)
    for left, right in _candidates(
        _packed(perceptual_hashes, descriptors, known),
        np.array([sizes[i] for i in known], dtype=np.float64).reshape(-1, 2),
        np.array([captured_at[i] for i in known], dtype="datetime64[us]"),
    ):
        i, j = known[left], known[right]
        crowded = min(compared[i], compared[j]) >= _COMPARISONS_A_PHOTO
        if crowded or clusters.root(i) == clusters.root(j):
            continue
        compared[[i, j]] += 1
        if pictures.same(i, j, _common_size(sizes[i] or (1, 1), sizes[j] or (1, 1))):
            clusters.join(i, j)
            pairs.append((i, j))
    return sorted([*pairs, *_around_sources(pairs, known, sizes, pictures)])


def _around_sources(
    pairs: list[tuple[int, int]], known: list[int], sizes: Sequence[tuple[int, int] | None], pictures: _Pictures
) -> list[tuple[int, int]]:
    """Further pairs: in each cluster of three or more the photo with the most links is compared with all the others.

    What is linked with something linked is most often, and not always, one photo; a set is called one photo only
    around one that all others were compared with.
    """
    among = set(known)
    near: dict[int, set[int]] = {}
    for i, j in pairs:
        if i in among and j in among:
            near.setdefault(i, set()).add(j)
            near.setdefault(j, set()).add(i)
    found: list[tuple[int, int]] = []
    for source, linked in sources(near):
        for other in sorted(linked - near[source] - {source}):
            if pictures.same(source, other, _common_size(sizes[source] or (1, 1), sizes[other] or (1, 1))):
                found.append((min(source, other), max(source, other)))
    return found


def _packed(hashes: Sequence[int | None], descriptors: Sequence[bytes | None], chosen: list[int]) -> UInt8:
    return pack_hashes([hashes[i] or 0 for i in chosen], [descriptors[i] or b"" for i in chosen])


# ---- candidates -----------------------------------------------------------------------------------------------


def _equal_pairs(hashes: Sequence[str | None], clusters: Clusters) -> list[tuple[int, int]]:
    """The first photo of each hash paired with every later one that is not yet linked to it."""
    first: dict[str, int] = {}
    pairs = []
    for i, value in enumerate(hashes):
        if value is None:
            continue
        j = first.setdefault(value, i)
        if clusters.root(i) != clusters.root(j):
            clusters.join(i, j)
            pairs.append((j, i))
    return pairs


def _candidates(
    packed: UInt8, sizes: npt.NDArray[np.float64], times: npt.NDArray[np.datetime64]
) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of rows that may be copies, nearest first; time and memory near-linear in n.

    Rows are sorted once a band (20 bits picked evenly from low to high frequencies) and compared with their next
    neighbours in that order. Behind the band follow the other bits, so that in a crowded band the likest are near.

    Args:
        packed: uint8 [n, 40], hash and descriptor.
        sizes: float [n, 2], height and width.
        times: datetime64 [n], NaT where unknown.
    """
    n = len(packed)
    bits = np.unpackbits(packed, axis=1)
    found = [np.zeros(0, dtype=np.int64)]
    for band in range(_BANDS):
        keys = np.packbits(np.concatenate([bits[:, band::_BANDS], bits], axis=1), axis=1)
        ranked = np.argsort(keys.view(f"S{keys.shape[1]}").ravel(), kind="stable")
        for step in range(1, min(_WINDOW, n - 1) + 1):
            left, right = np.minimum(ranked[:-step], ranked[step:]), np.maximum(ranked[:-step], ranked[step:])
            distance = hamming(packed[left], packed[right]).astype(np.int64)
            near = np.flatnonzero(distance <= CANDIDATE_BITS)
            near = near[_may_be_copies(left[near], right[near], sizes, times)]
            # A pair is one integer that sorts by distance: a third of the memory of three columns.
            found.append((distance[near] * n + left[near]) * n + right[near])
    codes = np.concatenate(found)
    del found
    codes.sort()  # in place: np.unique would hold three copies
    codes = codes[np.diff(codes, prepend=-1) > 0]
    for start in range(0, len(codes), 65_536):
        left, right = np.divmod(codes[start : start + 65_536] % (n * n), n)
        yield from zip(left.tolist(), right.tolist(), strict=True)


def _may_be_copies(
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.float64],
    times: npt.NDArray[np.datetime64],
) -> npt.NDArray[np.bool_]:
    """Same shape, and not known to be taken at different times (a comparison with NaT is always unequal)."""
    timed = ~np.isnat(times)
    other_exposure = timed[left] & timed[right] & (times[left] != times[right])
    return np.asarray(~other_exposure & _same_shape(sizes[left], sizes[right]))


# ---- verification on pixels -----------------------------------------------------------------------------------


class _Pictures:
    """Loads, shrinks and compares photos, remembering the last shrunken ones."""

    def __init__(self, load: Callable[[int], bytes]) -> None:
        self._load = load
        self._remembered: OrderedDict[tuple[int, int, int], UInt8] = OrderedDict()

    def same(self, i: int, j: int, size: tuple[int, int]) -> bool:
        """Whether photos i and j are one exposure; False if one can no longer be read."""
        try:
            return _same_picture(self._picture(i, *size), self._picture(j, *size))
        except (OSError, PhotoError):
            return False

    def _picture(self, i: int, height: int, width: int) -> UInt8:
        key = (i, height, width)
        picture = self._remembered.pop(key, None)
        if picture is None:
            with one_at_a_time():
                picture = shrink_grey(decode(self._load(i)).pixels, height, width)
        self._remembered[key] = picture
        if len(self._remembered) > _REMEMBERED_PICTURES:
            self._remembered.popitem(last=False)
        return picture


def _same_shape(left: npt.ArrayLike, right: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether sizes [..., 2] (height, width) have the same aspect ratio, rounding of small sizes allowed for."""
    one, two = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    tolerance = ASPECT_TOLERANCE + 1 / np.minimum(one, two).min(axis=-1)
    ratio = one[..., 0] * two[..., 1] / (one[..., 1] * two[..., 0])
    return np.asarray(np.abs(np.log(ratio)) <= tolerance)


def _common_size(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    height, width = min(left[0], right[0]), min(left[1], right[1])
    scale = min(1.0, COMPARED_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _same_picture(left: UInt8, right: UInt8) -> bool:
    """Whether two grey pictures of one size agree in the means of 8x8 pixels and in fine detail."""
    one, two = left.astype(np.float32), right.astype(np.float32)
    if float(np.sqrt(np.square(_block_means(one - two)).mean())) > MEAN_DIFFERENCE_LIMIT:
        return False
    one, two = one - _blur(one), two - _blur(two)
    energy = float(np.square(one).sum()) * float(np.square(two).sum())
    return energy > 0 and float((one * two).sum()) / energy**0.5 >= DETAIL_CORRELATION_LIMIT


def _block_means(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    side = min(8, *picture.shape)
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    whole = picture[: rows * side, : columns * side]
    return np.asarray(whole.reshape(rows, side, columns, side).mean(axis=(1, 3)))


def _blur(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean of 3x3 pixels, edges repeated."""
    padded = np.pad(picture, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9))


def link_copies(table: pl.DataFrame, pairs: Iterable[tuple[int, int]]) -> list[Link]:
    """Verified copies as links that say how the two are the same."""
    content, pixels = table["content_hash"].to_list(), table["pixel_hash"].to_list()
    return [
        (i, j, "same_file" if content[i] == content[j] else "same_pixels" if pixels[i] == pixels[j] else "resaved", 1.0)
        for i, j in pairs
    ]
