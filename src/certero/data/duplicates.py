"""Copies into findings: clusters of exact and near duplicates, leakage between splits, one photo under two labels."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from certero.data.clusters import Clusters
from certero.data.findings import Finding, Severity, concerning
from certero.language import sentence, sentences
from certero.records import SPLITS, Json

#: How two photos are the same, the surest first.
HOW = ("same_file", "same_pixels", "resaved", "altered")

#: (row, row, how, score)
Link = tuple[int, int, str, float]


def link_copies(table: pl.DataFrame, pairs: Iterable[tuple[int, int]]) -> list[Link]:
    """Verified copies as links that say how the two are the same."""
    content, pixels = table["content_hash"].to_list(), table["pixel_hash"].to_list()
    return [
        (i, j, "same_file" if content[i] == content[j] else "same_pixels" if pixels[i] == pixels[j] else "resaved", 1.0)
        for i, j in pairs
    ]


def describe_copies(table: pl.DataFrame, links: list[Link]) -> list[Finding]:
    """Findings of the kinds exact_duplicate, near_duplicate, leakage and label_conflict, one a cluster.

    Args:
        table: rows that the links speak of.
        links: of `link_copies`, and of near copies with how `altered`.
    """
    findings: list[Finding] = []
    for rows, _how, _score in _gather(table.height, [link for link in links if link[2] in HOW[:2]]):
        found = table[rows]
        said = sentences("%(count)d photo, the same", "%(count)d photos, all the same", count=len(rows))
        findings.append(concerning("exact_duplicate", "medium", said, found, float(len(rows)), how=_how))
    told: set[tuple[str, str]] = set()
    strict = _gather(table.height, [link for link in links if link[2] in HOW[:3]])
    for rows, how, score in [*strict, *_gather(table.height, links)]:
        found = table[rows]
        severity: Severity = "medium" if how == "altered" else "high"
        splits = [name for name in SPLITS if name in set(found["split"])]
        labels = sorted(set(found["label"].drop_nulls()))
        for kind, several, said in (
            ("leakage", splits, sentence("the same photo in %(splits)s", splits=", ".join(splits))),
            ("label_conflict", labels, sentence("the same photo as %(labels)s", labels=", ".join(labels))),
        ):
            # A cluster of sure links alone is not said again; one that altered copies join is.
            news = {(f"{kind}: {name}", path) for name in several for path in found["path"]}
            if len(several) > 1 and not news <= told:
                findings.append(concerning(kind, severity, said, found, score, how=how))
                told |= news
    for rows, how, score in _gather(table.height, links):
        if how in HOW[2:]:
            said = (
                sentences("%(count)d photo, altered", "%(count)d photos, one altered", count=len(rows))
                if how == "altered"
                else sentences("%(count)d photo, saved anew", "%(count)d photos, one saved anew", count=len(rows))
            )
            findings.append(concerning("near_duplicate", "low", said, table[rows], score, how=how))
    return findings


def count_leaks(findings: Iterable[Finding], table: pl.DataFrame) -> list[Json]:
    """For every pair of splits, how many photos of the first have a copy in the second."""
    split_of = dict(zip(table["path"], table["split"], strict=True))
    counts: dict[tuple[str, str], int] = {}
    for finding in findings:
        if finding.kind != "leakage":
            continue
        for first in finding.splits:
            photos = sum(split_of[path] == first for path in finding.paths)
            for second in finding.splits:
                if second != first:
                    counts[first, second] = counts.get((first, second), 0) + photos
    given = [name for name in SPLITS if name in set(table["split"])]
    return [
        {"of": first, "in": second, "photos": counts.get((first, second), 0)}
        for first in given
        for second in given
        if first != second
    ]


def _gather(n: int, links: list[Link]) -> list[tuple[list[int], str, float]]:
    """Clusters of two or more rows, with the least sure of their links: its how and its score."""
    clusters = Clusters(n)
    for i, j, _how, _score in links:
        clusters.join(i, j)
    rows: dict[int, set[int]] = {}
    worst: dict[int, tuple[int, float]] = {}
    for i, j, how, score in links:
        root = clusters.root(i)
        rows.setdefault(root, set()).update((i, j))
        rank, least = worst.get(root, (0, 1.0))
        worst[root] = max(rank, HOW.index(how)), min(least, score)
    return [(sorted(members), HOW[worst[root][0]], worst[root][1]) for root, members in sorted(rows.items())]
