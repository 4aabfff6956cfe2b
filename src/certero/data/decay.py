"""How fast photos of one place grow unlike each other, and how long blocks of time must be for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from certero.photos.fingerprints import popcount
from certero.sentences import Sentence, sentence

Ints = npt.NDArray[np.int64]

#: Default blocks, hours. All divide a day, so that blocks start at round times and days are made of whole blocks.
BLOCK_HOURS = (1, 2, 3, 4, 6, 8, 12)

_LAGS_MINUTES = (5, 10, 20, 30, *(60 * hours for hours in (*BLOCK_HOURS, 24, 48, 168)))
_FADED_SHARE = 0.2
_FLAT = 0.02
_PAIRS_A_LAG = 2000
_MIN_PAIRS = 8


def similarity_decay(
    minutes: npt.NDArray[np.float64], groups: Sequence[str | None], descriptors: npt.NDArray[np.uint8]
) -> tuple[list[tuple[float, float]], float | None]:
    """How alike photos of one group are at growing lags, and how alike photos far apart are (the baseline).

    Args:
        minutes: [photos] capture times.
        groups: [photos] camera or place; only photos of one group are compared.
        descriptors: uint8 [photos, bytes]; likeness is the share of equal bits.

    Returns:
        (lag in minutes, mean likeness) for each lag with enough pairs (within a quarter of the lag), and the mean
        likeness beyond half the time covered; None without enough such pairs.
    """
    members: dict[str | None, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    likeness: dict[float, list[npt.NDArray[np.float64]]] = {}
    far: list[npt.NDArray[np.float64]] = []
    rng = np.random.default_rng(0)
    span = float(np.ptp(minutes)) if len(minutes) else 0.0
    for listed in members.values():
        rows = np.array(listed)[np.argsort(minutes[listed], kind="stable")]
        times = minutes[rows]
        anchors = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _PAIRS_A_LAG)).astype(np.int64))
        for lag in _LAGS_MINUTES:
            wanted = times[anchors] + lag
            after = np.clip(np.searchsorted(times, wanted), 1, max(len(rows) - 1, 1)) if len(rows) > 1 else None
            if after is None:
                continue
            near = np.where(wanted - times[after - 1] < times[after] - wanted, after - 1, after)
            fits = (np.abs(times[near] - wanted) <= lag / 4) & (near != anchors)
            likeness.setdefault(lag, []).append(_equal_bits(descriptors, rows[anchors[fits]], rows[near[fits]]))
        first_far = np.searchsorted(times, times[anchors] + span / 2)
        some = first_far < len(rows)
        partners = rng.integers(first_far[some], len(rows))
        far.append(_equal_bits(descriptors, rows[anchors[some]], rows[partners]))
    pooled = {lag: np.concatenate(values) for lag, values in likeness.items()}
    curve = [(lag, float(values.mean())) for lag, values in pooled.items() if len(values) >= _MIN_PAIRS]
    distant = np.concatenate(far) if far else np.empty(0)
    return curve, float(distant.mean()) if len(distant) >= _MIN_PAIRS else None


def default_block(
    decay: list[tuple[float, float]], baseline: float | None, usable: Callable[[int], bool]
) -> tuple[timedelta, Sentence]:
    """The smallest block after which likeness has faded, and how it was found.

    Faded: the excess over the baseline is below a fifth of what it was at the shortest lag. Where a block of that
    length cannot be used, the longest shorter one that can: the sentence then says that the figure may flatter.

    Args:
        decay: see `similarity_decay`, like `baseline`.
        baseline: likeness of photos far apart.
        usable: whether blocks of so many hours can be split.
    """
    wanted, reason = 1, sentence("similarity fades within the hour")
    if not decay or baseline is None:
        reason = sentence("too few photos to measure how similarity fades")
    elif (start := decay[0][1] - baseline) > _FLAT:
        excess = {lag: value - baseline for lag, value in decay}
        known = [hours for hours in BLOCK_HOURS if 60 * hours in excess]
        faded = [hours for hours in known if excess[60 * hours] < _FADED_SHARE * start]
        wanted = faded[0] if faded else max(known, default=1)
        if wanted > 1 or not faded:
            reason = (
                sentence("similarity fades within %(hours)dh", hours=wanted)
                if faded
                else sentence("similarity fades more slowly than %(hours)dh", hours=wanted)
            )
    hours = max((hours for hours in BLOCK_HOURS if hours <= wanted and usable(hours)), default=1)
    if hours < wanted:
        reason = sentence(
            "%(reason)s, but longer blocks would be too few to split: neighbouring blocks are still alike, which "
            "flatters the figure",
            reason=reason,
        )
    return timedelta(hours=hours), reason


def _equal_bits(descriptors: npt.NDArray[np.uint8], a: Ints, b: Ints) -> npt.NDArray[np.float64]:
    different = popcount(descriptors[a] ^ descriptors[b]).sum(axis=1, dtype=np.int64)
    return np.asarray(1.0 - different / (8.0 * max(descriptors.shape[1], 1)), dtype=np.float64)
