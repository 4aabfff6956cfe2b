"""Copies into findings: sets of exact and near duplicates, leakage between splits, one photo under two labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import polars as pl

from certero.findings.findings import Finding, Severity, concerning
from certero.interchange import Json
from certero.likeness.copies import link_copies
from certero.likeness.sets import EXACT, VERIFIED, Link, across, gather, links_by_row
from certero.records.photos import SPLITS
from certero.sentences import Sentence, in_a_row, message, sentence, sentences

#: This many equal files under several labels are no slip but a placeholder for missing photos, such as a white page.
PLACEHOLDER = 10


def describe_copies(table: pl.DataFrame, links: list[Link], flat: Collection[int] = ()) -> list[Finding]:
    """Findings of the kinds exact_duplicate, near_duplicate, leakage, label_conflict and partly_equal, one a set.

    Args:
        table: rows that the links speak of.
        links: of `link_copies`, and of near copies with how `altered`, and of photos equal in a part with how `partly`.
        flat: rows of photos that show nothing.
    """
    findings: list[Finding] = [*_describe_parts(table, links)]
    links = [link for link in links if link[2] != "partly"]
    for each in gather(table.height, [link for link in links if link[2] in EXACT]):
        said = sentences("%(count)d photo, the same", "%(count)d photos, all the same", count=len(each.rows))
        findings.append(
            concerning("exact_duplicate", "medium", said, table[each.rows], float(len(each.rows)), how=each.how)
        )
    told: set[tuple[str, str]] = set()
    every = gather(table.height, links)
    by_row = links_by_row(links)
    split_of, label_of = table["split"].to_list(), table["label"].to_list()
    for each in [*gather(table.height, [link for link in links if link[2] in VERIFIED]), *every]:
        severity: Severity = "medium" if each.how == "altered" else "high"
        for kind, values in (("leakage", split_of), ("label_conflict", label_of)):
            rows = _one_of_each_first(across(each, values, by_row), values)
            several = {values[row] for row in rows}
            # A set of verified copies is not reported again; one that altered copies join is.
            news = {(f"{kind}: {name}", table["path"][row]) for name in several for row in rows}
            if len(several) > 1 and not news <= told:
                if kind == "leakage":
                    names = [name for name in SPLITS if name in several]
                    said = sentence("the same photo in %(splits)s", splits=in_a_row(map(message, names)))
                else:
                    said = _conflict(
                        len(rows), sorted(filter(None, several)), each.how, not flat or rows[0] not in flat
                    )
                findings.append(concerning(kind, severity, said, table[rows], each.score, how=each.how))
                told |= news
    for each in every:
        if each.how not in EXACT:
            count = len(each.rows)
            said = (
                sentences("%(count)d photo, altered", "%(count)d photos, one altered", count=count)
                if each.how == "altered"
                else sentences("%(count)d photo, saved anew", "%(count)d photos, one saved anew", count=count)
            )
            findings.append(concerning("near_duplicate", "low", said, table[each.rows], each.score, how=each.how))
    return findings


def _describe_parts(table: pl.DataFrame, links: list[Link]) -> list[Finding]:
    """A finding for each set of photos that are equal in a part with one that they stand around."""
    findings: list[Finding] = []
    split_of, label_of = table["split"].to_list(), table["label"].to_list()
    for each in gather(table.height, [link for link in links if link[2] == "partly"]):
        splits = [name for name in SPLITS if name in {split_of[row] for row in each.rows}]
        labels = sorted({label_of[row] for row in each.rows if label_of[row]})
        said = sentence("equal in %(share)d %% of what both show", share=round(100 * each.score))
        if len(splits) > 1:
            said = sentence("%(said)s, in %(splits)s", said=said, splits=in_a_row(map(message, splits)))
        if len(labels) > 1:
            said = sentence("%(said)s, as %(labels)s", said=said, labels=", ".join(labels))
        severity: Severity = "high" if len(splits) > 1 or len(labels) > 1 else "medium"
        rows = _one_of_each_first(each.rows, split_of if len(splits) > 1 else label_of)
        findings.append(concerning("partly_equal", severity, said, table[rows], each.score, how=each.how))
    return findings


def note_conflicts(table: pl.DataFrame, pairs: Iterable[tuple[int, int]]) -> list[Sentence]:
    """A note of the photos that lie under several labels; none without any.

    Args:
        table: rows that the pairs speak of.
        pairs: verified copies.
    """
    links = link_copies(table, pairs)
    labels, by_row = table["label"].to_list(), links_by_row(links)
    found = [across(each, labels, by_row) for each in gather(table.height, links)]
    conflicts = [_one_of_each_first(rows, labels) for rows in found if rows]
    if not conflicts:
        return []
    first = ", ".join(table["path"][conflicts[0][:2]])
    files = sum(map(len, conflicts))
    if files == 2 * len(conflicts):
        return [
            sentences(
                "%(count)d photo lies under two labels (first: %(first)s): see certero audit",
                "%(count)d photos lie under two labels (first: %(first)s): see certero audit",
                count=len(conflicts),
                first=first,
            )
        ]
    return [
        sentences(
            "%(count)d photo lies under several labels, in %(files)d files (first: %(first)s): see certero audit",
            "%(count)d photos lie under several labels, in %(files)d files (first: %(first)s): see certero audit",
            count=len(conflicts),
            files=files,
            first=first,
        )
    ]


def _conflict(files: int, labels: Sequence[str], how: str, shows: bool) -> Sentence:
    names = ", ".join(labels)
    if not shows:
        return sentence("the same picture as %(labels)s: nothing in it tells a class", labels=names)
    if how in EXACT and files >= PLACEHOLDER:
        return sentence(
            "one picture %(files)d times, as %(labels)s: does it stand for missing photos?", files=files, labels=names
        )
    return sentence("the same photo as %(labels)s", labels=names)


def _one_of_each_first(rows: Sequence[int], values: Sequence[str | None]) -> list[int]:
    """The rows, with the first of each value before the others: what is shown of many names both sides."""
    first: dict[str | None, int] = {}
    for row in rows:
        first.setdefault(values[row], row)
    return [*first.values(), *(row for row in rows if first[values[row]] != row)]


def count_leaks(findings: Iterable[Finding], table: pl.DataFrame) -> list[Json]:
    """For every pair of splits, how many photos of the first have a copy in the second."""
    split_of = dict(zip(table["path"], table["split"], strict=True))
    found: dict[tuple[str, str], set[str]] = {}
    for finding in findings:
        if finding.kind != "leakage":
            continue
        for first in finding.splits:
            photos = {path for path in finding.paths if split_of[path] == first}
            for second in finding.splits:
                if second != first:
                    found.setdefault((first, second), set()).update(photos)
    given = [name for name in SPLITS if name in set(table["split"])]
    return [
        {"of": first, "in": second, "photos": len(found.get((first, second), ()))}
        for first in given
        for second in given
        if first != second
    ]
