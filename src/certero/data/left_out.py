"""Photos that a split leaves out, and why: copies, neighbours in time, and those of which nobody knows the day."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from certero.data.separation import NO_TIME, Separation, duration
from certero.data.table import Mask, Photos
from certero.likeness.sets import VERIFIED, Link, across, gather, links_by_row
from certero.records.photos import SPLITS
from certero.sentences import Sentence, message, sentence, sentences


def leave_out_leaks(photos: Photos, leaks: list[Link]) -> Photos:
    """Train and val photos with a copy in test, and train photos with a copy in val, marked `leaked`.

    Copies of copies count: re-encoding twice is still the same photo, and so is what was altered twice.
    """
    verified = [link for link in leaks if link[2] in VERIFIED]
    altered = [link for link in leaks if link[2] != "partly"]
    for links, reason in (
        (verified, sentence("copies of photos of a later-opened split")),
        (altered, sentence("altered copies of photos of a later-opened split")),
        (leaks, sentence("equal in a part to photos of a later-opened split")),
    ):
        used = photos.used_mask()
        split = np.array([SPLITS.index(name) if name in SPLITS else -1 for name in photos.table["split"]])
        latest = split.copy()
        here = [link for link in links if used[link[0]] and used[link[1]]]
        names, by_row = photos.table["split"].to_list(), links_by_row(here)
        # Not through look-alikes of look-alikes: each was aligned with the source of its set.
        for each in gather(len(split), here):
            rows = across(each, names, by_row) if each.between else each.rows
            latest[rows] = np.maximum(latest[rows], split[rows].max(initial=-1))
        photos = _mark(photos, used & (split < latest), "leaked", reason)
    return photos


def purge(photos: Photos, gap: timedelta, cut: Sequence[str]) -> Photos:
    """Marks photos within the gap of a split that certero cut `purged`: val near test first, then train near both."""
    times = photos.table["captured_at"].to_numpy()
    split = photos.table["split"].fill_null("").to_numpy()
    used = photos.used_mask()
    purged = np.zeros(len(used), dtype=np.bool_)
    # Val first: a train photo near a val photo that is itself left out can stay.
    for loser, winner in (("val", "test"), ("train", "test"), ("train", "val")):
        if winner in cut:
            kept = used & ~purged & (split == winner)
            purged |= used & (split == loser) & near_in_time(times, times[kept], gap)
    reason = sentence("within %(gap)s of a photo of another split", gap=duration(gap))
    return _mark(photos, purged, "purged", reason)


def leave_out_untimed(photos: Photos, separation: Separation) -> Photos:
    """Where whole days separate, photos without a time are marked `purged`: they may be of any day, a test day too."""
    if not separation.whole_days:
        return photos
    untimed = photos.used_mask() & (photos.table["unit"] == NO_TIME).fill_null(False).to_numpy()
    return _mark(photos, untimed, "purged", sentence("no capture time tells which day they are of"))


def near_in_time(times: npt.NDArray[np.datetime64], others: npt.NDArray[np.datetime64], gap: timedelta) -> Mask:
    """Boolean [times]: within the gap of any of the others. False without a time, and everywhere if the gap is zero."""
    others = np.sort(others[~np.isnat(others)])
    near = np.zeros(len(times), dtype=np.bool_)
    if gap <= timedelta(0) or not len(others):
        return near
    timed = ~np.isnat(times)
    after = np.searchsorted(others, times[timed])
    width = np.timedelta64(gap)
    to_next = np.abs(others[np.minimum(after, len(others) - 1)] - times[timed]) <= width
    to_last = np.abs(times[timed] - others[np.maximum(after - 1, 0)]) <= width
    near[timed] = to_next | to_last
    return near


_STATUS_WORDS = {"leaked": message("leaked"), "purged": message("purged")}


def _mark(photos: Photos, rows: Mask, status: str, reason: Sentence) -> Photos:
    if not rows.any():
        return photos
    where = pl.Series(rows)
    photos = photos.with_columns(
        pl.when(where).then(pl.lit(status)).otherwise(pl.col("status")).alias("status"),
        pl.when(where).then(pl.lit(str(reason))).otherwise(pl.col("problem")).alias("problem"),
    )
    photos = dataclasses.replace(photos, said={**photos.said, str(reason): reason})
    counted = sentences(
        "%(count)d photo %(status)s: %(reason)s",
        "%(count)d photos %(status)s: %(reason)s",
        count=int(rows.sum()),
        status=_STATUS_WORDS[status],
        reason=reason,
    )
    return photos.noted([counted])
