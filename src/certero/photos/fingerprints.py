"""Fingerprints: what one look at a photo's bytes tells, small enough to keep for every photo a model has seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from certero.errors import PhotoError
from certero.photos.pixels import Decoded, UInt8, decode, shrink_grey, sniff
from certero.photos.turns import one_at_a_time
from certero.records.photos import PhotoFacts

#: Side of the grey picture behind the perceptual hashes, pixels.
SIDE = 64
PERCEPTUAL_BITS = 64
DESCRIPTOR_BITS = 256


@one_at_a_time()
def fingerprint(
    data: bytes, show: Callable[[Decoded], None] | None = None, keep: Callable[[UInt8], None] | None = None
) -> PhotoFacts:
    """Hashes and measures one photo; never raises for a bad one, which gets the status `unreadable`.

    Args:
        data: the file's bytes.
        show: called with the photo if it can be read: decoding takes longer than most of what is done with it.
        keep: called with the grey picture, uint8 [64, 64], that the hashes are made of.
    """
    content_hash = hash_content(data)
    try:
        photo = decode(data)
    except PhotoError as error:
        return PhotoFacts("unreadable", error.message, sniff(data), None, None, content_hash)
    if show is not None:
        show(photo)
    grey = shrink_grey(photo.pixels, SIDE, SIDE)
    if keep is not None:
        keep(grey)
    perceptual_hash, descriptor = perceive(grey)
    height, width, _ = photo.pixels.shape
    return PhotoFacts(
        status="damaged" if photo.damage else "ok",
        problem=photo.damage,
        format=photo.format,
        width=width,
        height=height,
        content_hash=content_hash,
        pixel_hash=hash_pixels(photo.pixels),
        perceptual_hash=perceptual_hash,
        descriptor=descriptor,
        brightness=round(float(grey.mean()) / 255, 6),
        captured_at=photo.captured_at,
    )


def hash_content(data: bytes) -> str:
    """32 hexadecimal digits of the SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()[:32]


def hash_pixels(pixels: UInt8) -> str:
    """32 hexadecimal digits of the SHA-256 over the shape and bytes of uint8 [height, width, 3]."""
    digest = hashlib.sha256("x".join(map(str, pixels.shape)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]


def perceive(grey: UInt8) -> tuple[int, bytes]:
    """The 64-bit perceptual hash and the 256-bit descriptor of a grey picture, uint8 [64, 64].

    Signs of the two-dimensional DCT-II's lowest 320 coefficients without the mean, from low to high frequency: the
    first 64 are the hash, the others the descriptor, so the two are not the same evidence twice. Signs survive
    re-encoding and a change of size; that neither hash sees the mean makes them blind to uniform brightness.

    Source: the DCT hash of C. Zauner, "Implementation and benchmarking of perceptual image hash functions" (2010),
    3.2.1; signs taken against zero, which is the median of coefficients without the mean.
    """
    packed = np.packbits(_transform(grey) > 0).tobytes()
    return int.from_bytes(packed[: PERCEPTUAL_BITS // 8], "big"), packed[PERCEPTUAL_BITS // 8 :]


def strengths(grey: UInt8) -> npt.NDArray[np.float32]:
    """What each of the 320 signs of `perceive` weighs, float32 [320]: its part of the picture, RMS in grey levels.

    Args:
        grey: uint8 [64, 64], as for `perceive`.
    """
    return np.asarray(np.abs(_transform(grey)) * _SCALE, dtype=np.float32)


def _transform(grey: UInt8) -> npt.NDArray[np.float32]:
    """The lowest 320 coefficients of the DCT-II without the mean, each up to a positive factor."""
    centred = grey.astype(np.float32) - np.float32(grey.mean())
    return np.asarray((_DCT @ centred @ _DCT.T)[_ROWS, _COLUMNS], dtype=np.float32)


def hamming(left: UInt8, right: UInt8) -> npt.NDArray[np.int32]:
    """Number of differing bits between rows of packed bits; `left` and `right` broadcast.

    Args:
        left: uint8 [..., bytes], the number of bytes a multiple of 8.
        right: uint8 [..., bytes]; for all pairs of [n, bytes] and [m, bytes] pass left[:, None], right[None].
    """
    return np.asarray(popcount(_words(left) ^ _words(right)).sum(axis=-1, dtype=np.int32))


def pack_hashes(perceptual_hashes: list[int], descriptors: list[bytes]) -> UInt8:
    """Hash and descriptor of n photos side by side, uint8 [n, 40]."""
    hashes = np.array(perceptual_hashes, dtype=">u8").view(np.uint8).reshape(-1, PERCEPTUAL_BITS // 8)
    rest = np.frombuffer(b"".join(descriptors), dtype=np.uint8).reshape(-1, DESCRIPTOR_BITS // 8)
    return np.concatenate([hashes, rest], axis=1)


def _words(packed: UInt8) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(packed).view(np.uint64)


def _popcount_by_table(words: npt.NDArray[np.uint64]) -> UInt8:
    """What np.bitwise_count does in NumPy 2, for NumPy 1."""
    ones = _ONES[np.ascontiguousarray(words)[..., None].view(np.uint8)]
    return np.asarray(ones.sum(axis=-1, dtype=np.uint8))


_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)

#: Ones in each element of unsigned integers, as uint8.
popcount = getattr(np, "bitwise_count", _popcount_by_table)


def _lowest_frequencies(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of the lowest frequencies of a SIDE x SIDE DCT by diagonals, without the mean."""
    rows, columns = np.indices((SIDE, SIDE)).reshape(2, -1)
    order = np.lexsort((columns, rows, rows + columns))[1 : count + 1]
    return rows[order], columns[order]


_ROWS, _COLUMNS = _lowest_frequencies(PERCEPTUAL_BITS + DESCRIPTOR_BITS)
# Rows up to the highest frequency needed: the orthonormal DCT-II, without the scale that does not change signs.
_DCT = np.cos(np.pi / SIDE * np.outer(np.arange(max(_ROWS.max(), _COLUMNS.max()) + 1), np.arange(SIDE) + 0.5)).astype(
    np.float32
)

# Of the orthonormal transform, over the 64 = sqrt(64 * 64) that turns a sum of squares into an RMS over the pixels.
_SCALE = np.prod([np.sqrt(np.where(places == 0, 1, 2) / SIDE) for places in (_ROWS, _COLUMNS)], axis=0) / SIDE
# Mirroring flips the sign of every odd horizontal frequency.
_MIRRORED = np.packbits(_COLUMNS % 2 == 1)


def mirror(packed: UInt8) -> UInt8:
    """Hash and descriptor, uint8 [n, 40], of the same photos left to right."""
    return packed ^ _MIRRORED
