"""Sets of copies: every member was compared with the photo at the centre of its set.

Photos that are each alike to the next are no set: of a chain of look-alikes the ends were never compared, or differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from certero.likeness.clusters import Clusters

#: How two photos are the same, the most certain first.
HOW = ("same_file", "same_pixels", "resaved", "altered", "partly")
#: Equal, and so alike in every comparison.
EXACT = HOW[:2]
#: What certero acts on by itself.
VERIFIED = HOW[:3]

#: So many photos, or a fiftieth of all, are joined at most because one of them is linked with the next.
LONGEST_CHAIN = 20

#: (row, row, how, score)
Link = tuple[int, int, str, float]


@dataclass(frozen=True, slots=True)
class OnePhoto:
    """Rows that hold one photo.

    Args:
        rows: in order, two or more.
        how: the least sure way in which one of them is the same as the one they stand around.
        score: of the least sure link.
        between: two sets that are linked, and no set around one photo.
    """

    rows: list[int]
    how: str
    score: float
    between: bool = False


def gather(count: int, links: Sequence[Link]) -> list[OnePhoto]:
    """The sets that verified pairs make, by their first row.

    Equal photos are one. Around the photo with the most links those linked with it are a set, and so on with the
    others; a link between two sets is a set of its own. Saved anew comes first, altered after it, and then what is
    equal in a part.

    Args:
        count: rows.
        links: verified pairs.

    >>> [each.rows for each in gather(4, [(0, 1, "altered", 0.9), (1, 2, "altered", 0.9), (2, 3, "altered", 0.9)])]
    [[0, 1, 2], [2, 3]]
    """
    same = Clusters(count)
    for i, j, how, _score in links:
        if how in EXACT:
            same.join(i, j)
    home = {row: same.root(row) for i, j, _how, _score in links for row in (i, j)}
    how_of: dict[int, tuple[int, float]] = {}
    for i, _j, how, _score in links:
        if how in EXACT:
            how_of[home[i]] = max(how_of.get(home[i], (0, 1.0)), (HOW.index(how), 1.0))
    found = {node: {node} for node in home.values()}
    pairs: list[tuple[set[int], int, float]] = []
    for kind in HOW[2:]:
        found, how_of, apart = _around(found, how_of, [link for link in links if link[2] == kind], home)
        pairs += apart
    members: dict[int, list[int]] = {}
    for row, node in home.items():
        members.setdefault(node, []).append(row)
    sets = [(nodes, *how_of.get(root, (0, 1.0)), False) for root, nodes in found.items()]
    gathered = [
        OnePhoto(sorted(row for node in nodes for row in members[node]), HOW[rank], score, between)
        for nodes, rank, score, between in [*sets, *((*pair, True) for pair in pairs)]
    ]
    return sorted((each for each in gathered if len(each.rows) > 1), key=lambda each: each.rows)


def kept_together(count: int, links: Sequence[Link]) -> list[tuple[int, int]]:
    """Pairs of rows whose joining makes the units of a split: every verified copy, and every set around one photo.

    Two such sets that are linked are one unit, too, so that no link lies on two sides, but only as long as that holds
    few photos: chains of look-alikes would make one unit of a class.

    Args:
        count: rows.
        links: verified pairs.

    >>> kept_together(4, [(0, 1, "altered", 0.9), (0, 2, "altered", 0.9), (2, 3, "altered", 0.9)])
    [(0, 1), (0, 2), (0, 3)]
    """
    pairs = [(i, j) for i, j, how, _score in links if how in VERIFIED]
    units = Clusters(count)
    for i, j in pairs:
        units.join(i, j)
    every = gather(count, links)
    for each in every:
        if not each.between:
            pairs += [(each.rows[0], row) for row in each.rows[1:]]
            for row in each.rows[1:]:
                units.join(each.rows[0], row)
    size: dict[int, int] = {}
    for row in range(count):
        size[units.root(row)] = size.get(units.root(row), 0) + 1
    most = max(LONGEST_CHAIN, count // 50)
    for each in sorted((each for each in every if each.between), key=lambda each: (-each.score, each.rows)):
        roots = sorted({units.root(row) for row in each.rows})
        whole = sum(size[root] for root in roots)
        if whole <= most:
            for root in roots[1:]:
                units.join(roots[0], root)
                pairs.append((roots[0], root))
            size[units.root(roots[0])] = whole
    return sorted(set(pairs))


def _around(
    found: dict[int, set[int]], how_of: dict[int, tuple[int, float]], links: Iterable[Link], home: dict[int, int]
) -> tuple[dict[int, set[int]], dict[int, tuple[int, float]], list[tuple[set[int], int, float]]]:
    """The sets after links of one kind, how sure each is, and the pairs that lie between two of them.

    Args:
        found: nodes of each set so far, by its root.
        how_of: by root, rank in `HOW` and score of the least sure link.
        links: of the kind.
        home: the node of each row.
    """
    root_of = {node: root for root, nodes in found.items() for node in nodes}
    near: dict[int, dict[int, tuple[int, float]]] = {}
    for i, j, how, score in links:
        one, two = root_of[home[i]], root_of[home[j]]
        if one != two:
            link = max(near.get(one, {}).get(two, (0, 0.0)), (HOW.index(how), score))
            near.setdefault(one, {})[two] = near.setdefault(two, {})[one] = link
    source: dict[int, int] = {}
    for root in sorted(near, key=lambda each: (-len(near[each]), each)):
        if root not in source:
            free = [other for other in near[root] if other not in source]
            if free:
                source |= dict.fromkeys((root, *free), root)
    sets: dict[int, set[int]] = {}
    sure: dict[int, tuple[int, float]] = {}
    for root, nodes in found.items():
        at = source.get(root, root)
        sets[at] = sets.get(at, set()) | nodes
        for rank, score in filter(None, (how_of.get(root), near.get(at, {}).get(root) if at != root else None)):
            worst, least = sure.get(at, (0, 1.0))
            sure[at] = max(worst, rank), min(least, score)
    between = [
        (found[one] | found[two], rank, score)
        for one, others in sorted(near.items())
        for two, (rank, score) in sorted(others.items())
        if one < two and source.get(one, one) != source.get(two, two)
    ]
    return sets, sure, between


def sources(near: Mapping[int, set[int]]) -> Iterator[tuple[int, set[int]]]:
    """Of all that are linked, through others too, the one with the most links, and all of them.

    Args:
        near: those that each is linked with.
    """
    done: set[int] = set()
    for start in sorted(near, key=lambda each: (-len(near[each]), each)):
        if start in done:
            continue
        linked, waiting = {start}, [start]
        while waiting:
            fresh = near[waiting.pop()] - linked
            linked |= fresh
            waiting += fresh
        done |= linked
        yield start, linked


def across(one: OnePhoto, values: Sequence[str | None], by_row: Mapping[int, Sequence[Link]]) -> list[int]:
    """Of a set's rows those that were laid on one of another value, or are the same as one that was.

    Args:
        one: the set.
        values: of each row of the table (its split, its label); None is none.
        by_row: verified pairs, of the set and others; see `links_by_row`.
    """
    inside = set(one.rows)
    links = [link for row in one.rows for link in by_row.get(row, ()) if link[1] in inside]
    # Of photos that are equal in a part those altered are the same; of altered ones those saved anew; of those the
    # equal ones.
    alike = HOW[: max(len(EXACT), HOW.index(one.how))]
    place = {row: number for number, row in enumerate(one.rows)}
    same = Clusters(len(one.rows))
    for i, j, how, _score in links:
        if how in alike:
            same.join(place[i], place[j])
    home = {row: same.root(place[row]) for row in one.rows}
    held: dict[int, set[str]] = {}
    for row in one.rows:
        held.setdefault(home[row], set()).update({values[row] or ""} - {""})
    met = {node: set(found) for node, found in held.items()}
    for i, j, _how, _score in links:
        met[home[i]] |= held[home[j]]
        met[home[j]] |= held[home[i]]
    return [row for row in one.rows if values[row] and met[home[row]] - {values[row]}]


def links_by_row(links: Sequence[Link]) -> dict[int, list[Link]]:
    """The links by their first row."""
    found: dict[int, list[Link]] = {}
    for link in links:
        found.setdefault(link[0], []).append(link)
    return found
