"""Near copies: photos that are altered copies of each other, found among all candidate pairs.

How alike is alike enough depends on the photos: pairs of different labels, or taken at different times, say what
another photo scores, altered copies of a sample whether copies still score more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from certero.likeness.alignment import Alignment, align_both
from certero.likeness.clusters import join
from certero.likeness.sets import sources
from certero.records.protocols import Map, Progress, no_progress
from certero.sentences import Sentence, sentence
from certero.stats.neighbours import Index, unit_length

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

#: At most this share of the photos may get a partner that shows something else.
WRONG_SHARE = 0.01
# Measured on thumbnails of 32 pixels (drawn planes, ships and cars on sky, sea and white, and shop photos): of 177
# planted copies that were laid on their original 0.97 finds 95 %, 0.96 98 %, but gives three times as many other photos
# a partner. Altered shop photos in a white frame, the least alike, have 0.967 and more in nine of ten cases.
_LEAST_THRESHOLD = 0.965
# So far below the threshold only look-alikes are; one photo under two labels leaves that gap empty.
_GAP = 0.1
# Cosines of grey views below which neighbours are not looked at, without features.
_LEAST_SEEN = 0.75
# Of 64 pixels on each side: a border of 7 % of the photo.
_FRAME = 4
# Grey levels; flatter views hold no detail to compare.
_FLAT = 4.0
_PAIRS_AT_ONCE = 256
# A float of each of their pixels takes so many times 16 kB.
_VIEWS_AT_ONCE = 1024
# A fixed camera chains its photos: so many in one cluster, and that for so many of the photos.
_CROWD, _CROWDED_SHARE = 20, 0.1
# Photos further apart in time are different exposures, however alike they look.
_SAME_EXPOSURE_SECONDS = 60.0
_LEAST_RECALL = 0.5


@dataclass(frozen=True, slots=True)
class Search:
    """How many neighbours of each photo are laid on it.

    Args:
        learned: by the network's features.
        seen: by the grey view: plain, mirrored, and within a frame.
        least_learned: cosine of features, centred and reduced, below which a neighbour is not looked at.
        least_seen: likewise of grey views, where there are features, too.
        further: neighbours by features of each photo that has a near copy already; 0 for none.
        chained: whether pairs are named even where the photos chain.
    """

    learned: int
    seen: int
    least_learned: float
    least_seen: float
    further: int = 0
    chained: bool = False


# Of 480 altered shop photos (mirrored, cropped, turned, lighter, grey, in other colours) each finds 0.95 to 1.00 of
# every kind that can be laid on its original; the quick search compares a third of the pairs (decision 68).
THOROUGH = Search(6, 4, 0.7, 0.85)
QUICK = Search(2, 2, 0.8, 0.85, further=12)


@dataclass(frozen=True, slots=True)
class NearCopies:
    """The near copies found.

    Args:
        pairs: int64 [p, 2], rows i < j that are one photo altered.
        score: float32 [p], likeness; see `alignment.align`.
        mirrored: bool [p].
        threshold: score from which on a pair counts; None where near copies cannot be told apart.
        recall: share of altered sample photos that pass, by alteration.
        wrong_share: share of photos with a partner of another label at the threshold; None without labels.
        sample: photos that were altered.
        compared: pairs that were laid on each other.
        reason: why near copies cannot be told apart; None where they can.
    """

    pairs: Ints
    score: Floats
    mirrored: npt.NDArray[np.bool_]
    threshold: float | None
    recall: dict[str, float] = field(default_factory=dict)
    wrong_share: float | None = None
    sample: int = 0
    compared: int = 0
    reason: Sentence | None = None


def find_near_copies(
    views: UInt8,
    labels: Sequence[str | None],
    captured_at: npt.NDArray[np.datetime64],
    features: Floats | None,
    alter: Callable[[], dict[str, Floats]],
    align_pairs: Callable[[Ints], Alignment],
    search: Search = THOROUGH,
    parts: Ints | None = None,
) -> NearCopies:
    """Pairs of photos that are altered copies of each other.

    Args:
        views: uint8 [n, 64, 64] of photos of which none is a verified copy of another.
        labels: [n].
        captured_at: datetime64 [n], NaT where unknown.
        features: float32 [n, d] of a network, as `neighbours.reduced` gives them; None does without, and then misses
            most that were turned or cropped.
        alter: gives, by alteration, scores of a sample of the photos and their copies after it, float32 [sample];
            called once the pairs are chosen. A quick search calls it only where it must.
        align_pairs: lays the views of pairs of rows [p, 2] on each other; see `align_rows`.
        search: how many pairs are looked at.
        parts: of each photo, int [n]: pairs within one part do not matter; None where all do.
    """
    n = len(views)
    if n < 2:
        return NearCopies(np.zeros((0, 2), np.int64), np.zeros(0, np.float32), np.zeros(0, np.bool_), None)
    pairs = propose(views, features, search, parts)
    copies = _at_least_0(alter()) if search == THOROUGH else {}
    found = align_pairs(pairs)
    _names, codes = np.unique(np.array([label or "" for label in labels]), return_inverse=True)
    other_label = codes[pairs[:, 0]] != codes[pairs[:, 1]]
    other_time = _other_time(captured_at, pairs)
    threshold = _choose_threshold(n, pairs, found.score, other_label, other_time)
    if not copies and threshold > _LEAST_THRESHOLD:
        copies = _at_least_0(alter())
    reason = _why_untold(threshold, copies, bool(other_time.any()))
    recall = {name: float((score >= threshold).mean()) for name, score in copies.items()}
    kept = found.score >= threshold
    wrong_share = round(_share_with_partner(n, pairs[other_label & kept]), 4)
    if reason is None and not search.chained and _is_crowded(n, pairs[kept]):
        reason = sentence(
            "the photos chain: each is as alike to the next as an altered copy, as those of a fixed camera are"
        )
    if search != THOROUGH:
        kept &= ~other_time  # what is acted on is surely one exposure
    sample = max((len(score) for score in copies.values()), default=0)
    if reason is not None:
        kept[:] = False
    for more in (partial(_further, features, search, parts), _around_sources):
        further = more(pairs[kept])
        if len(further):
            laid = align_pairs(further)
            pairs, found = np.concatenate([pairs, further]), _joined(found, laid)
            kept = np.concatenate([kept, laid.score >= threshold])
            if search != THOROUGH:
                kept &= ~_other_time(captured_at, pairs)
    return NearCopies(
        pairs[kept],
        found.score[kept],
        found.mirrored[kept],
        None if reason is not None else round(float(threshold), 4),
        {name: round(share, 4) for name, share in recall.items()},
        wrong_share,
        sample,
        len(pairs),
        reason,
    )


def _other_time(captured_at: npt.NDArray[np.datetime64], pairs: Ints) -> npt.NDArray[np.bool_]:
    """Whether the photos of each pair [p, 2] are different exposures; not so where one has no time."""
    seconds = np.abs((captured_at[pairs[:, 0]] - captured_at[pairs[:, 1]]) / np.timedelta64(1, "s"))
    return np.asarray(seconds > _SAME_EXPOSURE_SECONDS)


def _at_least_0(scores: dict[str, Floats]) -> dict[str, Floats]:
    return {name: np.maximum(score, 0) for name, score in scores.items() if len(score)}


def _further(features: Floats | None, search: Search, parts: Ints | None, pairs: Ints) -> Ints:
    """Pairs [p, 2], i < j, beside those given: more neighbours of each photo that has a near copy."""
    if features is None or not search.further or not len(pairs):
        return np.zeros((0, 2), np.int64)
    n = len(features)
    wanted = np.zeros(n, np.bool_)
    wanted[pairs] = True
    codes = [np.zeros(0, np.int64)]
    for asking, asked in _sides(np.arange(n), parts):
        rows = asking[wanted[asking]]
        if len(rows) and len(asked):
            found = Index(features[asked]).nearest(features[rows], min(search.further + 1, len(asked)))
            codes.append(_codes(n, rows, asked, *found, search.least_learned))
    fresh = np.setdiff1d(np.concatenate(codes), pairs[:, 0] * n + pairs[:, 1])
    return np.stack(np.divmod(fresh, n), axis=1)


def _around_sources(pairs: Ints) -> Ints:
    """Pairs [p, 2], i < j, that are still to be laid on each other: of each three photos and more that are linked, the
    one with the most links and every other.

    Photos that are each alike to the next are not one photo; a set stands around one that all others were laid on.
    """
    near: dict[int, set[int]] = {}
    for i, j in pairs.tolist():
        near.setdefault(i, set()).add(j)
        near.setdefault(j, set()).add(i)
    further = [
        (min(source, other), max(source, other))
        for source, linked in sources(near)
        for other in sorted(linked - near[source] - {source})
    ]
    return np.array(sorted(further), np.int64).reshape(-1, 2)


def _joined(one: Alignment, two: Alignment) -> Alignment:
    return Alignment(np.concatenate([one.score, two.score]), np.concatenate([one.mirrored, two.mirrored]))


def propose(views: UInt8, features: Floats | None, search: Search = THOROUGH, parts: Ints | None = None) -> Ints:
    """Pairs [p, 2], i < j, that could be one photo altered: near in features, or in the grey view, mirrored or not."""
    n = len(views)
    seen = _describe(views)
    turned = _describe(views[:, :, ::-1])
    # What lies inside a frame that was added is what the photo without it shows.
    inner = _describe(views[:, _FRAME:-_FRAME, _FRAME:-_FRAME])
    least_seen = _LEAST_SEEN if features is None else search.least_seen
    codes = [np.zeros(0, np.int64)]
    for asking, asked in _sides(np.flatnonzero(has_detail(views)), parts):
        if len(asking) < 1 or len(asked) < (2 if parts is None else 1):
            continue
        index = Index(seen[asked])
        for queries, count in ((seen, search.seen + 1), (turned, search.seen), (inner, search.seen)):
            found = index.nearest(queries[asking], min(count, len(asked)))
            codes.append(_codes(n, asking, asked, *found, least_seen))
        if features is not None:
            found = Index(features[asked]).nearest(features[asking], min(search.learned + 1, len(asked)))
            codes.append(_codes(n, asking, asked, *found, search.least_learned))
    return np.stack(np.divmod(np.unique(np.concatenate(codes)), n), axis=1)


def _sides(rows: Ints, parts: Ints | None) -> list[tuple[Ints, Ints]]:
    """Rows whose neighbours are looked for, and those among which: all, or for each part the other parts."""
    if parts is None:
        return [(rows, rows)]
    of = parts[rows]
    return [(rows[of == part], rows[of != part]) for part in np.unique(of)]


def _codes(n: int, asking: Ints, asked: Ints, found: Ints, cosines: Floats, least: float) -> Ints:
    """Pairs i < j of rows as i * n + j, of neighbours [q, k] that are near enough."""
    left, right = np.repeat(asking, found.shape[1]), found.ravel()
    near = (cosines.ravel() >= least) & (right >= 0)
    left, right = left[near], asked[right[near]]
    low, high = np.minimum(left, right), np.maximum(left, right)
    return np.asarray((low * n + high)[low != high], np.int64)


def has_detail(views: UInt8) -> npt.NDArray[np.bool_]:
    """Whether each view, uint8 [n, 64, 64], shows anything that could tell it from another, bool [n]."""
    return _deviations(views) >= _FLAT


def _deviations(views: UInt8) -> Floats:
    """Standard deviation of each view's grey levels, float32 [n]."""
    deviations = np.empty(len(views), np.float32)
    for start in range(0, len(views), _VIEWS_AT_ONCE):
        part = views[start : start + _VIEWS_AT_ONCE]
        deviations[start : start + _VIEWS_AT_ONCE] = part.reshape(len(part), -1).std(axis=1, dtype=np.float32)
    return deviations


