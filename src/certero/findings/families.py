"""Families of names into findings, and into the sentence that proposes what to do about them."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import polars as pl

from certero.findings.findings import Finding, Severity, concerning
from certero.records.names import NameFamily
from certero.sentences import Sentence, sentence
from certero.stats.families import lift

# So much of what is missing to equal photos: versions of one photo, or frames of one film.
_STRONG = 0.4


def judge_names(table: pl.DataFrame, families: Sequence[NameFamily]) -> list[Finding]:
    """A finding for each way in which names tell families that the photos bear out.

    Args:
        table: rows of the photos.
        families: see `stages.names.look_at_names`.
    """
    found: list[Finding] = []
    place = {path: row for row, path in enumerate(table["path"])}
    for family in told_by_names(families):
        strength = lift(family.alike, family.shuffled)
        severity: Severity = "high" if family.parted and strength >= _STRONG else "medium"
        rows = table[[place[path] for path in family.examples]]
        found.append(concerning("name_family", severity, say_family(family), rows, round(strength, 4)))
    return found


def told_by_names(families: Sequence[NameFamily]) -> list[NameFamily]:
    """Those that the photos bear out; where names tell versions or things, their row tells nothing more."""
    related = [family for family in families if family.related]
    return [family for family in related if family.scheme != "sequence"] or related


def say_family(family: NameFamily) -> Sentence:
    """What these names tell, and what to do."""
    values = {
        "photos": family.photos,
        "families": family.families,
        "first": ", ".join(map(posixpath.basename, family.examples[:2])),
        "alike": f"{family.alike:.2f}",
        "shuffled": f"{family.shuffled:.2f}",
    }
    if family.scheme == "versions":
        told = sentence(
            "by their names %(photos)d photos are versions of %(families)d (%(first)s), and they are alike: %(alike)s, "
            "%(shuffled)s with the names shuffled, 1 for equal photos",
            **values,
        )
    elif family.scheme == "two_numbers":
        told = sentence(
            "by their names %(photos)d photos belong to %(families)d things (%(first)s), and those of one are alike: "
            "%(alike)s, %(shuffled)s with the names shuffled, 1 for equal photos",
            **values,
        )
    else:
        told = sentence(
            "%(photos)d photos are numbered (%(first)s), and neighbours are alike: %(alike)s, %(shuffled)s with the "
            "names shuffled, 1 for equal photos",
            **values,
        )
    if family.parted:
        told = sentence("%(told)s; %(parted)d of these families lie in several splits", told=told, parted=family.parted)
    if family.group_by is None:
        return told
    return sentence(
        "%(told)s. --group-by '%(group_by)s' keeps them together, in %(groups)d groups",
        told=told,
        group_by=family.group_by,
        groups=family.groups,
    )
