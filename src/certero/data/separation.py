"""Which photos must never be split apart: one rule a run.

Groups if the user names them, else blocks of time if the photos have times, else clusters of copies. Whatever the
rule, copies of one photo share a unit.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from certero.data.patterns import match_all
from certero.data.table import SCHEMA, Mask, Photos
from certero.errors import SplitError
from certero.likeness.clusters import join
from certero.photos.listing import first_and_count
from certero.sentences import Sentence, message, sentence

Ints = npt.NDArray[np.int64]
SpeaksOf = Literal["hours", "days", "places", "groups", "unknown"]

#: Share of the used photos that must have a capture time for the time rule.
TIMED_SHARE = 0.9
#: Default blocks, hours. All but the week divide a day or are whole days, so that blocks start at round times.
BLOCK_HOURS = (1, 2, 3, 4, 6, 8, 12, 24, 48, 168)
#: A default block leaves at least so many blocks, if blocks of an hour do.
MIN_BLOCKS = 10

_LAGS_MINUTES = (5, 10, 20, 30, *(60 * hours for hours in BLOCK_HOURS))
_FADED_SHARE = 0.2
_FLAT = 0.02
_PAIRS_A_LAG = 2000
_MIN_PAIRS = 8
_BITS_SET = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Separation:
    """What is never split apart, and why.

    Args:
        rule: `group`, `time` or `copies`.
        description: the rule in words.
        block: length of a block under the time rule, else None.
        gap: under the time rule, photos of two splits are further apart than this; zero under the others.
        unit: the unit's name for each row of the table, None for photos that are not used.
        counts: `photos`, `units`, `timed` (photos with a capture time), `joined` (groups merged, or photos moved to
            another block, because of copies).
        speaks_of: what a figure speaks of if these units are kept apart: other hours of the same days, other days,
            other places or groups; `unknown` where nothing tells which photos depend on each other.
        decay: under the time rule, (lag in minutes, share of equal descriptor bits of photos so far apart).
        group_by: the user's `--group-by`, else None.
    """

    rule: Literal["group", "time", "copies"]
    description: str
    block: timedelta | None
    gap: timedelta
    unit: tuple[str | None, ...]
    counts: dict[str, int]
    speaks_of: SpeaksOf
    decay: list[tuple[float, float]] = field(default_factory=list)
    group_by: str | None = None


def separate(
    photos: Photos,
    copies: Iterable[tuple[int, int]],
    *,
    group_by: str | None = None,
    block: timedelta | None = None,
    gap: timedelta = timedelta(minutes=10),
) -> Separation:
    """The rule for these photos, and each photo's unit under it.

    Args:
        photos: scanned photos.
        copies: pairs of rows of the table that are verified copies of each other.
        group_by: a column of the manifest, `parent` for the folder of the photo, or a regular expression over the
            path whose first capture group (or whole match) names the group.
        block: length of the time blocks; default from how fast similarity decays, at least 1 h.
        gap: how far photos of two splits must be apart under the time rule.

    Raises:
        SplitError: the rule cannot be applied to all photos.
    """
    used = photos.used_mask()
    twins = join(photos.table.height, ((a, b) for a, b in copies if used[a] and used[b]))
    timed = int((used & photos.table["captured_at"].is_not_null().to_numpy()).sum())
    counts = {"photos": int(used.sum()), "timed": timed}
    if group_by is not None:
        if block is not None:
            raise SplitError("one rule separates the photos; found both --group-by and --block. Use one of the two.")
        return _by_group(photos, used, twins, counts, group_by)
    enough = timed > 0 and timed >= TIMED_SHARE * counts["photos"]
    if block is not None and not enough:
        share = f"{TIMED_SHARE:.0%}"
        raise SplitError(
            "--block needs a capture time on at least %(share)s of the photos; %(timed)s of "
            "%(photos)s have one. Add a captured_at column, or separate with --group-by.",
            share=share,
            timed=timed,
            photos=counts["photos"],
        )
    if enough:
        return _by_time(photos, used, twins, counts, block, gap)
    paths = photos.table["path"].to_list()
    unit = _named(used, twins, paths)
    counts |= {"units": _count(unit), "joined": 0}
    description = sentence(
        "copies kept together: %(units)d different photos among %(photos)d",
        units=counts["units"],
        photos=counts["photos"],
    )
    return Separation("copies", description, None, timedelta(0), unit, counts, "unknown")


def with_units(photos: Photos, separation: Separation) -> Photos:
    """The photos with `unit` filled."""
    return photos.with_columns(pl.Series("unit", separation.unit, dtype=pl.String))


def duration(length: timedelta) -> str:
    """`1h`, `10m`, `1h30m`: as the command line takes it."""
    hours, seconds = divmod(round(length.total_seconds()), 3600)
    minutes, seconds = divmod(seconds, 60)
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if number]
    return "".join(parts) or "0m"


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
    minutes: npt.NDArray[np.float64], decay: list[tuple[float, float]], baseline: float | None
) -> tuple[timedelta, Sentence]:
    """The smallest block after which likeness has faded, and how it was found.

    Faded: the excess over the baseline is below a fifth of what it was at the shortest lag. Shortened so that at
    least 10 blocks remain, but never below 1 h.
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
    fitting = [hours for hours in BLOCK_HOURS if hours <= wanted]
    enough = [hours for hours in fitting if len(np.unique(minutes // (60 * hours))) >= MIN_BLOCKS]
    hours = max(enough, default=1)
    if hours < wanted:
        reason = sentence(
            "%(reason)s, shortened from %(hours)dh to keep %(blocks)d blocks where possible",
            reason=reason,
            hours=wanted,
            blocks=MIN_BLOCKS,
        )
    return timedelta(hours=hours), reason


def _by_group(photos: Photos, used: Mask, twins: Ints, counts: dict[str, int], group_by: str) -> Separation:
    groups = _groups(photos, used, group_by)
    distinct = sorted({group for group in groups if group is not None})
    number = {name: index for index, name in enumerate(distinct)}
    pairs = ((number[groups[row] or ""], number[groups[twin] or ""]) for row, twin in _copied(used, twins))
    merged = join(len(distinct), pairs)
    unit = tuple(None if group is None else distinct[merged[number[group]]] for group in groups)
    counts |= {"units": _count(unit), "joined": len(distinct) - _count(unit)}
    description = sentence("grouped by %(group_by)s: %(units)d groups", group_by=group_by, units=counts["units"])
    if counts["joined"]:
        description = sentence(
            "%(rule)s (%(before)d before those that share copies were joined)", rule=description, before=len(distinct)
        )
    return Separation("group", description, None, timedelta(0), unit, counts, "groups", group_by=group_by)


def _groups(photos: Photos, used: Mask, group_by: str) -> list[str | None]:
    """Each used photo's group, None for the others."""
    table = photos.table
    columns = [name for name in table.columns if name not in SCHEMA or name in ("group", "captured_at")]
    columns = [name for name in columns if table[name].null_count() < table.height]
    if group_by in columns:
        found = table[group_by].cast(pl.String).to_list()
    elif group_by == "parent":
        found = [posixpath.dirname(path) or "." for path in table["path"]]
    elif re.fullmatch(r"\w*", group_by):
        # A plain word would put all matching photos into one group, which no user wants.
        raise SplitError(
            "--group-by must be a column of the manifest, parent, or a regular expression over the "
            "path; found '%(group_by)s' (columns: %(columns)s). Use one of them.",
            group_by=group_by,
            columns=", ".join(columns) or message("none"),
        )
    else:
        found = match_all(group_by, table["path"].to_list())
    groups = [group if use else None for group, use in zip(found, used, strict=True)]
    without = [path for path, group, use in zip(table["path"], groups, used, strict=True) if use and not group]
    if without:
        raise SplitError(
            "--group-by %(group_by)s must give every photo a group; it gives none to "
            "%(first_and_count)s of %(photos)s. Use one that covers all.",
            group_by=group_by,
            first_and_count=first_and_count(without, "photo"),
            photos=int(used.sum()),
        )
    return groups


def _by_time(
    photos: Photos, used: Mask, twins: Ints, counts: dict[str, int], block: timedelta | None, gap: timedelta
) -> Separation:
    table = photos.table
    times = table["captured_at"]
    timed = used & times.is_not_null().to_numpy()
    minutes = times.to_physical().to_numpy()[timed].astype(np.float64) / 60e6
    some = table.filter(timed)
    known = some["descriptor"].is_not_null().to_numpy()
    decay: list[tuple[float, float]] = []
    baseline = None
    if known.any():
        bits = np.frombuffer(b"".join(some["descriptor"].drop_nulls()), dtype=np.uint8)
        groups = some.filter(known)["group"].to_list()
        decay, baseline = similarity_decay(minutes[known], groups, bits.reshape(int(known.sum()), -1))
    reason = sentence("as asked")
    if block is None:
        block, reason = default_block(minutes, decay, baseline)
    if gap < timedelta(0) or block <= gap:
        raise SplitError(
            "--block must be longer than --gap, and --gap not negative; found --block %(block)s "
            "and --gap %(total_seconds)gm. Use a longer block or a shorter gap.",
            block=duration(block),
            total_seconds=gap.total_seconds() / 60,
        )
    names: list[str] = []
    for path, time, use in zip(table["path"], times, used, strict=True):
        start = None if time is None or not use else _EPOCH + (time - _EPOCH) // block * block
        names.append(path if start is None else f"{start:%Y-%m-%dT%H:%M:%S}")
    # Copies far apart in time (an empty bed at night) would chain block to block if they joined them: instead the
    # later ones move to the unit of the earliest.
    first = _earliest(used, twins, times.to_list(), table["path"].to_list())
    unit = tuple(names[first[row]] if use else None for row, use in enumerate(used))
    moved = sum(name is not None and name != own for name, own in zip(unit, names, strict=True))
    counts |= {"units": _count(unit), "joined": moved}
    description = sentence(
        "blocks of %(block)s (%(reason)s), %(gap)s apart: %(units)d blocks",
        block=duration(block),
        reason=reason,
        gap=duration(gap),
        units=counts["units"],
    )
    if untimed := counts["photos"] - counts["timed"]:
        description = sentence(
            "%(rule)s; %(untimed)d photos without a time stand alone", rule=description, untimed=untimed
        )
    if moved:
        description = sentence(
            "%(rule)s; %(moved)d copies moved to the block of the earliest", rule=description, moved=moved
        )
    return Separation("time", description, block, gap, unit, counts, "hours", decay)


def _earliest(used: Mask, twins: Ints, times: list[datetime | None], paths: list[str]) -> dict[int, int]:
    """For each used row, the earliest row that is a copy of it; with equal times, the first path."""
    first: dict[int, tuple[datetime, str, int]] = {}
    rows = np.flatnonzero(used).tolist()
    for row in rows:
        key = (times[row] or datetime.max, paths[row], row)
        root = int(twins[row])
        first[root] = min(first.get(root, key), key)
    return {row: first[int(twins[row])][2] for row in rows}


def _copied(used: Mask, twins: Ints) -> list[tuple[int, int]]:
    rows = np.flatnonzero(used & (twins != np.arange(len(twins))))
    return [(int(row), int(twins[row])) for row in rows]


def _named(used: Mask, twins: Ints, names: list[str]) -> tuple[str | None, ...]:
    """Each cluster, named after its first name in sorted order, so that the order of rows does not matter."""
    first: dict[int, str] = {}
    for row in np.flatnonzero(used).tolist():
        root = int(twins[row])
        first[root] = min(first.get(root, names[row]), names[row])
    return tuple(first[int(root)] if use else None for root, use in zip(twins, used, strict=True))


def _equal_bits(descriptors: npt.NDArray[np.uint8], a: Ints, b: Ints) -> npt.NDArray[np.float64]:
    different = _BITS_SET[descriptors[a] ^ descriptors[b]].sum(axis=1, dtype=np.int64)
    return np.asarray(1.0 - different / (8.0 * max(descriptors.shape[1], 1)), dtype=np.float64)


def _count(unit: Sequence[str | None]) -> int:
    return len(set(unit) - {None})
