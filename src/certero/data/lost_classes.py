"""Classes that lost their photos: folders without any, and photos that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from certero.data.table import Photos
from certero.photos.listing import describe_passed_over
from certero.records.photo_counts import LostClass
from certero.sentences import Sentence, in_a_row, sentence

# So many classes get a note each; the others share one.
_MOST = 5


def count_lost(photos: Photos) -> dict[str, LostClass]:
    """For each class that lost photos: all, and the unreadable ones; for folders without photos, what they hold."""
    rows = _count(photos.table).filter(pl.col("lost") > 0).sort("label")
    lost = {
        row["label"]: LostClass(photos=row["all"], unreadable=row["lost"], passed_over={})
        for row in rows.iter_rows(named=True)
    }
    empty = photos.empty_classes.items()
    return lost | {label: LostClass(photos=0, unreadable=0, passed_over=kinds) for label, kinds in empty}


def describe_lost(photos: Photos) -> list[Sentence]:
    """A note for each class that lost half of its photos or more, the largest loss first."""
    notes: list[Sentence] = [said for _label, said, _share in worst(photos)]
    if len(notes) > _MOST:
        further = [label for label, _said, _share in worst(photos)][_MOST:]
        text = sentence(
            "%(count)d further classes lost half of their photos or more: %(labels)s",
            count=len(further),
            labels=", ".join(further),
        )
        notes = [*notes[:_MOST], text]
    return notes


def describe_empty(empty: Mapping[str, Mapping[str, int]]) -> list[Sentence]:
    """A note for each class folder without photos."""
    notes: list[Sentence] = [say_empty(label, kinds) for label, kinds in list(empty.items())[:_MOST]]
    if further := list(empty)[_MOST:]:
        text = sentence(
            "%(count)d further class folders hold no photo: %(labels)s", count=len(further), labels=", ".join(further)
        )
        notes.append(text)
    return notes


def _count(table: pl.DataFrame) -> pl.DataFrame:
    """For each class: all photos, the lost ones, and the commonest reason."""
    unreadable = pl.col("status") == "unreadable"
    return table.group_by("label").agg(
        pl.len().alias("all"),
        unreadable.sum().alias("lost"),
        pl.col("problem").filter(unreadable).mode().sort().first().alias("why"),
    )


def worst(photos: Photos) -> Iterator[tuple[str, Sentence, float]]:
    """For each class that lost half or more: its name, a text, and the lost share."""
    share = pl.col("lost") / pl.col("all")
    for row in _count(photos.table).filter(share >= 0.5).sort(-share, "label").iter_rows(named=True):
        row["why"] = photos.problem(row["why"])
        if row["lost"] == row["all"]:
            said = sentence("class %(label)s: none of %(all)d photos can be read (%(why)s)", **row)
        else:
            said = sentence("class %(label)s: %(lost)d of %(all)d photos cannot be read (%(why)s)", **row)
        yield row["label"], said, row["lost"] / row["all"]


def say_empty(label: str, kinds: Mapping[str, int]) -> Sentence:
    if not kinds:
        return sentence("class folder %(label)s is empty", label=label)
    kinds_there = in_a_row(describe_passed_over(kinds))
    return sentence("class folder %(label)s holds no photo: only %(kinds)s", label=label, kinds=kinds_there)
