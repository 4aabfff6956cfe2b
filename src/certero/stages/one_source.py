"""Which photos show one exposure: the one place that gives a training the pairs that must not be kept apart.

Verified copies (resaved, resized) come from `look.find_copies`. Here follow what looser likeness tells: altered copies,
laid on each other on their pixels, and photos that are equal in a part. The audit reports them; a training acts on them
where nothing else separates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from certero.config.recipes import resolve
from certero.data.table import Photos
from certero.engine.blas import one_blas_thread
from certero.errors import MissingExtra
from certero.findings.families import say_family, told_by_names
from certero.likeness.clusters import join
from certero.likeness.copies import link_copies
from certero.likeness.near_copies import QUICK, THOROUGH, NearCopies, Search, find_near_copies, has_detail
from certero.likeness.sets import Link
from certero.records.names import NameFamily
from certero.sentences import Sentence, sentence, sentences
from certero.stages.closer_look import RememberedAlignments, alter_sample, recall_small
from certero.stages.embedder import embed_photos, loading_embedder
from certero.stages.equal_parts import link_equal_parts, say_equal_parts
from certero.stages.names import look_at_names
from certero.stages.tools import Tools
from certero.stats.neighbours import reduced

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Parts between which pairs matter where the split is given; photos without one join train.
_PARTS = {"val": 1, "test": 2}


@dataclass(frozen=True, slots=True)
class Sources:
    """Which photos show one source.

    Args:
        links: between rows of the table, verified copies first.
        names: what the names tell beside them, and what the photos say to it; empty without the network.
        notes: for people.
    """

    links: list[Link]
    names: tuple[NameFamily, ...] = ()
    notes: tuple[Sentence, ...] = ()


def link_sources(photos: Photos, copies: Sequence[tuple[int, int]], tools: Tools) -> Sources:
    """Which photos show one source, as far as certero can see it.

    Where splits are given only altered copies in two of them are looked for: certero moves no photo there.

    Args:
        photos: as scanned, their small pictures remembered.
        copies: pairs of rows of the table that are verified copies of each other.
        tools: cores, caches, progress.
    """
    links = link_copies(photos.table, copies)
    used = np.flatnonzero(photos.used_mask())
    place = {int(row): position for position, row in enumerate(used)}
    single = np.unique(join(len(used), [(place[i], place[j]) for i, j in copies]))
    table = photos.table[used[single].tolist()]
    paths, contents = photos.paths(table), table["content_hash"].to_list()
    grey = recall_small(paths, contents, tools)
    features = _features(photos, table, tools)
    with tools.timed("near copies"), one_blas_thread():
        known = None if features is None else reduced(features)
        parts = _parts(table)
        # Photos of a fixed camera without times chain. In a split of certero's own those laid on one another stay
        # together all the same; of a given split most of train would go.
        search = dataclasses.replace(QUICK, chained=parts is None)
        near, altered = lay_on_each_other(photos, table, grey, known, tools, search=search, parts=parts)
        equal, partly = link_equal_parts(photos, table, altered, tools, parts)
    rows = used[single]
    links += [(int(rows[i]), int(rows[j]), how, score) for i, j, how, score in [*altered, *partly]]
    names = () if known is None else names_of(table, known)
    return Sources(links, names, (*_say(near), *say_equal_parts(partly, equal), *map(say_family, told_by_names(names))))


def names_of(table: pl.DataFrame, features: NDArray[np.float32]) -> tuple[NameFamily, ...]:
    """What the names of rows [n] tell, held against reduced features [n, d]."""
    return look_at_names(table["path"].to_list(), table["label"].to_list(), table["split"].to_list(), features)


def lay_on_each_other(
    photos: Photos,
    table: pl.DataFrame,
    grey: NDArray[np.uint8],
    features: NDArray[np.float32] | None,
    tools: Tools,
    *,
    search: Search = THOROUGH,
    parts: NDArray[np.int64] | None = None,
) -> tuple[NearCopies, list[Link]]:
    """Near copies among photos of which none is a verified copy of another, as links between rows of the given table.

    Args:
        photos: that the rows are of.
        table: rows [n].
        grey: uint8 [n, 64, 64], small grey pictures: views for the thorough search, else those of the first look.
        features: float32 [n, d] of a network, as `neighbours.reduced` gives them; None without.
        tools: cores, caches, progress.
        search: how many pairs are looked at.
        parts: see `find_near_copies`.
    """
    paths, contents = photos.paths(table), table["content_hash"].to_list()
    shown = np.flatnonzero(has_detail(grey))
    sample = [paths[at] for at in shown], [contents[at] for at in shown]
    with ThreadPoolExecutor(1) as pool:
        # Beside the choice of pairs, which takes one core; a quick search mostly does without.
        altering = pool.submit(alter_sample, *sample, tools) if search == THOROUGH else None
        near = find_near_copies(
            grey,
            table["label"].to_list(),
            table["captured_at"].to_numpy().astype("datetime64[us]"),
            features,
            altering.result if altering else lambda: alter_sample(*sample, tools),
            RememberedAlignments(grey, contents, tools, of_views=search == THOROUGH),
            search,
            parts,
        )
    return near, [
        (i, j, "altered", float(score)) for (i, j), score in zip(near.pairs.tolist(), near.score, strict=True)
    ]


def _features(photos: Photos, table: pl.DataFrame, tools: Tools) -> NDArray[np.float32] | None:
    """Of the network that the probe rests on, whatever the recipe: a split depends on no other choice."""
    try:
        with loading_embedder(resolve("probe", device="cpu"), tools) as finish:
            embedder = finish().as_shipped()
    except MissingExtra:
        return None
    with tools.timed("features"):
        return embed_photos(photos.paths(table), table["content_hash"].to_list(), embedder, tools)


def _parts(table: pl.DataFrame) -> NDArray[np.int64] | None:
    """Which given split each row is in; None where certero makes the split."""
    if not table["split"].is_in(list(_PARTS)).any():
        return None
    return np.array([_PARTS.get(name or "", 0) for name in table["split"]], dtype=np.int64)


def _say(near: NearCopies) -> list[Sentence]:
    if near.reason is not None:
        return [sentence("altered copies of photos were not joined: %(reason)s", reason=near.reason)]
    if not len(near.pairs):
        return []
    return [
        sentences(
            "%(count)d photo is an altered copy of another (cropped, mirrored, turned, lighter or darker)",
            "%(count)d photos are altered copies of each other (cropped, mirrored, turned, lighter or darker)",
            count=len(np.unique(near.pairs)),
        )
    ]
