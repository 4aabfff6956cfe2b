"""Photos that are equal in a part: something was drawn, pasted or put in the place of the rest.

Candidates share landmarks in one arrangement; then one is laid on the other, pixel by pixel. Photos whose capture times
are known and differ are different exposures, whatever they share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from certero.likeness.arrangements import Arrangements
from certero.likeness.clusters import join
from certero.likeness.overlay import Overlay, lay
from certero.photos.photo import UInt8

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# A fixed camera without times, or a template: so many photos that hang together by so many landmarks that nobody moved.
_CROWD, _COMMON_TO_ALL = 12, 6
# Shares of a side by which two photos that nobody moved lie beside each other.
_UNMOVED = 0.015


@dataclass(frozen=True, slots=True)
class EqualParts:
    """Pairs of photos that are equal in a part.

    Args:
        pairs: int64 [p, 2], rows i < j.
        share: float64 [p], of the area that both show, 0 to 1.
        laid: pairs that were laid on each other.
        one_camera: photos of pairs that are not given, for they hang together as those of a fixed camera do.
    """

    pairs: Ints
    share: npt.NDArray[np.float64]
    laid: int = 0
    one_camera: int = 0


def find_equal_parts(
    count: int,
    arrangements: Arrangements,
    captured_at: npt.NDArray[np.datetime64],
    lay_pairs: Callable[[Arrangements], Sequence[Overlay | None]],
) -> EqualParts:
    """The pairs of photos that are equal in a part.

    Args:
        count: photos n.
        arrangements: pairs that share landmarks.
        captured_at: datetime64 [n], NaT where unknown.
        lay_pairs: lays the photos of each pair on each other.
    """
    apart = captured_at[arrangements.pairs[:, 0]] != captured_at[arrangements.pairs[:, 1]]
    timed = ~np.isnat(captured_at)
    wanted = arrangements.take(~(apart & timed[arrangements.pairs].all(axis=1)))
    laid = lay_pairs(wanted)
    share: dict[tuple[int, int], float] = {}
    for (i, j), mirrored, warp, overlay in zip(wanted.pairs.tolist(), wanted.mirrored, wanted.warp, laid, strict=True):
        unmoved = not mirrored and _is_unmoved(warp)
        if overlay is not None and (overlay.is_same_unmoved if unmoved else overlay.is_same):
            # Plain and mirrored can both be laid; what is more alike counts.
            share[i, j] = max(share.get((i, j), 0.0), overlay.share)
    camera = _of_one_camera(count, wanted)
    pairs = np.array(sorted(share), np.int64).reshape(-1, 2)
    kept = ~camera[pairs].any(axis=1)
    shares = np.array([share[i, j] for i, j in pairs.tolist()], np.float64)
    return EqualParts(pairs[kept], shares[kept], len(laid), int(camera[np.unique(pairs)].sum()))


def lay_finely(left: UInt8, right: UInt8, warp: npt.NDArray[np.float64], mirrored: bool) -> Overlay | None:
    """`overlay.lay`, of what looks alike from further off, which takes a quarter of the time."""
    coarse = lay(left, right, warp, mirrored, side=96)
    if coarse is None or not coarse.is_hopeful:
        return None
    return lay(left, right, warp, mirrored)


def _is_unmoved(warp: npt.NDArray[np.float64]) -> bool:
    return bool(np.abs(warp - np.eye(3)[:2]).max() < _UNMOVED)


def _of_one_camera(count: int, arrangements: Arrangements) -> Mask:
    """Which photos hang together in a crowd by landmarks that lie where they lie in the other photo, bool [count]."""
    unmoved = [_is_unmoved(warp) for warp in arrangements.warp]
    chosen = np.array(unmoved, np.bool_) & ~arrangements.mirrored & (arrangements.common >= _COMMON_TO_ALL)
    home = join(count, arrangements.pairs[chosen].tolist())
    return np.asarray(np.bincount(home, minlength=count)[home] >= _CROWD, np.bool_)