def _describe(views: UInt8) -> Floats:
    """Means of 8x8 cells, float32 [n, 64], without the overall mean, of length 1: blind to light and contrast."""
    cells = np.empty((len(views), 64), np.float32)
    side = views.shape[1] // 8
    for start in range(0, len(views), _VIEWS_AT_ONCE):
        part = views[start : start + _VIEWS_AT_ONCE]
        # Sums of bytes down the cells, then across: whole numbers, without a copy of the part in floats.
        rows = part.reshape(-1, 8, side, part.shape[2]).sum(axis=2, dtype=np.uint16)
        sums = rows.reshape(-1, 8, 8, side).sum(axis=3, dtype=np.uint32)
        cells[start : start + _VIEWS_AT_ONCE] = sums.reshape(-1, 64) / np.float32(side * side)
    return unit_length(cells - cells.mean(axis=1, keepdims=True))


def align_rows(views: UInt8, pairs: Ints, map: Map, progress: Progress = no_progress) -> Alignment:
    """How well the views of pairs of rows match once aligned, on all cores.

    Args:
        views: uint8 [n, 64, 64].
        pairs: int64 [p, 2].
        map: ordered parallel map.
        progress: told how far it is.
    """
    parts = [pairs[start : start + _PAIRS_AT_ONCE] for start in range(0, len(pairs), _PAIRS_AT_ONCE)]
    # One at a time: the views of all pairs take many times the memory of the views.
    pictures = ((views[part[:, 0]], views[part[:, 1]]) for part in parts)
    found: list[Alignment] = []
    progress("near copies", 0, max(1, len(parts)))
    for done, aligned in enumerate(map(align_both, pictures), start=1):
        found.append(aligned)
        progress("near copies", done, len(parts))
    if not found:
        progress("near copies", 1, 1)
        return Alignment(np.zeros(0, np.float32), np.zeros(0, np.bool_))
    return Alignment(np.concatenate([part.score for part in found]), np.concatenate([part.mirrored for part in found]))


