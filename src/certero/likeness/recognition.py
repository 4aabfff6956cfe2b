"""Recognition: which photos a model was trained on, by the fingerprints in its file.

A copy (re-encoded, resized) differs from the photo that was learnt in signs that weigh next to nothing. A near copy
(brighter, mirrored, turned a little) is nearer to it than photos of other times and places are to anything that was
learnt; how near that is each model file says for itself, because it depends on the photos and on the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from certero.photos.fingerprints import hamming, mirror, popcount
from certero.photos.pixels import UInt8
from certero.records.protocols import Map

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Bits of a sketch.
SKETCH_BITS = 128
#: A bit of the sketch counts as much as so many of hash and descriptor. On 60 shop photos 4 and 8 did alike; 16 found
#: half as many mirrored copies.
SKETCH_WEIGHT = 8
#: At most this share of photos of other times and places may pass for near copies.
FALSE_SHARE = 0.01
#: At least this share of altered copies must be recognised, or the distance is of no use.
LEAST_RECOGNISED = 0.5
#: With fewer photos a share of 1 % cannot be told.
FEWEST_PHOTOS = 100

#: Of 320 bits of hash and descriptor; the copies below differ in at most 14.
COPY_BITS = 20
# RMS in grey levels of all that the differing signs weigh: what two pictures differ by at least. Measured on 400 shop
# photos and 429 barn crops at JPEG quality 40 and 70, resized by 0.5 (quality 90 and 60) and 0.75: at most 0.089. The
# shop's test photos are no nearer than 9 to those of train, a barn's afternoon no nearer than 1.5 to its morning. Of
# frames of a fixed camera 6 % are nearer to another one (by 7 differing signs alone 14 %): all of an empty bed. The
# limit was set on these very copies, just above the largest.
COPY_STRENGTH = 0.095
# All 320 signs of barn crops weigh 9.7 at least, of shop photos 27. Those of a flat picture hold nothing that could
# tell it from another one: only equal pixels do.
_LEAST_STRENGTH = 2.0
_CANDIDATES = 16  # a photo, the nearest; more are look-alikes of a fixed camera

#: The mark of an unknown capture time.
NO_MINUTE = 255
# Time zones lie multiples of 15 minutes apart, so that the same moment has one mark whoever wrote it down.
_CYCLE_MINUTES = 15

_PAIRS_AT_ONCE = 1 << 18
_ASKED_AT_ONCE = 256


def sketch(embeddings: npt.NDArray[np.floating], centre: npt.NDArray[np.floating]) -> UInt8:
    """Signs of 128 fixed random projections of embeddings [n, D] about their centre [D], uint8 [n, 16].

    Rows that lie an angle a apart differ in a / 180 degrees of the bits, on average.

    Source: M. S. Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002, section 3.
    """
    length = embeddings.shape[1]
    # From a hash, not a random generator: a later version of the library must draw the same planes.
    drawn = hashlib.shake_256(b"certero sketch 1").digest(length * SKETCH_BITS // 8)
    planes = np.unpackbits(np.frombuffer(drawn, np.uint8)).reshape(length, SKETCH_BITS).astype(np.float32) * 2 - 1
    packed = [
        np.packbits((rows - centre).astype(np.float32) @ planes > 0, axis=1)
        for rows in np.array_split(embeddings, max(1, len(embeddings) // 4096))
    ]
    return np.concatenate(packed)


def mark_minutes(captured_at: Sequence[datetime | None]) -> UInt8:
    """Minute of the quarter hour of each capture, uint8 [n], `NO_MINUTE` where unknown.

    It tells two exposures apart, and not when either was made.

    >>> mark_minutes([datetime(2024, 1, 12, 5, 40), None]).tolist()
    [10, 255]
    """
    marks = [NO_MINUTE if when is None else when.minute % _CYCLE_MINUTES for when in captured_at]
    return np.array(marks, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Prints:
    """Fingerprints of n photos.

    Args:
        pixel_hashes: uint8 [n, 16].
        signs: hash and descriptor, uint8 [n, 40].
        minutes: uint8 [n], see `mark_minutes`; None where they were not kept.
        sketches: uint8 [n, 16], see `sketch`; None where they were not kept.
    """

    pixel_hashes: UInt8
    signs: UInt8
    minutes: UInt8 | None = None
    sketches: UInt8 | None = None

    def __len__(self) -> int:
        return len(self.signs)


def find_copies_seen(
    asked: Prints, stored: Prints, weigh: Callable[[int], npt.NDArray[np.float32] | None], map: Map
) -> Mask:
    """Whether each of q photos is a stored one (equal pixels, re-encoded or resized), bool [q].

    Near-linear: only photos that share a band of signs with a stored one are compared with it.

    Args:
        asked: the photos in question.
        stored: those that were learnt.
        weigh: the `strengths` of photo i in question; None if it cannot be read any more. Asked only of candidates.
        map: ordered parallel map.
    """
    known = set(_row_bytes(stored.pixel_hashes))
    found = np.array([row in known for row in _row_bytes(asked.pixel_hashes)], dtype=bool)
    rows, others = _nearest_candidates(asked, stored, ~found)
    candidates = np.unique(rows)
    for row, weights in zip(candidates.tolist(), map(weigh, candidates.tolist()), strict=True):
        if weights is None or float(np.square(weights).sum()) < _LEAST_STRENGTH**2:
            continue
        theirs = stored.signs[others[_span(rows, row)]]
        differing = np.unpackbits(theirs ^ asked.signs[row], axis=1) @ np.square(weights)
        found[row] = bool(differing.min() <= COPY_STRENGTH**2)
    return found


def _row_bytes(packed: UInt8) -> list[bytes]:
    """The bytes of each row."""
    return [row.tobytes() for row in packed]


def _span(rows: Ints, row: int) -> slice:
    return slice(int(np.searchsorted(rows, row)), int(np.searchsorted(rows, row, side="right")))


def _nearest_candidates(asked: Prints, stored: Prints, wanted: Mask) -> tuple[Ints, Ints]:
    """Pairs of at most `COPY_BITS` differing signs that may be one exposure: rows asked, sorted, and rows stored.

    At most `_CANDIDATES` for each row asked, the nearest.
    """
    kept = [np.zeros((0, 3), dtype=np.int64)]
    held = 0
    for rows, others, distance in pairs_within(asked.signs, stored.signs, COPY_BITS, wanted):
        fits = _one_exposure(asked.minutes, stored.minutes, rows, others)
        kept.append(np.stack([rows[fits], distance[fits], others[fits]], axis=1))
        held += int(fits.sum())
        if held > 2 * _CANDIDATES * len(asked) + 4 * _PAIRS_AT_ONCE:
            kept = [_foremost(np.concatenate(kept))]
            held = len(kept[0])
    found = _foremost(np.concatenate(kept))
    return found[:, 0], found[:, 2]


def _foremost(pairs: Ints) -> Ints:
    """Of pairs (row, distance, other) the distinct ones that are among the first of their row, sorted."""
    pairs = np.unique(pairs, axis=0)
    if not len(pairs):
        return pairs
    first = np.searchsorted(pairs[:, 0], pairs[:, 0])
    return pairs[np.arange(len(pairs)) - first < _CANDIDATES]


def _one_exposure(asked: UInt8 | None, stored: UInt8 | None, rows: Ints, others: Ints) -> Mask:
    """False where both capture times are known and differ by more than a minute of the quarter hour."""
    if asked is None or stored is None:
        return np.ones(len(rows), dtype=bool)
    one, two = asked[rows].astype(np.int64), stored[others].astype(np.int64)
    apart = (one - two) % _CYCLE_MINUTES
    close = (apart <= 1) | (apart >= _CYCLE_MINUTES - 1)
    return np.asarray((one == NO_MINUTE) | (two == NO_MINUTE) | close, dtype=np.bool_)


def pairs_within(
    left: UInt8, right: UInt8, limit: int, wanted: Mask | None = None
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Yields (rows of left, rows of right, differing bits) of pairs that differ in at most `limit` bits, a pair perhaps
    several times.

    Rows that differ in fewer bits than there are bands agree in one band at least, so only those that share a band are
    compared; where that would be more than all with all (a fixed camera), all with all.

    Args:
        left: uint8 [q, bytes], the number of bytes a multiple of 8.
        right: uint8 [s, bytes].
        limit: bits.
        wanted: bool [q], rows of left to look for.
    """
    if not len(left) or not len(right):
        return
    wanted = np.ones(len(left), dtype=bool) if wanted is None else wanted
    bands = limit + 1
    shared = []
    for band in range(bands):
        ours, theirs = _band_keys(left, band, bands), _band_keys(right, band, bands)
        order = np.argsort(theirs, kind="stable")
        start = np.searchsorted(theirs[order], ours)
        count = np.searchsorted(theirs[order], ours, side="right") - start
        shared.append((order, start, np.where(wanted, count, 0)))
    if sum(int(count.sum()) for _order, _start, count in shared) >= int(wanted.sum()) * len(right):
        everyone = np.where(wanted, len(right), 0)
        shared = [(np.arange(len(right)), np.zeros(len(left), np.int64), everyone)]
    for order, start, count in shared:
        rows = np.flatnonzero(count > 0)
        ends = np.cumsum(count[rows])
        first = 0
        while first < len(rows):
            # As many rows as have some 25 MB of pairs, one at least.
            last = max(first + 1, int(np.searchsorted(ends, (ends[first - 1] if first else 0) + _PAIRS_AT_ONCE)))
            some, counts = rows[first:last], count[rows[first:last]]
            row = np.repeat(some, counts)
            step = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
            other = order[np.repeat(start[some], counts) + step]
            distance = hamming(left[row], right[other])
            near = distance <= limit
            yield row[near], other[near], distance[near].astype(np.int64)
            first = last


