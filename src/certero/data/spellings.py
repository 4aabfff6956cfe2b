"""Classes whose names differ in a way that people overlook: one class if that is certain, else a note."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import polars as pl

from certero.data.table import Photos
from certero.names import look, without_accents
from certero.sentences import Sentence, sentence


def settle_classes(photos: Photos) -> Photos:
    """The photos, with one spelling for a class that given splits spell differently; notes on what may be one class.

    Red in train and red in test are one class if neither split has both. In one split both may be meant, as A and a
    are among letters: then a note says so.
    """
    splits: dict[str, set[str | None]] = defaultdict(set)
    for label, split in photos.table.select("label", "split").unique().iter_rows():
        splits[label].add(split)
    spelled: dict[str, str] = {}
    notes: list[Sentence] = []
    for labels in _groups(list(splits), look):
        if sum(len(splits[label]) for label in labels) == len(set().union(*(splits[label] for label in labels))):
            # Train's spelling, if there is one: the model will predict it.
            chosen = min(labels, key=lambda label: ("train" not in splits[label], label))
            spelled |= dict.fromkeys(labels, chosen)
            notes.append(
                sentence("%(labels)s are taken as one class, %(chosen)s", labels=", ".join(labels), chosen=chosen)
            )
        else:
            told = sentence(
                "classes %(labels)s differ in capitals, signs or look-alikes alone: rename one if they are the same",
                labels=", ".join(labels),
            )
            notes.append(told)
    for labels in _groups(list(splits), without_accents):
        if len({look(label) for label in labels}) > 1:
            notes.append(
                sentence(
                    "classes %(labels)s differ in accents alone: rename one if they are the same",
                    labels=", ".join(labels),
                )
            )
    if spelled:
        photos = photos.with_columns(pl.col("label").replace(spelled))
    return photos.noted(notes)


def _groups(labels: list[str], key: Callable[[str], str]) -> list[list[str]]:
    """Groups of several labels with the same key."""
    found: dict[str, list[str]] = defaultdict(list)
    for label in sorted(labels):
        found[key(label)].append(label)
    return [group for group in found.values() if len(group) > 1]