def _choose_threshold(
    n: int, pairs: Ints, score: Floats, other_label: npt.NDArray[np.bool_], other_time: npt.NDArray[np.bool_]
) -> float:
    """The lowest score of a copy; raised if other photos reach it too."""
    threshold = _LEAST_THRESHOLD
    conflicts = _highest(n, pairs[other_label], score[other_label])
    alike, nearly = (conflicts >= threshold).mean(), ((conflicts >= threshold - _GAP) & (conflicts < threshold)).mean()
    # A group of its own, with hardly anything below it: one photo under two labels, not two photos that look alike.
    if not (alike <= 0.2 and nearly <= alike / 2):
        threshold = max(threshold, _quantile(conflicts))
    return max(threshold, _quantile(_highest(n, pairs[other_time], score[other_time])))


def _why_untold(threshold: float, copies: dict[str, Floats], timed: bool) -> Sentence | None:
    """Why copies cannot be told at the threshold: too few of the altered ones reach it; None where enough do."""
    scores = np.concatenate([np.zeros(0, np.float32), *copies.values()])
    if not len(scores) or float((scores >= threshold).mean()) >= _LEAST_RECALL:
        return None
    if timed:
        return sentence("fixed camera: photos taken at different times are as alike as altered copies of one photo")
    return sentence("photos of different labels are as alike as altered copies of one photo")


def _highest(n: int, pairs: Ints, score: Floats) -> Floats:
    """Each photo's highest score, float32 [n]; 0 without a pair."""
    best = np.zeros(n, np.float32)
    np.maximum.at(best, pairs[:, 0], score)
    np.maximum.at(best, pairs[:, 1], score)
    return best


def _quantile(best: Floats) -> float:
    """The score above which at most `WRONG_SHARE` of the photos lie."""
    allowed = int(WRONG_SHARE * len(best))
    return float(np.sort(best)[::-1][allowed]) + 1e-6 if len(best) else 0.0


def _share_with_partner(n: int, pairs: Ints) -> float:
    return len(np.unique(pairs)) / max(1, n)


def _is_crowded(n: int, pairs: Ints) -> bool:
    sizes = np.bincount(join(n, pairs.tolist()), minlength=n)
    return float(sizes[sizes >= _CROWD].sum()) > _CROWDED_SHARE * n