def _band_keys(packed: UInt8, band: int, bands: int) -> npt.NDArray[np.uint64]:
    """Every bands-th bit of rows [n, bytes] as one integer [n]: bits from low to high frequencies."""
    bits = np.packbits(np.unpackbits(packed, axis=1)[:, band::bands], axis=1)
    padded = np.zeros((len(packed), 8), np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64).ravel()


# ---- near copies ----------------------------------------------------------------------------------------------


def distances(asked: Prints, stored: Prints) -> npt.NDArray[np.int32]:
    """Distances between all q query photos and all s stored ones, int32 [q, s].

    8 times the differing bits of the sketches, and those of the signs, as they are or mirrored, whichever are fewer.
    """
    assert asked.sketches is not None
    assert stored.sketches is not None
    signs = np.minimum(_apart(asked.signs, stored.signs), _apart(mirror(asked.signs), stored.signs))
    return SKETCH_WEIGHT * _apart(asked.sketches, stored.sketches) + signs


def find_near(asked: Prints, stored: Prints, distance: int, map: Map) -> Mask:
    """Whether each of q photos is within the distance of any stored one, bool [q]; memory bounded.

    Args:
        asked: with sketches.
        stored: with sketches.
        distance: as `distances` gives them.
        map: ordered parallel map.
    """
    assert asked.sketches is not None
    assert stored.sketches is not None
    theirs = stored.sketches
    both = np.stack([asked.signs, mirror(asked.signs)])
    chunk = max(1, _PAIRS_AT_ONCE // max(1, min(len(asked), _ASKED_AT_ONCE)))

    def look(start: int) -> Mask:
        ours = asked.sketches[start : start + _ASKED_AT_ONCE]  # type: ignore[index]
        found = np.zeros(len(ours), dtype=bool)
        for begin in range(0, len(stored), chunk):
            apart = SKETCH_WEIGHT * _apart(ours, theirs[begin : begin + chunk])
            # Few pairs are near by the sketches alone; only of those the signs are compared.
            rows, others = np.nonzero(apart <= distance)
            signs = hamming(both[:, start + rows], stored.signs[None, begin + others]).min(axis=0)
            found[rows[apart[rows, others] + signs <= distance]] = True
        return found

    parts = list(map(look, range(0, len(asked), _ASKED_AT_ONCE)))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)


