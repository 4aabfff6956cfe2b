"""What the names of photos say about which of them belong together: names alone, no photo is looked at.

A name may be that of another one with something added by whoever made versions of it (`x_flip`, `x(1)`, `x - Copy`,
`x_jpg.rf.3f9c...`, `aug_x`), hold two numbers (`x_0_1234` of Keras, `clip3_frame0012`), or stand in a row (`IMG_1118`).
None of this proves anything: likeness has to say whether it means what it seems to mean.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Scheme = Literal["versions", "two_numbers", "sequence"]

# What programs and people add to the name of a photo that they alter. Numbers may follow: rot90, flip_2.
_ALTERED = (
    "aug(?:ment(?:ed|ation)?)?|copy|copia|kopie|h?flip(?:ped)?|[hv]flip|mirror(?:ed)?|rot(?:at(?:e|ed|ion))?|turn(?:ed)?|"
    "crop(?:ped)?|zoom(?:ed)?|shift(?:ed)?|shear(?:ed)?|bright(?:er|ness)?|dark(?:er)?|light(?:er)?|contrast|gamma|"
    "hue|sat(?:uration)?|colou?r(?:ed)?|gr[ae]y(?:scale)?|noisy?|noise|blur(?:red)?|sharp(?:en(?:ed)?)?|scaled?|"
    "resized?|edit(?:ed)?|with-?_?mask|masked|surgical|version|var|v"
)
_ROBOFLOW = r"_(?:jpe?g|png|bmp|webp|tiff?)\.rf\.[0-9A-Za-z]{8,}"
_COUNTED = r" ?\(\d+\)| - cop(?:y|ia)(?: ?\(\d+\))?"
_LETTER = r"(?<=\d)[_\-]?[a-z]"
_NUMBER = r"(?:[ _\-]?\d{1,3})?"

_WORD_BEHIND = re.compile(rf"[ _.\-]+({_ALTERED}){_NUMBER}$", re.IGNORECASE)
_WORD_BEFORE = re.compile(rf"^({_ALTERED}|copy of){_NUMBER}[ _.\-]+(?=.)", re.IGNORECASE)
_OTHERS_BEHIND = {pattern: re.compile(rf"(?:{pattern})$", re.IGNORECASE) for pattern in (_ROBOFLOW, _COUNTED, _LETTER)}
_TWO_NUMBERS = re.compile(r"^(?P<source>.*?\d+)[^\d/]+\d+$")
_DIGITS = re.compile(r"\d+")

# `--group-by` takes what the brackets hold; a name that tells nothing stands for itself.
_BY_FIRST_NUMBER = r"^(.*?\d+(?=[^\d/]+\d+\.[^./]+$)|.+)"


def in_blocks(digits: int) -> tuple[str, str]:
    """`--group-by` that puts photos together whose names differ in the last digits alone, 1 for 10 in a row: as people
    write it, and one that gives every name a group.
    """
    plain = r"^(.+)\d\.\w+$" if digits == 1 else rf"^(.+?)(?:\d[^\d/.]*){{1,{digits}}}\.\w+$"
    return plain, rf"^(.+?(?=(?:\d[^\d/.]*){{1,{digits}}}\.[^./]+$)|.+)"


@dataclass(frozen=True, slots=True)
class Named:
    """One way to read the names.

    Args:
        scheme: `versions` of one photo, `two_numbers` of which the first names what belongs together, or `sequence`.
        group: of each photo the name of what it belongs to, None where its name says nothing; for a sequence the row
            that it stands in.
        group_by: `--group-by` that gives these groups; None for a sequence, which has none of its own.
    """

    scheme: Scheme
    group: tuple[str | None, ...]
    group_by: str | None


def read_names(paths: Sequence[str]) -> list[Named]:
    """The ways in which these names tell families; a way that tells none is left out.

    Args:
        paths: POSIX, relative to the data.
    """
    folders, stems = zip(*(_parts(path) for path in paths), strict=True) if paths else ((), ())
    found = [
        _versions(stems),
        Named("two_numbers", _two_numbers(folders, stems), _BY_FIRST_NUMBER),
        Named("sequence", _rows(folders, stems), None),
    ]
    return [each for each in found if any(group is not None for group in each.group)]


def natural_key(path: str) -> list[tuple[int, int, str]]:
    """Orders names as people do: `x_9` before `x_10`."""
    parts = re.split(r"(\d+)", unicodedata.normalize("NFC", path))
    return [(0, int(part), "") if number % 2 else (1, 0, part.casefold()) for number, part in enumerate(parts)]


def _parts(path: str) -> tuple[str, str]:
    """Folder, and name without its ending."""
    folder, name = posixpath.split(path)
    return folder, re.sub(r"\.[^./]+$", "", name)


def _versions(stems: Sequence[str]) -> Named:
    """The photo that each is a version of, wherever it lies: a mask drawn on a face makes it another class."""
    sources = [_source(stem) for stem in stems]
    members: dict[str, list[int]] = {}
    for row, (source, _added) in enumerate(sources):
        members.setdefault(source, []).append(row)
    groups: list[str | None] = [None] * len(stems)
    before: set[str] = set()
    behind: set[str] = set()
    for source, rows in members.items():
        # Equal names in several folders (cat/1, dog/1) are no family; one of them must be a version.
        if len(rows) > 1 and any(sources[row][1] for row in rows):
            for row in rows:
                groups[row] = source
                before |= {name for place, name in sources[row][1] if place == "before"}
                behind |= {name for place, name in sources[row][1] if place == "behind"}
    return Named("versions", tuple(groups), _by_source(before, behind))


def _source(stem: str) -> tuple[str, set[tuple[str, str]]]:
    """The name without what was added to it, and that as an expression: where it stands, and which."""
    source, added = stem, set[tuple[str, str]]()
    while match := _WORD_BEFORE.match(source):
        source = source[match.end() :]
        added.add(("before", match[1].casefold()))
    changed = True
    while changed:
        changed = False
        for pattern, others in _OTHERS_BEHIND.items():
            if (match := others.search(source)) and match.start():
                source, changed = source[: match.start()], True
                added.add(("behind", pattern))
        if (match := _WORD_BEHIND.search(source)) and match.start():
            source, changed = source[: match.start()], True
            added.add(("behind", rf"[ _.\-]+{match[1].casefold()}{_NUMBER}"))
    return unicodedata.normalize("NFC", source).casefold(), added


def _by_source(before: set[str], behind: set[str]) -> str:
    """`--group-by` that takes the name without these additions."""
    words = "|".join(sorted(before))
    start = rf"(?:(?:{words}){_NUMBER}[ _.\-]+)*" if before else ""
    end = f"(?:{'|'.join(sorted(behind))})*" if behind else ""
    return rf"(?i)(?:^|/){start}([^/]+?){end}\.[^./]+$"


def _two_numbers(folders: Sequence[str], stems: Sequence[str]) -> tuple[str | None, ...]:
    members: dict[str, list[int]] = {}
    for row, (folder, stem) in enumerate(zip(folders, stems, strict=True)):
        if match := _TWO_NUMBERS.match(stem):
            members.setdefault(f"{folder}/{match['source']}", []).append(row)
    groups: list[str | None] = [None] * len(stems)
    several = {name: rows for name, rows in members.items() if len(rows) > 1}
    # One name alone before the last number is a row of photos, not one family beside others.
    kinds: dict[str, int] = {}
    for name in several:
        kinds[_DIGITS.sub("#", name)] = kinds.get(_DIGITS.sub("#", name), 0) + 1
    for name, rows in several.items():
        if kinds[_DIGITS.sub("#", name)] > 1:
            for row in rows:
                groups[row] = name
    return tuple(groups)


def _rows(folders: Sequence[str], stems: Sequence[str]) -> tuple[str | None, ...]:
    """Names of one folder that differ in their numbers alone stand in a row."""
    shapes = [
        f"{folder}/{_DIGITS.sub('#', stem)}" if _DIGITS.search(stem) else None
        for folder, stem in zip(folders, stems, strict=True)
    ]
    counts: dict[str | None, int] = {}
    for shape in shapes:
        counts[shape] = counts.get(shape, 0) + 1
    return tuple(shape if counts[shape] >= _LEAST_ROW else None for shape in shapes)


# Fewer photos in a row have too few neighbours to tell.
_LEAST_ROW = 8