def nearest_elsewhere(stored: Prints, rows: Ints, elsewhere: Callable[[int], Mask]) -> npt.NDArray[np.int32]:
    """Distance of each of these stored photos to the nearest of another time or place, int32 [rows].

    Args:
        stored: with sketches.
        rows: which of them are asked about.
        elsewhere: bool [n] of the stored photos that row i may be compared with.
    """
    nearest = np.full(len(rows), np.iinfo(np.int32).max, dtype=np.int32)
    for number, row in enumerate(rows.tolist()):
        others = elsewhere(row)
        if others.any():
            nearest[number] = distances(_take(stored, [row]), _take(stored, others)).min()
    return nearest


def choose_distance(held_out: npt.NDArray[np.int32]) -> int:
    """The largest distance within which at most 1 % of the held-out photos find a photo.

    Args:
        held_out: int32 [n], from `nearest_elsewhere`, n above 0.

    >>> choose_distance(np.array([9, 5] + [30] * 98, dtype=np.int32))
    8
    """
    allowed = int(FALSE_SHARE * len(held_out))
    return int(np.sort(held_out)[allowed]) - 1


def _apart(left: UInt8, right: UInt8) -> npt.NDArray[np.int32]:
    """Differing bits of all pairs of rows, word by word: a quarter of the memory of `hamming`."""
    one, two = (np.ascontiguousarray(rows).view(np.uint64) for rows in (left, right))
    total = np.zeros((len(one), len(two)), dtype=np.int32)
    for word in range(one.shape[1]):
        total += popcount(one[:, word, None] ^ two[None, :, word])
    return total


def _take(prints: Prints, rows: Mask | list[int]) -> Prints:
    assert prints.sketches is not None
    return Prints(prints.pixel_hashes[rows], prints.signs[rows], None, prints.sketches[rows])
